/**
 * The one clock of this kit that is not real: time that stands still until somebody moves it.
 */
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { settle } from "../Settle.js"
import type { VirtualClock } from "../VirtualClock.js"
import { TimerQueue } from "./timerQueue.js"

export class VirtualClockImpl implements VirtualClock {
  readonly [Clock.ClockTypeId]: Clock.ClockTypeId = Clock.ClockTypeId
  private readonly timers = new TimerQueue()

  constructor(
    private now: number,
    /** Whether a sleep of no time waits for everything else of its instant, as a turn of the event loop does. */
    private readonly zeroWaits: boolean
  ) {}

  get nextAt(): number {
    return this.timers.nextAt
  }

  get sleepers(): number {
    return this.timers.size
  }

  unsafeCurrentTimeMillis(): number {
    return this.now
  }

  unsafeCurrentTimeNanos(): bigint {
    return BigInt(Math.round(this.now * 1_000_000))
  }

  readonly currentTimeMillis = Effect.sync(() => this.now)
  readonly currentTimeNanos = Effect.sync(() => this.unsafeCurrentTimeNanos())
  readonly sleeps = Effect.sync(() => Chunk.fromIterable(this.timers.times))

  sleep(duration: Duration.Duration): Effect.Effect<void> {
    return Effect.suspend(() => this.sleepOnce(duration))
  }

  private sleepOnce(duration: Duration.Duration): Effect.Effect<void> {
    let forget: (() => void) | undefined = undefined
    const sleeping = Effect.async<void>((resume) => {
      const millis = Math.max(0, Duration.toMillis(duration))
      if (millis === 0 && !this.zeroWaits) return resume(Effect.void)
      // Nothing wakes it.
      if (millis === Infinity) return
      forget = this.timers.add(this.now + millis, () => resume(Effect.void))
    })
    // Around it, as `Effect.async` is ready to take back only a step after it registered.
    return Effect.onInterrupt(sleeping, () => Effect.sync(() => forget?.()))
  }

  /** Calls back at a time, without a fiber; returns how to cancel that. */
  unsafeAt(millis: number, ring: () => void): () => void {
    return this.timers.add(millis, ring)
  }

  unsafeStep(): boolean {
    if (this.timers.size === 0) return false
    this.now = Math.max(this.now, this.timers.nextAt)
    this.timers.ringNext()
    return true
  }

  unsafeAdvance(): boolean {
    if (this.timers.size === 0) return false
    this.now = Math.max(this.now, this.timers.nextAt)
    this.timers.ring(this.now)
    return true
  }

  unsafeSkip(millis: number): void {
    this.now += millis
  }

  adjust(duration: Duration.DurationInput): Effect.Effect<void> {
    return Effect.suspend(() => this.runUntil(this.now + Duration.toMillis(duration)))
  }

  adjustWith(duration: Duration.DurationInput): <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R> {
    return (effect) => Effect.zipLeft(effect, this.adjust(duration), { concurrent: true })
  }

  setTime(time: number): Effect.Effect<void> {
    return this.runUntil(time)
  }

  /** The time only: sleeps stay as they are. */
  get save(): Effect.Effect<Effect.Effect<void>> {
    return Effect.sync(() => {
      const { now } = this
      return Effect.sync(() => {
        this.now = now
      })
    })
  }

  /** One sleeper after the other, each with everything at rest before and after. */
  private runUntil(end: number): Effect.Effect<void> {
    const steps: Effect.Effect<void> = Effect.suspend(() => {
      if (this.timers.nextAt <= end) {
        this.unsafeStep()
        return Effect.zipRight(settle, steps)
      }
      this.now = Math.max(this.now, end)
      return settle
    })
    return Effect.zipRight(settle, steps)
  }
}
