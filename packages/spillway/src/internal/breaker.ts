/** The state machine of `Breaker`: synchronous, no Effect; times are milliseconds that the caller passes in. */
import type { State } from "../Breaker.js"
import { invariant } from "./invariant.js"

export interface BreakerOptions {
  /** How many failures open it. */
  readonly failuresMax: number
  /** The time within which they count together; `undefined`: they count in a row. */
  readonly windowMillis: number | undefined
  readonly cooldownMillis: number
  readonly halfOpenPermits: number
  readonly successesToClose: number
}

/** Leave to make a call. Its outcome counts only if the breaker has not changed its state meanwhile. */
export interface Permit {
  readonly generation: number
  readonly isProbe: boolean
}

export class BreakerCore {
  private current: State = "closed"
  /** Grows with each change of state. */
  private generation = 0
  private reopensAt = 0
  /** Times of the last failures, oldest at `next`; as many as open the breaker. Used in window mode. */
  private readonly failedAt: Array<number>
  private next = 0
  private failures = 0
  private probes = 0
  private successes = 0
  rejected = 0
  opened = 0

  constructor(readonly options: BreakerOptions, private readonly onChange: (state: State) => void) {
    this.failedAt = options.windowMillis === undefined ? [] : new Array<number>(options.failuresMax).fill(-Infinity)
  }

  /** As of `now`: an open breaker becomes half-open by time alone. */
  state(now: number): State {
    if (this.current === "open" && now >= this.reopensAt) this.become("half-open")
    return this.current
  }

  /** Failures that count towards opening. */
  failuresNow(now: number): number {
    const { windowMillis } = this.options
    return windowMillis === undefined ? this.failures : this.failedAt.filter((at) => now - at < windowMillis).length
  }

  retryAfterMillis(now: number): number {
    return this.current === "open" ? Math.max(0, this.reopensAt - now) : 0
  }

  get probesRunning(): number {
    return this.probes
  }

  /** Leave to call, or `undefined`. */
  admit(now: number): Permit | undefined {
    const state = this.state(now)
    if (state === "closed") return { generation: this.generation, isProbe: false }
    if (state === "half-open" && this.probes < this.options.halfOpenPermits) {
      this.probes++
      return { generation: this.generation, isProbe: true }
    }
    this.rejected++
    return undefined
  }

  /** How a call went; `undefined`: it was interrupted, which says nothing. The permit must not be used again. */
  settle(permit: Permit, isSuccess: boolean | undefined, now: number): void {
    if (permit.generation !== this.generation) return
    if (permit.isProbe) this.probes--
    this.check()
    if (isSuccess === undefined) return
    if (isSuccess) this.succeeded()
    else this.failed(now)
  }

  reset(): void {
    this.failures = 0
    this.failedAt.fill(-Infinity)
    if (this.current !== "closed") this.become("closed")
    else this.generation++
  }

  check(): void {
    invariant(this.probes >= 0 && this.probes <= this.options.halfOpenPermits, "permits of a breaker are returned once")
  }

  private succeeded(): void {
    if (this.current === "closed") {
      this.failures = 0
      return
    }
    if (++this.successes >= this.options.successesToClose) this.become("closed")
  }

  private failed(now: number): void {
    if (this.current === "half-open" || this.isTooMany(now)) {
      this.reopensAt = now + this.options.cooldownMillis
      this.opened++
      this.become("open")
    }
  }

  private isTooMany(now: number): boolean {
    const { failuresMax, windowMillis } = this.options
    if (windowMillis === undefined) return ++this.failures >= failuresMax
    this.failedAt[this.next] = now
    this.next = (this.next + 1) % failuresMax
    // What is overwritten next is the oldest of the last so many failures.
    return now - this.failedAt[this.next]! < windowMillis
  }

  private become(state: State): void {
    this.current = state
    this.generation++
    this.probes = 0
    this.successes = 0
    this.failures = 0
    this.failedAt.fill(-Infinity)
    this.onChange(state)
  }
}
