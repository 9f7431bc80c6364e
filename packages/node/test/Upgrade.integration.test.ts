/**
 * Upgrades inside ordinary routes, over live sockets on the loopback interface.
 */
import * as HttpMiddleware from "@effect/platform/HttpMiddleware"
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Http from "node:http"
import * as Frame from "spillway/Frame"
import type { Connection } from "spillway/Transport"
import { Upgrade } from "./modules.js"
import {
  closeFrame,
  Connections,
  connectRaw,
  connectWs,
  Counter,
  eventually,
  frame,
  handshake,
  Marker,
  Recorder,
  serve
} from "./support.js"

const send = (connection: Connection, text: string): boolean => {
  connection.cork()
  connection.write(Frame.text(text), 0)
  return connection.uncork()
}

const heapUsed = (): number => {
  ;(globalThis as { readonly gc?: () => void }).gc?.()
  return process.memoryUsage().heapUsed
}

const range = (count: number) => Array.from({ length: count }, (_, i) => `m${i}`)

const status = (port: number, path: string) =>
  Effect.promise(() => fetch(`http://127.0.0.1:${port}${path}`).then((response) => response.status))

describe("Upgrade in a router", () => {
  it.scopedLive("works next to other routes and after middleware that provides a service or refuses with 401", () =>
    Effect.gen(function*() {
      const connections = new Connections()
      const seen: Array<string> = []
      const ws = Upgrade.upgrade((connection) =>
        Effect.zipRight(Effect.map(Marker, (marker) => seen.push(marker)), connections.add(connection))
      )
      const auth = HttpMiddleware.make((app) =>
        Effect.flatMap(
          HttpServerRequest.HttpServerRequest,
          (request) =>
            request.headers["authorization"] === "yes" ? app : HttpServerResponse.text("who?", { status: 401 })
        )
      )
      const router = HttpRouter.empty.pipe(
        HttpRouter.get("/health", HttpServerResponse.text("ok")),
        HttpRouter.get("/ws", ws),
        HttpRouter.concat(HttpRouter.empty.pipe(HttpRouter.get("/private", ws), HttpRouter.use(auth))),
        HttpRouter.prefixAll("/api"),
        HttpRouter.provideService(Marker, "provided")
      )
      const { port } = yield* serve(router)
      const client = yield* connectWs(port, "/api/ws")
      assert.strictEqual(yield* status(port, "/api/health"), 200)
      assert.strictEqual(yield* status(port, "/nope"), 404)
      assert.strictEqual(yield* status(port, "/api/ws"), 426)
      const refused = yield* connectRaw(port, handshake("/api/private"))
      yield* eventually("401 and closed", () => refused.status === 401 && refused.ended)
      const allowed = yield* connectWs(port, "/api/private", { headers: { authorization: "yes" } })
      assert.deepStrictEqual(seen, ["provided", "provided"])
      assert.isTrue(send(connections.all[0]!, "hello"))
      allowed.ws.send("hi")
      yield* eventually("hello", () => client.messages[0] === "hello")
      yield* eventually("hi", () => connections.recorders[1]!.messages[0] === "hi")
    }))

  it.scopedLive("A116: frames sent with the handshake are delivered in order", () =>
    Effect.gen(function*() {
      const connections = new Connections()
      const { port } = yield* serve(HttpRouter.empty.pipe(HttpRouter.get("/ws", Upgrade.upgrade(connections.add))))
      const texts = range(200)
      yield* connectRaw(port, Buffer.concat([Buffer.from(handshake()), ...texts.map((text) => frame(text))]))
      yield* eventually("all messages", () => connections.recorders[0]?.messages.length === 200)
      assert.deepStrictEqual(connections.recorders[0]!.messages, texts)
    }))

  it.scopedLive("A116: frames sent during an asynchronous authorisation of 300 ms are delivered in order", () =>
    Effect.gen(function*() {
      const connections = new Connections()
      const route = Effect.zipRight(Effect.sleep("300 millis"), Upgrade.upgrade(connections.add))
      const { port } = yield* serve(HttpRouter.empty.pipe(HttpRouter.get("/ws", route)))
      // More than Node buffers for a socket, so that the rest waits with the client.
      const texts = range(3000).map((text) => text.padEnd(100, "."))
      const client = yield* connectRaw(port, Buffer.concat([Buffer.from(handshake()), frame(texts[0]!)]))
      for (const text of texts.slice(1)) client.socket.write(frame(text))
      yield* eventually("all messages", () => connections.recorders[0]?.messages.length === 3000)
      assert.deepStrictEqual(connections.recorders[0]!.messages, texts)
    }))

  it.scopedLive("messages that arrive before attach are kept, and the end of a peer that was gone by then is told", () =>
    Effect.gen(function*() {
      const connections = new Connections("leave")
      const { port } = yield* serve(HttpRouter.empty.pipe(HttpRouter.get("/ws", Upgrade.upgrade(connections.add))))
      const client = yield* connectRaw(
        port,
        Buffer.concat([Buffer.from(handshake()), ...range(50).map((text) => frame(text)), closeFrame(1000, "bye")])
      )
      client.socket.end()
      yield* eventually("upgraded", () => connections.all.length === 1 && client.status === 101)
      const recorder = new Recorder()
      connections.all[0]!.attach(recorder)
      yield* eventually("closed", () => recorder.ends.length === 1)
      assert.deepStrictEqual(recorder.messages, range(50))
      assert.deepStrictEqual(recorder.ends, [{ _tag: "PeerClose", code: 1000, reason: "bye" }])
    }))

  it.scopedLive("the server's first sub-protocol that the client offers is selected, and none is echoed unasked", () =>
    Effect.gen(function*() {
      const connections = new Connections()
      const router = HttpRouter.empty.pipe(
        HttpRouter.get("/ws", Upgrade.upgrade(connections.add, { protocols: ["v2", "v1"] })),
        HttpRouter.get("/none", Upgrade.upgrade(connections.add))
      )
      const { port } = yield* serve(router)
      const client = yield* connectWs(port, "/ws", {}, ["v1", "v2", "evil"])
      assert.strictEqual(client.ws.protocol, "v2")
      assert.strictEqual(connections.all[0]!.protocol, "v2")
      for (const path of ["/ws", "/none"]) {
        const raw = yield* connectRaw(port, handshake(path, { "Sec-WebSocket-Protocol": "evil" }))
        yield* eventually("101", () => raw.status === 101)
        assert.notInclude(raw.bytes.toString().toLowerCase(), "sec-websocket-protocol")
      }
      assert.deepStrictEqual(connections.all.map((c) => c.protocol), ["v2", "", ""])
      assert.strictEqual(connections.all[0]!.kind, "ws")
      assert.strictEqual(connections.all[0]!.remoteAddress, "127.0.0.1")
    }))

  it.scopedLive("a refused handshake is answered, closed, and its handler has ended", () =>
    Effect.gen(function*() {
      const counter = new Counter()
      const route = counter.track(Upgrade.upgrade(() => Effect.void))
      const { port, server } = yield* serve(HttpRouter.empty.pipe(HttpRouter.all("/ws", route)))
      const cases: ReadonlyArray<[number, string]> = [
        [400, handshake("/ws", { "Sec-WebSocket-Key": undefined })],
        [400, handshake("/ws", { "Sec-WebSocket-Key": "short" })],
        [426, handshake("/ws", { "Sec-WebSocket-Version": "12" })],
        [400, handshake("/ws", { "Sec-WebSocket-Protocol": "a b" })],
        [403, handshake("/ws", { Origin: "https://localhost.evil.example" })],
        [403, handshake("/ws", { Origin: "null" })],
        [405, handshake("/ws", {}, "POST")],
        [426, handshake("/ws", { Upgrade: "h2c" })],
        [426, handshake("/ws", { Connection: "close" })],
        [400, handshake("/ws", { Host: undefined, Upgrade: "websocket" })]
      ]
      for (const [expected, request] of cases) {
        const client = yield* connectRaw(port, request)
        yield* eventually(`${expected} for ${request}`, () => client.status === expected && client.ended)
        if (expected === 426) assert.include(client.bytes.toString().toLowerCase(), "sec-websocket-version: 13")
        client.socket.end()
      }
      assert.strictEqual(counter.ended, counter.started)
      yield* eventually("no sockets", () => connectionCount(server) === 0)
    }))

  it.scopedLive("500 malformed handshakes leave handlers, sockets and heap as before", () =>
    Effect.gen(function*() {
      const counter = new Counter()
      const route = counter.track(Upgrade.upgrade(() => Effect.void))
      const { port, server } = yield* serve(HttpRouter.empty.pipe(HttpRouter.get("/ws", route)))
      const flood = (count: number) =>
        Effect.forEach(range(count), () =>
          Effect.scoped(Effect.gen(function*() {
            const client = yield* connectRaw(port, handshake("/ws", { "Sec-WebSocket-Version": "12" }))
            yield* eventually("refused", () => client.status === 426)
          })), { concurrency: 20, discard: true })
      yield* flood(100)
      const before = heapUsed()
      yield* flood(500)
      yield* eventually("handlers ended", () => counter.ended === 600)
      assert.strictEqual(counter.started, 600)
      yield* eventually("no sockets", () => connectionCount(server) === 0)
      // The platform leaks 45 KiB for each.
      assert.isBelow(heapUsed() - before, 500 * 4 * 1024)
    }))

  it.scopedLive("A117: a peer that never answers the close frame is destroyed by the backstop", () =>
    Effect.gen(function*() {
      const connections = new Connections()
      const route = Upgrade.upgrade(connections.add, { closeTimeout: "200 millis" })
      const { port, server } = yield* serve(HttpRouter.empty.pipe(HttpRouter.get("/ws", route)))
      const client = yield* connectRaw(port, handshake())
      yield* eventually("upgraded", () => connections.all.length === 1)
      const start = performance.now()
      connections.all[0]!.close(1000, "done")
      yield* eventually("close frame", () => client.closeCode === 1000)
      yield* eventually("closed", () => connections.recorders[0]!.ends.length === 1, 2000)
      assert.isBelow(performance.now() - start, 1000)
      assert.deepStrictEqual(connections.recorders[0]!.ends, [{ _tag: "Local" }])
      yield* eventually("no sockets", () => connectionCount(server) === 0)
    }))

  it.scopedLive("A117: the scope of the server closes at once when its connections were terminated", () =>
    Effect.gen(function*() {
      const connections = new Connections()
      let client!: Effect.Effect.Success<ReturnType<typeof connectRaw>>
      const start = yield* Effect.scoped(Effect.gen(function*() {
        const router = HttpRouter.empty.pipe(HttpRouter.get("/ws", Upgrade.upgrade(connections.add)))
        const { port } = yield* serve(router)
        client = yield* connectRaw(port, handshake())
        yield* eventually("upgraded", () => connections.all.length === 1)
        connections.all[0]!.terminate()
        return performance.now()
      }))
      assert.isBelow(performance.now() - start, 1000)
      yield* eventually("client sees it", () => client.ended || client.closed)
    }))

  it.scopedLive("a connection whose owner failed to take it is closed with 1011", () =>
    Effect.gen(function*() {
      const router = HttpRouter.empty.pipe(
        HttpRouter.get("/ws", Upgrade.upgrade(() => Effect.fail("no room"))),
        HttpRouter.get("/die", Upgrade.upgrade(() => Effect.die("bug")))
      )
      const { port } = yield* serve(router)
      for (const path of ["/ws", "/die"]) {
        const client = yield* connectWs(port, path)
        yield* eventually("1011", () => client.code === 1011)
      }
    }))

  it.scopedLive("whatever the route answers after the upgrade does not reach the WebSocket", () =>
    Effect.gen(function*() {
      const connections = new Connections()
      const connection = Upgrade.connection()
      const accepted = Effect.flatMap(connection, (upgraded) => connections.add(upgraded.connection))
      const router = HttpRouter.empty.pipe(
        HttpRouter.get("/ws", Effect.zipRight(accepted, HttpServerResponse.text("not for you"))),
        HttpRouter.get("/fail", Effect.zipRight(accepted, Effect.fail("late")))
      )
      const { port } = yield* serve(router)
      for (const [at, path] of ["/ws", "/fail"].entries()) {
        const client = yield* connectRaw(port, handshake(path))
        yield* eventually("upgraded", () => connections.all.length === at + 1)
        send(connections.all[at]!, "ok")
        yield* eventually("frame", () => client.rest.length >= 4)
        assert.deepStrictEqual(client.rest, Buffer.from([0x81, 2, 0x6f, 0x6b]))
      }
    }))

  it.scopedLive("a second accept of the same request is refused and harms nobody", () =>
    Effect.gen(function*() {
      const connections = new Connections()
      const connection = Upgrade.connection()
      const exits: Array<Exit.Exit<unknown, Upgrade.UpgradeError>> = []
      const route = Effect.gen(function*() {
        const first = yield* connection
        exits.push(yield* Effect.exit(connection))
        yield* connections.add(first.connection)
        return first.response
      })
      const { port } = yield* serve(HttpRouter.empty.pipe(HttpRouter.get("/ws", route)))
      const client = yield* connectWs(port)
      client.ws.send("still here")
      yield* eventually("message", () => connections.recorders[0]!.messages.length === 1)
      assert.isTrue(Exit.isFailure(exits[0]!))
    }))

  it.scopedLive("a server without the guard is refused with 500, typed", () =>
    Effect.gen(function*() {
      const errors: Array<string> = []
      const route = Effect.tapError(Upgrade.upgrade(() => Effect.void), (error) =>
        Effect.sync(() => errors.push(error._tag)))
      const { port } = yield* serve(HttpRouter.empty.pipe(HttpRouter.get("/ws", route)), () =>
        Http.createServer())
      const client = yield* connectRaw(port, handshake())
      yield* eventually("500", () => client.status === 500)
      assert.deepStrictEqual(errors, ["UnguardedServer"])
    }))

  it.scopedLive("A037: compression that was agreed on really compresses, and the client can read it", () =>
    Effect.gen(function*() {
      const connections = new Connections()
      const router = HttpRouter.empty.pipe(
        HttpRouter.get("/ws", Upgrade.upgrade(connections.add, { compression: true })),
        HttpRouter.get("/off", Upgrade.upgrade(connections.add))
      )
      const { port } = yield* serve(router)
      const big = "spillway ".repeat(5000)
      const client = yield* connectWs(port, "/ws", { perMessageDeflate: true })
      assert.include(client.ws.extensions, "permessage-deflate")
      const [connection, recorder] = [connections.all[0]!, connections.recorders[0]!]
      const before = connection.writeProgress
      connection.cork()
      for (const text of [big, "small", big]) connection.write(Frame.text(text), 0)
      const flushed = connection.uncork()
      if (!flushed) yield* eventually("flushed", () => recorder.flushed === 1)
      yield* eventually("all", () => client.messages.length === 3)
      assert.deepStrictEqual(client.messages, [big, "small", big])
      // Of a compressing connection progress counts bytes on the wire and payload bytes of messages that were taken whole.
      const wireBytes = connection.writeProgress - before - (big.length * 2 + "small".length)
      assert.isBelow(wireBytes, big.length / 10)
      assert.isAtLeast(wireBytes, 100)
      assert.strictEqual(connection.bufferedBytes, 0)
      assert.isFalse(flushed)
      assert.strictEqual(recorder.flushed, 1)
      client.ws.send(big)
      yield* eventually("inbound", () => recorder.messages[0] === big)
      const plain = yield* connectWs(port, "/off", { perMessageDeflate: true })
      assert.strictEqual(plain.ws.extensions, "")
    }))

  it.scopedLive("a malformed extension offer is refused with 400 and its handler ends", () =>
    Effect.gen(function*() {
      const counter = new Counter()
      const route = counter.track(Upgrade.upgrade(() => Effect.void, { compression: true }))
      const { port } = yield* serve(HttpRouter.empty.pipe(HttpRouter.get("/ws", route)))
      for (const offer of ["permessage-deflate; x=", "permessage-deflate; server_max_window_bits=99"]) {
        const client = yield* connectRaw(port, handshake("/ws", { "Sec-WebSocket-Extensions": offer }))
        yield* eventually("400", () => client.status === 400 && client.ended)
      }
      assert.strictEqual(counter.ended, 2)
    }))
})

describe("compression", () => {
  it.scopedLive("FR4: a message that is small on the wire and large behind it is refused with 1009, and nobody gets it", () =>
    Effect.gen(function*() {
      const connections = new Connections()
      const route = Upgrade.upgrade(connections.add, { compression: true, payloadBytesMax: 65_536 })
      const { port } = yield* serve(HttpRouter.empty.pipe(HttpRouter.get("/ws", route)))
      const client = yield* connectWs(port, "/ws", { perMessageDeflate: true })
      const bomb = Buffer.alloc(16 * 1024 * 1024)
      client.ws.send(bomb)
      yield* eventually("refused", () => client.code !== undefined)
      assert.strictEqual(client.code, 1009)
      assert.deepInclude(connections.recorders[0]!.end, { _tag: "ProtocolError", code: 1009 })
      assert.deepStrictEqual(connections.recorders[0]!.messages, [])
    }))
})

describe("Upgrade options", () => {
  const invalid: ReadonlyArray<[string, Upgrade.Options]> = [
    ["payloadBytesMax", { payloadBytesMax: 0 }],
    ["payloadBytesMax", { payloadBytesMax: 1.5 }],
    ["fragmentsMax", { fragmentsMax: Number.NaN }],
    ["bufferedChunksMax", { bufferedChunksMax: -1 }],
    ["assemblyTimeout", { assemblyTimeout: 0 }],
    ["assemblyTimeout", { assemblyTimeout: Infinity }],
    ["pendingPongsMax", { pendingPongsMax: 0 }],
    ["protocols", { protocols: ["a b"] }],
    ["closeTimeout", { closeTimeout: "30 days" }],
    ["origins", { origins: { allow: ["good.example"], missing: "accept" } }]
  ]
  for (const [key, options] of invalid) {
    it.effect(`${JSON.stringify(options)} is an InvalidOption that names ${key}`, () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(Upgrade.make(options))
        assert.strictEqual(error._tag === "InvalidOption" ? error.key : error._tag, key)
      }))
  }
})

/** Sockets of the server that are open. `getConnections` answers at once on an in-process server. */
const connectionCount = (server: Http.Server): number => {
  let count = -1
  server.getConnections((_error, found) => (count = found))
  return count === -1 ? (server as unknown as { _connections: number })._connections : count
}
