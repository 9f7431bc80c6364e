/**
 * Live servers and clients for the tests of this package. Everything waits for events or conditions with a deadline.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServer from "@effect/platform/HttpServer"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type * as Http from "node:http"
import * as Net from "node:net"
import type { Connection, ConnectionEnd, ConnectionEvents } from "spillway/Transport"
import * as WS from "ws"
import { Guard } from "./modules.js"

/**
 * Waits until the condition holds; fails with `what` after the deadline. Where this process gets no processor it cannot
 * look, and that time does not count: it fails only after enough looks, too.
 */
export const eventually = (what: string, condition: () => boolean, millis = 5000): Effect.Effect<void> =>
  Effect.async<void>((resume) => {
    const deadline = performance.now() + millis
    let timer: ReturnType<typeof setTimeout>
    let looks = 0
    const look = () => {
      looks++
      if (condition()) resume(Effect.void)
      else if (performance.now() > deadline && looks > millis / 4) {
        resume(Effect.die(new Error(`not within ${millis} ms: ${what}`)))
      } else timer = setTimeout(look, 2)
    }
    look()
    return Effect.sync(() => clearTimeout(timer))
  })

/** What a connection told its session. */
export class Recorder implements ConnectionEvents {
  readonly log: Array<string> = []
  readonly messages: Array<string> = []
  flushed = 0
  pongs = 0
  ends: Array<ConnectionEnd> = []
  constructor(readonly onText: (text: string) => void = () => {}) {}
  onMessage(data: Uint8Array, _binary: boolean): void {
    const text = Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString()
    this.messages.push(text)
    this.log.push("message")
    this.onText(text)
  }
  onFlushed(): void {
    this.flushed++
    this.log.push("flushed")
  }
  onPong(): void {
    this.pongs++
    this.log.push("pong")
  }
  onClose(end: ConnectionEnd): void {
    this.ends.push(end)
    this.log.push("close")
  }
  get end(): ConnectionEnd | undefined {
    return this.ends[0]
  }
}

export interface Server {
  readonly port: number
  readonly server: Http.Server
}

/** Serves the router on a guarded server on a free port of the loopback interface. */
export const serve = <E, R>(
  router: HttpRouter.HttpRouter<E, R>,
  evaluate: () => Http.Server = () => Guard.makeServer()
): Effect.Effect<Server, never, Scope.Scope | Exclude<R, HttpRouter.HttpRouter.Provided>> =>
  Effect.gen(function*() {
    let server!: Http.Server
    const http = NodeHttpServer.layer(() => (server = evaluate()), { port: 0, host: "127.0.0.1" })
    const app = HttpServer.serve(router).pipe(Layer.provide(http))
    yield* Layer.build(app as Layer.Layer<never>)
    return { server, port: (server.address() as Net.AddressInfo).port }
  }) as never

/** A route that counts handlers that started and ended, whatever their end. */
export class Counter {
  started = 0
  ended = 0
  track = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.suspend(() => {
      this.started++
      return self
    }).pipe(Effect.ensuring(Effect.sync(() => this.ended++)))
}

export const key = "dGhlIHNhbXBsZSBub25jZQ=="

export const handshake = (path = "/ws", headers: Record<string, string | undefined> = {}, method = "GET"): string => {
  const all: Record<string, string | undefined> = {
    Host: "localhost",
    Upgrade: "websocket",
    Connection: "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": key,
    ...headers
  }
  const lines = Object.entries(all).flatMap(([name, value]) => value === undefined ? [] : [`${name}: ${value}`])
  return `${method} ${path} HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n`
}

/** A masked client frame. The mask is zero, which is allowed and keeps the payload readable. */
export const frame = (payload: string | Buffer, opcode = 1, fin = true): Buffer => {
  const data = Buffer.from(payload as string)
  const first = (fin ? 0x80 : 0) | opcode
  const mask = Buffer.alloc(4)
  if (data.length < 126) return Buffer.concat([Buffer.from([first, 0x80 | data.length]), mask, data])
  if (data.length < 65536) {
    return Buffer.concat([Buffer.from([first, 0xfe, data.length >> 8, data.length & 255]), mask, data])
  }
  const head = Buffer.alloc(10)
  head[0] = first
  head[1] = 0xff
  head.writeBigUInt64BE(BigInt(data.length), 2)
  return Buffer.concat([head, mask, data])
}

export const closeFrame = (code?: number, reason = ""): Buffer => {
  if (code === undefined) return frame(Buffer.alloc(0), 8)
  const body = Buffer.alloc(2 + Buffer.byteLength(reason))
  body.writeUInt16BE(code, 0)
  body.write(reason, 2)
  return frame(body, 8)
}

/** A client that is nothing but a TCP socket. */
export class RawClient {
  bytes = Buffer.alloc(0)
  ended = false
  closed = false
  constructor(readonly socket: Net.Socket) {
    socket.on("data", (chunk) => (this.bytes = Buffer.concat([this.bytes, chunk])))
    socket.on("end", () => (this.ended = true))
    socket.on("close", () => (this.closed = true))
    socket.on("error", () => {})
  }
  get status(): number {
    return Number(/^HTTP\/1\.1 (\d+)/.exec(this.bytes.toString("latin1"))?.[1] ?? 0)
  }
  /** What followed the answer to the handshake. */
  get rest(): Buffer {
    const at = this.bytes.indexOf("\r\n\r\n")
    return at < 0 ? Buffer.alloc(0) : this.bytes.subarray(at + 4)
  }
  /** Code of the close frame at the end of what was received, or 0. */
  get closeCode(): number {
    const rest = this.rest
    for (let at = 0; at + 1 < rest.length;) {
      let length = rest[at + 1]! & 127
      let head = 2
      if (length === 126) {
        length = rest.readUInt16BE(at + 2)
        head = 4
      } else if (length === 127) {
        length = Number(rest.readBigUInt64BE(at + 2))
        head = 10
      }
      if ((rest[at]! & 15) === 8) return length < 2 ? 1005 : rest.readUInt16BE(at + head)
      at += head + length
    }
    return 0
  }
}

export const connectRaw = (port: number, first?: string | Buffer): Effect.Effect<RawClient, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.async<RawClient>((resume) => {
      const socket = Net.connect({ port, host: "127.0.0.1", allowHalfOpen: true })
      const client = new RawClient(socket)
      socket.once("connect", () => {
        if (first !== undefined) socket.write(first)
        resume(Effect.succeed(client))
      })
    }),
    (client) => Effect.sync(() => client.socket.destroy())
  )

export interface WsClient {
  readonly ws: WS.WebSocket
  readonly messages: Array<string>
  /** `undefined` until the close event. */
  code: number | undefined
}

export const connectWs = (
  port: number,
  path = "/ws",
  options?: WS.ClientOptions,
  protocols: Array<string> = []
): Effect.Effect<WsClient, Error, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.async<WsClient, Error>((resume) => {
      const ws = new WS.WebSocket(`ws://127.0.0.1:${port}${path}`, protocols, { perMessageDeflate: false, ...options })
      const client: WsClient = { ws, messages: [], code: undefined }
      ws.on("message", (data: Buffer) => client.messages.push(data.toString()))
      ws.on("close", (code) => (client.code = code))
      ws.on("error", (error) => resume(Effect.fail(error)))
      ws.on("open", () => resume(Effect.succeed(client)))
    }),
    (client) => Effect.sync(() => client.ws.terminate())
  )

/** Connections of a route, in order, with a recorder attached unless told not to. */
export class Connections {
  readonly all: Array<Connection> = []
  readonly recorders: Array<Recorder> = []
  constructor(readonly attach: "attach" | "leave" = "attach") {}
  add = (connection: Connection): Effect.Effect<void> =>
    Effect.sync(() => {
      this.all.push(connection)
      if (this.attach === "leave") return
      const recorder = new Recorder()
      this.recorders.push(recorder)
      connection.attach(recorder)
    })
}

export class Marker extends Context.Tag("test/Marker")<Marker, string>() {}
