/**
 * A clock that stands still until a test moves it, for tests that pass through hours. It is a `TestClock`: `adjust` and
 * `setTime` of Effect's module work on it as they are. It differs in cost. Effect's own waits for real timers before each
 * step, some milliseconds; this one takes some tens of microseconds (`settle`), so that a hundred thousand steps take
 * seconds. And a sleep that was interrupted is forgotten at once, where Effect's keeps it until its time.
 *
 * @since 0.1.0
 */
import type * as TestClock from "effect/TestClock"
import { VirtualClockImpl } from "./internal/virtualClock.js"

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
  /** As `unsafeStep`, but wakes everybody whose sleep ends at that time. */
  unsafeAdvance(): boolean
  /** Lets time pass in which nobody wakes, as when a process is stopped: sleepers wake late. */
  unsafeSkip(millis: number): void
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
export const make = (nowMillis = 0): VirtualClock => new VirtualClockImpl(nowMillis, false)
