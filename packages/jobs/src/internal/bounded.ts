/**
 * A wait with a deadline that holds wherever it runs, also in a finalizer: a fiber of its own, to which neither the mask
 * nor the interruption of the caller comes through. What is not done in time goes on alone.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"

export const atMost = <A, E>(effect: Effect.Effect<A, E>, millis: number): Effect.Effect<Option.Option<A>, E> =>
  Effect.uninterruptible(
    Effect.flatMap(
      Effect.forkDaemon(Effect.interruptible(Effect.timeoutOption(Effect.disconnect(effect), millis))),
      (fiber) => Effect.flatten(Fiber.await(fiber))
    )
  )

export const within = <A, E>(effect: Effect.Effect<A, E>, millis: number): Effect.Effect<boolean, E> =>
  Effect.map(atMost(effect, millis), Option.isSome)
