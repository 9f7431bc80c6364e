/** One measurement: a server with one session that floods, a client that reads all it can, and the link between them. */
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServer from "@effect/platform/HttpServer"
import * as Guard from "@spillway/node/Guard"
import * as SpillwayServer from "@spillway/node/SpillwayServer"
import * as WebSocketRoute from "@spillway/node/WebSocketRoute"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Net from "node:net"
import * as Message from "spillway/Message"
import * as Metrics from "spillway/Metrics"
import * as Overflow from "spillway/Overflow"
import type { Session } from "spillway/Session"
import { WebSocket } from "ws"
import { quantile } from "../report.js"

export interface Order {
  readonly deliveryDelay: number | undefined
  readonly millis: number
  /** Of a proxy in between; `undefined`: the loopback itself is slow. */
  readonly bytesPerSecond: number | undefined
}

export interface Figures {
  readonly urgent: number
  readonly p50: number
  readonly p90: number
  readonly max: number
  readonly bulkMbit: number
}

const chunkBytes = 16_384
const bulk = Message.text("x".repeat(chunkBytes), { lane: "bulk" })

const flood = (session: Session) =>
  Effect.gen(function*() {
    yield* session.fork(
      "urgent",
      "lifetime",
      Effect.forever(Effect.zipRight(
        Effect.sleep("500 millis"),
        Effect.suspend(() => session.send(Message.text(`${performance.now()}`, { lane: "critical" })))
      ))
    )
    const fill = Effect.sync(() => {
      while (session.stats.queuedItems < 32) session.unsafeOffer(bulk)
    })
    yield* Effect.forever(Effect.zipRight(fill, Effect.sleep("2 millis")))
  })

const start = (deliveryDelay: number | undefined): Promise<{ readonly port: number; readonly stop: () => void }> =>
  new Promise((resolve, reject) => {
    const router = HttpRouter.empty.pipe(HttpRouter.get("/", WebSocketRoute.upgrade(flood)))
    const app = HttpServer.serve(router).pipe(
      Layer.provideMerge(SpillwayServer.layer(deliveryDelay === undefined ? {} : { deliveryDelay })),
      Layer.provide([Overflow.layerDefault, Metrics.layer]),
      Layer.provideMerge(Guard.layerHttpServer({ port: 0, host: "127.0.0.1" }))
    )
    const main = Effect.gen(function*() {
      const { address } = yield* HttpServer.HttpServer
      if (address._tag === "TcpAddress") {
        resolve({ port: address.port, stop: () => Effect.runFork(Fiber.interruptFork(fiber)) })
      }
      return yield* Effect.never
    })
    const fiber = Effect.runFork(
      Effect.tapErrorCause(Effect.provide(main, app), (cause) => Effect.sync(() => reject(cause)))
    )
  })

const sliceMillis = 5

/** Lets so many bytes a second through to the client; what has to wait stays with the server. */
const proxy = (port: number, bytesPerSecond: number): Promise<{ readonly port: number; readonly stop: () => void }> =>
  new Promise((resolve) => {
    const server = Net.createServer((client) => {
      const upstream = Net.connect(port, "127.0.0.1")
      let budget = 0
      const pass = (): void => {
        const chunk = budget > 0 ? upstream.read() as Buffer | null : null
        if (chunk === null) return
        budget -= chunk.byteLength
        client.write(chunk)
        pass()
      }
      const timer = setInterval(() => {
        budget = Math.min(budget + bytesPerSecond * sliceMillis / 1000, bytesPerSecond / 50)
        pass()
      }, sliceMillis)
      client.pipe(upstream)
      for (const socket of [client, upstream]) {
        socket.on("error", () => {})
        socket.on("close", () => {
          clearInterval(timer)
          client.destroy()
          upstream.destroy()
        })
      }
    }).listen(
      0,
      "127.0.0.1",
      () => resolve({ port: (server.address() as Net.AddressInfo).port, stop: () => void server.close() })
    )
  })

/** Figures of the time after the first second, in which the buffers fill. */
const read = async (port: number, millis: number): Promise<Figures> => {
  const client = new WebSocket(`ws://127.0.0.1:${port}/`, { perMessageDeflate: false, skipUTF8Validation: true })
  const delays: Array<number> = []
  const startedAt = performance.now()
  let bytes = 0
  client.on("message", (data: Buffer) => {
    const now = performance.now()
    if (now - startedAt < 1_000) return
    bytes += data.byteLength
    if (data.byteLength < 100) delays.push(now - Number(data.toString()))
  })
  await new Promise((resolve) => setTimeout(resolve, millis))
  client.terminate()
  delays.sort((a, b) => a - b)
  return {
    urgent: delays.length,
    p50: quantile(delays, 0.5),
    p90: quantile(delays, 0.9),
    max: delays.at(-1) ?? NaN,
    bulkMbit: bytes * 8 / (millis - 1_000) / 1_000
  }
}

export const measure = async ({ bytesPerSecond, deliveryDelay, millis }: Order): Promise<Figures> => {
  const server = await start(deliveryDelay)
  const link = bytesPerSecond === undefined ? undefined : await proxy(server.port, bytesPerSecond)
  const figures = await read(link?.port ?? server.port, millis)
  link?.stop()
  server.stop()
  return figures
}
