/**
 * Whether a session lags behind, by rules that are data: which reading must have been above which mark, for how long.
 *
 * ```
 * keeps up ── a rule has held for its time ──▶ lags (the gravest such rule counts)
 *   ◀── no rule has held for `recoverMillis` ──
 * ```
 *
 * It goes up at once and comes down once, as a whole: what is done to a session that lags is not undone and done again
 * while it hangs about a mark.
 */

/** What is looked at. `bytes` and `items` are fill ratios, the others milliseconds. */
export interface Readings {
  readonly bytes: number
  readonly items: number
  readonly age: number
  readonly "no progress": number
  readonly "ack lag": number
}

export type Reason = keyof Readings

/** Rules are in the order of their gravity, the gravest last. */
export interface LagRule {
  readonly reason: Reason
  /** A reading above this counts; at exactly this it does not. */
  readonly above: number
  readonly forMillis: number
}

export class Lag {
  /** Index of the gravest rule in force, or -1. */
  level = -1
  /** Since when the session lags. */
  since = 0
  /** By rule: since when it has held without a break. */
  private readonly heldSince: Array<number | undefined>
  private calmSince = 0

  constructor(private readonly rules: ReadonlyArray<LagRule>, private readonly recoverMillis: number) {
    this.heldSince = rules.map(() => undefined)
  }

  /** Notes readings. Returns whether the level changed: to a graver rule, or to -1. */
  note(readings: Readings, now: number): boolean {
    let gravest = -1
    let isCalm = true
    for (let i = 0; i < this.rules.length; i++) {
      const rule = this.rules[i]!
      if (!(readings[rule.reason] > rule.above)) {
        this.heldSince[i] = undefined
        continue
      }
      isCalm = false
      const since = this.heldSince[i] ??= now
      if (now - since >= rule.forMillis) gravest = i
    }
    if (!isCalm) this.calmSince = now
    if (gravest > this.level) {
      if (this.level < 0) this.since = now
      this.level = gravest
      return true
    }
    if (this.level < 0 || !isCalm || now - this.calmSince < this.recoverMillis) return false
    this.level = -1
    return true
  }
}
