/**
 * When a value alerts: above its threshold it raises, and it has to fall below a share of the threshold to clear, so
 * that a value that hovers at the threshold does not ring all the time. Pure; `HostFeed` publishes what comes out.
 */

/** A value that is watched. */
export interface Watch {
  readonly metric: string
  readonly threshold: number
  readonly unit: string
}

export interface Alert {
  readonly metric: string
  readonly state: "raised" | "cleared"
  readonly value: number
  readonly threshold: number
  readonly unit: string
  readonly timestamp: number
}

/** The metrics whose alert is raised. */
export type Raised = ReadonlySet<string>

export const none: Raised = new Set()

/** The next state and what changed. A metric without a value keeps its state. */
export const step = (
  raised: Raised,
  watches: ReadonlyArray<Watch>,
  values: ReadonlyMap<string, number>,
  options: { readonly clearRatio: number; readonly now: number }
): { readonly raised: Raised; readonly alerts: ReadonlyArray<Alert> } => {
  const next = new Set(raised)
  const alerts: Array<Alert> = []
  for (const watch of watches) {
    const value = values.get(watch.metric)
    if (value === undefined) continue
    const rises = !raised.has(watch.metric) && value > watch.threshold
    const falls = raised.has(watch.metric) && value < watch.threshold * options.clearRatio
    if (!rises && !falls) continue
    if (rises) next.add(watch.metric)
    else next.delete(watch.metric)
    alerts.push({ ...watch, state: rises ? "raised" : "cleared", value, timestamp: options.now })
  }
  return { raised: next, alerts }
}
