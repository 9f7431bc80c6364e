/**
 * What concerns the process as a whole: errors that nobody caught.
 *
 * They are counted, logged, and survived: what throws outside of every session and request is some callback for one
 * peer, and the others should not pay for it. Anything but zero is a bug; watch `gateway_uncaught_errors`.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Runtime from "effect/Runtime"

export class Uncaught extends Context.Tag("@spillway-examples/gateway/Process/Uncaught")<Uncaught, {
  /** Uncaught exceptions and unhandled rejections since the start. */
  readonly count: Effect.Effect<number>
}>() {}

const errors = Metric.counter("gateway_uncaught_errors", {
  description: "Uncaught exceptions and unhandled rejections.",
  incremental: true
})

const events = ["uncaughtException", "unhandledRejection"] as const

export const layer: Layer.Layer<Uncaught> = Layer.scoped(
  Uncaught,
  Effect.gen(function*() {
    const run = Runtime.runFork(yield* Effect.runtime<never>())
    let count = 0
    const onError = (error: unknown) => {
      count++
      run(Effect.zipRight(Metric.increment(errors), Effect.logError("An error was not caught.", error)))
    }
    yield* Effect.acquireRelease(
      Effect.sync(() => events.forEach((event) => process.on(event, onError))),
      () => Effect.sync(() => events.forEach((event) => process.removeListener(event, onError)))
    )
    yield* Metric.incrementBy(errors, 0)
    return { count: Effect.sync(() => count) }
  })
)
