/**
 * Hostile peers on the upgrade path of a guarded server, and the same against the platform alone.
 */
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { spawn } from "node:child_process"
import * as Http from "node:http"
import type * as Net from "node:net"
import { fileURLToPath } from "node:url"
import { Guard, Upgrade } from "./modules.js"
import { Connections, connectRaw, connectWs, Counter, eventually, handshake, serve } from "./support.js"

const range = (count: number) => Array.from({ length: count }, (_, i) => i)

const connectionCount = (server: Http.Server): number => (server as unknown as { _connections: number })._connections

const request = (path: string) => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`

/** A listening server with nothing of the platform on it. */
const listen = (server: Http.Server) =>
  Effect.acquireRelease(
    Effect.async<number>((resume) => {
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed((server.address() as Net.AddressInfo).port)))
    }),
    () => Effect.sync(() => (server.close(), server.closeAllConnections()))
  )

describe("guard", () => {
  it.scopedLive("HS1: 1,000 resets during a slow authorisation leave handlers and sockets as before", () =>
    Effect.gen(function*() {
      const counter = new Counter()
      const connections = new Connections()
      const authorising = new Set<string>()
      const authorise = Effect.flatMap(
        HttpServerRequest.HttpServerRequest,
        ({ url }) => Effect.zipRight(Effect.sync(() => authorising.add(url)), Effect.sleep("20 seconds"))
      )
      const slow = counter.track(Effect.zipRight(authorise, Upgrade.upgrade(connections.add)))
      const router = HttpRouter.empty.pipe(
        HttpRouter.get("/slow", slow),
        HttpRouter.get("/ws", Upgrade.upgrade(connections.add))
      )
      const { port, server } = yield* serve(router)
      yield* Effect.forEach(range(1000), (i) =>
        Effect.scoped(Effect.gen(function*() {
          const client = yield* connectRaw(port, handshake(`/slow?${i}`))
          yield* eventually("started", () => authorising.has(`/slow?${i}`))
          client.socket.resetAndDestroy()
        })), { concurrency: 16, discard: true })
      yield* eventually("ended", () => counter.ended === 1000)
      assert.strictEqual(counter.started, 1000)
      yield* eventually("no sockets", () => connectionCount(server) === 0)
      yield* connectWs(port)
      assert.strictEqual(connections.all.length, 1)
    }))

  it.scopedLive("HS1: resets before, while and after upgrading, on /ws and on unknown paths, harm nobody", () =>
    Effect.gen(function*() {
      const counter = new Counter()
      const connections = new Connections()
      const { port, server } = yield* serve(
        HttpRouter.empty.pipe(HttpRouter.get("/ws", counter.track(Upgrade.upgrade(connections.add))))
      )
      for (const path of ["/ws", "/nope"]) {
        for (const cut of [0, 20, undefined]) {
          yield* Effect.forEach(range(50), () =>
            Effect.scoped(Effect.gen(function*() {
              const client = yield* connectRaw(port, handshake(path).slice(0, cut))
              client.socket.resetAndDestroy()
            })), { concurrency: 10, discard: true })
        }
      }
      yield* eventually("no sockets", () => connectionCount(server) === 0)
      yield* eventually("ended", () => counter.ended === counter.started)
      yield* eventually("told", () => connections.recorders.every((recorder) => recorder.ends.length === 1))
      yield* connectWs(port)
    }))

  it.scopedLive("HS3: a half-close during the authorisation interrupts the handler within 100 ms", () =>
    Effect.gen(function*() {
      const counter = new Counter()
      const slow = counter.track(Effect.zipRight(Effect.never, Upgrade.upgrade(() => Effect.void)))
      const { port, server } = yield* serve(HttpRouter.empty.pipe(HttpRouter.get("/ws", slow)))
      for (const at of range(20)) {
        const client = yield* connectRaw(port, handshake())
        yield* eventually("started", () => counter.started === at + 1)
        client.socket.end()
        yield* eventually("interrupted", () => counter.ended === at + 1, 100)
      }
      yield* eventually("no sockets", () => connectionCount(server) === 0)
    }))

  it.scopedLive("HS3: a peer that is gone when an uninterruptible authorisation is over is refused, and nothing stays", () =>
    Effect.gen(function*() {
      const counter = new Counter()
      const connections = new Connections()
      const slow = counter.track(
        Effect.zipRight(Effect.uninterruptible(Effect.sleep("100 millis")), Upgrade.upgrade(connections.add))
      )
      const { port, server } = yield* serve(
        HttpRouter.empty.pipe(HttpRouter.get("/ws", Effect.uninterruptible(slow)))
      )
      for (const how of ["end", "resetAndDestroy"] as const) {
        const before = counter.started
        const client = yield* connectRaw(port, handshake())
        yield* eventually("started", () => counter.started > before)
        client.socket[how]()
        yield* eventually("ended", () => counter.ended === before + 1)
      }
      assert.strictEqual(connections.all.length, 0)
      yield* eventually("no sockets", () => connectionCount(server) === 0)
    }))

  it.scopedLive("HS5: an authorisation that never answers ends at the handshake timeout with 503", () =>
    Effect.gen(function*() {
      const counter = new Counter()
      const slow = counter.track(Effect.zipRight(Effect.never, Upgrade.upgrade(() => Effect.void)))
      const { port, server } = yield* serve(
        HttpRouter.empty.pipe(HttpRouter.get("/ws", slow)),
        () => Guard.makeServer({ handshakeTimeout: "150 millis" })
      )
      const client = yield* connectRaw(port, handshake() + "dripping")
      yield* eventually("503", () => client.status === 503 && (client.ended || client.closed), 1000)
      yield* eventually("interrupted", () => counter.ended === 1, 100)
      yield* eventually("no sockets", () => connectionCount(server) === 0)
    }))

  it.scopedLive("HS5: pending handshakes are capped, and room comes back", () =>
    Effect.gen(function*() {
      const counter = new Counter()
      const slow = counter.track(Effect.zipRight(Effect.never, Upgrade.upgrade(() => Effect.void)))
      const { port } = yield* serve(
        HttpRouter.empty.pipe(HttpRouter.get("/slow", slow), HttpRouter.get("/ws", Upgrade.upgrade(() => Effect.void))),
        () => Guard.makeServer({ pendingHandshakesMax: 2 })
      )
      const first = yield* connectRaw(port, handshake("/slow"))
      yield* connectRaw(port, handshake("/slow"))
      yield* eventually("two pending", () => counter.started === 2)
      const refused = yield* connectRaw(port, handshake("/ws"))
      yield* eventually("503", () => refused.status === 503)
      first.socket.destroy()
      yield* eventually("one pending", () => counter.ended === 1)
      yield* connectWs(port)
    }))

  it.scopedLive("an upgrade request on an unknown path gets an ordinary 404, and its socket is closed", () =>
    Effect.gen(function*() {
      const { port, server } = yield* serve(
        HttpRouter.empty,
        () => Guard.makeServer({ handshakeTimeout: "300 millis" })
      )
      const client = yield* connectRaw(port, handshake("/nope"))
      yield* eventually("404", () => client.status === 404 && client.ended)
      // The client never ends its own side: the deadline does.
      yield* eventually("no sockets", () => connectionCount(server) === 0, 2000)
    }))

  it.scopedLive("a server without any upgrade route answers as if the guard were not there", () =>
    Effect.gen(function*() {
      const server = Guard.makeServer()
      const port = yield* listen(server)
      server.on("request", (_request, response) => response.writeHead(404).end("nothing here"))
      const client = yield* connectRaw(port, handshake("/ws"))
      yield* eventually("404", () => client.status === 404 && client.ended)
      assert.include(client.bytes.toString(), "nothing here")
    }))

  it.scopedLive("a server that nothing is served on answers 503 instead of never", () =>
    Effect.gen(function*() {
      const port = yield* listen(Guard.makeServer())
      for (const text of [handshake("/ws"), request("/health")]) {
        const client = yield* connectRaw(port, text)
        yield* eventually("503", () => client.status === 503 && client.ended)
      }
    }))

  it.scopedLive("HS6: bad requests are answered 400, too large headers 431, slow ones 408", () =>
    Effect.gen(function*() {
      const { port } = yield* serve(
        HttpRouter.empty,
        () =>
          Guard.makeServer({ headersTimeout: "300 millis", requestTimeout: "300 millis", checkInterval: "50 millis" })
      )
      const cases: ReadonlyArray<[number, string]> = [
        [400, "GARBAGE\r\n\r\n"],
        [400, "GET / HTTP/1.1\r\n\r\n"],
        [431, `GET / HTTP/1.1\r\nHost: a\r\nX: ${"x".repeat(17 * 1024)}\r\n\r\n`],
        [408, "GET / HTTP/1.1\r\nHost: a\r\nX: y"]
      ]
      for (const [expected, text] of cases) {
        const client = yield* connectRaw(port, text)
        yield* eventually(`${expected}`, () => client.status === expected && (client.ended || client.closed))
      }
    }))

  it.scopedLive("HS8: HTTP/1.0 and a handshake without Host are refused with 400", () =>
    Effect.gen(function*() {
      const { port } = yield* serve(HttpRouter.empty.pipe(HttpRouter.get("/ws", Upgrade.upgrade(() => Effect.void))))
      for (const text of [handshake().replace("HTTP/1.1", "HTTP/1.0"), handshake("/ws", { Host: undefined })]) {
        const client = yield* connectRaw(port, text)
        yield* eventually("400", () => client.status === 400 && (client.ended || client.closed))
      }
    }))

  it.scopedLive("an upgraded socket keeps no listener of the platform and none of the guard", () =>
    Effect.gen(function*() {
      const sockets: Array<Net.Socket> = []
      const server = Guard.makeServer()
      server.on("connection", (socket) => sockets.push(socket))
      const router = HttpRouter.empty.pipe(
        HttpRouter.get("/now", Upgrade.upgrade(() => Effect.void)),
        HttpRouter.get("/later", Effect.zipRight(Effect.sleep("20 millis"), Upgrade.upgrade(() => Effect.void)))
      )
      const { port } = yield* serve(router, () => server)
      for (const [at, path] of ["/now", "/later"].entries()) {
        yield* connectWs(port, path)
        const names = (event: string) => sockets[at]!.listeners(event).map((listener) => listener.name)
        yield* eventually("released", () => !names("close").includes(""))
        assert.deepStrictEqual(names("close").filter((name) => name !== "onceWrapper"), ["socketOnClose"])
        assert.deepStrictEqual(names("error"), ["socketOnError"])
        assert.notInclude(names("end"), "onEarlyEnd")
      }
    }))

  for (const sent of ["", "GET /ws HTTP/1.1\r\nHost: "]) {
    const closes = (server: Http.Server) =>
      Effect.gen(function*() {
        const { port } = yield* serve(HttpRouter.empty, () => server)
        const client = yield* connectRaw(port, sent)
        yield* eventually("connected", () => connectionCount(server) === 1)
        let closed = false
        server.close(() => (closed = true))
        return { client, isClosed: () => closed }
      })

    it.scopedLive(`a server that closes does not wait for a peer that sent ${JSON.stringify(sent)}`, () =>
      Effect.gen(function*() {
        const { client, isClosed } = yield* closes(Guard.makeServer())
        yield* eventually("closed", isClosed)
        yield* eventually("the peer was told", () => client.ended || client.socket.destroyed)
      }))

    it.scopedLive(`counter-test: Node's own waits for a peer that sent ${JSON.stringify(sent)}`, () =>
      Effect.gen(function*() {
        const { client, isClosed } = yield* closes(Http.createServer())
        for (let turn = 0; turn < 100; turn++) yield* Effect.sleep(0)
        assert.isFalse(isClosed())
        client.socket.destroy()
        yield* eventually("closed", isClosed)
      }))
  }

  for (
    const [key, options] of [
      ["handshakeTimeout", { handshakeTimeout: 0 }],
      ["pendingHandshakesMax", { pendingHandshakesMax: 0 }],
      ["headerBytesMax", { headerBytesMax: 1 }],
      ["keepAliveTimeout", { keepAliveTimeout: "30 days" }]
    ] as const
  ) {
    it.effect(`${JSON.stringify(options)} is an InvalidOption that names ${key}`, () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(Effect.scoped(Layer.build(Guard.layerHttpServer({ port: 0, ...options }))))
        assert.strictEqual(error._tag === "InvalidOption" ? error.key : error._tag, key)
      }))
  }
})

describe("counter-tests: the platform's own upgrade", () => {
  it.scopedLive("leaks a handler for each malformed handshake", () =>
    Effect.gen(function*() {
      const counter = new Counter()
      const upgrade = Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => request.upgrade).pipe(
        Effect.flatMap((socket) => socket.runRaw(() => {})),
        Effect.as(HttpServerResponse.empty())
      )
      const server = Http.createServer()
      // Not awaited by the test: such a server never closes (Z4).
      const { serverPort } = yield* Effect.async<{ serverPort: number }>((resume) => {
        Effect.runFork(Effect.scoped(Effect.gen(function*() {
          const { port } = yield* serve(HttpRouter.empty.pipe(HttpRouter.get("/ws", counter.track(upgrade))), () =>
            server)
          resume(Effect.succeed({ serverPort: port }))
          yield* Effect.never
        })))
      })
      for (const at of range(10)) {
        const client = yield* connectRaw(serverPort, handshake("/ws", { "Sec-WebSocket-Version": "12" }))
        yield* eventually("refused", () =>
          client.status === 400 && client.ended && counter.started === at + 1)
        client.socket.end()
      }
      yield* eventually("no sockets", () => connectionCount(server) === 0)
      assert.strictEqual(counter.ended, 0)
      server.close()
    }))

  it.scopedLive("never suspends a write: 64 MiB to a client that reads nothing are accepted at once", () =>
    Effect.gen(function*() {
      let written = 0
      const upgrade = Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => request.upgrade).pipe(
        Effect.flatMap((socket) =>
          Effect.zipRight(
            Effect.forkScoped(socket.runRaw(() => {})),
            Effect.flatMap(socket.writer, (write) =>
              Effect.forEach(range(64), () =>
                Effect.tap(write(new Uint8Array(1024 * 1024)), () => {
                  written++
                }), { discard: true }))
          )
        ),
        Effect.scoped,
        Effect.as(HttpServerResponse.empty())
      )
      const { port } = yield* serve(HttpRouter.empty.pipe(HttpRouter.get("/ws", upgrade)))
      const client = yield* connectRaw(port, handshake())
      client.socket.pause()
      yield* eventually("all accepted", () => written === 64)
    }))

  for (const guarded of [false, true]) {
    it.scopedLive(`one reset ${guarded ? "does not end" : "ends"} the process of a server ${guarded ? "with" : "without"} the guard`, () =>
      Effect.gen(function*() {
        const child = yield* startServer(guarded)
        const client = yield* connectRaw(child.port, handshake("/slow"))
        yield* eventually("handler runs", () => child.output.includes("slow"))
        client.socket.resetAndDestroy()
        if (guarded) {
          yield* eventually("handler ended", () => child.output.includes("ended"))
          const other = yield* connectRaw(child.port, request("/health"))
          yield* eventually("alive", () => other.status === 200)
          assert.isUndefined(child.exitCode)
        } else {
          yield* eventually("exit", () => child.exitCode !== undefined)
          assert.strictEqual(child.exitCode, 1)
          assert.include(child.output, "ECONNRESET")
        }
      }))
  }
})

interface Child {
  output: string
  port: number
  exitCode: number | null | undefined
}

const file = (path: string) => fileURLToPath(new URL(path, import.meta.url))

/** A process of its own: what is looked at is whether it survives. */
const startServer = (guarded: boolean) =>
  Effect.gen(function*() {
    const process_ = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(process.execPath, ["--import", "tsx", file("./server.fixture.ts"), String(guarded)], {
          // Resolves the packages of the workspace to their sources, as the tests do.
          env: { ...process.env, TSX_TSCONFIG_PATH: file("../../../tsconfig.test.json") }
        })
      ),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    )
    const child: Child = { output: "", port: 0, exitCode: undefined }
    const onData = (data: Buffer) => (child.output += data.toString())
    process_.stdout.on("data", onData)
    process_.stderr.on("data", onData)
    process_.on("exit", (code) => (child.exitCode = code))
    yield* eventually("listening", () => /port=(\d+)/.test(child.output), 30_000)
    child.port = Number(/port=(\d+)/.exec(child.output)![1])
    return child
  })
