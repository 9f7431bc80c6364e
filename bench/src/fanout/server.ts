/**
 * One server under test, in a process of its own: it publishes what it is told over IPC, in ticks, to all who are
 * connected. `server.ts floor|ws|spillway|socketio|platform|rpc|nats`
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServer from "@effect/platform/HttpServer"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Rpc from "@effect/rpc/Rpc"
import * as RpcGroup from "@effect/rpc/RpcGroup"
import * as RpcSerialization from "@effect/rpc/RpcSerialization"
import * as RpcServer from "@effect/rpc/RpcServer"
import * as Guard from "@spillway/node/Guard"
import * as SpillwayServer from "@spillway/node/SpillwayServer"
import * as WebSocketRoute from "@spillway/node/WebSocketRoute"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as PubSub from "effect/PubSub"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Http from "node:http"
import type * as Net from "node:net"
import { Server as SocketIo } from "socket.io"
import * as Frame from "spillway/Frame"
import * as Hub from "spillway/Hub"
import * as Message from "spillway/Message"
import * as Metrics from "spillway/Metrics"
import * as Overflow from "spillway/Overflow"
import type { Session } from "spillway/Session"
import { WebSocketServer } from "ws"
import { startNats } from "./nats.js"
import { marker, type Peer, type Running } from "./protocol.js"

/** What the server is told: so many ticks with so many messages of so many bytes each; none asks for a reading. */
export interface Order {
  readonly ticks: number
  readonly perTick: number
  readonly payloadBytes: number
}

/** CPU seconds of the server so far. */
export interface Reading {
  readonly cpuSeconds: number
}

const portOf = (server: Http.Server): number => (server.address() as Net.AddressInfo).port

const listen = (server: Http.Server): Promise<number> =>
  new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(portOf(server))))

const startWs = async (): Promise<Running> => {
  const server = Http.createServer({ noDelay: true })
  const wss = new WebSocketServer({ server, perMessageDeflate: false })
  wss.on("connection", (ws) => ws.on("error", () => {}))
  return {
    port: await listen(server),
    publish: (payload) => {
      for (const client of wss.clients) client.send(payload, { binary: false })
    }
  }
}

/**
 * The floor in Node: what a tick publishes is framed and joined once, and every socket gets one `write`. No lanes, no
 * bounds, no sessions.
 */
const startFloor = async (): Promise<Running> => {
  const server = Http.createServer({ noDelay: true })
  const sockets = new Set<Net.Socket>()
  new WebSocketServer({ server, perMessageDeflate: false }).on("connection", (ws, request) => {
    ws.on("error", () => {})
    sockets.add(request.socket)
  })
  const frames: Array<Buffer> = []
  const flush = (): void => {
    const joined = Buffer.concat(frames.splice(0))
    for (const socket of sockets) socket.write(joined)
  }
  return {
    port: await listen(server),
    publish: (payload) => {
      if (frames.length === 0) queueMicrotask(flush)
      const header = payload.length < 126
        ? Buffer.from([0x81, payload.length])
        : Buffer.from([0x81, 126, payload.length >> 8, payload.length & 255])
      frames.push(header, payload)
    }
  }
}

const startSocketIo = async (): Promise<Running> => {
  const server = Http.createServer({ noDelay: true })
  const io = new SocketIo(server, {
    transports: ["websocket"],
    serveClient: false,
    perMessageDeflate: false,
    pingInterval: 600_000
  })
  return { port: await listen(server), publish: (payload) => void io.emit("m", payload.toString("latin1")) }
}

const launch = <A>(
  app: Layer.Layer<HttpServer.HttpServer | A, unknown>,
  use: Effect.Effect<Running["publish"], never, A>
): Promise<Running> =>
  new Promise((resolve, reject) => {
    const main = Effect.gen(function*() {
      const server = yield* HttpServer.HttpServer
      const publish = yield* use
      if (server.address._tag === "TcpAddress") resolve({ port: server.address.port, publish })
      return yield* Effect.never
    })
    Effect.runPromise(Effect.provide(main, app)).catch(reject)
  })

const topic = "all"

/** Full supervised sessions with default policies and metrics; each reads, and is a member of one topic. */
const startSpillway = (): Promise<Running> => {
  const handler = (session: Session) =>
    Effect.gen(function*() {
      const hub = yield* Hub.Hub
      yield* hub.join(session)
      yield* Effect.orDie(hub.subscribe(session, [topic]))
      yield* session.runForEach(() => {})
    })
  const router = HttpRouter.empty.pipe(HttpRouter.get("/", WebSocketRoute.upgrade(handler)))
  const sessions = Layer.provideMerge(Hub.layer(), SpillwayServer.layer()).pipe(
    Layer.provide([Overflow.layerDefault, Metrics.layer])
  )
  const http = Guard.layerHttpServer({ port: 0, host: "127.0.0.1", backlog: 1024 })
  return launch(
    HttpServer.serve(router).pipe(Layer.provideMerge(sessions), Layer.provideMerge(http)),
    Effect.map(Hub.Hub, (hub) => (payload) => {
      hub.unsafePublish(topic, Message.fromFrame(Frame.fromBytes(payload, { binary: false })))
    })
  )
}

/** As one writes it with Effect alone: a `PubSub`, and a fiber for each subscriber. */
const startPlatform = async (): Promise<Running> => {
  const pubsub = Effect.runSync(PubSub.sliding<Uint8Array>(1024))
  const subscriber = Effect.gen(function*() {
    const request = yield* HttpServerRequest.HttpServerRequest
    const socket = yield* request.upgrade
    const write = yield* socket.writer
    const queue = yield* PubSub.subscribe(pubsub)
    yield* Effect.forkScoped(Effect.forever(Effect.flatMap(Queue.take(queue), write)))
    yield* Effect.ignore(socket.runRaw(() => {}))
    return HttpServerResponse.empty()
  }).pipe(Effect.scoped)
  const router = HttpRouter.empty.pipe(HttpRouter.get("/", subscriber))
  const http = NodeHttpServer.layer(() => Http.createServer({ noDelay: true }), { port: 0, host: "127.0.0.1" })
  return launch(
    HttpServer.serve(router).pipe(Layer.provideMerge(http)),
    Effect.succeed((payload) => void Effect.runSync(PubSub.publish(pubsub, payload)))
  )
}

/** As one writes it with Effect RPC: a `PubSub`, and a streaming call by each subscriber. */
const startRpc = (): Promise<Running> => {
  const pubsub = Effect.runSync(PubSub.sliding<string>(1024))
  const group = RpcGroup.make(Rpc.make("Subscribe", { success: Schema.String, stream: true }))
  const handlers = group.toLayer({ Subscribe: () => Stream.fromPubSub(pubsub) })
  const http = NodeHttpServer.layer(() => Http.createServer({ noDelay: true }), { port: 0, host: "127.0.0.1" })
  return launch(
    Layer.unwrapScoped(Effect.map(RpcServer.toHttpAppWebsocket(group), (app) => HttpServer.serve(app))).pipe(
      Layer.provide([handlers, RpcSerialization.layerJson]),
      Layer.provideMerge(http)
    ),
    Effect.succeed((payload) => void Effect.runSync(PubSub.publish(pubsub, payload.toString("latin1"))))
  )
}

const starts: { readonly [P in Peer]: () => Promise<Running> } = {
  floor: startFloor,
  ws: startWs,
  spillway: startSpillway,
  socketio: startSocketIo,
  platform: startPlatform,
  rpc: startRpc,
  nats: startNats
}

const running = await starts[process.argv[2] as Peer]()

/** Every message has bytes of its own, as it would have in life. */
const publishTick = (order: Order): void => {
  for (let i = 0; i < order.perTick; i++) {
    const payload = Buffer.alloc(order.payloadBytes, 120)
    payload.write(marker, order.payloadBytes - marker.length)
    running.publish(payload)
  }
}

const perform = (order: Order): void => {
  let left = order.ticks
  const tick = (): void => {
    publishTick(order)
    left--
    if (left === 0) return
    if (running.tickDone === undefined) setImmediate(tick)
    else void running.tickDone().then(tick)
  }
  setImmediate(tick)
}

const ownCpuSeconds = (): number => {
  const { system, user } = process.cpuUsage()
  return (user + system) / 1e6
}

const answer = (): void => {
  process.send!({ cpuSeconds: (running.cpuSeconds ?? ownCpuSeconds)() } satisfies Reading)
}

process.send!({ port: running.port })
process.on("message", (order: Order) => order.ticks === 0 ? answer() : perform(order))
process.on("disconnect", running.stop ?? (() => process.exit(0)))
