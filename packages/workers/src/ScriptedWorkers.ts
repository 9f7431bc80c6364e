/**
 * Workers without processes, but with the bytes of the real protocol: each request is encoded, cut into pieces, decoded
 * by a peer that answers as a script says or as handlers do, and back. The second layer of tests.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as Runtime from "effect/Runtime"
import * as Codec from "./Codec.js"
import { FramedLink } from "./internal/framedLink.js"
import { ScriptedPipe } from "./internal/scriptedPipe.js"
import * as MemoryWorkers from "./MemoryWorkers.js"
import { WorkerTransport, type WorkerTransportShape } from "./WorkerTransport.js"

/**
 * What the peer does with one request instead of handling it. `garbage` are bytes that it writes as they are.
 *
 * @since 0.1.0
 * @category models
 */
export type Step =
  | { readonly _tag: "result"; readonly result: unknown }
  | { readonly _tag: "error"; readonly type: string; readonly explanation: string }
  | { readonly _tag: "silence" }
  | { readonly _tag: "garbage"; readonly bytes: Uint8Array }
  | { readonly _tag: "exit"; readonly code: number }
  | { readonly _tag: "handle" }

/**
 * Options of the layer.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface Options extends MemoryWorkers.Options {
  /** What becomes of the requests other than `ping`, one after the other over all workers; then they are handled. */
  readonly script?: Iterable<Step>
  /** Parts of the other requests that end in an error, and that are never answered. Default 0. */
  readonly errorRatio?: number
  readonly silenceRatio?: number
  /** Time that a reply takes. Default 10 ms. */
  readonly delay?: Duration.DurationInput
  /** Replies arrive in pieces of this size. Default 1024. */
  readonly chunkBytes?: number
  /** Default `Codec.json`. */
  readonly codec?: Codec.Codec
  /** Default 8 MiB. */
  readonly payloadBytesMax?: number
}

/**
 * The defaults.
 *
 * @since 0.1.0
 * @category configuration
 */
export const defaults = Object.freeze({
  delay: "10 millis" as const,
  chunkBytes: 1024,
  payloadBytesMax: 8 * 1024 * 1024
})

/**
 * A transport of such workers.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options): WorkerTransportShape => {
  const inner = MemoryWorkers.make(options)
  const script = options.script?.[Symbol.iterator]()
  const { errorRatio = 0, silenceRatio = 0 } = options
  /** What is to become of a request, given a number between 0 and 1. */
  const decide = (chance: number): Step => {
    const next = script?.next()
    if (next?.done === false) return next.value
    if (chance < errorRatio) return { _tag: "error", type: "Scripted", explanation: "as the script says" }
    return chance < errorRatio + silenceRatio ? { _tag: "silence" } : { _tag: "handle" }
  }
  return {
    processes: 0,
    spawn: (workerId) =>
      Effect.gen(function*() {
        const runtime = yield* Effect.runtime()
        const random = yield* Effect.random
        const peer = yield* inner.spawn(workerId)
        const codec = options.codec ?? Codec.json
        const payloadBytesMax = options.payloadBytesMax ?? defaults.payloadBytesMax
        const link = new FramedLink(codec, payloadBytesMax, Runtime.runFork(runtime))
        const chance = () => Runtime.runSync(runtime)(Random.next.pipe(Effect.withRandom(random)))
        link.pipe = new ScriptedPipe(
          {
            codec,
            chunkBytes: options.chunkBytes ?? defaults.chunkBytes,
            delayMillis: Duration.toMillis(options.delay ?? defaults.delay),
            payloadBytesMax,
            decide: () => decide(errorRatio + silenceRatio > 0 ? chance() : 1)
          },
          peer,
          link,
          Runtime.runFork(runtime)
        )
        return link
      })
  }
}

/**
 * The layer.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options): Layer.Layer<WorkerTransport> =>
  Layer.sync(WorkerTransport, () => make(options))
