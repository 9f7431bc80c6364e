/** Sessions that are opened and ended in every way there is, and what is left of them. */
import * as Net from "node:net"
import { type Drained, type Measured, type ProgramOptions, Server } from "./protocol.js"

export interface GhostOptions {
  /** Sessions that end before anything is measured: what the first of a process cost once is no leak. */
  readonly warmUp: number
  readonly sessions: number
  readonly concurrency: number
  /** Sessions that are open when SIGTERM comes. */
  readonly openAtSignal: number
  /** Open and kill cycles, the first tenth of which is warm-up. */
  readonly cycles: number
}

export interface GhostFigures {
  readonly before: Measured
  readonly after: Measured
  readonly heapRatio: number
  readonly cycled: Measured
  readonly leakBytesPerSession: number
  readonly signal: Drained & { readonly exitCode: number | null; readonly millis: number }
}

/** What the server does with the session (its path), and how the client ends it. */
const handlers = ["plain", "hung", "stubborn", "throws"] as const

const maskedClose = Buffer.from([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8])
const maskedText = Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x68, 0x69])

const ends: Readonly<Record<string, (socket: Net.Socket) => void>> = {
  clean: (socket) => void socket.write(maskedClose),
  reset: (socket) => void socket.resetAndDestroy(),
  eof: (socket) => void socket.end(),
  // The server has to find out by itself: it is still there, and answers neither pings nor a close.
  silent: () => {},
  violation: (socket) => void socket.write(Buffer.from([0x83, 0x80, 0, 0, 0, 0]))
}

const short: ProgramOptions = {
  session: {
    taskGrace: 200,
    ackTimeout: 100,
    handlerGrace: 100,
    finalizerTimeout: 200,
    flushTimeout: 200,
    closeTimeout: 200,
    pingInterval: 500,
    pongTimeout: 500
  },
  drain: { total: 10_000, grace: 500 }
}

/** A socket past its handshake, with one message sent and answered. */
const open = (port: number, path: string): Promise<Net.Socket> =>
  new Promise((resolve, reject) => {
    const socket = Net.connect({ port, host: "127.0.0.1", noDelay: true })
    let seen = ""
    socket.once("error", reject)
    socket.write(
      `GET /${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    socket.write(maskedText)
    const onData = (data: Buffer): void => {
      seen += data.toString("latin1")
      if (!seen.endsWith("hi")) return
      socket.off("data", onData).off("error", reject).on("error", () => {}).resume()
      resolve(socket)
    }
    socket.on("data", onData)
  })

/** Does it for 0 to count - 1, so many at a time. */
const times = async (count: number, concurrency: number, f: (index: number) => Promise<void>): Promise<void> => {
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < count) await f(next++)
  }
  await Promise.all(Array.from({ length: Math.min(count, concurrency) }, worker))
}

const openAndEnd = async (port: number, path: string, how: string): Promise<void> => {
  const socket = await open(port, path)
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()))
  ends[how]!(socket)
  await closed
}

const ways = Object.keys(ends).flatMap((how) => handlers.map((path) => ({ how, path })))

const mixed = (port: number) => (index: number) => {
  const { how, path } = ways[index % ways.length]!
  return openAndEnd(port, path, how)
}

export const ghosts = async (options: GhostOptions, log: (line: string) => void = () => {}): Promise<GhostFigures> => {
  const server = await Server.start(short)
  try {
    const { concurrency, cycles, openAtSignal, sessions } = options
    await times(options.warmUp, concurrency, mixed(server.port))
    const before = await server.settled(20_000)
    await times(sessions, concurrency, mixed(server.port))
    const after = await server.settled(20_000)
    log(`${sessions} sessions ended in ${ways.length} ways`)
    const cycle = (index: number) => openAndEnd(server.port, "plain", index % 2 === 0 ? "clean" : "reset")
    const warmUp = Math.floor(cycles / 10)
    await times(warmUp, concurrency, cycle)
    const warm = await server.settled(20_000)
    await times(cycles - warmUp, concurrency, cycle)
    const cycled = await server.settled(20_000)
    log(`${cycles} sessions opened and killed`)
    const left = await Promise.all(
      Array.from({ length: openAtSignal }, (_, i) => open(server.port, handlers[i % handlers.length]!))
    )
    const terminating = server.terminate()
    // In the middle of it clients go, in each of the ways.
    const names = Object.keys(ends)
    left.forEach((socket, i) => ends[names[i % names.length]!]!(socket))
    const signal = await terminating
    left.forEach((socket) => socket.destroy())
    return {
      before,
      after,
      heapRatio: after.heapBytes / before.heapBytes,
      cycled,
      leakBytesPerSession: (cycled.heapBytes - warm.heapBytes) / (cycles - warmUp),
      signal
    }
  } finally {
    await server.kill()
  }
}
