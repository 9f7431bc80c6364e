/**
 * A WebSocket peer made of nothing but a TCP socket, written from RFC 6455 alone: it builds frames that are wrong in any
 * way one likes, and reads what the server says strictly.
 */
import { createHash } from "node:crypto"
import * as Net from "node:net"

export const opcodes = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const

export interface FrameSpec {
  readonly opcode: number
  readonly payload?: Uint8Array | string
  readonly fin?: boolean
  /** The three reserved bits, 0 to 7; 4 is RSV1. */
  readonly rsv?: number
  /** `false`: not masked, which no client may do. */
  readonly mask?: Uint8Array | false
  /** How the length is written; the shortest way unless told. */
  readonly lengthAs?: 7 | 16 | 64
  /** A length other than that of the payload. */
  readonly announce?: bigint
}

const lengthBytes = (length: bigint, as: 7 | 16 | 64, masked: boolean): Buffer => {
  const bit = masked ? 0x80 : 0
  if (as === 7) return Buffer.from([bit | Number(length)])
  const bytes = Buffer.alloc(as === 16 ? 3 : 9)
  bytes[0] = bit | (as === 16 ? 126 : 127)
  if (as === 16) bytes.writeUInt16BE(Number(length), 1)
  else bytes.writeBigUInt64BE(length, 1)
  return bytes
}

/** The frame as bytes. Masked with a mask that changes every byte, unless told otherwise. */
export const build = (spec: FrameSpec): Buffer => {
  const payload = Buffer.from(spec.payload as string ?? "")
  const length = spec.announce ?? BigInt(payload.length)
  const as = spec.lengthAs ?? (length < 126n ? 7 : length < 65536n ? 16 : 64)
  const mask = spec.mask ?? Buffer.from([0x37, 0xfa, 0x21, 0x3d])
  const head = Buffer.concat([
    Buffer.from([(spec.fin === false ? 0 : 0x80) | ((spec.rsv ?? 0) << 4) | spec.opcode]),
    lengthBytes(length, as, mask !== false)
  ])
  if (mask === false) return Buffer.concat([head, payload])
  for (let i = 0; i < payload.length; i++) payload[i]! ^= mask[i & 3]!
  return Buffer.concat([head, mask, payload])
}

export const text = (payload: Uint8Array | string, fin = true): Buffer => build({ opcode: opcodes.text, payload, fin })
export const binary = (payload: Uint8Array | string, fin = true): Buffer =>
  build({ opcode: opcodes.binary, payload, fin })
export const more = (payload: Uint8Array | string, fin = true): Buffer =>
  build({ opcode: opcodes.continuation, payload, fin })
export const ping = (payload: Uint8Array | string = ""): Buffer => build({ opcode: opcodes.ping, payload })
export const pong = (payload: Uint8Array | string = ""): Buffer => build({ opcode: opcodes.pong, payload })

/** The body of a close frame. */
export const closeBody = (code: number, reason: Uint8Array | string = ""): Buffer =>
  Buffer.concat([Buffer.from([code >> 8, code & 255]), Buffer.from(reason as string)])

export const close = (code?: number, reason: Uint8Array | string = ""): Buffer =>
  build({ opcode: opcodes.close, payload: code === undefined ? "" : closeBody(code, reason) })

/** How a frame is written in a transcript: `text "abc"`, `binary 70000 1f3a...` (a digest), `close 1000`, `pong ""`. */
export const describeFrame = (name: string, payload: Uint8Array | string): string => {
  const bytes = Buffer.from(payload as string)
  const shown = bytes.length <= 1_000 ? JSON.stringify(bytes.toString("latin1")) : `${bytes.length} ${digest(bytes)}`
  return `${name} ${shown}`
}

const digest = (bytes: Uint8Array): string => createHash("sha1").update(bytes).digest("hex").slice(0, 12)

const names: Record<number, string> = { 1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong" }

const describeServerFrame = (first: number, second: number, size: 7 | 16 | 64, payload: Buffer): string => {
  const length = payload.length
  const shortest = length < 126 ? 7 : length < 65536 ? 16 : 64
  if ((first & 0xf0) !== 0x80) return `VIOLATION first byte ${first}`
  if ((second & 0x80) !== 0) return "VIOLATION masked by the server"
  if (size !== shortest) return `VIOLATION length ${length} in ${size} bits`
  const opcode = first & 15
  const name = names[opcode]
  if (name === undefined) return `VIOLATION opcode ${opcode}`
  if (opcode !== opcodes.close) return describeFrame(name, payload)
  if (length === 0) return "close"
  if (length === 1) return "VIOLATION close body of one byte"
  const reason = payload.subarray(2).toString()
  return `close ${payload.readUInt16BE(0)}${reason === "" ? "" : ` ${JSON.stringify(reason)}`}`
}

/** Reads frames of a server out of chunks of any size. */
export class FrameReader {
  /** One entry for each frame. Anything that a server must not do is an entry that begins with VIOLATION. */
  readonly frames: Array<string> = []
  private chunks: Array<Buffer> = []
  private buffered = 0
  private needed = 2

  push(chunk: Buffer): void {
    this.chunks.push(chunk)
    this.buffered += chunk.length
    while (this.buffered >= this.needed) if (!this.readOne()) return
  }

  /** Bytes of a frame that is not complete. */
  get pending(): number {
    return this.buffered
  }

  private readOne(): boolean {
    const bytes = Buffer.concat(this.chunks)
    this.chunks = [bytes]
    const short = bytes[1]! & 127
    const size = short < 126 ? 7 : short === 126 ? 16 : 64
    const head = size === 7 ? 2 : size === 16 ? 4 : 10
    if (bytes.length < head) return this.wait(head)
    const length = size === 7 ? short : size === 16 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2))
    if (bytes.length < head + length) return this.wait(head + length)
    this.frames.push(describeServerFrame(bytes[0]!, bytes[1]!, size, bytes.subarray(head, head + length)))
    this.chunks = [bytes.subarray(head + length)]
    this.buffered = bytes.length - head - length
    this.needed = 2
    return this.buffered >= 2
  }

  private wait(needed: number): boolean {
    this.needed = needed
    return false
  }
}

const sample = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="

export const upgradeRequest = (path: string, extra: ReadonlyArray<string> = []): string =>
  [
    `GET ${path} HTTP/1.1`,
    "Host: localhost",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    sample,
    ...extra,
    "",
    ""
  ].join("\r\n")

/** The answer to `sample`, from the RFC's own example. */
export const acceptOfSample = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

/** A socket that remembers everything that it was told. It never ends its own side by itself. */
export class Peer {
  readonly reader = new FrameReader()
  response = ""
  isConnected = false
  /** The server ended its side in order. */
  ended = false
  closed = false
  /** How often data arrived, and how much. */
  reads = 0
  readBytes = 0
  private readonly looks = new Set<() => void>()
  private static readonly alive = new Set<Peer>()

  constructor(readonly socket: Net.Socket) {
    Peer.alive.add(this)
    socket.on("connect", () => {
      this.isConnected = true
      this.look()
    })
    socket.on("data", (chunk) => this.onData(chunk))
    socket.on("end", () => {
      this.ended = true
      this.look()
    })
    socket.on("close", () => {
      this.closed = true
      Peer.alive.delete(this)
      this.look()
    })
    socket.on("error", () => {})
  }

  static connect(port: number, first?: string | Uint8Array): Peer {
    const socket = Net.connect({ port, host: "127.0.0.1", allowHalfOpen: true, noDelay: true })
    if (first !== undefined) socket.write(first)
    return new Peer(socket)
  }

  /** A peer whose handshake is done. */
  static async open(port: number, path: string, head: Uint8Array = Buffer.alloc(0)): Promise<Peer> {
    const peer = Peer.connect(port, Buffer.concat([Buffer.from(upgradeRequest(path)), head]))
    await peer.until("an answer to the handshake", () => peer.status !== 0 || peer.closed)
    if (peer.status !== 101) throw new Error(`refused: ${peer.response}`)
    return peer
  }

  /** Closes whatever a test has left open. */
  static destroyAll(): void {
    for (const peer of Peer.alive) peer.destroy()
  }

  get status(): number {
    return Number(/^HTTP\/1\.1 (\d+)[^]*\r\n\r\n/.exec(this.response)?.[1] ?? 0)
  }

  get frames(): ReadonlyArray<string> {
    return this.reader.frames
  }

  send(...bytes: ReadonlyArray<Uint8Array>): void {
    this.socket.write(Buffer.concat(bytes))
  }

  /** Resolves when the condition holds, which is looked at whenever something happened on this socket. */
  until(what: string, condition: () => boolean, millis = 30_000): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        if (!condition()) return
        this.looks.delete(look)
        clearTimeout(timer)
        resolve()
      }
      const timer = setTimeout(() => {
        this.looks.delete(look)
        const seen = `${this.frames.slice(-20).join(", ")} ended: ${this.ended} closed: ${this.closed}`
        reject(new Error(`not within ${millis} ms: ${what}; seen: ${seen}`))
      }, millis)
      this.looks.add(look)
      look()
    })
  }

  /** RST and nothing else; `resetAndDestroy` sends a FIN first. */
  reset(): void {
    Object.assign(this.socket, { resetAndClosing: true })
    this.socket.destroy()
  }

  destroy(): void {
    this.socket.destroy()
  }

  private onData(chunk: Buffer): void {
    this.reads++
    this.readBytes += chunk.length
    const at = this.response.indexOf("\r\n\r\n")
    if (at >= 0) this.reader.push(chunk)
    else {
      const all = this.response + chunk.toString("latin1")
      const end = all.indexOf("\r\n\r\n")
      this.response = end < 0 ? all : all.slice(0, end + 4)
      if (end >= 0 && all.length > end + 4 && this.status === 101) {
        this.reader.push(Buffer.from(all.slice(end + 4), "latin1"))
      }
    }
    this.look()
  }

  private look(): void {
    for (const look of [...this.looks]) look()
  }
}

/**
 * Resolves when the condition holds; looks every few milliseconds, for what tells nobody that it has changed. Where this
 * process gets no processor it cannot look, and that time does not count: it fails only after enough looks, too.
 */
export const until = async (
  what: string,
  condition: () => boolean | Promise<boolean>,
  millis = 30_000
): Promise<number> => {
  const begin = performance.now()
  for (let looks = 1; !(await condition()); looks++) {
    if (performance.now() - begin > millis && looks > millis / 10) throw new Error(`not within ${millis} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  return performance.now() - begin
}

/** Runs at most so many at a time. */
export const forEach = async <A>(
  items: ReadonlyArray<A>,
  concurrency: number,
  f: (item: A, index: number) => Promise<void>
): Promise<void> => {
  let next = 0
  const worker = async (): Promise<void> => {
    for (let at = next++; at < items.length; at = next++) await f(items[at]!, at)
  }
  await Promise.all(Array.from({ length: Math.min(concurrency, items.length) }, worker))
}

export const range = (count: number): Array<number> => Array.from({ length: count }, (_, i) => i)

/** Numbers from a seed (mulberry32), so that a failure can be seen again. */
export class Random {
  constructor(private state: number) {}
  next(): number {
    this.state = (this.state + 0x6d2b79f5) | 0
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
  below(limit: number): number {
    return Math.floor(this.next() * limit)
  }
  bytes(length: number): Buffer {
    return Buffer.from(range(length).map(() => this.below(256)))
  }
  pick<A>(items: ReadonlyArray<A>): A {
    return items[this.below(items.length)]!
  }
}
