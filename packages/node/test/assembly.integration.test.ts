/**
 * Peers that never finish a message, over live sockets.
 */
import * as HttpRouter from "@effect/platform/HttpRouter"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Http from "node:http"
import type * as Net from "node:net"
import { Dialer } from "spillway/Dialer"
import * as WS from "ws"
import { NodeDialer, Upgrade } from "./modules.js"
import { Connections, connectRaw, eventually, frame, handshake, type RawClient, Recorder, serve } from "./support.js"

const assemblyTimeout = "150 millis"

const told = { _tag: "ProtocolError", code: 1008, message: "a message was not finished in time" } as const

const upgraded = (path = "/ws") =>
  Effect.gen(function*() {
    const connections = new Connections()
    const route = Upgrade.upgrade(connections.add, { assemblyTimeout, closeTimeout: "300 millis" })
    const { port } = yield* serve(HttpRouter.empty.pipe(HttpRouter.get("/ws", route)))
    const client = yield* connectRaw(port, handshake(path))
    yield* eventually("upgraded", () => connections.all.length === 1 && client.status === 101)
    return { client, connection: connections.all[0]!, recorder: connections.recorders[0]! }
  })

/** What `ws` does by itself, with the same limits. */
const bareWs: Effect.Effect<RawClient, never, Scope.Scope> = Effect.gen(function*() {
  const server = yield* Effect.acquireRelease(
    Effect.async<Http.Server>((resume) => {
      const http = Http.createServer()
      const webSockets = new WS.WebSocketServer({ server: http, maxPayload: 64 * 1024 })
      webSockets.on("connection", (ws) => ws.on("error", () => {}))
      http.listen(0, "127.0.0.1", () => resume(Effect.succeed(http)))
    }),
    (http) => Effect.sync(() => void http.close())
  )
  const client = yield* connectRaw((server.address() as Net.AddressInfo).port, handshake())
  yield* eventually("upgraded by ws", () => client.status === 101)
  return client
})

/** Sends the part again and again, each time after the answer to a ping, until the server has closed. */
const drip = (client: RawClient, others: ReadonlyArray<RawClient>, part: Buffer) =>
  Effect.gen(function*() {
    let parts = 0
    for (; client.closeCode === 0 && parts < 10_000; parts++) {
      const before = client.rest.length
      for (const each of [client, ...others]) each.socket.write(Buffer.concat([part, frame("p", 9)]))
      yield* eventually("the answer, or the close", () => client.rest.length > before || client.closed)
    }
    return parts
  })

describe("FR3", () => {
  it.scopedLive("FR3 fragments that drip for ever, with pings answered between, end with 1008; bare ws holds on to the same peer", () =>
    Effect.gen(function*() {
      const bare = yield* bareWs
      const { client, recorder } = yield* upgraded()
      for (const each of [client, bare]) each.socket.write(frame("a", 1, false))
      // Empty fragments: the payload limit never comes to pass.
      const parts = yield* drip(client, [bare], frame("", 0, false))
      yield* eventually("closed", () => recorder.ends.length > 0)
      assert.strictEqual(client.closeCode, 1008)
      assert.deepStrictEqual(recorder.ends, [told])
      assert.deepStrictEqual(recorder.messages, [])
      assert.isAbove(parts, 2, "it dripped")
      const before = bare.rest.length
      bare.socket.write(frame("p", 9))
      yield* eventually("bare ws answers as if nothing were", () => bare.rest.length > before)
      assert.strictEqual(bare.closeCode, 0)
      assert.isFalse(bare.closed)
    }))

  it.scopedLive("FR3 one frame whose bytes stop coming ends with 1008, and its socket within the close timeout", () =>
    Effect.gen(function*() {
      const { client, recorder } = yield* upgraded()
      client.socket.write(frame("x".repeat(60_000)).subarray(0, 30_000))
      yield* eventually("told", () => client.closeCode === 1008)
      assert.deepStrictEqual(recorder.ends, [told])
      yield* eventually("the socket is gone", () => client.closed || client.ended)
    }))

  it.scopedLive("FR3 a start of a message that came in one packet with the handshake counts", () =>
    Effect.gen(function*() {
      const connections = new Connections()
      const route = Upgrade.upgrade(connections.add, { assemblyTimeout })
      const { port } = yield* serve(HttpRouter.empty.pipe(HttpRouter.get("/ws", route)))
      const client = yield* connectRaw(port, Buffer.concat([Buffer.from(handshake()), frame("a", 1, false)]))
      yield* eventually("told", () => client.closeCode === 1008)
      assert.deepStrictEqual(connections.recorders[0]!.ends, [told])
    }))

  it.scopedLive("FR3 with compression the same deadline holds", () =>
    Effect.gen(function*() {
      const connections = new Connections()
      const route = Upgrade.upgrade(connections.add, { assemblyTimeout, compression: true })
      const { port } = yield* serve(HttpRouter.empty.pipe(HttpRouter.get("/ws", route)))
      const client = yield* connectRaw(
        port,
        handshake("/ws", { "Sec-WebSocket-Extensions": "permessage-deflate; client_no_context_takeover" })
      )
      yield* eventually("upgraded", () => connections.all.length === 1 && client.status === 101)
      assert.match(client.bytes.toString("latin1"), /permessage-deflate/)
      const first = frame("a", 1, false)
      first[0]! |= 0x40
      client.socket.write(first)
      yield* eventually("told", () => client.closeCode === 1008)
      assert.deepStrictEqual(connections.recorders[0]!.ends, [told])
    }))

  it.scopedLive("FR3 a server that never finishes a message is left by its client with 1008", () =>
    Effect.gen(function*() {
      const codes: Array<number> = []
      const server = yield* Effect.acquireRelease(
        Effect.async<WS.WebSocketServer>((resume) => {
          const made: WS.WebSocketServer = new WS.WebSocketServer(
            { port: 0, host: "127.0.0.1" },
            () => resume(Effect.succeed(made))
          )
          made.on("connection", (ws) => {
            ws.on("close", (code) => codes.push(code))
            ws.send("a", { fin: false })
          })
        }),
        (made) => Effect.sync(() => void made.close())
      )
      const { port } = server.address() as Net.AddressInfo
      const recorder = new Recorder()
      yield* Effect.gen(function*() {
        const connection = yield* (yield* Dialer).dial(`ws://127.0.0.1:${port}/`)
        connection.attach(recorder)
        yield* eventually("closed", () => recorder.ends.length > 0)
      }).pipe(Effect.provide(NodeDialer.layer({ assemblyTimeout })))
      yield* eventually("the server knows", () => codes.length > 0)
      assert.deepStrictEqual(codes, [1008])
      assert.deepStrictEqual(recorder.ends, [told])
    }))
})
