/**
 * The program of a worker thread: handlers for the commands that a pool sends through `ThreadWorkers`. It runs on the
 * `PlatformRunner` of @effect/platform, which `NodeWorkerRunner.layer` provides.
 *
 * @since 0.1.0
 */
import type { WorkerError } from "@effect/platform/WorkerError"
import { PlatformRunner } from "@effect/platform/WorkerRunner"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"
import type { ToPool, ToWorker } from "./internal/threadMessages.js"
import { ThreadServer } from "./internal/threadServer.js"
import type { Handlers } from "./MemoryWorkers.js"

/**
 * Serves requests, one at a time, in order, until the pool has no more. `ping` is there anyway.
 *
 * **Errors** `WorkerError`: this is no worker thread, or what came cannot be read.
 *
 * @example
 * import { ThreadRunner } from "@spillway/workers"
 * import * as Effect from "effect/Effect"
 *
 * // The last step, in a file of its own: Effect.provide(main, NodeWorkerRunner.layer), and NodeRuntime.runMain.
 * export const main = Effect.scoped(ThreadRunner.serve({ square: (args) => Effect.succeed(Number(args) ** 2) }))
 *
 * @since 0.1.0
 * @category constructors
 */
export const serve = (handlers: Handlers): Effect.Effect<void, WorkerError, PlatformRunner | Scope.Scope> =>
  Effect.gen(function*() {
    const platform = yield* PlatformRunner
    const closed = yield* Deferred.make<void, WorkerError>()
    const runner = yield* platform.start<ToWorker, ToPool>(closed)
    const runtime = yield* Effect.runtime()
    const runSync = Runtime.runSync(runtime)
    const send = (message: ToPool, buffers: ReadonlyArray<ArrayBuffer>) => runSync(runner.send(0, message, buffers))
    const server = new ThreadServer(handlers, send, Runtime.runFork(runtime))
    yield* runner.run((_, message): Effect.Effect<void> | void => server.onMessage(message))
    yield* Deferred.await(closed)
  })
