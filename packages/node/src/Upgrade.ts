/**
 * Turns an upgrade request inside an ordinary route into a `Connection`, with `ws` and only its public API.
 *
 * The route answers at once with status 101 and its fiber ends; the connection belongs to whoever took it. The server
 * has to be guarded (`Guard`), which is checked. Whatever is refused is refused as an ordinary response, before `ws`
 * sees it; `ws` itself would answer on the socket and leave the handler waiting for ever.
 *
 * @example
 * import * as HttpRouter from "@effect/platform/HttpRouter"
 * import { Upgrade } from "@spillway/node"
 * import * as Effect from "effect/Effect"
 *
 * const route = Upgrade.connection({ payloadBytesMax: 1024 }).pipe(
 *   Effect.map(({ connection, response }) => {
 *     connection.close(1000, "bye")
 *     return response
 *   })
 * )
 *
 * export const router = HttpRouter.empty.pipe(HttpRouter.get("/ws", route))
 *
 * @since 0.1.0
 */
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerRespondable from "@effect/platform/HttpServerRespondable"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { createRequire } from "node:module"
import { InvalidOption } from "spillway/SpillwayError"
import type { Connection } from "spillway/Transport"
import * as WS from "ws"
import { watchAssemblies, type Watched } from "./internal/assembly.js"
import * as check from "./internal/check.js"
import type { EqualDeadlines } from "./internal/equalDeadlines.js"
import * as handshake_ from "./internal/handshake.js"
import * as handshakes from "./internal/handshakes.js"
import { OwnedSocket, WsConnection } from "./internal/wsConnection.js"

/**
 * Which origins may connect. `sameOrigin` compares host and port of `Origin` with `Host`; a request without `Origin`
 * does not come from a browser and is accepted. An allow list says what to do with those.
 *
 * @since 0.1.0
 * @category configuration
 */
export type OriginPolicy =
  | "any"
  | "sameOrigin"
  | { readonly allow: ReadonlyArray<string>; readonly missing: "accept" | "refuse" }

/**
 * Limits and agreements of the connections of one upgrader.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface Options {
  /** Largest message from the peer, after decompression; beyond it the connection is closed with 1009. */
  readonly payloadBytesMax?: number
  /** Fragments of one message; beyond it 1008. */
  readonly fragmentsMax?: number
  /** Pieces of an unfinished frame, as the network cut it; beyond it 1008. */
  readonly bufferedChunksMax?: number
  /**
   * From the first byte of a message to its last, however it is cut and whatever comes between; beyond it 1008. Time in
   * which the session does not read is not counted. To be chosen by the slowest client that has to get its largest
   * message through: 64 KiB in 30 seconds are 17 kbit/s.
   */
  readonly assemblyTimeout?: Duration.DurationInput
  /** Pings whose answers the peer has not read; beyond it the connection is destroyed. */
  readonly pendingPongsMax?: number
  /** Sub-protocols in the server's order of preference. None in common: none is selected. */
  readonly protocols?: ReadonlyArray<string>
  /** Offers permessage-deflate: messages of 1 KiB and more, no context kept between messages on either side. */
  readonly compression?: boolean
  /** From our close frame until the socket is destroyed. A backstop: sessions have a shorter limit of their own. */
  readonly closeTimeout?: Duration.DurationInput
  /** Other origins are refused with 403. */
  readonly origins?: OriginPolicy
}

/**
 * What holds unless told otherwise.
 *
 * @since 0.1.0
 * @category configuration
 */
export const defaults: Required<Options> = {
  payloadBytesMax: 64 * 1024,
  fragmentsMax: 1024,
  bufferedChunksMax: 16 * 1024,
  assemblyTimeout: Duration.seconds(30),
  pendingPongsMax: 60,
  protocols: [],
  compression: false,
  closeTimeout: Duration.seconds(5),
  origins: "sameOrigin"
}

/**
 * The request does not become a WebSocket. In the error channel of a route it is the right answer by itself: 400 (broken
 * handshake, or the peer is gone), 403 (origin), 405, 426 (not a WebSocket handshake of version 13), 503 (no room), 429
 * (no room for this client).
 *
 * @since 0.1.0
 * @category errors
 */
export class UpgradeRefused extends Data.TaggedError("UpgradeRefused")<{
  readonly status: number
  readonly reason: string
  readonly retryAfterSeconds?: number
}> implements HttpServerRespondable.Respondable {
  override get message(): string {
    return `upgrade refused (${this.status}): ${this.reason}`
  }
  get response(): HttpServerResponse.HttpServerResponse {
    return handshake_.response(this)
  }
  /**
   * The refusal as the answer of a route.
   *
   * @since 0.1.0
   */
  [HttpServerRespondable.symbol](): Effect.Effect<HttpServerResponse.HttpServerResponse> {
    return Effect.succeed(this.response)
  }
}

/**
 * The request is not of a guarded server, or was upgraded before. Without the guard a reset ends the process and what
 * the peer sent with its handshake is lost, so that no connection is made. Answered with 500.
 *
 * @since 0.1.0
 * @category errors
 */
export class UnguardedServer extends Data.TaggedError("UnguardedServer")<{}>
  implements HttpServerRespondable.Respondable
{
  override get message(): string {
    return "no pending upgrade on a guarded server: use Guard.layerHttpServer, or Guard.guard on the http.Server"
  }
  /**
   * The answer of a route.
   *
   * @since 0.1.0
   */
  [HttpServerRespondable.symbol](): Effect.Effect<HttpServerResponse.HttpServerResponse> {
    return Effect.succeed(HttpServerResponse.empty({ status: 500, headers: { connection: "close" } }))
  }
}

/**
 * The installed `ws` lacks limits that this package relies on.
 *
 * @since 0.1.0
 * @category errors
 */
export class IncompatibleWs extends Data.TaggedError("IncompatibleWs")<{
  readonly found: string
  readonly required: string
}> {
  override get message(): string {
    return `ws ${this.found} is installed, at least ${this.required} is required`
  }
}

/**
 * Why there is no connection.
 *
 * @since 0.1.0
 * @category errors
 */
export type UpgradeError = UpgradeRefused | UnguardedServer

/**
 * What becomes of an upgrade request: the connection, and the response with which the route ends.
 *
 * @since 0.1.0
 * @category models
 */
export interface Upgraded {
  readonly connection: Connection
  readonly response: HttpServerResponse.HttpServerResponse
}

/**
 * Makes connections with one set of options.
 *
 * @since 0.1.0
 * @category models
 */
export interface Upgrader {
  /**
   * Validates the request and upgrades its socket in one synchronous step; never suspends. After success the request has
   * been answered and the caller owns the connection: a route returns `switchingProtocols`, or anything else, which is
   * not sent.
   */
  readonly accept: (request: HttpServerRequest.HttpServerRequest) => Effect.Effect<Connection, UpgradeError>
  /** Whether `accept` would succeed now: for what costs something before, such as authorisation. */
  readonly check: (request: HttpServerRequest.HttpServerRequest) => Effect.Effect<void, UpgradeError>
}

/**
 * Response of a route whose request was upgraded. It is for logs and traces: the 101 of the handshake was already sent.
 *
 * @since 0.1.0
 * @category constructors
 */
export const switchingProtocols: HttpServerResponse.HttpServerResponse = HttpServerResponse.empty({ status: 101 })

/**
 * Makes an upgrader, with one `ws` server of its own. It owns nothing that must be released: its one timer is for messages
 * that are unfinished, and keeps no process alive.
 *
 * Errors: `InvalidOption` names the option; `IncompatibleWs` when the installed `ws` is too old.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options?: Options): Effect.Effect<Upgrader, InvalidOption | IncompatibleWs> =>
  Effect.gen(function*() {
    const all = { ...defaults, ...options }
    yield* checkWs(wsVersion())
    yield* validate(all)
    const maker = {
      server: makeWebSocketServer(all, yield* check.timerDuration("Upgrade", "closeTimeout", all.closeTimeout)),
      assemblies: watchAssemblies(yield* check.timerDuration("Upgrade", "assemblyTimeout", all.assemblyTimeout))
    }
    return {
      accept: (request) => Effect.suspend(() => accept(maker, all.origins, request)),
      check: (request) => Effect.suspend(() => Effect.asVoid(pending(all.origins, request)))
    }
  })

/**
 * An upgrader that is made on first use and kept; options that are not usable are a defect then.
 *
 * @since 0.1.0
 * @category constructors
 */
export const lazy = (options?: Options): () => Upgrader => {
  let upgrader: Upgrader | undefined
  return () => upgrader ??= Effect.runSync(make(options))
}

/**
 * Upgrades the request of the surrounding route. The upgrader is made on first use and kept by this effect; options that
 * are not usable are a defect (use `make` to have them as errors at startup).
 *
 * @since 0.1.0
 * @category constructors
 */
export const connection = (
  options?: Options
): Effect.Effect<Upgraded, UpgradeError, HttpServerRequest.HttpServerRequest> => {
  const upgrader = lazy(options)
  return Effect.flatMap(
    HttpServerRequest.HttpServerRequest,
    (request) => Effect.map(upgrader().accept(request), (connection) => ({ connection, response: switchingProtocols }))
  )
}

/**
 * Route that hands each connection to `onConnection`, which is expected to start a session elsewhere and return: the
 * handler fiber is interrupted when the peer disconnects. If it fails or is interrupted the connection is closed with
 * 1011, so that none is without an owner.
 *
 * @since 0.1.0
 * @category constructors
 */
export const upgrade = <E, R>(
  onConnection: (connection: Connection) => Effect.Effect<void, E, R>,
  options?: Options
): Effect.Effect<
  HttpServerResponse.HttpServerResponse,
  E | UpgradeError,
  R | HttpServerRequest.HttpServerRequest
> => {
  const upgraded = connection(options)
  // The window: between the upgrade and the hand-over nobody else would close the connection.
  return Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(upgraded, ({ connection, response }) =>
      restore(onConnection(connection)).pipe(
        Effect.onError(() => Effect.sync(() => connection.close(1011, ""))),
        Effect.as(response)
      ))
  )
}

const pending = (
  origins: OriginPolicy,
  request: HttpServerRequest.HttpServerRequest
): Either.Either<handshakes.Handshake, UpgradeError> => {
  const source = NodeHttpServerRequest.toIncomingMessage(request)
  const refusal = handshake_.validate(source, origins)
  if (refusal !== undefined) return Either.left(new UpgradeRefused(refusal))
  const socket = source.socket
  const handshake = handshakes.find(socket)
  // A dead socket has left the guard's list; so has one that is already upgraded, but that one is alive.
  if (socket.destroyed || !socket.readable || !socket.writable) return Either.left(peerGone)
  return handshake === undefined ? Either.left(new UnguardedServer()) : Either.right(handshake)
}

/** What all connections of an upgrader are made with. */
interface Maker {
  readonly server: WS.WebSocketServer
  readonly assemblies: EqualDeadlines<Watched>
}

const accept = (
  { assemblies, server }: Maker,
  origins: OriginPolicy,
  request: HttpServerRequest.HttpServerRequest
): Effect.Effect<Connection, UpgradeError> =>
  Effect.flatMap(pending(origins, request), (handshake) => {
    const source = NodeHttpServerRequest.toIncomingMessage(request)
    const socket = source.socket
    let connection: Connection | undefined
    server.handleUpgrade(source, socket, handshake.head, (ws) => {
      handshakes.settle(socket, handshake)
      connection = new WsConnection(ws as OwnedSocket, socket, assemblies)
      handshakes.silence(request, socket)
      handshakes.releaseHandler(socket, handshake)
    })
    // `ws` calls back at once or never.
    return connection === undefined
      ? Effect.fail(new UpgradeRefused({ status: 400, reason: "ws refused the handshake" }))
      : Effect.succeed(connection)
  })

const peerGone = new UpgradeRefused({ status: 400, reason: "the peer is gone" })

const makeWebSocketServer = (options: Required<Options>, closeTimeoutMillis: number): WS.WebSocketServer => {
  const protocols = options.protocols
  const settings = {
    noServer: true,
    clientTracking: false,
    WebSocket: OwnedSocket,
    allowSynchronousEvents: true,
    autoPong: true,
    skipUTF8Validation: false,
    maxPayload: options.payloadBytesMax,
    maxFragments: options.fragmentsMax,
    maxBufferedChunks: options.bufferedChunksMax,
    maxPendingAutoPongs: options.pendingPongsMax,
    closeTimeout: closeTimeoutMillis,
    // `false` selects none. Without this hook `ws` selects whatever the client named first.
    handleProtocols: (offered: Set<string>): string | false => protocols.find((name) => offered.has(name)) ?? false,
    perMessageDeflate: options.compression
      ? { threshold: 1024, serverNoContextTakeover: true, clientNoContextTakeover: true, concurrencyLimit: 10 }
      : false
  }
  const server = new WS.WebSocketServer(settings)
  // With a listener `ws` does not answer on the socket, which is left to the response.
  server.on("wsClientError", ignore)
  return server
}

const ignore = (): void => {}

const validate = (options: Required<Options>): Effect.Effect<void, InvalidOption> => {
  const { origins, protocols } = options
  const invalid = (key: string, value: unknown, expected: string) =>
    Effect.fail(new InvalidOption({ module: "Upgrade", key, value, expected }))
  return Effect.all([
    check.integerWithin("Upgrade", { ...options }, "payloadBytesMax", 1, 1024 * 1024 * 1024),
    check.integerWithin("Upgrade", { ...options }, "fragmentsMax", 1, 1_000_000),
    check.integerWithin("Upgrade", { ...options }, "bufferedChunksMax", 1, 1_000_000),
    check.integerWithin("Upgrade", { ...options }, "pendingPongsMax", 1, 1_000_000),
    protocols.length === 0 || handshake_.protocols(protocols.join(",")) !== undefined
      ? Effect.void
      : invalid("protocols", protocols.join(","), "a list of different tokens"),
    typeof origins === "string" || origins.allow.every((origin) => handshake_.serializedOrigin(origin) !== undefined)
      ? Effect.void
      : invalid("origins", origins.allow.join(","), "a list of origins like https://example.org")
  ], { discard: true })
}

const requiredWs = "8.23.0"

const wsVersion = (): string =>
  (createRequire(import.meta.url)("ws/package.json") as { readonly version: string }).version

const checkWs = (found: string): Effect.Effect<void, IncompatibleWs> => {
  const [major = 0, minor = 0] = found.split(".").map(Number)
  return major > 8 || (major === 8 && minor >= 23)
    ? Effect.void
    : Effect.fail(new IncompatibleWs({ found, required: requiredWs }))
}
