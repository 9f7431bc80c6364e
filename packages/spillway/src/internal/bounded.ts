/**
 * Waits with a deadline that holds wherever they run. A plain timeout bounds nothing inside a finalizer, because
 * finalizers run uninterruptible; and re-opening it there is not enough in a fiber that was itself interrupted, because
 * its interruption comes through at once (both have counter-tests).
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"

/**
 * Waits for an effect that can be interrupted, at most so long; `None` when that was too short. Holds in finalizers of
 * fibers that were not interrupted; elsewhere use it inside `ownFiber`.
 */
export const atMost = <A>(effect: Effect.Effect<A>, millis: number): Effect.Effect<Option.Option<A>> =>
  millis <= 0 ? Effect.succeedNone : Effect.interruptible(Effect.timeoutOption(effect, millis))

/**
 * Runs an effect that bounds itself in a fiber of its own, to which neither the mask nor the interruption of the calling
 * fiber comes through, and waits for it whatever happens.
 */
export const ownFiber = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.uninterruptible(
    Effect.flatMap(Effect.forkDaemon(Effect.interruptible(effect)), (fiber) => Effect.flatten(Fiber.await(fiber)))
  )

/** Sleeps unless something has happened or happens meanwhile: whether it did. What has happened is asked first. */
export const sleepUnless = (
  happened: () => boolean,
  awaitIt: Effect.Effect<void>,
  duration: Duration.DurationInput
): Effect.Effect<boolean> =>
  Effect.suspend(() => {
    if (happened()) return Effect.succeed(true)
    if (Duration.toMillis(duration) <= 0) return Effect.succeed(false)
    return Effect.raceFirst(Effect.as(awaitIt, true), Effect.as(Effect.sleep(duration), false))
  })
