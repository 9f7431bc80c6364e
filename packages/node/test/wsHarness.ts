/**
 * The `ws` transport over loopback as a harness for the laws, with clients of `ws`.
 */
import * as HttpRouter from "@effect/platform/HttpRouter"
import type { LawClient, LawFaults } from "@spillway/testing/LawHarness"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Net from "node:net"
import * as Tls from "node:tls"
import type { Connection } from "spillway/Transport"
import * as WS from "ws"
import type { Certificate } from "./certificate.js"
import { Guard, Upgrade } from "./modules.js"
import { serve } from "./support.js"

interface Message {
  readonly bytes: Uint8Array
  readonly binary: boolean
}

interface End {
  readonly code: number
  readonly reason: string
  readonly clean: boolean
}

/** A real client with its TCP socket, which is where faults come from. */
class Peer {
  readonly messages = Effect.runSync(Queue.unbounded<Message>())
  readonly ends = Effect.runSync(Queue.unbounded<End>())
  private socket!: Net.Socket
  readonly ws: WS.WebSocket

  /** What the client writes to: the TCP socket, or TLS on it. */
  private stream!: Net.Socket

  constructor(port: number, options: WS.ClientOptions, tls: Certificate | undefined) {
    this.ws = new WS.WebSocket(`${tls === undefined ? "ws" : "wss"}://127.0.0.1:${port}/ws`, {
      perMessageDeflate: false,
      ...options,
      createConnection: () => {
        const socket = this.socket = Net.connect({ port, host: "127.0.0.1" })
        return this.stream = tls === undefined ? socket : Tls.connect({ socket, ca: tls.cert, servername: "localhost" })
      }
    })
    this.ws.on("message", (data: Buffer, binary) => this.messages.unsafeOffer({ bytes: Uint8Array.from(data), binary }))
    this.ws.on(
      "close",
      (code, reason) => this.ends.unsafeOffer({ code, reason: reason.toString(), clean: code !== 1006 })
    )
    this.ws.on("error", () => {})
  }

  private send(data: string | Uint8Array): Effect.Effect<void, Error> {
    return Effect.async((resume) => this.ws.send(data, (error) => resume(error ? Effect.fail(error) : Effect.void)))
  }

  readonly client: LawClient & Pick<LawFaults, "resetMidFrame"> = {
    send: (text) => this.send(text),
    sendBinary: (bytes) => this.send(bytes),
    take: Queue.take(this.messages),
    close: (code, reason) => Effect.sync(() => this.ws.close(code, reason)),
    eof: Effect.sync(() => this.stream.end()),
    reset: Effect.sync(() => this.socket.resetAndDestroy()),
    // The head of a masked frame of 65,535 bytes, a few of them, and then no more.
    resetMidFrame: Effect.async((resume) => {
      this.stream.write(Uint8Array.of(0x82, 0xfe, 0xff, 0xff, 1, 2, 3, 4, 5, 6, 7), () => {
        this.socket.resetAndDestroy()
        resume(Effect.void)
      })
    }),
    stall: Effect.sync(() => this.ws.pause()),
    unstall: Effect.sync(() => this.ws.resume()),
    awaitEnd: Queue.take(this.ends)
  }
}

const connectPeer = (port: number, options: WS.ClientOptions, tls: Certificate | undefined) =>
  Effect.acquireRelease(
    Effect.async<Peer>((resume) => {
      const peer = new Peer(port, options, tls)
      peer.ws.once("open", () => resume(Effect.succeed(peer)))
    }),
    (peer) => Effect.sync(() => peer.ws.terminate())
  )

export const harness = (options: Upgrade.Options = {}, client: WS.ClientOptions = {}, tls?: Certificate) =>
  Effect.gen(function*() {
    const accepted = yield* Queue.unbounded<Connection>()
    const route = Upgrade.connection(options).pipe(
      Effect.tap(({ connection }) => Queue.offer(accepted, connection)),
      Effect.map(({ response }) => response)
    )
    const { port } = yield* serve(
      HttpRouter.empty.pipe(HttpRouter.get("/ws", route)),
      () => Guard.makeServer(tls === undefined ? {} : { tls })
    )
    return {
      takesLater: tls !== undefined,
      connect: Effect.gen(function*() {
        const peer = yield* connectPeer(port, client, tls)
        return { connection: yield* Queue.take(accepted), client: peer.client }
      })
    }
  })
