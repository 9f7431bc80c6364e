/**
 * Makes an `http.Server` safe for upgrades. On a server without it, one reset of an unauthenticated peer ends the
 * process, and a half-closed handshake stays for ever.
 *
 * Decides: what happens to a socket between its upgrade request and the answer (errors, end, deadline, number). Leaves
 * to others: routing, authorisation and the answer itself, which are the platform's and the program's, and the WebSocket,
 * which is `Upgrade`'s.
 *
 * ```
 * upgrade request ──▶ pending ──accept──▶ WebSocket (no longer guarded)
 *                        ├──answered──▶ closing ──▶ closed
 *                        └──reset, end of stream, deadline──▶ destroyed (handler fiber interrupted)
 * ```
 *
 * @since 0.1.0
 */
import type * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import type * as Etag from "@effect/platform/Etag"
import type * as HttpPlatform from "@effect/platform/HttpPlatform"
import type * as HttpServer from "@effect/platform/HttpServer"
import type { ServeError } from "@effect/platform/HttpServerError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Http from "node:http"
import * as Https from "node:https"
import type * as Net from "node:net"
import * as Tls from "node:tls"
import { InvalidOption } from "spillway/SpillwayError"
import * as check from "./internal/check.js"
import { Handshakes, unavailable } from "./internal/handshakes.js"
import { Headless } from "./internal/headless.js"

/**
 * Limits of a server. Everything that a peer can hold without having been authorised has one.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface Options {
  /** From the upgrade request to the WebSocket or to the end of the socket. Beyond it 503, and the handler is interrupted. */
  readonly handshakeTimeout?: Duration.DurationInput
  /** Upgrade requests that are neither answered nor upgraded; one more is answered 503. */
  readonly pendingHandshakesMax?: number
  /** All headers of a request; beyond it 431. */
  readonly headerBytesMax?: number
  /** From the first byte of a request to the end of its headers; beyond it 408. */
  readonly headersTimeout?: Duration.DurationInput
  /** From the first byte of a request to its last; beyond it 408. */
  readonly requestTimeout?: Duration.DurationInput
  /** How often the two timeouts above are looked at. */
  readonly checkInterval?: Duration.DurationInput
  /** How long an idle connection is kept for a next request. */
  readonly keepAliveTimeout?: Duration.DurationInput
  /**
   * Serves `https:` and `wss:` with this certificate. The TLS handshake has the handshake timeout of its own, beyond which
   * the socket is destroyed.
   */
  readonly tls?: Pick<Tls.TlsOptions, "key" | "cert" | "ca" | "passphrase" | "minVersion" | "requestCert">
}

/**
 * The limits that hold unless told otherwise.
 *
 * @since 0.1.0
 * @category configuration
 */
export const defaults: Required<Omit<Options, "tls">> = {
  handshakeTimeout: Duration.seconds(10),
  pendingHandshakesMax: 1024,
  headerBytesMax: 16 * 1024,
  headersTimeout: Duration.seconds(10),
  requestTimeout: Duration.seconds(30),
  checkInterval: Duration.seconds(1),
  keepAliveTimeout: Duration.seconds(5)
}

/**
 * Guards a server and returns it. To be called before anything listens to its `upgrade` event, once.
 *
 * From then on a reset at any time harms nobody but its own request; a peer that ends its stream or takes longer than
 * the handshake timeout is closed, which interrupts its handler fiber; a request that nobody listens for (the server is
 * starting or draining) is answered 503 instead of never; and a server that closes does not wait for connections that have
 * not sent the head of a request.
 *
 * @since 0.1.0
 * @category constructors
 */
export const guard = <Server extends Http.Server>(
  server: Server,
  options?: Pick<Options, "handshakeTimeout" | "pendingHandshakesMax">
): Server => {
  const handshakes = new Handshakes(server, {
    handshakeTimeoutMillis: Duration.toMillis(options?.handshakeTimeout ?? defaults.handshakeTimeout),
    pendingHandshakesMax: options?.pendingHandshakesMax ?? defaults.pendingHandshakesMax
  })
  const headless = new Headless(server)
  server.prependListener("upgrade", (request, socket, head) => {
    // An `http.Server` hands out the `net.Socket` (or `TLSSocket`) that it accepted.
    headless.began(socket as Net.Socket)
    handshakes.begin(socket as Net.Socket, head)
    if (server.listenerCount("upgrade") === 1) answerAsRequest(server, request, socket as Net.Socket)
  })
  server.prependListener("request", ({ socket }, response) => {
    headless.began(socket)
    if (server.listenerCount("request") > 1) return
    response.writeHead(503, { connection: "close", "retry-after": "1", "content-length": "0" })
    response.end()
  })
  return server
}

/**
 * A guarded `http.Server` (with `tls`, an `https.Server`) with every limit set. It does not listen yet. The options are not checked here; see
 * `layerHttpServer`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const makeServer = (options?: Options): Http.Server => {
  const all = { ...defaults, ...options }
  const settings: Http.ServerOptions = {
    maxHeaderSize: all.headerBytesMax,
    headersTimeout: Duration.toMillis(all.headersTimeout),
    requestTimeout: Duration.toMillis(all.requestTimeout),
    connectionsCheckingInterval: Duration.toMillis(all.checkInterval),
    keepAliveTimeout: Duration.toMillis(all.keepAliveTimeout),
    noDelay: true
  }
  return guard(all.tls === undefined ? Http.createServer(settings) : makeTlsServer(settings, all.tls, all), all)
}

const makeTlsServer = (
  settings: Http.ServerOptions,
  tls: Tls.TlsOptions,
  { handshakeTimeout }: Required<Pick<Options, "handshakeTimeout">>
): Http.Server => Https.createServer({ ...settings, ...tls, handshakeTimeout: Duration.toMillis(handshakeTimeout) })

/**
 * The platform's `HttpServer` on a guarded server, listening while the layer is in use.
 *
 * Errors: `InvalidOption` names the option; `ServeError` when the address cannot be used.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerHttpServer = (
  options: Options & { readonly port: number; readonly host?: string; readonly backlog?: number }
): Layer.Layer<
  HttpServer.HttpServer | HttpPlatform.HttpPlatform | Etag.Generator | NodeContext.NodeContext,
  ServeError | InvalidOption
> => {
  const { backlog, host, port, ...limits } = options
  const listen = { port, ...(host === undefined ? {} : { host }), ...(backlog === undefined ? {} : { backlog }) }
  return Layer.unwrapEffect(
    Effect.as(validate(limits), NodeHttpServer.layer(() => makeServer(limits), listen))
  )
}

const validate = (options: Options): Effect.Effect<void, InvalidOption> => {
  const all = { ...defaults, ...options }
  return Effect.all([
    check.integerWithin("Guard", all, "pendingHandshakesMax", 1, 1_000_000),
    check.integerWithin("Guard", all, "headerBytesMax", 1024, 1024 * 1024),
    ...durations.map((key) => check.timerDuration("Guard", key, all[key])),
    all.tls === undefined ? Effect.void : validateTls(all.tls)
  ], { discard: true })
}

/** The value of the error is no part of the option: it has the private key. */
const validateTls = (tls: Tls.TlsOptions): Effect.Effect<void, InvalidOption> =>
  Effect.try({
    try: () => void Tls.createSecureContext(tls),
    catch: () =>
      new InvalidOption({ module: "Guard", key: "tls", value: "(hidden)", expected: "a certificate and its key" })
  })

const durations = ["handshakeTimeout", "headersTimeout", "requestTimeout", "checkInterval", "keepAliveTimeout"] as const

/**
 * Without the guard's listener Node would have treated the request as an ordinary one; so it does here. The socket is
 * closed afterwards, for its parser is gone.
 */
const answerAsRequest = (server: Http.Server, request: Http.IncomingMessage, socket: Net.Socket): void => {
  if (server.listenerCount("request") === 1) {
    socket.end(unavailable)
    return
  }
  const response = new Http.ServerResponse(request)
  response.shouldKeepAlive = false
  response.assignSocket(socket)
  response.on("finish", () => socket.end())
  server.emit("request", request, response)
}
