/**
 * The core's `Transport` on live sockets.
 */
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServer from "@effect/platform/HttpServer"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Frame from "spillway/Frame"
import * as Transport from "spillway/Transport"
import { Guard, NodeTransport } from "./modules.js"
import { connectRaw, connectWs, eventually, handshake, Recorder } from "./support.js"

const start = (options?: NodeTransport.Options) =>
  Effect.gen(function*() {
    const scope = yield* Scope.fork(yield* Effect.scope, ExecutionStrategy.sequential)
    const app = HttpServer.serve(HttpRouter.empty.pipe(HttpRouter.get("/ws", NodeTransport.httpApp))).pipe(
      Layer.provideMerge(NodeTransport.layer(options)),
      Layer.provideMerge(Guard.layerHttpServer({ port: 0, host: "127.0.0.1" }))
    )
    const context = yield* Layer.buildWithScope(app, scope)
    const run = <A, E>(effect: Effect.Effect<A, E, Transport.Transport | HttpServer.HttpServer>) =>
      Effect.provide(effect, context)
    const address = (yield* run(HttpServer.HttpServer)).address
    return {
      port: address._tag === "TcpAddress" ? address.port : 0,
      transport: yield* run(Transport.Transport),
      close: Scope.close(scope, Exit.void)
    }
  })

describe("NodeTransport", () => {
  it.scopedLive("a program written against Transport.accept runs on real sockets", () =>
    Effect.gen(function*() {
      const { port, transport } = yield* start()
      yield* Effect.forkScoped(Effect.forever(Effect.map(transport.accept, (connection) => {
        connection.attach(
          new Recorder((text) => {
            connection.cork()
            connection.write(Frame.text(`echo ${text}`), 0)
            connection.uncork()
          })
        )
      })))
      const clients = yield* Effect.forEach(["a", "b", "c"], () => connectWs(port), { concurrency: 3 })
      for (const [at, client] of clients.entries()) client.ws.send(String(at))
      yield* eventually("echoes", () => clients.every((client, at) => client.messages[0] === `echo ${at}`))
    }))

  it.scopedLive("beyond the accept queue handshakes are refused with 503, and room comes back", () =>
    Effect.gen(function*() {
      const { port, transport } = yield* start({ acceptQueueItems: 2 })
      yield* connectWs(port)
      yield* connectWs(port)
      const refused = yield* connectRaw(port, handshake())
      yield* eventually("503", () => refused.status === 503 && refused.ended)
      assert.strictEqual((yield* transport.accept).kind, "ws")
      yield* connectWs(port)
    }))

  it.scopedLive("an interrupted accept loses no connection", () =>
    Effect.gen(function*() {
      const { port, transport } = yield* start()
      for (let i = 0; i < 20; i++) {
        const waiting = yield* Effect.fork(transport.accept)
        yield* Effect.yieldNow()
        // Interrupted in the same instant in which a connection is handed over, or shortly before.
        const client = yield* Effect.fork(connectWs(port))
        if (i % 2 === 0) yield* Effect.sleep(i % 4)
        const exit = yield* Fiber.interrupt(waiting)
        yield* Fiber.join(client)
        if (Exit.isFailure(exit)) yield* Effect.timeout(transport.accept, "2 seconds")
      }
    }))

  it.scopedLive("its release closes what nobody accepted with 1001 and fails accept", () =>
    Effect.gen(function*() {
      const { close, port, transport } = yield* start()
      const client = yield* connectWs(port)
      const deaf = yield* connectRaw(port, handshake())
      yield* eventually("upgraded", () => deaf.status === 101)
      const begin = performance.now()
      yield* close
      assert.isBelow(performance.now() - begin, 4000)
      yield* eventually("1001", () => client.code === 1001 && deaf.closeCode === 1001)
      assert.strictEqual((yield* Effect.flip(transport.accept))._tag, "TransportClosed")
    }))

  it.effect("a queue of no connections is an InvalidOption", () =>
    Effect.gen(function*() {
      const layer = NodeTransport.layer({ acceptQueueItems: 0 }).pipe(
        Layer.provide(Guard.layerHttpServer({ port: 0, host: "127.0.0.1" }))
      )
      const error = yield* Effect.flip(Effect.scoped(Layer.build(layer)))
      assert.strictEqual(error._tag === "InvalidOption" ? error.key : error._tag, "acceptQueueItems")
    }))
})
