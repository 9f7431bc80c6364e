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
import { parentPort, receiveMessageOnPort } from "node:worker_threads"
import type { ToWorker } from "./internal/threadMessages.js"
import { ThreadServer } from "./internal/threadServer.js"
import type { Handlers } from "./MemoryWorkers.js"

/**
 * Options of a thread.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface Options {
  /**
   * How the thread waits for the next request: in its event loop (default), or blocked, which costs about half, and
   * suspends whatever handlers have left running in the background.
   */
  readonly idle?: "event loop" | "block"
}

/** The next message that has come already. */
const received = (): ToWorker | undefined => {
  if (parentPort === null) return undefined
  const message: unknown = receiveMessageOnPort(parentPort)?.message
  return Array.isArray(message) && message[0] === 0 ? (message[1] as ToWorker) : undefined
}

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
export const serve = (
  handlers: Handlers,
  options: Options = {}
): Effect.Effect<void, WorkerError, PlatformRunner | Scope.Scope> =>
  Effect.gen(function*() {
    const platform = yield* PlatformRunner
    const closed = yield* Deferred.make<void, WorkerError>()
    const runner = yield* platform.start<ToWorker, never>(closed)
    const runtime = yield* Effect.runtime()
    const receive = options.idle === "block" ? received : undefined
    const server = new ThreadServer(handlers, Runtime.runFork(runtime), receive)
    yield* runner.run((_, message): Effect.Effect<void> | void => server.onMessage(message))
    yield* Deferred.await(closed)
  })
