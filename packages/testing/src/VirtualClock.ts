/**
 * A clock that stands still until a test moves it, for tests that pass through hours. It is a `TestClock`: `adjust` and
 * `setTime` of Effect's module work on it as they are. It differs in cost. Effect's own waits for real timers before each
 * step, some milliseconds; this one takes some tens of microseconds (`settle`), so that a hundred thousand steps take
 * seconds. And a sleep that was interrupted is forgotten at once, where Effect's keeps it until its time.
 *
 * @since 0.1.0
 */
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as TestClock from "effect/TestClock"
import { settle } from "./Settle.js"

/**
 * A virtual clock. Times are milliseconds.
 *
 * @since 0.1.0
 * @category models
 */
export interface VirtualClock extends TestClock.TestClock {
  /** Time at which the next sleep ends, `Infinity` when nobody sleeps. */
  readonly nextAt: number
  /** Fibers that sleep. */
  readonly sleepers: number
  /** Moves to the end of the next sleep and wakes that one sleeper. `false` when nobody sleeps. */
  unsafeStep(): boolean
}

interface Sleeper {
  readonly at: number
  readonly wake: () => void
}

class VirtualClockImpl implements VirtualClock {
  readonly [Clock.ClockTypeId]: Clock.ClockTypeId = Clock.ClockTypeId
  /** By time; of equal times the one that came first is first. */
  private readonly sorted: Array<Sleeper> = []

  constructor(private now: number) {}

  get nextAt(): number {
    return this.sorted[0]?.at ?? Infinity
  }

  get sleepers(): number {
    return this.sorted.length
  }

  unsafeCurrentTimeMillis(): number {
    return this.now
  }

  unsafeCurrentTimeNanos(): bigint {
    return BigInt(Math.floor(this.now * 1_000_000))
  }

  readonly currentTimeMillis = Effect.sync(() => this.now)
  readonly currentTimeNanos = Effect.sync(() => this.unsafeCurrentTimeNanos())
  readonly sleeps = Effect.sync(() => Chunk.fromIterable(this.sorted.map(({ at }) => at)))

  sleep(duration: Duration.Duration): Effect.Effect<void> {
    return Effect.async<void>((resume) => {
      const at = this.now + Duration.toMillis(duration)
      if (at <= this.now) return resume(Effect.void)
      // Nothing wakes it.
      if (at === Infinity) return
      const sleeper: Sleeper = { at, wake: () => resume(Effect.void) }
      this.sorted.splice(this.indexAfter(at), 0, sleeper)
      return Effect.sync(() => {
        const index = this.sorted.indexOf(sleeper)
        if (index >= 0) this.sorted.splice(index, 1)
      })
    })
  }

  unsafeStep(): boolean {
    const next = this.sorted.shift()
    if (next === undefined) return false
    this.now = Math.max(this.now, next.at)
    next.wake()
    return true
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
      if (this.nextAt <= end) {
        this.unsafeStep()
        return Effect.zipRight(settle, steps)
      }
      this.now = Math.max(this.now, end)
      return settle
    })
    return Effect.zipRight(settle, steps)
  }

  private indexAfter(at: number): number {
    let low = 0
    let high = this.sorted.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.sorted[middle]!.at <= at) low = middle + 1
      else high = middle
    }
    return low
  }
}

/**
 * A virtual clock of its own, at the given time. Provide it with `Effect.withClock` or `Layer.setClock`.
 *
 * @example
 * import * as VirtualClock from "@spillway/testing/VirtualClock"
 * import { Clock, Effect, Fiber, TestClock } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const fiber = yield* Effect.fork(Effect.zipRight(Effect.sleep("1 hour"), Clock.currentTimeMillis))
 *   yield* TestClock.adjust("2 hours")
 *   assert.strictEqual(yield* Fiber.join(fiber), 3_600_000)
 * })
 * await Effect.runPromise(Effect.withClock(program, VirtualClock.make()))
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (nowMillis = 0): VirtualClock => new VirtualClockImpl(nowMillis)
