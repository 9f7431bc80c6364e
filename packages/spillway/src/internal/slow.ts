/**
 * Whether a peer is slow: too many slow sends within a window set it, a run of fast sends clears it.
 *
 * ```
 * fine ── more than `slowEventsMax` slow sends within the window ──▶ slow
 *   ◀───────────── `recoverAfter` fast sends in a row ─────────────
 * ```
 *
 * It knows nothing of the outbox's pressure. It remembers the times of at most `slowEventsMax` slow sends, and nothing
 * at all before the first one.
 */

export interface SlowOptions {
  /** A send that took longer is a slow event; one that took exactly this long is not. */
  readonly slowAfterMs: number
  /** Slow events that a window may hold; one more sets the flag. */
  readonly slowEventsMax: number
  /** Events count together when the first and the last are at most this far apart. */
  readonly windowMs: number
  /** Fast sends in a row that clear the flag. */
  readonly recoverAfter: number
}

export const defaults: SlowOptions = Object.freeze({
  slowAfterMs: 500,
  slowEventsMax: 5,
  windowMs: 60_000,
  recoverAfter: 10
})

export class Slow {
  isSlow = false
  /** Slow sends ever. */
  slowEvents = 0
  private fastRun = 0
  /** Times of the last slow sends, as a ring whose oldest entry is at `oldest` once it is full. */
  private times: Array<number> | undefined = undefined
  private oldest = 0

  constructor(private readonly options: SlowOptions = defaults) {}

  /** Notes a send that ended at `now` after `durationMs`. Returns whether the flag changed. */
  note(durationMs: number, now: number): boolean {
    return durationMs > this.options.slowAfterMs ? this.noteSlow(now) : this.noteFast()
  }

  /** Sets the flag at once, for a send that makes no progress and may never end. Returns whether that changed it. */
  mark(): boolean {
    this.fastRun = 0
    if (this.isSlow) return false
    this.slowEvents++
    this.isSlow = true
    this.times = undefined
    return true
  }

  private noteFast(): boolean {
    if (!this.isSlow) return false
    this.fastRun++
    if (this.fastRun < this.options.recoverAfter) return false
    this.isSlow = false
    this.times = undefined
    return true
  }

  private noteSlow(now: number): boolean {
    this.slowEvents++
    this.fastRun = 0
    if (this.isSlow) return false
    const exceeds = this.remember(now)
    if (!exceeds) return false
    this.isSlow = true
    this.times = undefined
    return true
  }

  /** Remembers a slow event. Returns whether it is one too many within the window. */
  private remember(now: number): boolean {
    const { slowEventsMax, windowMs } = this.options
    if (slowEventsMax === 0) return true
    if (this.times === undefined) {
      this.times = []
      this.oldest = 0
    }
    const times = this.times
    if (times.length < slowEventsMax) {
      times.push(now)
      return false
    }
    const exceeds = now - times[this.oldest]! <= windowMs
    times[this.oldest] = now
    this.oldest = (this.oldest + 1) % slowEventsMax
    return exceeds
  }
}
