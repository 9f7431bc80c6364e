/**
 * The dialer over loopback: what it dials passes the laws of the transport port in the role of the client, and a dial
 * that fails or is interrupted leaves nothing.
 */
import { assert, describe, it } from "@effect/vitest"
import type { LawClient } from "@spillway/testing/LawHarness"
import * as TransportLaws from "@spillway/testing/TransportLaws"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Http from "node:http"
import * as Net from "node:net"
import { Dialer } from "spillway/Dialer"
import * as Frame from "spillway/Frame"
import * as WS from "ws"
import { NodeDialer } from "./modules.js"
import { eventually, Recorder } from "./support.js"

interface Message {
  readonly bytes: Uint8Array
  readonly binary: boolean
}

/** A server of `ws` whose accepted sockets are in the hands of the test. */
const listen: Effect.Effect<
  { readonly port: number; readonly peers: Queue.Queue<Peer>; readonly server: WS.WebSocketServer },
  never,
  Scope.Scope
> = Effect.gen(function*() {
  const peers = yield* Queue.unbounded<Peer>()
  const server = yield* Effect.acquireRelease(
    Effect.async<WS.WebSocketServer>((resume) => {
      const made: WS.WebSocketServer = new WS.WebSocketServer(
        { port: 0, host: "127.0.0.1" },
        () => resume(Effect.succeed(made))
      )
      made.on(
        "connection",
        (ws: WS.WebSocket, request: { readonly socket: Net.Socket }) => peers.unsafeOffer(new Peer(ws, request.socket))
      )
    }),
    (made) =>
      Effect.async<void>((resume) => {
        for (const client of made.clients) client.terminate()
        made.close(() => resume(Effect.void))
      })
  )
  return { port: (server.address() as Net.AddressInfo).port, peers, server }
})

class Peer {
  readonly messages = Effect.runSync(Queue.unbounded<Message>())
  readonly ends = Effect.runSync(
    Queue.unbounded<{ readonly code: number; readonly reason: string; readonly clean: boolean }>()
  )

  constructor(readonly ws: WS.WebSocket, private readonly socket: Net.Socket) {
    ws.on("message", (data: Buffer, binary) => this.messages.unsafeOffer({ bytes: Uint8Array.from(data), binary }))
    ws.on("close", (code, reason) => this.ends.unsafeOffer({ code, reason: reason.toString(), clean: code !== 1006 }))
    ws.on("error", () => {})
  }

  private send(data: string | Uint8Array): Effect.Effect<void, Error> {
    return Effect.async((resume) => this.ws.send(data, (error) => resume(error ? Effect.fail(error) : Effect.void)))
  }

  readonly client: LawClient = {
    send: (text) => this.send(text),
    sendBinary: (bytes) => this.send(bytes),
    take: Queue.take(this.messages),
    close: (code, reason) => Effect.sync(() => this.ws.close(code, reason)),
    eof: Effect.sync(() => this.socket.end()),
    reset: Effect.sync(() => this.socket.resetAndDestroy()),
    stall: Effect.sync(() => this.ws.pause()),
    unstall: Effect.sync(() => this.ws.resume()),
    awaitEnd: Queue.take(this.ends)
  }
}

const dialled = (url: string) =>
  Effect.flatMap(Dialer, (dialer) => dialer.dial(url)).pipe(Effect.provide(Layer.orDie(NodeDialer.layer())))

TransportLaws.laws(
  "ws in the role of the client",
  Effect.map(listen, ({ peers, port }) => ({
    connect: Effect.gen(function*() {
      const connection = yield* Effect.orDie(dialled(`ws://127.0.0.1:${port}`))
      return { connection, client: (yield* Queue.take(peers)).client }
    })
  })),
  { live: true, timeoutMillis: 60_000 }
)

describe("dial", () => {
  it.scopedLive("fails with what went wrong: nobody there, not a URL, a server that speaks no WebSocket", () =>
    Effect.gen(function*() {
      const plain = yield* Effect.acquireRelease(
        Effect.async<Http.Server>((resume) => {
          const made = Http.createServer((_, response) => response.writeHead(404).end())
          made.listen(0, "127.0.0.1", () => resume(Effect.succeed(made)))
        }),
        (made) =>
          Effect.async<void>((resume) => {
            made.close(() => resume(Effect.void))
            made.closeAllConnections()
          })
      )
      const { port } = plain.address() as Net.AddressInfo
      assert.match((yield* Effect.flip(dialled(`ws://127.0.0.1:${port}`))).why, /404/)
      assert.match((yield* Effect.flip(dialled("ws://127.0.0.1:1"))).why, /ECONNREFUSED/)
      assert.strictEqual((yield* Effect.flip(dialled("nonsense"))).why, "not a URL")
    }))

  it.scopedLive("interrupted while nobody answers, it closes its socket", () =>
    Effect.gen(function*() {
      const sockets = new Set<Net.Socket>()
      const silent = yield* Effect.acquireRelease(
        Effect.async<Net.Server>((resume) => {
          const made = Net.createServer((socket) => {
            sockets.add(socket)
            socket.resume().on("error", () => {}).on("close", () => sockets.delete(socket))
          })
          made.listen(0, "127.0.0.1", () => resume(Effect.succeed(made)))
        }),
        (made) => Effect.async<void>((resume) => void made.close(() => resume(Effect.void)))
      )
      const { port } = silent.address() as Net.AddressInfo
      const dialling = yield* Effect.fork(dialled(`ws://127.0.0.1:${port}`))
      yield* eventually("the socket is there", () => sockets.size === 1)
      yield* Fiber.interrupt(dialling)
      yield* eventually("the socket is gone", () => sockets.size === 0)
    }))

  it.scopedLive("frames that it sends are masked, and what they were made of is unchanged", () =>
    Effect.gen(function*() {
      const { peers, port } = yield* listen
      const connection = yield* dialled(`ws://127.0.0.1:${port}`)
      const peer = yield* Queue.take(peers)
      const recorder = new Recorder()
      connection.attach(recorder)
      const bytes = Uint8Array.from({ length: 5_000 }, (_, index) => index % 251)
      const frame = Frame.binary(bytes.slice())
      // Twice: a mask that was applied in place would show in the second.
      for (let i = 0; i < 2; i++) {
        connection.cork()
        connection.write(frame, 0)
        connection.uncork()
        // A server of `ws` ends a connection whose frames are not masked.
        assert.deepStrictEqual((yield* Queue.take(peer.messages)).bytes, bytes)
      }
      connection.terminate()
      assert.deepStrictEqual(recorder.ends.map(({ _tag }) => _tag), ["Local"])
    }))
})
