/** The load generator: plain sockets that read at a rate, count by lane, and measure how old a message is. */
import * as Net from "node:net"
import { createHistogram, type RecordableHistogram } from "node:perf_hooks"
import type { LaneName } from "./protocol.js"

const request = (path: string): string =>
  `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"

/** Bytes a second that a client reads; none, or all there are. */
export type Pace = number

const sliceMillis = 10

const micros = (): number => Number(process.hrtime.bigint() / 1000n)

const laneNames: { readonly [first: string]: LaneName } = { c: "critical", i: "important", b: "bulk" }

export class Client {
  readonly received = { critical: 0, important: 0, bulk: 0 }
  /** Numbers that were missing before a later one of the lane came. */
  readonly gaps = { critical: 0, important: 0, bulk: 0 }
  readonly last = { critical: 0, important: 0, bulk: 0 }
  isOpen = true
  latency: Latency | undefined = undefined
  private rest: Buffer = Buffer.alloc(0)
  private timer: NodeJS.Timeout | undefined = undefined
  private budget = Infinity

  private constructor(private readonly socket: Net.Socket) {
    socket.on("data", (bytes) => this.onData(bytes))
    socket.on("close", () => {
      this.isOpen = false
      clearInterval(this.timer)
    })
  }

  static connect(port: number, path: string): Promise<Client> {
    return new Promise((resolve, reject) => {
      const socket = Net.connect({ port, host: "127.0.0.1", noDelay: true })
      socket.once("error", reject)
      socket.write(request(path))
      socket.once("data", (data) => {
        const end = data.indexOf("\r\n\r\n")
        if (!data.toString("latin1").startsWith("HTTP/1.1 101")) return reject(new Error(data.toString("latin1")))
        socket.off("error", reject)
        socket.on("error", () => {})
        const client = new Client(socket)
        client.onData(data.subarray(end + 4))
        resolve(client)
      })
    })
  }

  static async connectAll(port: number, count: number, path = "/"): Promise<ReadonlyArray<Client>> {
    const clients: Array<Client> = []
    while (clients.length < count) {
      const batch = Math.min(100, count - clients.length)
      clients.push(...await Promise.all(Array.from({ length: batch }, () => Client.connect(port, path))))
    }
    return clients
  }

  /** Reads so many bytes a second from now on. */
  setPace(bytesPerSecond: Pace): void {
    clearInterval(this.timer)
    this.budget = bytesPerSecond === Infinity ? Infinity : 0
    if (bytesPerSecond === 0) return void this.socket.pause()
    if (bytesPerSecond === Infinity) return void this.socket.resume()
    this.timer = setInterval(() => {
      const slice = bytesPerSecond * sliceMillis / 1000
      this.budget = Math.min(this.budget + slice, slice)
      if (this.budget > 0) this.socket.resume()
    }, sliceMillis)
  }

  close(): void {
    clearInterval(this.timer)
    this.socket.destroy()
  }

  private onData(bytes: Buffer): void {
    this.budget -= bytes.byteLength
    if (this.budget <= 0) this.socket.pause()
    const data = this.rest.byteLength === 0 ? bytes : Buffer.concat([this.rest, bytes])
    let at = 0
    for (;;) {
      const next = this.readFrame(data, at)
      if (next < 0) break
      at = next
    }
    this.rest = data.subarray(at)
  }

  /** Where the frame ends, or -1 when it has not come whole. Only frames below 64 KiB. */
  private readFrame(data: Buffer, at: number): number {
    if (data.byteLength < at + 2) return -1
    const short = data[at + 1]! & 127
    const start = at + (short < 126 ? 2 : 4)
    if (data.byteLength < start) return -1
    const end = start + (short < 126 ? short : data.readUInt16BE(at + 2))
    if (data.byteLength < end) return -1
    const opcode = data[at]! & 15
    if (opcode === 1) this.onMessage(data, start, end)
    else if (opcode === 9) this.pong(data.subarray(start, end))
    return end
  }

  private pong(payload: Buffer): void {
    this.socket.write(Buffer.concat([Buffer.from([0x8a, 0x80 | payload.byteLength, 0, 0, 0, 0]), payload]))
  }

  /** A letter for the lane, its number if it has one, a blank, and when it was published. */
  private onMessage(data: Buffer, start: number, end: number): void {
    const lane = laneNames[String.fromCharCode(data[start]!)]
    if (lane === undefined) return
    this.received[lane]++
    let at = start + 1
    const seq = digits(data, at, end)
    while (data[at] !== 32) at++
    if (seq > 0) {
      this.gaps[lane] += seq - this.last[lane] - 1
      this.last[lane] = seq
    }
    this.latency?.[lane].record(Math.max(1, micros() - digits(data, at + 1, end)))
  }
}

const digits = (data: Buffer, from: number, end: number): number => {
  let value = 0
  for (let at = from; at < end; at++) {
    const digit = data[at]! - 48
    if (digit < 0 || digit > 9) break
    value = value * 10 + digit
  }
  return value
}

/** How old messages are when they are read, in microseconds. */
export type Latency = { readonly [L in LaneName]: RecordableHistogram }

/** Measures anew what these clients receive. */
export const measuring = (clients: ReadonlyArray<Client>): Latency => {
  const latency = { critical: createHistogram(), important: createHistogram(), bulk: createHistogram() }
  for (const client of clients) client.latency = latency
  return latency
}
