/**
 * The same server behind TLS: `https:` and `wss:` with a certificate of the test's own. The laws of the transport run over
 * TLS beside those without.
 */
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Https from "node:https"
import * as Net from "node:net"
import * as Tls from "node:tls"
import { Dialer } from "spillway/Dialer"
import * as Frame from "spillway/Frame"
import type { Connection } from "spillway/Transport"
import { selfSigned } from "./certificate.js"
import { Guard, NodeDialer, Upgrade } from "./modules.js"
import { Connections, eventually, frame, handshake, RawClient, serve } from "./support.js"

const tls = selfSigned()

const secureServer = (options: Guard.Options = {}) =>
  Effect.gen(function*() {
    const connections = new Connections()
    const router = HttpRouter.empty.pipe(
      HttpRouter.get("/ws", Upgrade.upgrade(connections.add)),
      HttpRouter.get("/health", HttpServerResponse.text("ok"))
    )
    const { port, server } = yield* serve(router, () => Guard.makeServer({ tls, ...options }))
    return { connections, port, server }
  })

const tcp = (port: number) =>
  Effect.acquireRelease(
    Effect.sync(() => new RawClient(Net.connect({ port, host: "127.0.0.1" }))),
    ({ socket }) => Effect.sync(() => socket.destroy())
  )

/** A client whose certificate check is a real one. */
const secure = (port: number, first: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const socket = Tls.connect({ port, host: "127.0.0.1", ca: tls.cert, servername: "localhost" })
      socket.once("secureConnect", () => socket.write(first))
      return new RawClient(socket)
    }),
    ({ socket }) => Effect.sync(() => socket.destroy())
  )

const get = (port: number, path: string) =>
  Effect.async<string, Error>((resume) => {
    const request = Https.get({ port, host: "127.0.0.1", path, ca: tls.cert, servername: "localhost" }, (response) => {
      let body = ""
      response.setEncoding("utf8").on("data", (text: string) => (body += text))
      response.on("end", () => resume(Effect.succeed(`${response.statusCode} ${body}`)))
    })
    request.on("error", (error) => resume(Effect.fail(error)))
  })

const write = (connection: Connection, one: Frame.Frame): boolean => {
  connection.cork()
  connection.write(one, 0)
  return connection.uncork()
}

describe("over TLS", () => {
  it.scopedLive("HTTP and WebSocket share the port, and a frame and its answer arrive", () =>
    Effect.gen(function*() {
      const { connections, port } = yield* secureServer()
      assert.strictEqual(yield* get(port, "/health"), "200 ok")
      const client = yield* secure(port, handshake())
      yield* eventually("upgraded", () => connections.all.length === 1 && client.status === 101)
      client.socket.write(frame("hello"))
      yield* eventually("message", () => connections.recorders[0]!.messages.length === 1)
      write(connections.all[0]!, Frame.text("hi"))
      yield* eventually("frame", () => client.rest.length >= 4)
      assert.deepStrictEqual(client.rest, Buffer.from([0x81, 2, 0x68, 0x69]))
    }))

  it.scopedLive("FR10: writeProgress moves inside one large frame, and bufferedBytes is there until its last byte is gone", () =>
    Effect.gen(function*() {
      const { connections, port } = yield* secureServer()
      const client = yield* secure(port, handshake())
      yield* eventually("upgraded", () => connections.all.length === 1 && client.status === 101)
      const [connection, recorder] = [connections.all[0]!, connections.recorders[0]!]
      client.socket.pause()
      assert.isFalse(write(connection, Frame.binary(new Uint8Array(32 * 1024 * 1024))))
      const whole = connection.bufferedBytes
      assert.isAbove(whole, 32 * 1024 * 1024)
      const stalled = connection.writeProgress
      yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
      assert.strictEqual(connection.writeProgress, stalled)
      const seen = new Set<number>()
      client.socket.removeAllListeners("data").on("data", () => {
        if (connection.bufferedBytes > 0) seen.add(connection.writeProgress)
      })
      client.socket.resume()
      yield* eventually("flushed", () => recorder.flushed > 0, 20_000)
      assert.isAbove(seen.size, 3, "it moved while the frame was on its way")
      assert.strictEqual(connection.bufferedBytes, 0)
      assert.strictEqual(recorder.flushed, 1)
    }))

  it.scopedLive("HS4: a client that never finishes the TLS handshake is cut off at the handshake timeout", () =>
    Effect.gen(function*() {
      const { port } = yield* secureServer({ handshakeTimeout: "150 millis" })
      const silent = yield* tcp(port)
      yield* eventually("cut off", () => silent.closed || silent.ended)
      assert.strictEqual(yield* get(port, "/health"), "200 ok")
    }))

  it.scopedLive("HS1: garbage, plain HTTP and resets in the TLS handshake harm nobody else", () =>
    Effect.gen(function*() {
      const { port } = yield* secureServer()
      const garbage = [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\u0016\u0003\u0001\u0002\u0000garbage",
        "\u0000".repeat(600)
      ]
      for (const first of garbage) {
        const client = yield* tcp(port)
        client.socket.write(first, "latin1")
        if (first.startsWith("GET")) yield* eventually("refused", () => client.closed || client.ended)
        client.socket.resetAndDestroy()
      }
      for (let i = 0; i < 20; i++) {
        const client = yield* secure(port, "GET /ws HTTP/1.1\r\n")
        if (i % 2 === 0) yield* eventually("connected", () => !client.socket.connecting)
        client.socket.destroy()
      }
      assert.strictEqual(yield* get(port, "/health"), "200 ok")
    }))

  it.scopedLive("a dialer that is not told to trust the certificate is refused by its own check", () =>
    Effect.gen(function*() {
      const { port } = yield* secureServer()
      const error = yield* Effect.flip(Effect.flatMap(Dialer, (dialer) => dialer.dial(`wss://127.0.0.1:${port}/ws`)))
      assert.strictEqual(error._tag, "DialFailed")
      assert.match(error.message, /self.signed/)
    }).pipe(Effect.provide(NodeDialer.layer())))

  it.effect("a certificate without its key is an InvalidOption that names tls and shows no key", () =>
    Effect.gen(function*() {
      const other = selfSigned()
      const layer = Guard.layerHttpServer({ port: 0, host: "127.0.0.1", tls: { cert: tls.cert, key: other.key } })
      const error = yield* Effect.flip(Effect.void.pipe(Effect.provide(layer)))
      assert.strictEqual(error._tag === "InvalidOption" ? error.key : error._tag, "tls")
      assert.notInclude(JSON.stringify(error), "PRIVATE KEY")
    }))
})
