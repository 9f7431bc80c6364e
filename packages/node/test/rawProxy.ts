/**
 * A TCP proxy that hands on one byte at a time in both directions, each in a segment of its own. The handshake goes
 * through whole.
 */
import * as Net from "node:net"

export interface SlicingProxy {
  readonly port: number
  /** Segments handed on after the handshakes, and their bytes. */
  readonly sliced: { segments: number; bytes: number }
  readonly stop: () => Promise<void>
}

/** Sends its bytes one by one, one per turn of the event loop, and then the end. */
class Slicer {
  private readonly queue: Array<Buffer> = []
  private at = 0
  private isRunning = false
  private isEnded = false
  private head = ""

  constructor(private readonly to: Net.Socket, private readonly counts: SlicingProxy["sliced"]) {}

  push(chunk: Buffer): void {
    if (this.head.includes("\r\n\r\n")) return this.enqueue(chunk)
    const before = this.head.length
    this.head += chunk.toString("latin1")
    const end = this.head.indexOf("\r\n\r\n")
    if (end < 0) return void this.to.write(chunk)
    const rest = end + 4 - before
    this.to.write(chunk.subarray(0, rest))
    if (rest < chunk.length) this.enqueue(chunk.subarray(rest))
  }

  end(): void {
    this.isEnded = true
    this.run()
  }

  private enqueue(chunk: Buffer): void {
    this.queue.push(chunk)
    this.run()
  }

  private run(): void {
    if (this.isRunning) return
    this.isRunning = true
    setImmediate(() => this.step())
  }

  private step(): void {
    this.isRunning = false
    const chunk = this.queue[0]
    if (chunk === undefined) {
      if (this.isEnded) this.to.end()
      return
    }
    this.to.write(chunk.subarray(this.at, this.at + 1))
    this.counts.segments++
    this.counts.bytes++
    if (++this.at === chunk.length) {
      this.queue.shift()
      this.at = 0
    }
    this.run()
  }
}

const pipe = (from: Net.Socket, to: Net.Socket, counts: SlicingProxy["sliced"]): void => {
  const slicer = new Slicer(to, counts)
  from.on("data", (chunk) => slicer.push(chunk))
  from.on("end", () => slicer.end())
  from.on("error", () => to.destroy())
}

export const slicingProxy = async (port: number): Promise<SlicingProxy> => {
  const sliced = { segments: 0, bytes: 0 }
  const sockets = new Set<Net.Socket>()
  const server = Net.createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    const upstream = Net.connect({ port, host: "127.0.0.1", allowHalfOpen: true, noDelay: true })
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on("close", () => sockets.delete(socket))
    }
    pipe(client, upstream, sliced)
    pipe(upstream, client, sliced)
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  return {
    port: (server.address() as Net.AddressInfo).port,
    sliced,
    stop: () => {
      for (const socket of sockets) socket.destroy()
      return new Promise((resolve) => server.close(() => resolve()))
    }
  }
}
