/**
 * Waiting until nothing more can run without time passing, and letting virtual time pass. Tests use it instead of sleeps.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as Layer from "effect/Layer"
import type * as Scheduler from "effect/Scheduler"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"

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

// The real clock: under `TestClock` its zero is a turn of the event loop with its timers, which no virtual time measures.
const timers: Effect.Effect<void> = Clock.make().sleep(Duration.zero)

const microtasks: Effect.Effect<void> = Effect.async<void>((resume) => {
  const handle = setImmediate(() => resume(Effect.void))
  return Effect.sync(() => clearImmediate(handle))
})

/**
 * A turn that took less cannot hold the 2,048 micro-tasks in a row after which Effect goes on in a real timer: they take
 * some hundreds of microseconds.
 */
const quickMillis = 0.1

const turn: Effect.Effect<void> = Effect.suspend(() => {
  const begin = performance.now()
  return Effect.flatMap(microtasks, () => performance.now() - begin < quickMillis ? Effect.void : timers)
})

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
 * row. `settle` lets two turns pass, with their timers where so much was done that this may be the case, and more while
 * the fiber's scheduler says that it is not idle (`IdleAware`). It takes some tens of microseconds of real time, or about
 * two milliseconds, and none of `TestClock`. It does not wait for I/O, real timers or a fiber that yields more than about
 * 2,000 times without a pause.
 *
 * @since 0.1.0
 * @category testing
 */
export const settle: Effect.Effect<void> = Effect.zipRight(turn, rest(turnsMax))

/**
 * Lets virtual time pass, with everything at rest before and after: nothing that was ready misses the passing, and all
 * that it caused has happened.
 *
 * @since 0.1.0
 * @category testing
 */
export const advance = (duration: Duration.DurationInput): Effect.Effect<void> =>
  settle.pipe(Effect.zipRight(TestClock.adjust(duration)), Effect.zipRight(settle))

/** Seconds of virtual time that a release may take. */
const releaseSecondsMax = 120

/**
 * Provides a layer, and releases it while virtual time passes. With `Effect.provide` a release that waits for something
 * (an answer that travels, a deadline) hangs under `TestClock`, because nothing moves the clock at the end of a test.
 *
 * **Errors** What the body and the layer fail with. A release of more than two minutes is a defect.
 *
 * @since 0.1.0
 * @category testing
 */
export const provide =
  <ROut, E2, RIn>(layer: Layer.Layer<ROut, E2, RIn>) =>
  <A, E, R>(body: Effect.Effect<A, E, R>): Effect.Effect<A, E | E2, RIn | Exclude<R, ROut>> =>
    Effect.uninterruptibleMask((restore) =>
      Effect.gen(function*() {
        const scope = yield* Scope.make()
        const exit = yield* restore(
          Effect.flatMap(Layer.buildWithScope(layer, scope), (context) => Effect.provide(body, context))
        ).pipe(Effect.exit)
        const release = yield* Effect.forkDaemon(Scope.close(scope, exit))
        yield* settle
        for (let seconds = 0; seconds < releaseSecondsMax && release.unsafePoll() === null; seconds++) {
          yield* advance("1 second")
        }
        if (release.unsafePoll() === null) return yield* Effect.dieMessage("the release took more than two minutes")
        yield* Fiber.join(release)
        return yield* exit
      })
    )
