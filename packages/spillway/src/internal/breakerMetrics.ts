/** The metrics of breakers, by label. Breakers with the same label share them. */
import * as Metric from "effect/Metric"
import * as MetricKey from "effect/MetricKey"
import * as MetricLabel from "effect/MetricLabel"
import type { State } from "../Breaker.js"
import type { Label } from "../Label.js"

export const stateKey = MetricKey.gauge("spillway_breaker_state", {
  description: "State of a breaker: 0 closed, 1 open, 2 half-open"
})

export const rejectionsKey = MetricKey.counter("spillway_breaker_rejections_total", {
  description: "Calls that a breaker refused",
  incremental: true
})

export interface BreakerMetrics {
  readonly state: (state: State) => void
  readonly rejected: () => void
}

const numbers: { readonly [S in State]: number } = { closed: 0, open: 1, "half-open": 2 }

export const breakerMetrics = (label: Label): BreakerMetrics => {
  const labels = [MetricLabel.make("label", label.name)]
  const state = Metric.fromMetricKey(MetricKey.taggedWithLabels(stateKey, labels))
  const rejections = Metric.fromMetricKey(MetricKey.taggedWithLabels(rejectionsKey, labels))
  // Reading registers it: the series exists from the start, as zero.
  rejections.unsafeValue([])
  return {
    state: (now) => state.unsafeUpdate(numbers[now], []),
    rejected: () => rejections.unsafeUpdate(1, [])
  }
}
