/**
 * What this package adds to plain `ws`: heap per idle connection, CPU per echo, and what malformed handshakes leave.
 *
 *     TSX_TSCONFIG_PATH=tsconfig.test.json node --expose-gc --import tsx packages/node/test/layer.bench.ts
 *
 * The server is a process of its own (`ws`, `spillway`, or both on ports 40001 and 40002); this process is the load, with
 * plain sockets.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServer from "@effect/platform/HttpServer"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { fork } from "node:child_process"
import * as Http from "node:http"
import * as Net from "node:net"
import { fileURLToPath } from "node:url"
import * as Frame from "spillway/Frame"
import type { Connection, ConnectionEvents } from "spillway/Transport"
import * as WS from "ws"
import * as Guard from "../src/Guard.js"
import * as Upgrade from "../src/Upgrade.js"

class Echo implements ConnectionEvents {
  constructor(readonly connection: Connection) {}
  onMessage(data: Uint8Array, binary: boolean): void {
    this.connection.cork()
    this.connection.write(Frame.fromBytes(data, { binary }), 0)
    this.connection.uncork()
  }
  onFlushed(): void {}
  onPong(): void {}
  onClose(): void {}
}

/** Keeps what a server keeps. */
const alive = new Set<unknown>()

const startPlain = (port: number) => {
  const server = Http.createServer()
  const wss = new WS.WebSocketServer({ noServer: true, clientTracking: false })
  server.on("upgrade", (request, socket, head) =>
    wss.handleUpgrade(request, socket, head, (ws) => {
      alive.add(ws)
      ws.on("message", (data, binary) => ws.send(data as Buffer, { binary }))
      ws.on("error", () => {})
      ws.on("close", () => alive.delete(ws))
    }))
  server.listen(port, "127.0.0.1", () => process.send!((server.address() as Net.AddressInfo).port))
}

const startSpillway = (port: number) => {
  const server = Guard.makeServer()
  let handlers = 0
  const route = Upgrade.upgrade((connection) =>
    Effect.sync(() => {
      alive.add(connection)
      connection.attach(new Echo(connection))
    })
  ).pipe(Effect.ensuring(Effect.sync(() => handlers--)))
  const router = HttpRouter.empty.pipe(HttpRouter.get("/ws", Effect.zipRight(Effect.sync(() => handlers++), route)))
  const http = NodeHttpServer.layer(() => server, { port, host: "127.0.0.1" })
  Effect.runFork(Layer.launch(HttpServer.serve(router).pipe(Layer.provide(http))))
  server.on("listening", () => process.send!((server.address() as Net.AddressInfo).port))
  return () => handlers
}

const runServer = (kind: string) => {
  if (kind !== "spillway") startPlain(kind === "both" ? 40001 : 0)
  const handlers = kind === "ws" ? () => 0 : startSpillway(kind === "both" ? 40002 : 0)
  process.on("message", () => {
    for (let i = 0; i < 4; i++) globalThis.gc!()
    const cpu = process.cpuUsage()
    const memory = process.memoryUsage()
    process.send!({ heap: memory.heapUsed, rss: memory.rss, cpu: cpu.user + cpu.system, handlers: handlers() })
  })
}

const request = (version: number) =>
  "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
  `Sec-WebSocket-Version: ${version}\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`

const open = (port: number, version = 13) =>
  new Promise<Net.Socket>((resolve) => {
    const socket = Net.connect(port, "127.0.0.1", () => socket.write(request(version)))
    socket.once("data", () => resolve(socket))
    socket.on("error", () => {})
  })

const openMany = async (port: number, count: number) => {
  const sockets: Array<Net.Socket> = []
  for (let i = 0; i < count; i += 50) {
    sockets.push(...await Promise.all(Array.from({ length: Math.min(50, count - i) }, () => open(port))))
  }
  return sockets
}

interface Figures {
  readonly heap: number
  readonly rss: number
  readonly cpu: number
  readonly handlers: number
}

const start = async (kind: string) => {
  const child = fork(fileURLToPath(import.meta.url), [kind], { execArgv: [...process.execArgv, "--expose-gc"] })
  const next = <A>() => new Promise<A>((resolve) => child.once("message", (value) => resolve(value as A)))
  const look = () => {
    const answer = next<Figures>()
    child.send("look")
    return answer
  }
  const ports: Array<number> = []
  for (let i = 0; i < (kind === "both" ? 2 : 1); i++) ports.push(await next<number>())
  return { ports: ports.sort((a, b) => a - b), look, stop: () => child.kill() }
}

const settle = () => new Promise((resolve) => setTimeout(resolve, 300))

const measureIdle = async (kind: string) => {
  const { look, ports, stop } = await start(kind)
  for (const socket of await openMany(ports[0]!, 100)) socket.destroy()
  await settle()
  const empty = await look()
  await openMany(ports[0]!, 2000)
  await settle()
  const full = await look()
  stop()
  return { heapKiB: (full.heap - empty.heap) / 2000 / 1024, rssKiB: (full.rss - empty.rss) / 2000 / 1024 }
}

const measureFlood = async () => {
  const { look, ports, stop } = await start("spillway")
  const rounds: Array<{ heapGrowth: number; handlers: number }> = []
  for (let round = 0; round < 3; round++) {
    const base = await look()
    for (let i = 0; i < 5000; i += 50) {
      const sockets = await Promise.all(Array.from({ length: 50 }, () => open(ports[0]!, 12)))
      for (const socket of sockets) socket.destroy()
    }
    await settle()
    const end = await look()
    rounds.push({ heapGrowth: end.heap - base.heap, handlers: end.handlers })
  }
  stop()
  return rounds
}

const request128 = Buffer.concat([Buffer.from([0x82, 0xfe, 0, 128, 0, 0, 0, 0]), Buffer.alloc(128)])

/** Echoes of 128 bytes with `burst` outstanding on each client; microseconds of CPU of the server for each. */
const echo = async (clients: ReadonlyArray<Net.Socket>, look: () => Promise<Figures>, burst: number, total: number) => {
  const bytes = Buffer.concat(Array.from({ length: burst }, () => request128))
  const before = await look()
  await Promise.all(clients.map((client) =>
    new Promise<void>((resolve) => {
      let left = total / clients.length * 132
      let pending = burst * 132
      client.removeAllListeners("data").on("data", (chunk) => {
        left -= chunk.length
        pending -= chunk.length
        if (pending > 0) return
        if (left <= 0) return resolve()
        pending = burst * 132
        client.write(bytes)
      })
      client.write(bytes)
    })
  ))
  return ((await look()).cpu - before.cpu) / total
}

const median = (values: Array<number>) => values.sort((a, b) => a - b)[values.length >> 1]!

/** Both kinds in one process and in turns, so that they share what else the machine does. */
const measureEcho = async (burst: number, turns: number) => {
  const { look, ports, stop } = await start("both")
  const plain = await openMany(ports[0]!, 100)
  const spillway = await openMany(ports[1]!, 100)
  const ratios: Array<number> = []
  const micros: Array<number> = []
  for (let turn = 0; turn < turns; turn++) {
    const a = await echo(plain, look, burst, 20_000)
    const b = await echo(spillway, look, burst, 20_000)
    if (turn < 3) continue
    ratios.push(b / a)
    micros.push(a)
  }
  stop()
  return { burst, ratio: median(ratios), plainMicros: median(micros) }
}

if (process.argv[2] === "ws" || process.argv[2] === "spillway" || process.argv[2] === "both") {
  runServer(process.argv[2])
} else {
  const say = (what: string, value: unknown) => process.stdout.write(`${what} ${JSON.stringify(value)}\n`)
  for (const burst of [1, 32]) say("echo", await measureEcho(burst, 23))
  for (const kind of ["ws", "spillway"]) say(`idle ${kind}`, await measureIdle(kind))
  say("5,000 malformed handshakes, three times", await measureFlood())
}
