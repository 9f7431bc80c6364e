/** The load generator: plain sockets that count whole WebSocket frames, the same for every server. */
import * as Net from "node:net"

/** Header of a masked client text frame with an all-zero mask, so that the payload needs no work. */
const clientText = (text: string): Buffer =>
  Buffer.concat([Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), Buffer.from(text)])

const requestOf = (path: string): string =>
  `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"

/** Spillway presumes a client dead that does not answer its pings, which carry nothing. */
const pong = Buffer.from([0x8a, 0x80, 0, 0, 0, 0])

/** Counts frames of one socket whose header and payload may come in any pieces. */
class FrameCounter {
  /** Bytes of the current payload that are still to come. */
  private rest = 0
  /** Whether the current frame is a message: pings are not counted. */
  private isMessage = false
  /** A header that came in pieces. */
  private header: Buffer | undefined = undefined

  /** Pings that came since the last look. */
  pings = 0

  /** Number of messages whose payload ended within these bytes. */
  count(data: Buffer): number {
    const bytes = this.header === undefined ? data : Buffer.concat([this.header, data])
    this.header = undefined
    let frames = 0
    let at = 0
    while (at < bytes.length) {
      if (this.rest > 0) {
        const step = Math.min(this.rest, bytes.length - at)
        at += step
        this.rest -= step
        if (this.rest === 0 && this.isMessage) frames++
        continue
      }
      const short = at + 1 < bytes.length ? bytes[at + 1]! & 127 : -1
      const headerBytes = short < 126 ? 2 : short === 126 ? 4 : 10
      if (short < 0 || at + headerBytes > bytes.length) {
        this.header = bytes.subarray(at)
        break
      }
      this.isMessage = (bytes[at]! & 8) === 0
      if ((bytes[at]! & 15) === 9) this.pings++
      this.rest = short < 126 ? short : short === 126 ? bytes.readUInt16BE(at + 2) : bytes.readUInt32BE(at + 6)
      at += headerBytes
      if (this.rest === 0 && this.isMessage) frames++
    }
    return frames
  }
}

export class Subscribers {
  private received = 0
  private wanted = Infinity
  private done: (() => void) | undefined = undefined
  private constructor(private readonly sockets: ReadonlyArray<Net.Socket>) {}

  /** Connects so many, past their handshake. `hello` is what the protocol of a peer wants to be told first. */
  static async connect(port: number, count: number, path: string, hello: string | undefined): Promise<Subscribers> {
    const sockets: Array<Net.Socket> = []
    const subscribers = new Subscribers(sockets)
    while (sockets.length < count) {
      const batch = Math.min(100, count - sockets.length)
      sockets.push(
        ...await Promise.all(Array.from({ length: batch }, () => subscribers.connectOne(port, path, hello)))
      )
    }
    return subscribers
  }

  private connectOne(port: number, path: string, hello: string | undefined): Promise<Net.Socket> {
    return new Promise((resolve, reject) => {
      const socket = Net.connect({ port, host: "127.0.0.1", noDelay: true })
      const counter = new FrameCounter()
      socket.once("error", reject)
      socket.write(requestOf(path))
      socket.once("data", (data) => {
        const end = data.indexOf("\r\n\r\n")
        if (!data.toString("latin1").startsWith("HTTP/1.1 101") || end < 0) {
          return reject(new Error(`refused: ${data.toString("latin1")}`))
        }
        counter.count(data.subarray(end + 4))
        if (hello !== undefined) socket.write(clientText(hello))
        socket.on("data", (bytes) => {
          this.note(counter.count(bytes))
          for (; counter.pings > 0; counter.pings--) socket.write(pong)
        })
        socket.on("end", () => {
          throw new Error("a server closed a connection")
        })
        resolve(socket)
      })
    })
  }

  private note(frames: number): void {
    this.received += frames
    if (this.received >= this.wanted) this.done?.()
  }

  /** Frames that a protocol sends by itself at the start are not counted. */
  reset(): void {
    this.received = 0
  }

  /** Resolves when so many frames have come in all since `reset`. */
  receivedAll(frames: number): Promise<void> {
    return new Promise((resolve) => {
      this.wanted = frames
      this.done = () => {
        this.wanted = Infinity
        resolve()
      }
      this.note(0)
    })
  }

  close(): void {
    for (const socket of this.sockets) socket.destroy()
  }
}
