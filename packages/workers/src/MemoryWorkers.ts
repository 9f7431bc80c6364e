/**
 * Workers without processes and without bytes: handlers in this process, under the clock of who uses them. The first
 * layer of tests, and a pool for work that needs state and supervision but no other process.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Runtime from "effect/Runtime"
import { MemoryLink } from "./internal/memoryLink.js"
import { SpawnFailed } from "./WorkerError.js"
import { WorkerTransport, type WorkerTransportShape } from "./WorkerTransport.js"

/**
 * What a handler fails with; the caller sees it as `RemoteError`.
 *
 * @since 0.1.0
 * @category models
 */
export interface RemoteFailure {
  readonly type: string
  readonly explanation: string
}

/**
 * What a handler may do while it works.
 *
 * @since 0.1.0
 * @category models
 */
export interface HandlerContext {
  /** Tells the caller how far it is. Suspends while the caller does not keep up. */
  readonly progress: (value: unknown) => Effect.Effect<void>
}

/**
 * One command of a worker.
 *
 * @since 0.1.0
 * @category models
 */
export type Handler = (args: unknown, context: HandlerContext) => Effect.Effect<unknown, RemoteFailure>

/**
 * The commands of one worker, by name. One runs at a time.
 *
 * @since 0.1.0
 * @category models
 */
export interface Handlers {
  readonly [command: string]: Handler
}

/**
 * Options of the layer.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface Options {
  /** Makes the commands of a new worker, and with them its state. `ping` is there anyway. */
  readonly worker: (workerId: string) => Handlers
  /** From the start of a worker to its first answer. Default 0. */
  readonly startTime?: Duration.DurationInput
  /** Whether this start fails; the explanation. Default never. */
  readonly refuse?: (workerId: string) => string | undefined
}

/**
 * A transport of such workers.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options): WorkerTransportShape => ({
  processes: 0,
  spawn: (workerId) =>
    Effect.flatMap(Effect.runtime(), (runtime) => {
      const why = options.refuse?.(workerId)
      if (why !== undefined) return new SpawnFailed({ workerId, why })
      let isStarted = false
      const handlers: Handlers = {
        ping: () =>
          Effect.suspend(() => {
            const wait = isStarted ? Effect.void : Effect.sleep(options.startTime ?? Duration.zero)
            isStarted = true
            return Effect.as(wait, { status: "ok" })
          }),
        ...options.worker(workerId)
      }
      return Effect.succeed(new MemoryLink(handlers, Runtime.runFork(runtime), () => {}))
    })
})

/**
 * The layer.
 *
 * @example
 * import { MemoryWorkers, WorkerPool } from "@spillway/workers"
 * import * as Effect from "effect/Effect"
 *
 * const counting = (): MemoryWorkers.Handlers => {
 *   let count = 0
 *   return { next: () => Effect.sync(() => ++count) }
 * }
 * const program = Effect.gen(function*() {
 *   const pool = yield* WorkerPool.make({ size: 2 })
 *   yield* pool.execute("next", {}, { session: "a" })
 *   return yield* pool.execute("next", {}, { session: "a" })
 * })
 * const run = Effect.scoped(program).pipe(Effect.provide(MemoryWorkers.layer({ worker: counting })))
 *
 * assert.strictEqual(await Effect.runPromise(run), 2)
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options): Layer.Layer<WorkerTransport> =>
  Layer.sync(WorkerTransport, () => make(options))
