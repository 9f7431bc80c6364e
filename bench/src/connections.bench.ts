/**
 * Echo and idle memory over loopback: Spillway (full supervised sessions, default policies) beside plain `ws` and, on
 * request, the platform's own `Socket`.
 *
 * Server and load generator are separate processes. The steady figure is the CPU seconds of the server process per
 * million echoes, and its ratio to plain `ws` in the same repetition. Memory is heap (after garbage collection) and
 * resident size per idle connection.
 *
 * `npm run bench:connections -- [--json FILE] [--repetitions N] [--peers ws,spillway,platform]`
 */
import { type ChildProcess, fork } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { connectAll, echo } from "./connections/client.js"
import type { Measured, Peer } from "./connections/server.js"

const { values } = parseArgs({
  options: {
    json: { type: "string" },
    repetitions: { type: "string", default: "3" },
    peers: { type: "string", default: "ws,spillway" },
    help: { type: "boolean", default: false }
  }
})

if (values.help) {
  console.log("npm run bench:connections -- [--json FILE] [--repetitions N] [--peers ws,spillway,platform]")
  process.exit(0)
}

const payloadBytes = 128
const idleConnections = 2_000
const warmUpMessages = 60_000
const messages = 200_000

/** Connections and messages under way on each. */
const loads = [{ connections: 100, outstanding: 1 }, { connections: 100, outstanding: 32 }]

interface Server {
  readonly port: number
  readonly measure: () => Promise<Measured>
  readonly stop: () => Promise<void>
}

const nextMessage = <A>(child: ChildProcess): Promise<A> =>
  new Promise((resolve, reject) => {
    child.once("message", (message) => resolve(message as A))
    child.once("exit", (code) => reject(new Error(`the server exited with ${code}`)))
  })

const start = async (peer: Peer): Promise<Server> => {
  const file = fileURLToPath(new URL("./connections/server.ts", import.meta.url))
  const child = fork(file, [peer], { execArgv: [...process.execArgv, "--expose-gc"] })
  child.setMaxListeners(0)
  const { port } = await nextMessage<{ readonly port: number }>(child)
  return {
    port,
    measure: () => {
      const answer = nextMessage<Measured>(child)
      child.send("measure")
      return answer
    },
    stop: () =>
      new Promise((resolve) => {
        child.removeAllListeners("exit")
        child.once("exit", () => resolve())
        child.disconnect()
      })
  }
}

const measureEcho = async (server: Server, load: typeof loads[number]): Promise<number> => {
  const sockets = await connectAll(server.port, load.connections)
  await echo(sockets, load.outstanding, warmUpMessages, payloadBytes)
  for (const socket of sockets) socket.destroy()
  const fresh = await connectAll(server.port, load.connections)
  const before = await server.measure()
  await echo(fresh, load.outstanding, messages, payloadBytes)
  const after = await server.measure()
  for (const socket of fresh) socket.destroy()
  return (after.cpuSeconds - before.cpuSeconds) / messages * 1e6
}

const measureIdle = async (peer: Peer): Promise<{ readonly heap: number; readonly rss: number }> => {
  const server = await start(peer)
  // The first connections pay for lazily made structures, which belong to the process.
  const early = await connectAll(server.port, 200)
  await echo(early, 1, 2_000, payloadBytes)
  const before = await server.measure()
  const sockets = await connectAll(server.port, idleConnections)
  await echo(sockets, 1, idleConnections, payloadBytes)
  const after = await server.measure()
  for (const socket of [...early, ...sockets]) socket.destroy()
  await server.stop()
  return {
    heap: (after.heapBytes - before.heapBytes) / idleConnections / 1024,
    rss: (after.rssBytes - before.rssBytes) / idleConnections / 1024
  }
}

const median = (numbers: ReadonlyArray<number>): number => {
  const sorted = [...numbers].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

const peers = values.peers.split(",") as Array<Peer>
const results: Record<string, Record<string, Array<number>>> = {}
const note = (what: string, peer: string, value: number): void => {
  ;((results[what] ??= {})[peer] ??= []).push(value)
}

for (let repetition = 0; repetition < Number(values.repetitions); repetition++) {
  for (const peer of peers) {
    const server = await start(peer)
    for (const load of loads) {
      note(`echo, ${load.connections} x ${load.outstanding}, CPU s per million`, peer, await measureEcho(server, load))
    }
    await server.stop()
    const idle = await measureIdle(peer)
    note("idle, heap KiB per connection", peer, idle.heap)
    note("idle, RSS KiB per connection", peer, idle.rss)
  }
  console.error(`repetition ${repetition + 1} of ${values.repetitions}`)
}

console.log(
  `${
    Os.cpus()[0]?.model ?? "unknown CPU"
  }, ${Os.cpus().length} cores, Node ${process.version}, payload ${payloadBytes} B`
)
for (const [what, byPeer] of Object.entries(results)) {
  const base = byPeer["ws"] ?? []
  for (const [peer, numbers] of Object.entries(byPeer)) {
    const ratios = numbers.map((value, i) => value / base[i]!)
    const against = peer === "ws" || base.length === 0
      ? ""
      : what.startsWith("idle")
      ? `  above ws: ${(median(numbers) - median(base)).toFixed(2)}`
      : `  ratio to ws: ${median(ratios).toFixed(2)} (${ratios.map((ratio) => ratio.toFixed(2)).join(" ")})`
    console.log(`${what.padEnd(40)} ${peer.padEnd(9)} ${median(numbers).toFixed(2).padStart(8)}${against}`)
  }
}
if (values.json !== undefined) {
  Fs.writeFileSync(values.json, `${JSON.stringify({ node: process.version, results }, null, 2)}\n`)
}
