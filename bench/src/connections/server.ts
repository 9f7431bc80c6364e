/**
 * One server under test, in a process of its own. It is told over IPC what to measure.
 *
 * `server.ts ws|spillway|spillway-effect|platform`
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServer from "@effect/platform/HttpServer"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Guard from "@spillway/node/Guard"
import * as SpillwayServer from "@spillway/node/SpillwayServer"
import * as WebSocketRoute from "@spillway/node/WebSocketRoute"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Http from "node:http"
import type * as Net from "node:net"
import * as Message from "spillway/Message"
import * as Metrics from "spillway/Metrics"
import * as Overflow from "spillway/Overflow"
import type { Session } from "spillway/Session"
import { WebSocketServer } from "ws"

/**
 * `spillway` answers in a function, as the plain `ws` server does; `spillway-effect` in an effect that may suspend.
 */
export type Peer = "ws" | "spillway" | "spillway-effect" | "platform"

/** What the server answers to a request for a measurement. */
export interface Measured {
  readonly cpuSeconds: number
  readonly heapBytes: number
  readonly rssBytes: number
}

const payloadBytesMax = 65536

const listenWs = (ready: (port: number) => void): void => {
  const server = Http.createServer({ noDelay: true })
  const wss = new WebSocketServer({
    server,
    perMessageDeflate: false,
    clientTracking: false,
    maxPayload: payloadBytesMax
  })
  wss.on("connection", (ws) => {
    ws.on("error", () => {})
    ws.on("message", (data, isBinary) => ws.send(data as Buffer, { binary: isBinary }))
  })
  server.listen(0, "127.0.0.1", () => ready((server.address() as Net.AddressInfo).port))
}

const listenApp = (
  app: Layer.Layer<HttpServer.HttpServer, unknown>,
  ready: (port: number) => void
): void => {
  const main = Effect.gen(function*() {
    const server = yield* HttpServer.HttpServer
    if (server.address._tag === "TcpAddress") ready(server.address.port)
    return yield* Effect.never
  })
  Effect.runFork(Effect.provide(main, app))
}

const listenSpillway = (handler: (session: Session) => Effect.Effect<void>, ready: (port: number) => void): void => {
  const router = HttpRouter.empty.pipe(HttpRouter.get(
    "/",
    WebSocketRoute.upgrade(handler, { payloadBytesMax })
  ))
  const sessions = SpillwayServer.layer().pipe(Layer.provide([Overflow.layerDefault, Metrics.layer]))
  const http = Guard.layerHttpServer({ port: 0, host: "127.0.0.1" })
  listenApp(HttpServer.serve(router).pipe(Layer.provide(sessions), Layer.provideMerge(http)), ready)
}

const listenPlatform = (ready: (port: number) => void): void => {
  const echo = Effect.gen(function*() {
    const request = yield* HttpServerRequest.HttpServerRequest
    const socket = yield* request.upgrade
    const write = yield* socket.writer
    yield* Effect.ignore(socket.runRaw((data) => write(data)))
    return HttpServerResponse.empty()
  }).pipe(Effect.scoped)
  const router = HttpRouter.empty.pipe(HttpRouter.get("/", echo))
  const http = NodeHttpServer.layer(() => Http.createServer({ noDelay: true }), { port: 0, host: "127.0.0.1" })
  listenApp(HttpServer.serve(router).pipe(Layer.provideMerge(http)), ready)
}

const measure = (): Measured => {
  // Before the collection, which is not part of what is measured.
  const { system, user } = process.cpuUsage()
  for (let i = 0; i < 4; i++) (globalThis as { readonly gc?: () => void }).gc?.()
  const memory = process.memoryUsage()
  const collected = process.cpuUsage()
  collectionSeconds += (collected.user + collected.system - user - system) / 1e6
  return {
    cpuSeconds: (collected.user + collected.system) / 1e6 - collectionSeconds,
    heapBytes: memory.heapUsed,
    rssBytes: memory.rss
  }
}

let collectionSeconds = 0

const answer = (session: Session) =>
  session.runForEach((message) => {
    session.unsafeOffer(Message.fromFrame(message.frame))
  })

const answerInEffect = (session: Session) =>
  session.runForEach((message) => session.send(Message.fromFrame(message.frame)))

const listen: { readonly [P in Peer]: (ready: (port: number) => void) => void } = {
  ws: listenWs,
  spillway: (ready) => listenSpillway(answer, ready),
  "spillway-effect": (ready) => listenSpillway(answerInEffect, ready),
  platform: listenPlatform
}
listen[process.argv[2] as Peer]((port) => process.send!({ port }))
process.on("message", () => process.send!(measure()))
process.on("disconnect", () => process.exit(0))
