/**
 * One server under test, in a process of its own, which publishes at a rate to all who are connected:
 * `server.ts ws|spillway`. Spillway runs full supervised sessions with default policies, metrics and one topic.
 */
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServer from "@effect/platform/HttpServer"
import * as Guard from "@spillway/node/Guard"
import * as SpillwayServer from "@spillway/node/SpillwayServer"
import * as WebSocketRoute from "@spillway/node/WebSocketRoute"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Http from "node:http"
import type * as Net from "node:net"
import { monitorEventLoopDelay } from "node:perf_hooks"
import * as Frame from "spillway/Frame"
import * as Hub from "spillway/Hub"
import * as Message from "spillway/Message"
import * as Metrics from "spillway/Metrics"
import * as Overflow from "spillway/Overflow"
import type { Session } from "spillway/Session"
import * as Sessions from "spillway/Sessions"
import { WebSocketServer } from "ws"
import type { LaneName, Order, Published, Reading } from "./protocol.js"

/** A server that is listening. */
interface Running {
  readonly port: number
  /** Gives one message to all who are subscribed. The text goes behind the number, where the lane has numbers. */
  readonly publish: (lane: LaneName, tail: string, numbered: boolean) => void
  readonly sessions: () => Reading["sessions"]
}

const topic = "all"

const startWs = (): Promise<Running> => {
  const server = Http.createServer({ noDelay: true })
  const wss = new WebSocketServer({ server, perMessageDeflate: false })
  const subscribed = new Set<import("ws").WebSocket>()
  wss.on("connection", (ws, request) => {
    ws.on("error", () => {})
    ws.on("close", () => subscribed.delete(ws))
    if (request.url !== "/idle") subscribed.add(ws)
  })
  const publish: Running["publish"] = (lane, tail) => {
    const bytes = Buffer.from(lane[0]! + tail)
    for (const client of subscribed) client.send(bytes, { binary: false })
  }
  return new Promise((resolve) =>
    server.listen(0, "127.0.0.1", 4096, () => {
      resolve({ port: (server.address() as Net.AddressInfo).port, publish, sessions: () => undefined })
    })
  )
}

const startSpillway = (): Promise<Running> =>
  new Promise((resolve, reject) => {
    const subscriber = (session: Session) =>
      Effect.gen(function*() {
        const hub = yield* Hub.Hub
        yield* hub.join(session)
        yield* Effect.orDie(hub.subscribe(session, [topic]))
        yield* session.runForEach(() => {})
      })
    const router = HttpRouter.empty.pipe(
      HttpRouter.get("/", WebSocketRoute.upgrade(subscriber)),
      HttpRouter.get("/idle", WebSocketRoute.upgrade((session) => session.runForEach(() => {})))
    )
    const base = Layer.provideMerge(Hub.layer(), SpillwayServer.layer()).pipe(
      Layer.provide([Overflow.layerDefault, Metrics.layer])
    )
    const http = Guard.layerHttpServer({ port: 0, host: "127.0.0.1", backlog: 4096 })
    const main = Effect.gen(function*() {
      const hub = yield* Hub.Hub
      const sessions = yield* Sessions.Sessions
      const server = yield* HttpServer.HttpServer
      const publish: Running["publish"] = (lane, tail, numbered) => {
        const frame = numbered ? Frame.sequenced(lane[0]!, tail) : Frame.text(lane[0]! + tail)
        hub.unsafePublish(topic, Message.fromFrame(frame, { lane }))
      }
      if (server.address._tag === "TcpAddress") {
        const { port } = server.address
        resolve({ port, publish, sessions: () => Effect.runSync(sessions.snapshot) })
      }
      return yield* Effect.never
    })
    const app = HttpServer.serve(router).pipe(Layer.provideMerge(base), Layer.provideMerge(http))
    // That a session is slow is what is asked for here.
    const silent = Logger.replace(Logger.defaultLogger, Logger.none)
    Effect.runPromise(Effect.provide(main, Layer.provideMerge(app, silent))).catch(reject)
  })

const running = await (process.argv[2] === "ws" ? startWs() : startSpillway())

const micros = (): number => Number(process.hrtime.bigint() / 1000n)

/** Which lane the message of this number is in: shares are met as evenly as they can be. */
const laneOf = (order: Order, n: number): LaneName => {
  const due = (share: number): number => Math.floor((n + 1) * share) - Math.floor(n * share)
  if (due(order.shares.critical) === 1) return "critical"
  // Of what is not critical, as many as make up the share of all.
  const share = order.shares.important / (1 - order.shares.critical)
  const others = n - Math.floor(n * order.shares.critical)
  return Math.floor((others + 1) * share) > Math.floor(others * share) ? "important" : "bulk"
}

/** Publishes for so long at so many a second. What is late is made up for. */
const publish = (order: Order): Promise<Published> =>
  new Promise((resolve) => {
    const startedAt = performance.now()
    const count = Math.round(order.perSecond * order.seconds)
    const byLane = { critical: 0, important: 0, bulk: 0 }
    const filler = "x".repeat(order.bytes)
    let published = 0
    let lateMillisMax = 0
    const tick = (): void => {
      const elapsed = performance.now() - startedAt
      const due = Math.min(count, Math.floor(elapsed * order.perSecond / 1000))
      if (due > published) lateMillisMax = Math.max(lateMillisMax, elapsed - published * 1000 / order.perSecond)
      const at = micros()
      for (; published < due; published++) {
        const lane = laneOf(order, published)
        byLane[lane]++
        running.publish(lane, ` ${at} ${filler}`.slice(0, order.bytes - 1), order.numbered)
      }
      if (published < count) return void setTimeout(tick, 1)
      resolve({ ...byLane, lateMillisMax, seconds: (performance.now() - startedAt) / 1000 })
    }
    tick()
  })

const resolution = 1
const delay = monitorEventLoopDelay({ resolution })
delay.enable()

const read = (): Reading => {
  const { system, user } = process.cpuUsage()
  const { heapUsed, rss } = process.memoryUsage()
  const reading: Reading = {
    cpuSeconds: (user + system) / 1e6,
    rssBytes: rss,
    heapBytes: heapUsed,
    // The timer that measures is itself up to its resolution late.
    delayP99Millis: Math.max(0, delay.percentile(99) / 1e6 - resolution),
    sessions: running.sessions()
  }
  delay.reset()
  return reading
}

process.on("message", async (order: Order | "read" | "collect") => {
  if (order === "collect") (globalThis as { gc?: () => void }).gc?.()
  if (typeof order === "string") process.send!({ id: order, answer: read() })
  else process.send!({ id: "publish", answer: await publish(order) })
})
process.on("disconnect", () => process.exit(0))
process.send!({ id: "port", answer: running.port })
