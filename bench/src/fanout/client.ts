/**
 * The load generator: plain sockets that count the messages that come, the same for every server. A message is a whole
 * WebSocket frame, or the marker at its end where a protocol puts messages into frames in its own way.
 */
import * as Net from "node:net"
import { FrameCounter, MarkerCounter } from "./counters.js"
import { marker, type Protocol } from "./protocol.js"

/** Header of a masked client text frame with an all-zero mask, so that the payload needs no work. */
const clientText = (text: string): Buffer =>
  Buffer.concat([Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), Buffer.from(text)])

const requestOf = (path: string): string =>
  `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"

/** Spillway presumes a client dead that does not answer its pings, which carry nothing. */
const pong = Buffer.from([0x8a, 0x80, 0, 0, 0, 0])

/** Counts the messages of one socket, and says on it what the protocol wants said. */
const reader = (socket: Net.Socket, protocol: Protocol): (bytes: Buffer) => number => {
  const acknowledgement = protocol.acknowledgement === undefined ? undefined : clientText(protocol.acknowledgement)
  const answer = protocol.ping === undefined ? undefined : clientText(protocol.ping.answer)
  const questions = protocol.ping === undefined ? undefined : new MarkerCounter(protocol.ping.question)
  const markers = protocol.counts === "markers" ? new MarkerCounter(marker) : undefined
  let marked = 0
  const frames = new FrameCounter(
    markers && ((piece) => {
      marked += markers.count(piece)
      for (let asked = questions?.count(piece) ?? 0; asked > 0; asked--) socket.write(answer!)
    })
  )
  return (bytes) => {
    marked = 0
    const framed = frames.count(bytes)
    for (; frames.pings > 0; frames.pings--) socket.write(pong)
    if (acknowledgement !== undefined) { for (let i = 0; i < framed; i++) socket.write(acknowledgement) }
    return markers === undefined ? framed : marked
  }
}

export class Subscribers {
  private received = 0
  private wanted = Infinity
  private done: (() => void) | undefined = undefined
  private constructor(private readonly sockets: ReadonlyArray<Net.Socket>) {}

  /** Connects so many, past their handshake. */
  static async connect(port: number, count: number, protocol: Protocol): Promise<Subscribers> {
    const sockets: Array<Net.Socket> = []
    const subscribers = new Subscribers(sockets)
    while (sockets.length < count) {
      const batch = Math.min(100, count - sockets.length)
      sockets.push(...await Promise.all(Array.from({ length: batch }, () => subscribers.connectOne(port, protocol))))
    }
    return subscribers
  }

  private connectOne(port: number, protocol: Protocol): Promise<Net.Socket> {
    return new Promise((resolve, reject) => {
      const socket = Net.connect({ port, host: "127.0.0.1", noDelay: true })
      const read = reader(socket, protocol)
      socket.once("error", reject)
      socket.write(requestOf(protocol.path))
      socket.once("data", (data) => {
        const end = data.indexOf("\r\n\r\n")
        if (!data.toString("latin1").startsWith("HTTP/1.1 101") || end < 0) {
          return reject(new Error(`refused: ${data.toString("latin1")}`))
        }
        read(data.subarray(end + 4))
        if (protocol.hello !== undefined) socket.write(clientText(protocol.hello))
        socket.on("data", (bytes) => this.note(read(bytes)))
        socket.on("end", () => {
          throw new Error("a server closed a connection")
        })
        resolve(socket)
      })
    })
  }

  private note(messages: number): void {
    this.received += messages
    if (this.received >= this.wanted) this.done?.()
  }

  /** What a protocol sends by itself at the start is not counted. */
  reset(): void {
    this.received = 0
  }

  /** Resolves when so many messages have come in all since `reset`. */
  receivedAll(messages: number): Promise<void> {
    return new Promise((resolve) => {
      this.wanted = messages
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
