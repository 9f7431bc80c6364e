/**
 * Workers that are threads: the other end is `ThreadRunner`, on the `WorkerRunner` of @effect/platform. Arguments and
 * results are structured clones; buffers in them can be handed over instead (`transfer`).
 *
 * The platform's own `Worker` is not used on this side: it starts a thread that died again by itself, each second for ever,
 * and gives one that hangs five seconds. Here both is the pool's decision.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Runtime from "effect/Runtime"
import type { Worker } from "node:worker_threads"
import { ThreadLink } from "./internal/threadLink.js"
import { Transferred } from "./internal/threadMessages.js"
import { SpawnFailed } from "./WorkerError.js"
import { WorkerTransport, type WorkerTransportShape } from "./WorkerTransport.js"

/**
 * Options of the layer.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface Options {
  /** Starts a thread whose program runs `ThreadRunner.serve`. */
  readonly spawn: (workerId: string) => Worker
}

/**
 * Arguments or a result whose buffers are handed over, not copied: who sends them does not have them any more.
 *
 * @since 0.1.0
 * @category conversions
 */
export const transfer = <A>(value: A, buffers: ReadonlyArray<ArrayBuffer>): unknown => new Transferred(value, buffers)

/**
 * A transport that starts a thread for each worker.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options): WorkerTransportShape => {
  const links = new Set<ThreadLink>()
  return {
    processes: 0,
    spawn: (workerId) =>
      Effect.flatMap(Effect.runtime(), (runtime) =>
        Effect.map(
          Effect.try({
            try: () => options.spawn(workerId),
            catch: (cause) => new SpawnFailed({ workerId, why: String(cause) })
          }),
          (thread) => new ThreadLink(thread, Runtime.runFork(runtime), links)
        ))
  }
}

/**
 * The layer.
 *
 * @example
 * import { ThreadWorkers, WorkerPool } from "@spillway/workers"
 * import * as Layer from "effect/Layer"
 * import { Worker } from "node:worker_threads"
 *
 * const ThreadsLive = ThreadWorkers.layer({ spawn: () => new Worker(new URL("./thread.js", import.meta.url)) })
 *
 * export const PoolLive = Layer.provide(WorkerPool.layer({ size: 4 }), ThreadsLive)
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options): Layer.Layer<WorkerTransport> =>
  Layer.sync(WorkerTransport, () => make(options))
