/**
 * Fan-out over loopback: one publisher inside the server, N subscribers. Spillway (full supervised sessions, default
 * policies, metrics, one topic of its hub) beside a floor in Node, plain `ws`, Socket.IO, Effect's own `PubSub` with the
 * platform's `Socket`, a stream of Effect RPC and, where it is installed, the NATS server.
 *
 * Each server is a process of its own, pinned to one core where `taskset` is there, the load generator (plain sockets and a
 * counter of messages, the same for all) to another. All servers live at the same time and take turns, so that what else the
 * machine does is shared fairly. The steady figure is the CPU seconds of the server process for a million deliveries; the one
 * to quote is the median of its ratios to plain `ws`, turn by turn.
 *
 * `npx tsx bench/src/fanout.bench.ts [--json FILE] [--turns N] [--deliveries N] [--peers ws,rpc,...] [--cells 1000x128x1,...]`
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { createRequire } from "node:module"
import { fileURLToPath } from "node:url"
import { Subscribers } from "./fanout/client.js"
import { natsInstalled } from "./fanout/nats.js"
import { marker, type Peer, type Protocol, protocols } from "./fanout/protocol.js"
import type { Order, Reading } from "./fanout/server.js"
import { canPin, onServerCore, pinGenerator, pinning } from "./pin.js"
import { median, parse, printMachine, refuse, writeResults } from "./report.js"

const usage =
  "npx tsx bench/src/fanout.bench.ts [--json FILE] [--turns N] [--deliveries N] [--cells SUBSCRIBERSxBYTESxPER_TICK,...] " +
  `[--peers ${Object.keys(protocols).join(",")}]`

interface Cell {
  readonly subscribers: number
  readonly payloadBytes: number
  readonly perTick: number
}

const allCells = [100, 1_000, 5_000].flatMap((subscribers) =>
  [128, 1_024].flatMap((payloadBytes) => [1, 4, 16].map((perTick) => `${subscribers}x${payloadBytes}x${perTick}`))
)

const { deliveries: deliveriesPerTurn, json, turns, ...values } = parse(usage, {
  turns: 5,
  deliveries: 100_000,
  peers: Object.keys(protocols).join(","),
  cells: allCells.join(",")
})

const asked = values.peers.split(",").map((name): Peer =>
  Object.hasOwn(protocols, name) ? name as Peer : refuse(`--peers knows no ${name}`, usage)
)
const nats = natsInstalled()
const peers = asked.filter((peer) => peer !== "nats" || "version" in nats)
if (peers.length < asked.length && "reason" in nats) console.log(`nats is left out: ${nats.reason}`)

/** Packages whose version says what a peer is. Those of Spillway are at the commit. */
const packagesOf: { readonly [P in Peer]?: ReadonlyArray<string> } = {
  ws: ["ws"],
  socketio: ["socket.io"],
  platform: ["effect", "@effect/platform-node"],
  rpc: ["@effect/rpc"]
}
const require = createRequire(import.meta.url)
const versions = Object.fromEntries([
  ...new Set(["effect", "ws", ...peers.flatMap((peer) => packagesOf[peer] ?? [])])
].map((name) => [name, (require(`${name}/package.json`) as { readonly version: string }).version]))
if (peers.includes("nats") && "version" in nats) versions["nats-server"] = nats.version

const cells = values.cells.split(",").map((text): Cell => {
  const [subscribers, payloadBytes, perTick] = text.split("x").map(Number) as [number, number, number]
  if (payloadBytes < marker.length) refuse(`--cells takes payloads of ${marker.length} bytes and more`, usage)
  return { subscribers, payloadBytes, perTick }
})

/**
 * Bytes under way to one subscriber at most: half of what a new connection may have (Linux begins with a window of 65,535), so
 * that every write is taken at once and writing is what is measured.
 */
const windowBytes = 32 * 1024

pinGenerator()

interface Server {
  readonly peer: Peer
  readonly child: ChildProcess
  readonly subscribers: Subscribers
}

const nextMessage = <A>(child: ChildProcess): Promise<A> =>
  new Promise((resolve, reject) => {
    const exited = (code: number | null): void => reject(new Error(`the server exited with ${code}`))
    child.once("exit", exited)
    child.once("message", (message) => {
      child.off("exit", exited)
      resolve(message as A)
    })
  })

const start = async (peer: Peer, count: number): Promise<Server> => {
  const file = fileURLToPath(new URL("./fanout/server.ts", import.meta.url))
  const command = [process.execPath, ...process.execArgv, file, peer]
  const [program, ...args] = onServerCore(command)
  const child = spawn(program, args, { stdio: ["ignore", "inherit", "inherit", "ipc"] })
  const { port } = await nextMessage<{ readonly port: number }>(child)
  const protocol: Protocol = protocols[peer]
  const subscribers = await Subscribers.connect(port, count, protocol)
  // What a protocol says at its start is over, and everybody is subscribed.
  await new Promise((resolve) => setTimeout(resolve, 1_000))
  return { peer, child, subscribers }
}

const stop = ({ child, subscribers }: Server): Promise<void> =>
  new Promise((resolve) => {
    child.once("exit", () => resolve())
    subscribers.close()
    child.disconnect()
  })

const cpuSeconds = async ({ child }: Server): Promise<number> => {
  const reading = nextMessage<Reading>(child)
  child.send({ ticks: 0, perTick: 0, payloadBytes: 0 } satisfies Order)
  return (await reading).cpuSeconds
}

/** CPU seconds of the server for a million deliveries, and deliveries a second, over one turn. */
const measure = async (server: Server, cell: Cell, deliveries: number) => {
  const { payloadBytes, perTick, subscribers } = cell
  const ticksAtOnce = Math.max(1, Math.floor(windowBytes / (payloadBytes * perTick)))
  const ticks = Math.ceil(deliveries / (subscribers * perTick))
  server.subscribers.reset()
  const before = await cpuSeconds(server)
  const startedAt = performance.now()
  for (let done = 0; done < ticks;) {
    const now = Math.min(ticksAtOnce, ticks - done)
    done += now
    const received = server.subscribers.receivedAll(done * perTick * subscribers)
    server.child.send({ ticks: now, perTick, payloadBytes } satisfies Order)
    await received
  }
  const seconds = (performance.now() - startedAt) / 1000
  const made = ticks * perTick * subscribers
  return { cpuPerMillion: (await cpuSeconds(server) - before) / made * 1e6, perSecond: made / seconds }
}

interface Row {
  readonly cell: Cell
  readonly peer: Peer
  readonly cpuPerMillion: Array<number>
  readonly perSecond: Array<number>
}

const rows: Array<Row> = []
const rowOf = (cell: Cell, peer: Peer): Row => {
  const found = rows.find((row) => row.cell === cell && row.peer === peer)
  if (found !== undefined) return found
  const row: Row = { cell, peer, cpuPerMillion: [], perSecond: [] }
  rows.push(row)
  return row
}

/** Ratios to plain `ws` in the same turn. */
const ratios = (row: Row): ReadonlyArray<number> => {
  const base = rows.find(({ cell, peer }) => cell === row.cell && peer === "ws")
  return base === undefined ? [] : row.cpuPerMillion.map((value, i) => value / base.cpuPerMillion[i]!)
}

/** Sockets of all peers are open at the same time, here one each; Node has raised the limit as far as it goes. */
const filesMax = Number(spawnSync("sh", ["-c", "ulimit -n"], { encoding: "utf8" }).stdout.trim()) || Infinity
const filesSpare = 200

for (const count of new Set(cells.map(({ subscribers }) => subscribers))) {
  if (count * peers.length + filesSpare > filesMax) {
    console.error(`${count} x ${peers.length} peers is left out: ${filesMax} files may be open; narrow it by --peers`)
    continue
  }
  const servers: Array<Server> = []
  for (const peer of peers) servers.push(await start(peer, count))
  for (const cell of cells.filter(({ subscribers }) => subscribers === count)) {
    // More per turn where a delivery costs little, so that every turn takes long enough to be measured.
    const deliveries = deliveriesPerTurn * Math.max(1, cell.perTick / 2)
    for (const server of servers) await measure(server, cell, deliveries)
    for (let turn = 0; turn < turns; turn++) {
      for (const server of servers) {
        const { cpuPerMillion, perSecond } = await measure(server, cell, deliveries)
        const row = rowOf(cell, server.peer)
        row.cpuPerMillion.push(cpuPerMillion)
        row.perSecond.push(perSecond)
      }
    }
    console.error(`${count} x ${cell.payloadBytes} B x ${cell.perTick}: ${turns} turns`)
  }
  for (const server of servers) await stop(server)
}

printMachine(
  `${pinning}; ` +
    `CPU seconds of the server for a million deliveries, medians of ${turns}`
)
console.log(Object.entries(versions).map(([name, version]) => `${name} ${version}`).join(", "))
console.log(
  `${"subscribers x bytes x per tick".padEnd(32)}${"peer".padEnd(10)}${"CPU s".padStart(8)}   ratio to ws (min to max)`
)
for (const row of rows) {
  const { payloadBytes, perTick, subscribers } = row.cell
  const all = ratios(row)
  const against = all.length === 0
    ? ""
    : `${median(all).toFixed(3).padStart(8)} (${Math.min(...all).toFixed(3)} to ${Math.max(...all).toFixed(3)})`
  console.log(
    `${`${subscribers} x ${payloadBytes} x ${perTick}`.padEnd(32)}${row.peer.padEnd(10)}` +
      `${median(row.cpuPerMillion).toFixed(3).padStart(8)}${against}`
  )
}
const results = rows.map((row) => ({
  subscribers: row.cell.subscribers,
  payloadBytes: row.cell.payloadBytes,
  perTick: row.cell.perTick,
  peer: row.peer,
  cpuSecondsPerMillion: median(row.cpuPerMillion),
  ratioToWs: median(ratios(row)),
  ratios: ratios(row),
  deliveriesPerSecond: median(row.perSecond)
}))
writeResults(json, { parameters: { turns, deliveriesPerTurn, peers, versions, cells, isPinned: canPin }, results })
