/**
 * Workers that are processes: any program that reads frames from its stdin and writes frames to its stdout, as
 * `docs/WORKER_PROTOCOL.md` says. Its stderr goes to the log, line by line, with the worker's id.
 *
 * No process outlives its use. A worker ends when its stdin closes, which the system does also when this process is
 * killed; it is in a process group of its own, which is killed with it; and it sees of the environment only what it is
 * given.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Runtime from "effect/Runtime"
import * as Codec from "./Codec.js"
import { FramedLink } from "./internal/framedLink.js"
import { ProcessPipe, start } from "./internal/processPipe.js"
import { SpawnFailed } from "./WorkerError.js"
import { type WorkerLink, WorkerTransport, type WorkerTransportShape } from "./WorkerTransport.js"

/**
 * How to start a worker.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface Options {
  readonly command: string
  readonly args?: ReadonlyArray<string>
  /** Default: that of this process. */
  readonly cwd?: string
  /** Variables that the worker sees, besides `PATH` and `SPILLWAY_WORKER_ID`. Default none. */
  readonly env?: Readonly<Record<string, string>>
  /** Default `Codec.json`. */
  readonly codec?: Codec.Codec
  /** Bytes of one message, either way; a larger request is refused, a larger reply costs the worker. Default 8 MiB. */
  readonly payloadBytesMax?: number
}

/**
 * The defaults.
 *
 * @since 0.1.0
 * @category configuration
 */
export const defaults = Object.freeze({ payloadBytesMax: 8 * 1024 * 1024 })

/**
 * A transport that starts a process for each worker.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options): WorkerTransportShape => {
  let processes = 0
  return {
    get processes() {
      return processes
    },
    spawn: (workerId) =>
      Effect.flatMap(Effect.runtime(), (runtime) => {
        const runFork = Runtime.runFork(runtime)
        const link = new FramedLink(
          options.codec ?? Codec.json,
          options.payloadBytesMax ?? defaults.payloadBytesMax,
          runFork
        )
        const onLine = (line: string) =>
          runFork(Effect.annotateLogs(Effect.logInfo(line), { worker: workerId, pid: link.pid }))
        const started = start(options, workerId, (child) => {
          processes++
          link.pipe = new ProcessPipe(child, link, (line) => void onLine(line), () => void processes--)
        })
        return Effect.mapBoth(started, {
          onFailure: (why) => new SpawnFailed({ workerId, why }),
          onSuccess: (): WorkerLink => link
        })
      })
  }
}

/**
 * The layer.
 *
 * @example
 * import { ProcessWorkers, WorkerPool } from "@spillway/workers"
 * import * as Layer from "effect/Layer"
 *
 * const PoolLive = WorkerPool.layer({ size: 4, affinity: { mode: "strictQueue" } }).pipe(
 *   Layer.provide(ProcessWorkers.layer({ command: "python3", args: ["worker.py"] }))
 * )
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options): Layer.Layer<WorkerTransport> =>
  Layer.sync(WorkerTransport, () => make(options))
