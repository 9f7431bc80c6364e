/**
 * Waiting until nothing more can run without time passing. Tests use it instead of sleeps.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import type * as Scheduler from "effect/Scheduler"

/**
 * A scheduler that knows whether it has work. `settle` asks one that has this property; Effect's own ones have not.
 *
 * @since 0.1.0
 * @category models
 */
export interface IdleAware {
  readonly isIdle: boolean
}

/**
 * Turns of the event loop after which `settle` gives up on a program that never rests.
 *
 * @since 0.1.0
 * @category configuration
 */
export const turnsMax = 10_000

const isIdle = (scheduler: Scheduler.Scheduler & Partial<IdleAware>): boolean => scheduler.isIdle ?? true

// The real clock: under `TestClock` its zero is a turn of the event loop, which no virtual time measures.
const realClock = Clock.make()

const turn: Effect.Effect<void> = realClock.sleep(Duration.zero)

const rest = (turnsLeft: number): Effect.Effect<void> =>
  Effect.zipRight(
    turn,
    Effect.flatMap(FiberRef.get(FiberRef.currentScheduler), (scheduler) =>
      isIdle(scheduler)
        ? Effect.void
        : turnsLeft === 0
        ? Effect.dieMessage(`settle: still busy after ${turnsMax} turns`)
        : rest(turnsLeft - 1))
  )

/**
 * Returns when no fiber can run before time passes or something outside the process happens.
 *
 * **Details.** Effect runs fibers in micro-tasks and moves one to the next turn of the event loop after 2,048 of them in a
 * row. `settle` lets two whole turns pass, more while the fiber's scheduler says that it is not idle (`IdleAware`).
 * It takes about two milliseconds of real time and none of `TestClock`. It does not wait for I/O, real timers or a fiber
 * that yields more than about 2,000 times without a pause.
 *
 * @since 0.1.0
 * @category testing
 */
export const settle: Effect.Effect<void> = Effect.zipRight(turn, rest(turnsMax))
