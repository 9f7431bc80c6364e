/**
 * The core's `Transport` on real sockets. `httpApp` is mounted in a router beside other routes and after any middleware;
 * what it upgrades comes out of `Transport.accept`. A program written against `Transport` needs to know no more.
 *
 * The layer requires the `HttpServer` so that it is released first: a server that closes waits for its sockets.
 *
 * @since 0.1.0
 */
import * as HttpServer from "@effect/platform/HttpServer"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import type * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { InvalidOption } from "spillway/SpillwayError"
import * as Transport from "spillway/Transport"
import { AcceptQueue } from "./internal/acceptQueue.js"
import * as check from "./internal/check.js"
import * as Upgrade from "./Upgrade.js"

/**
 * Options of the transport: those of the upgrade and the length of its queue.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface Options extends Upgrade.Options {
  /** Connections that nobody has accepted yet; beyond it handshakes are refused with 503. */
  readonly acceptQueueItems?: number
}

/**
 * What holds unless told otherwise.
 *
 * @since 0.1.0
 * @category configuration
 */
export const defaults: Required<Options> = { ...Upgrade.defaults, acceptQueueItems: 128 }

/**
 * The side of the transport that routes see.
 *
 * @since 0.1.0
 * @category models
 */
export class NodeTransport extends Context.Tag("@spillway/node/NodeTransport")<NodeTransport, {
  /** Upgrades the request and queues its connection; never suspends. 503 when the queue is full or the layer released. */
  readonly offer: (request: HttpServerRequest.HttpServerRequest) => Effect.Effect<void, Upgrade.UpgradeError>
}>() {}

/**
 * Both sides of the transport. When it is released, connections that nobody accepted are closed with 1001, and destroyed
 * if they do not answer within two seconds; accepted ones belong to their sessions.
 *
 * Errors: `InvalidOption` names the option; `IncompatibleWs` when the installed `ws` is too old.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  options?: Options
): Layer.Layer<
  NodeTransport | Transport.Transport,
  InvalidOption | Upgrade.IncompatibleWs,
  HttpServer.HttpServer
> =>
  Layer.scopedContext(Effect.gen(function*() {
    yield* HttpServer.HttpServer
    const all = { ...defaults, ...options }
    yield* check.integerWithin("NodeTransport", { ...all }, "acceptQueueItems", 1, 65536)
    const upgrader = yield* Upgrade.make(all)
    const queue = yield* Effect.acquireRelease(
      Effect.sync(() => new AcceptQueue(all.acceptQueueItems)),
      (queue) => Effect.suspend(() => closeAll(queue.close()))
    )
    return Context.make(NodeTransport, {
      offer: (request) =>
        Effect.suspend(() =>
          queue.hasRoom
            // Uninterruptible from the upgrade to the queue: in between nobody owns the connection.
            ? Effect.uninterruptible(Effect.map(upgrader.accept(request), (connection) => queue.offer(connection)))
            : Effect.fail(queue.isClosed ? released : full)
        )
    }).pipe(Context.add(Transport.Transport, { kind: "ws", accept: queue.accept }))
  }))

/**
 * The route: upgrades its request and ends. A refusal in the error channel is the right answer by itself.
 *
 * @since 0.1.0
 * @category constructors
 */
export const httpApp: Effect.Effect<
  HttpServerResponse.HttpServerResponse,
  Upgrade.UpgradeError,
  NodeTransport | HttpServerRequest.HttpServerRequest
> = Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) =>
  NodeTransport.pipe(
    Effect.flatMap((transport) => transport.offer(request)),
    Effect.as(Upgrade.switchingProtocols)
  ))

const full = new Upgrade.UpgradeRefused({ status: 503, reason: "too many connections wait to be accepted" })
const released = new Upgrade.UpgradeRefused({ status: 503, reason: "the transport is closed" })

const closeAll = (connections: ReadonlyArray<Transport.Connection>): Effect.Effect<void> =>
  Effect.forEach(connections, closeAndWait, { concurrency: "unbounded", discard: true })

const closeAndWait = (connection: Transport.Connection): Effect.Effect<void> =>
  Effect.async<void>((resume) => {
    connection.attach({
      onMessage: () => {},
      onFlushed: () => {},
      onPong: () => {},
      onClose: () => resume(Effect.void)
    })
    connection.close(1001, "server going away")
  }).pipe(
    // A finalizer is uninterruptible, and a timeout inside it bounds nothing unless this is said.
    Effect.interruptible,
    Effect.timeoutOption("2 seconds"),
    Effect.zipRight(Effect.sync(() => connection.terminate()))
  )
