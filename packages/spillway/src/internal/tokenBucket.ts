/**
 * A token bucket without a timer: one number, the time at which everything that was taken will have been paid off (the
 * generic cell rate algorithm). Full again is simply a time that has passed.
 *
 * Something conforms while at most `burstMillis` worth of tokens is owed, however much it takes itself: one thing larger
 * than the bucket is not wrong, what follows too soon is.
 */
export class TokenBucket {
  private paidAt = -Infinity
  private lastAt = -Infinity

  constructor(private readonly tokensPerSecond: number, private readonly burstMillis: number) {}

  /** Takes the tokens in any case. Returns whether that conformed. */
  take(now: number, tokens: number): boolean {
    const conforms = this.millisUntilConforming(now) === 0
    this.paidAt = Math.max(this.paidAt, now) + tokens * 1000 / this.tokensPerSecond
    return conforms
  }

  /** Milliseconds until taking conforms. */
  millisUntilConforming(now: number): number {
    return this.millisUntil(now, this.burstMillis)
  }

  /** Whether nothing is owed, so that a new bucket would be the same. */
  isFull(now: number): boolean {
    return this.millisUntil(now, 0) === 0
  }

  /** Milliseconds until at most half of the burst is owed. */
  millisUntilHalf(now: number): number {
    return this.millisUntil(now, this.burstMillis / 2)
  }

  private millisUntil(now: number, owedMillis: number): number {
    // A clock that was set back must not turn a debt of milliseconds into one of hours.
    if (now < this.lastAt) this.paidAt -= this.lastAt - now
    this.lastAt = now
    const millis = this.paidAt - now - owedMillis
    // Sums of fractions are not exact.
    return millis > 1e-6 ? millis : 0
  }
}
