/**
 * Waits with a deadline that holds wherever they run. A plain timeout bounds nothing inside a finalizer, because
 * finalizers run uninterruptible; and re-opening it there is not enough in a fiber that was itself interrupted, because
 * its interruption comes through at once (both have counter-tests).
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"

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

/**
 * As `Effect.async` with a function that takes the registration back. Effect's own goes one step between registering and
 * being ready to take back: a fiber that its scheduler pauses there and that is interrupted then leaves what it
 * registered behind (counter-test). This is ready before it registers.
 */
export const suspended = <A, E = never>(
  register: (resume: (effect: Effect.Effect<A, E>) => void) => (() => void) | void
): Effect.Effect<A, E> =>
  Effect.suspend(() => {
    let undo: (() => void) | void = undefined
    const waiting = Effect.async<A, E>((resume) => {
      undo = register(resume)
    })
    return Effect.onInterrupt(waiting, () => Effect.sync(() => undo?.()))
  })

/** Has something called back when it happens, at once if it has; returns how to take that back. */
export type Watch = (wake: () => void) => () => void

/** Calls back after a time; returns how to take that back. */
const alarm = (runtime: Runtime.Runtime<never>, duration: Duration.DurationInput, ring: () => void): () => void => {
  const sleeper = Runtime.runFork(runtime)(Effect.interruptible(Effect.sleep(duration)))
  sleeper.addObserver(ring)
  return () => sleeper.unsafeInterruptAsFork(FiberId.none)
}

/**
 * Suspends until it is woken, with a deadline: whether it was woken in time. It bounds also where nothing can be
 * interrupted. A sweeper and every step of every ending wait like this: a race of two effects would cost each of them two
 * fibers and an interruption that is waited for, and this costs one fiber that sleeps.
 *
 * `hurry` may cut the time that is left, once, to the time with which it calls back.
 */
export const wokenWithin = (
  watch: Watch,
  duration: Duration.DurationInput,
  hurry?: (cutTo: (left: Duration.DurationInput) => void) => () => void
): Effect.Effect<boolean> =>
  Effect.flatMap(Effect.runtime<never>(), (runtime) =>
    suspended<boolean>((resume) => {
      const undo: Array<() => void> = []
      let over = false
      const end = (inTime: boolean): void => {
        if (over) return
        over = true
        for (const back of undo) back()
        resume(Effect.succeed(inTime))
      }
      const add = (back: () => void): void => {
        if (over) back()
        else undo.push(back)
      }
      add(watch(() => end(true)))
      if (!over) add(alarm(runtime, duration, () => end(false)))
      if (!over && hurry !== undefined) add(hurry((left) => add(alarm(runtime, left, () => end(false)))))
      return () => end(false)
    }))
