/**
 * The core's `Dialer` on real sockets: WebSocket connections that this program opens itself, `ws:` or `wss:`.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Http from "node:http"
import { Dialer } from "spillway/Dialer"
import { DialFailed, type InvalidOption } from "spillway/SpillwayError"
import type { Connection } from "spillway/Transport"
import { watchAssemblies, type Watched } from "./internal/assembly.js"
import * as check from "./internal/check.js"
import type { EqualDeadlines } from "./internal/equalDeadlines.js"
import { OwnedSocket, WsConnection } from "./internal/wsConnection.js"

/**
 * Options of all connections of a dialer.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface Options {
  /** Largest message from the peer; beyond it the connection is closed with 1009. Default 64 KiB. */
  readonly payloadBytesMax?: number
  /** From the first byte of a message to its last; beyond it the connection is closed with 1008. Default 30 seconds. */
  readonly assemblyTimeout?: Duration.DurationInput
  /** Sub-protocols that are offered, in order of preference. Default none. */
  readonly protocols?: ReadonlyArray<string>
  /** Headers of the handshake, such as `authorization`. Default none. */
  readonly headers?: { readonly [name: string]: string }
}

/**
 * What holds unless told otherwise.
 *
 * @since 0.1.0
 * @category configuration
 */
export const defaults: Required<Options> = {
  payloadBytesMax: 64 * 1024,
  assemblyTimeout: Duration.seconds(30),
  protocols: [],
  headers: {}
}

/** A backstop: sessions have a shorter limit of their own. */
const closeTimeoutMillis = 5_000

/** Not written in place: `closeTimeout` is missing in the types of `ws`. */
const settings = (options: Required<Options>) => ({
  headers: options.headers,
  maxPayload: options.payloadBytesMax,
  perMessageDeflate: false,
  closeTimeout: closeTimeoutMillis
})

/** What `ws` says of a failed handshake may name a host and a port, never what was sent. */
const failure = (url: string, why: string): DialFailed => new DialFailed({ url, why })

const ignore = (): void => {}

const dial =
  (options: Required<Options>, assemblies: EqualDeadlines<Watched>) =>
  (url: string): Effect.Effect<Connection, DialFailed> =>
    Effect.async<Connection, DialFailed>((resume) => {
      if (!URL.canParse(url)) return resume(failure(url, "not a URL"))
      const ws = new OwnedSocket(url, [...options.protocols], settings(options))
      let response: Http.IncomingMessage | undefined = undefined
      const onError = (error: Error): void => resume(failure(url, error.message))
      ws.on("error", onError)
      ws.once("upgrade", (message: Http.IncomingMessage) => {
        response = message
      })
      ws.once("open", () => {
        ws.off("error", onError)
        // In this very call, or the first messages would find no listener.
        resume(Effect.succeed(new WsConnection(ws, response!.socket, assemblies, "client")))
      })
      // Called also when the interruption comes after the connection and before anybody has it.
      return Effect.sync(() => {
        ws.on("error", ignore)
        ws.terminate()
      })
    })

/**
 * The dialer. Connections belong to whoever dialled them; releasing the layer ends none.
 *
 * **Errors** `InvalidOption`, naming the option.
 *
 * @example
 * import { NodeDialer } from "@spillway/node"
 * import { Effect } from "effect"
 * import { Dialer } from "spillway"
 *
 * const program = Effect.flatMap(Dialer.Dialer, (dialer) => dialer.dial("ws://127.0.0.1:1/")).pipe(
 *   Effect.flip,
 *   Effect.provide(NodeDialer.layer())
 * )
 *
 * assert.strictEqual((await Effect.runPromise(program))._tag, "DialFailed")
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options = {}): Layer.Layer<Dialer, InvalidOption> => {
  const resolved = { ...defaults, ...options }
  return Layer.effect(
    Dialer,
    check.integerWithin("NodeDialer", { ...resolved }, "payloadBytesMax", 1, 1024 * 1024 * 1024).pipe(
      Effect.zipRight(check.timerDuration("NodeDialer", "assemblyTimeout", resolved.assemblyTimeout)),
      Effect.map((millis) => ({ kind: "ws", dial: dial(resolved, watchAssemblies(millis)) }))
    )
  )
}
