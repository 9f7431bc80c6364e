/**
 * What floods of handshakes leave behind: fibers, sockets and heap of a server before and after malformed handshakes, and
 * before and after resets during a slow authorisation. The server is a process of its own; fibers and sockets are counted
 * as reachable objects on its heap (`v8.queryObjects`), sockets also as open files.
 *
 * `npx tsx bench/src/handshakes.bench.ts [--malformed N] [--resets N] [--json FILE]`
 */
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServer from "@effect/platform/HttpServer"
import * as Guard from "@spillway/node/Guard"
import * as SpillwayServer from "@spillway/node/SpillwayServer"
import * as WebSocketRoute from "@spillway/node/WebSocketRoute"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type ChildProcess, fork } from "node:child_process"
import * as Fs from "node:fs"
import * as Net from "node:net"
import { fileURLToPath } from "node:url"
import * as V8 from "node:v8"
import * as Metrics from "spillway/Metrics"
import * as Overflow from "spillway/Overflow"
import { parse, printMachine, writeResults } from "./report.js"

const values = parse("npx tsx bench/src/handshakes.bench.ts [--malformed N] [--resets N] [--json FILE]", {
  malformed: 5_000,
  resets: 1_000,
  // Set by this program for itself: it is the server.
  server: false
})

interface Measured {
  readonly fibers: number
  readonly sockets: number
  readonly socketFiles: number
  readonly heapBytes: number
  readonly authorised: number
  readonly authorising: number
}

// ---- the server ------------------------------------------------------------------------------------------------------

const counts = { authorised: 0, authorising: 0 }

/** Newer than the types of Node 20; collects garbage before it counts. */
const queryObjects = (type: unknown): number =>
  (V8 as unknown as { queryObjects(type: unknown, options: { format: "count" }): number }).queryObjects(type, {
    format: "count"
  })

const socketFiles = (): number =>
  Fs.readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return Fs.readlinkSync(`/proc/self/fd/${fd}`).startsWith("socket:")
    } catch {
      return false
    }
  }).length

const measure = (): Measured => {
  const fibers = queryObjects(Effect.runFork(Effect.void).constructor)
  const sockets = queryObjects(Net.Socket)
  for (let i = 0; i < 3; i++) (globalThis as { readonly gc?: () => void }).gc?.()
  return { fibers, sockets, socketFiles: socketFiles(), heapBytes: process.memoryUsage().heapUsed, ...counts }
}

const serve = (): void => {
  const echo = WebSocketRoute.upgrade((session) => session.runForEach(() => Effect.void))
  const authorise = Effect.suspend(() => {
    counts.authorised++
    counts.authorising++
    return Effect.sleep("60 seconds")
  }).pipe(Effect.ensuring(Effect.sync(() => counts.authorising--)))
  const router = HttpRouter.empty.pipe(
    HttpRouter.get("/ws", echo),
    HttpRouter.get("/slow", Effect.zipRight(authorise, echo))
  )
  const sessions = SpillwayServer.layer().pipe(Layer.provide([Overflow.layerDefault, Metrics.layer]))
  const http = Guard.layerHttpServer({ port: 0, host: "127.0.0.1", pendingHandshakesMax: 65536 })
  const announce = HttpServer.addressWith((address) =>
    Effect.sync(() => process.send!({ port: address._tag === "TcpAddress" ? address.port : 0 }))
  )
  const app = Layer.effectDiscard(announce).pipe(
    Layer.provide(HttpServer.serve(router)),
    Layer.provide(sessions),
    Layer.provide(http)
  )
  process.on("message", (message) => {
    if (message === "measure") process.send!(measure())
    else process.send!(counts)
  })
  process.on("disconnect", () => process.exit(0))
  Effect.runFork(Layer.launch(app))
}

// ---- the flood -------------------------------------------------------------------------------------------------------

/** The answer of the server; what `tsx` sends about the files that it loads is not one. */
const nextMessage = <A>(child: ChildProcess): Promise<A> =>
  new Promise((resolve) => {
    const listener = (message: object): void => {
      if ("type" in message) return
      child.off("message", listener)
      resolve(message as A)
    }
    child.on("message", listener)
  })

const ask = <A>(child: ChildProcess, what: "measure" | "counts"): Promise<A> => {
  const answer = nextMessage<A>(child)
  child.send(what)
  return answer
}

const key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="

const handshake = (path: string, version: string, keyLine: string): string =>
  `GET ${path} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
  `Sec-WebSocket-Version: ${version}\r\n${keyLine}\r\n\r\n`

const malformed = [
  handshake("/ws", "12", key),
  handshake("/ws", "13", "X: y"),
  handshake("/ws", "13", "Sec-WebSocket-Key: short"),
  handshake("/nope", "13", key),
  handshake("/ws", "13", `${key}\r\nSec-WebSocket-Protocol: a, a`),
  handshake("/ws", "13", `${key}\r\nOrigin: https://evil.example`)
]

/** Sends and resolves when the server has answered and closed. */
const knock = (port: number, request: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = Net.connect({ port, host: "127.0.0.1" })
    let answer = ""
    socket.on("data", (data) => (answer += data.toString("latin1")))
    socket.on("error", reject)
    socket.on("close", () => resolve(answer))
    socket.write(request)
  })

const floodMalformed = async (port: number, count: number): Promise<void> => {
  let next = 0
  const worker = async (): Promise<void> => {
    for (let at = next++; at < count; at = next++) {
      const answer = await knock(port, malformed[at % malformed.length]!)
      if (!/^HTTP\/1\.1 4\d\d /.test(answer)) throw new Error(`answered with ${answer}`)
    }
  }
  await Promise.all(Array.from({ length: 50 }, worker))
}

const poll = async (child: ChildProcess, isDone: (counted: typeof counts) => boolean): Promise<void> => {
  const deadline = performance.now() + 30_000
  while (!isDone(await ask<typeof counts>(child, "counts"))) {
    if (performance.now() > deadline) throw new Error("not within 30 seconds")
  }
}

const floodResets = async (child: ChildProcess, port: number, count: number): Promise<void> => {
  for (let left = count; left > 0; left -= 200) {
    const batch = Math.min(left, 200)
    const { authorised } = await ask<typeof counts>(child, "counts")
    const sockets = Array.from({ length: batch }, () => Net.connect({ port, host: "127.0.0.1" }))
    for (const socket of sockets) socket.on("error", () => {}).write(handshake("/slow", "13", key))
    await poll(child, (counted) => counted.authorised === authorised + batch)
    for (const socket of sockets) socket.resetAndDestroy()
    await poll(child, (counted) => counted.authorising === 0)
  }
}

const show = ({ fibers, heapBytes, socketFiles, sockets }: Measured): string =>
  `${fibers} fibers, ${sockets} socket objects, ${socketFiles} socket files, heap ${
    (heapBytes / 1048576).toFixed(2)
  } MiB`

const flood = async (): Promise<void> => {
  const child = fork(fileURLToPath(import.meta.url), ["--server"], { execArgv: [...process.execArgv, "--expose-gc"] })
  const { port } = await nextMessage<{ readonly port: number }>(child)
  const phases = {
    "malformed handshakes": { count: values.malformed, run: (count: number) => floodMalformed(port, count) },
    "resets during authorisation": {
      count: values.resets,
      run: (count: number) => floodResets(child, port, count)
    }
  }
  const results: Record<string, object> = {}
  const parameters = { malformed: values.malformed, resets: values.resets }
  printMachine(`${parameters.malformed} malformed handshakes, ${parameters.resets} resets`)
  for (const [name, { count, run }] of Object.entries(phases)) {
    // The first ones pay for lazily made structures, which belong to the process.
    await run(Math.ceil(count / 5))
    const before = await ask<Measured>(child, "measure")
    const begin = performance.now()
    await run(count)
    const seconds = (performance.now() - begin) / 1000
    const after = await ask<Measured>(child, "measure")
    results[name] = { count, seconds, before, after }
    console.log(`${count} ${name} in ${seconds.toFixed(1)} s\n  before: ${show(before)}\n  after:  ${show(after)}`)
    console.log(`  heap per handshake: ${((after.heapBytes - before.heapBytes) / count).toFixed(0)} bytes`)
  }
  child.disconnect()
  writeResults(values.json, { parameters, results })
}

if (values.server) serve()
else await flood()
