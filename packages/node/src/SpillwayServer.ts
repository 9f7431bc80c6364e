/**
 * Sessions on an HTTP server: the owner of sessions that is released before the server, and a program that serves until
 * it is told to stop.
 *
 * @since 0.1.0
 */
import * as HttpServer from "@effect/platform/HttpServer"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Runtime from "@effect/platform/Runtime"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import type { Overflow } from "spillway/Overflow"
import type { SessionOptions } from "spillway/SessionOptions"
import * as Sessions from "spillway/Sessions"
import type { InvalidOption } from "spillway/SpillwayError"
import type { Telemetry } from "spillway/Telemetry"

/**
 * The owner of sessions, on top of the HTTP server: it ends its sessions before the server closes, which would otherwise
 * wait for their sockets.
 *
 * **Errors** `InvalidOption`, naming the option.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  options?: SessionOptions
): Layer.Layer<Sessions.Sessions, InvalidOption, Overflow | Telemetry | HttpServer.HttpServer> =>
  Layer.scoped(Sessions.Sessions, Effect.zipRight(HttpServer.HttpServer, Sessions.make(options)))

/** Time for everything that is not a session to be released after the drain. */
const releaseMillis = 3_000

/** SIGTERM and SIGINT, from now until the scope closes. */
interface Signals {
  readonly first: Effect.Effect<NodeJS.Signals>
  /** What further signals do; nothing before the first drain. */
  again: Effect.Effect<void>
  heard: number
}

const listen: Effect.Effect<Signals, never, Scope.Scope> = Effect.gen(function*() {
  const first = yield* Deferred.make<NodeJS.Signals>()
  const signals: Signals = { first: Deferred.await(first), again: Effect.void, heard: 0 }
  const listener = (signal: NodeJS.Signals): void => {
    Deferred.unsafeDone(first, Effect.succeed(signal))
    if (++signals.heard > 1) Effect.runFork(signals.again)
  }
  yield* Effect.acquireRelease(
    Effect.sync(() => process.on("SIGTERM", listener).on("SIGINT", listener)),
    () => Effect.sync(() => process.off("SIGTERM", listener).off("SIGINT", listener))
  )
  return signals
})

/** Drains and logs how it went, with the whole summary as annotations. */
const drainLogged = (
  why: string,
  sessions: Sessions.SessionsShape,
  options?: Sessions.DrainOptions
): Effect.Effect<Sessions.DrainSummary> =>
  Effect.gen(function*() {
    yield* Effect.logInfo(`${why}: draining ${sessions.size} sessions`)
    const summary = yield* sessions.drain(options)
    const { closesPerSecond, endingsMost, exits, forced, phases, stuck, undelivered } = summary
    yield* Effect.annotateLogs(
      Effect.logInfo(
        `drained ${summary.sessions} sessions in ${summary.durationMillis} ms, ${summary.terminated} terminated`
      ),
      { ...phases, exits, closesPerSecond: closesPerSecond.join(" "), endingsMost, undelivered, forced, stuck }
    )
    return summary
  })

const drainOn = (
  signals: Signals,
  options?: Sessions.DrainOptions
): Effect.Effect<Sessions.DrainSummary, never, Sessions.Sessions> =>
  Effect.gen(function*() {
    const sessions = yield* Sessions.Sessions
    const signal = yield* signals.first
    signals.again = sessions.hurry
    return yield* drainLogged(signal, sessions, options)
  })

/**
 * Suspends until SIGTERM or SIGINT, then drains the sessions and returns how it went. Every further signal makes the
 * drain hurry.
 *
 * @since 0.1.0
 * @category lifecycle
 */
export const drainOnSignal = (
  options?: Sessions.DrainOptions
): Effect.Effect<Sessions.DrainSummary, never, Sessions.Sessions> =>
  Effect.scoped(Effect.flatMap(listen, (signals) => drainOn(signals, options)))

/**
 * Drains ahead of everything that is in a layer, for applications that are launched by something else, such as
 * `NodeRuntime.runMain(Layer.launch(app))`: when the layer is released, its routes still answer, readiness is false and
 * the HTTP server has not begun to wait for its connections. Signals that come during the drain make it hurry.
 *
 * @example
 * import { HttpRouter, HttpServer } from "@effect/platform"
 * import { SpillwayServer } from "@spillway/node"
 *
 * const app = HttpServer.serve(HttpRouter.empty.pipe(HttpRouter.get("/ready", SpillwayServer.readiness))).pipe(
 *   SpillwayServer.withDrain({ total: "20 seconds" })
 * )
 *
 * @since 0.1.0
 * @category layers
 */
export const withDrain =
  (options?: Sessions.DrainOptions) => <A, E, R>(app: Layer.Layer<A, E, R>): Layer.Layer<A, E, R | Sessions.Sessions> =>
    Layer.scopedDiscard(
      Effect.flatMap(
        Sessions.Sessions,
        (sessions) =>
          Effect.addFinalizer(() =>
            Effect.scoped(Effect.flatMap(listen, (signals) => {
              // The first signal is the one that released the layer, and was heard by somebody else.
              signals.again = sessions.hurry
              signals.heard = 1
              return drainLogged("released", sessions, options)
            }))
          )
      )
    ).pipe(Layer.provideMerge(app))

/**
 * Answer of a readiness probe: 200 while new sessions are accepted, 503 from the moment a drain begins. The body says the
 * phase and how many sessions there are.
 *
 * @since 0.1.0
 * @category operations
 */
export const readiness: Effect.Effect<HttpServerResponse.HttpServerResponse, never, Sessions.Sessions> = Effect.map(
  Sessions.Sessions,
  ({ isAccepting, phase, size }) =>
    HttpServerResponse.unsafeJson({ status: isAccepting ? "ok" : "draining", phase, sessions: size }, {
      status: isAccepting ? 200 : 503,
      headers: { "cache-control": "no-store" }
    })
)

/**
 * Builds the application, serves until a signal, drains, and releases the rest within three seconds, whatever hangs. A
 * signal that comes while the application is being built is answered once it is.
 *
 * @since 0.1.0
 * @category lifecycle
 */
export const launch = <A, E>(
  app: Layer.Layer<A | Sessions.Sessions, E>,
  options?: Sessions.DrainOptions
): Effect.Effect<Sessions.DrainSummary, E> =>
  Effect.scoped(Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const signals = yield* listen
      const scope = yield* Scope.make()
      const release = Scope.close(scope, Exit.void).pipe(
        Effect.disconnect,
        Effect.interruptible,
        Effect.timeoutOption(releaseMillis),
        Effect.flatMap((released) =>
          Option.isSome(released) ? Effect.void : Effect.logWarning("some resources were not released in time")
        )
      )
      return yield* restore(Effect.gen(function*() {
        const context = yield* Layer.buildWithScope(app, scope)
        return yield* Effect.provide(drainOn(signals, options), context)
      })).pipe(Effect.ensuring(release))
    })
  ))

/**
 * Runs the program of a process and exits with its code. Signals are left to `launch` (the platform's `runMain` would
 * interrupt the drain), and it exits in any case: a socket that was left behind must not keep a drained process alive.
 *
 * @since 0.1.0
 * @category lifecycle
 */
export const runMain: Runtime.RunMain = Runtime.makeRunMain(({ fiber, teardown }) =>
  fiber.addObserver((exit) => teardown(exit, (code) => process.exit(code)))
)
