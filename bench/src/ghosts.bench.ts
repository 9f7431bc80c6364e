/**
 * Ghosts: 5,000 sessions are opened and ended in mixed ways (clean close, reset, end of stream, silence, protocol
 * violation, each with a handler that behaves, a task that hangs, one that ignores interruption, a finalizer that
 * throws), then 50,000 are opened and killed, then SIGTERM comes in the middle of 500 more. What is left is measured, and
 * anything that should not be left fails the bench.
 *
 * `npx tsx bench/src/ghosts.bench.ts [--json FILE] [--sessions N] [--cycles N]`
 */
import * as Fs from "node:fs"
import * as Os from "node:os"
import { parseArgs } from "node:util"
import { ghosts } from "./server/ghosts.js"

const { values } = parseArgs({
  options: {
    json: { type: "string" },
    sessions: { type: "string", default: "5000" },
    cycles: { type: "string", default: "50000" }
  }
})

const options = {
  sessions: Number(values.sessions),
  cycles: Number(values.cycles),
  warmUp: 200,
  concurrency: 250,
  openAtSignal: 500
}

const figures = await ghosts(options, (line) => console.error(line))
const { after, before, cycled, heapRatio, leakBytesPerSession, signal } = figures

/** What is claimed: name, figure, and the bound that it is held against. */
const claims: ReadonlyArray<readonly [string, number | null, number]> = [
  ["sessions left (gauge)", after.sessions, 0],
  ["sockets left", after.sockets, 0],
  ["timers more than before", after.timers - before.timers, 0],
  ["stuck tasks and finalizers left", after.stuck, 0],
  ["heap against the start, after GC", Number(heapRatio.toFixed(3)), 1.1],
  [`bytes leaked per session, ${options.cycles} cycles`, Math.round(leakBytesPerSession), 1024],
  ["sessions left after the cycles", cycled.sessions, 0],
  ["exit code after SIGTERM", signal.exitCode, 0],
  ["sockets left after the drain", signal.sockets, 0],
  ["milliseconds from SIGTERM to the end", Math.round(signal.millis), 13_000]
]

console.log(
  `${Os.cpus()[0]?.model ?? "unknown CPU"}, ${Os.cpus().length} cores, Node ${process.version}, ` +
    `${options.sessions} sessions, ${options.cycles} cycles, ${options.openAtSignal} open at SIGTERM`
)
for (const [what, figure, most] of claims) {
  console.log(`${what.padEnd(45)} ${String(figure).padStart(8)}   at most ${most}`)
}
console.log(`exits: ${Object.entries(after.exits).map(([tag, n]) => `${tag} ${n}`).join(", ")}`)
if (values.json !== undefined) {
  Fs.writeFileSync(values.json, `${JSON.stringify({ node: process.version, options, figures }, null, 2)}\n`)
}
const broken = claims.filter(([, figure, most]) => figure === null || figure > most)
if (broken.length > 0) {
  console.error(`not held: ${broken.map(([what]) => what).join(", ")}`)
  process.exitCode = 1
}
