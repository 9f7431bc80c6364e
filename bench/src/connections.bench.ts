/**
 * Echo and idle memory over loopback: Spillway (full supervised sessions, default policies) beside plain `ws` and, on
 * request, the platform's own `Socket`.
 *
 * Servers and load generator are separate processes; the servers take turns. The steady figure is the CPU seconds of the
 * server process per million echoes, and the median of its ratios to plain `ws` turn by turn. Memory is heap (after garbage collection) and
 * resident size per idle connection.
 *
 * `npx tsx bench/src/connections.bench.ts [--json FILE] [--repetitions N] [--turns N] [--peers ws,spillway,spillway-effect,platform]`
 */
import { type ChildProcess, fork } from "node:child_process"
import { fileURLToPath } from "node:url"
import { connectAll, echo } from "./connections/client.js"
import type { Measured, Peer } from "./connections/server.js"
import { median, parse, printMachine, quantile, writeResults } from "./report.js"

const usage = "npx tsx bench/src/connections.bench.ts [--json FILE] [--repetitions N] [--turns N] " +
  "[--peers ws,spillway,spillway-effect,platform]"

const { json, repetitions, turns, ...values } = parse(usage, {
  repetitions: 3,
  turns: 20,
  peers: "ws,spillway,spillway-effect"
})

const payloadBytes = 128
const idleConnections = 2_000
const warmUpMessages = 60_000
const messagesPerTurn = 20_000

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

/** CPU microseconds of the server for one echo, over one turn. */
const measureTurn = async (server: Server, load: typeof loads[number]): Promise<number> => {
  const sockets = await connectAll(server.port, load.connections)
  await echo(sockets, load.outstanding, 2_000, payloadBytes)
  const before = await server.measure()
  await echo(sockets, load.outstanding, messagesPerTurn, payloadBytes)
  const after = await server.measure()
  for (const socket of sockets) socket.destroy()
  return (after.cpuSeconds - before.cpuSeconds) / messagesPerTurn * 1e6
}

/** All servers run at the same time and take turns, so that what else the machine does is shared fairly. */
const measureEcho = async (load: typeof loads[number]): Promise<void> => {
  const servers = await Promise.all(peers.map(async (peer) => ({ peer, server: await start(peer) })))
  for (const { server } of servers) {
    const sockets = await connectAll(server.port, load.connections)
    await echo(sockets, load.outstanding, warmUpMessages, payloadBytes)
    for (const socket of sockets) socket.destroy()
  }
  for (let turn = 0; turn < turns; turn++) {
    for (const { peer, server } of servers) {
      note(`echo, ${load.connections} x ${load.outstanding}, CPU s per million`, peer, await measureTurn(server, load))
    }
  }
  for (const { server } of servers) await server.stop()
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

/** Lower and upper quartile. */
const spread = (numbers: ReadonlyArray<number>): string => {
  const sorted = [...numbers].sort((a, b) => a - b)
  return `${quantile(sorted, 0.25).toFixed(2)} to ${quantile(sorted, 0.75).toFixed(2)}`
}

const peers = values.peers.split(",") as Array<Peer>
const results: Record<string, Record<string, Array<number>>> = {}
const note = (what: string, peer: string, value: number): void => {
  ;((results[what] ??= {})[peer] ??= []).push(value)
}

for (const load of loads) {
  await measureEcho(load)
  console.error(`echo, ${load.connections} x ${load.outstanding}: ${turns} turns`)
}
for (let repetition = 0; repetition < repetitions; repetition++) {
  for (const peer of peers) {
    const idle = await measureIdle(peer)
    note("idle, heap KiB per connection", peer, idle.heap)
    note("idle, RSS KiB per connection", peer, idle.rss)
  }
  console.error(`idle: repetition ${repetition + 1} of ${repetitions}`)
}

printMachine(`${turns} turns, ${repetitions} repetitions, payload ${payloadBytes} B`)
for (const [what, byPeer] of Object.entries(results)) {
  const base = byPeer["ws"] ?? []
  for (const [peer, numbers] of Object.entries(byPeer)) {
    const ratios = numbers.map((value, i) => value / base[i]!)
    const against = peer === "ws" || base.length === 0
      ? ""
      : what.startsWith("idle")
      ? `  above ws: ${(median(numbers) - median(base)).toFixed(2)}`
      : `  ratio to ws: ${median(ratios).toFixed(2)} (${spread(ratios)})`
    console.log(`${what.padEnd(40)} ${peer.padEnd(15)} ${median(numbers).toFixed(2).padStart(8)}${against}`)
  }
}
writeResults(json, { parameters: { repetitions, turns, peers, payloadBytes, idleConnections }, results })
