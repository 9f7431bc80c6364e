/**
 * Ghosts: 5,000 sessions are opened and ended in mixed ways (clean close, reset, end of stream, silence, protocol
 * violation, each with a handler that behaves, a task that hangs, one that ignores interruption, a finalizer that
 * throws), then 50,000 are opened and killed, then SIGTERM comes in the middle of 500 more. What is left is measured, and
 * anything that should not be left fails the bench.
 *
 * `npx tsx bench/src/ghosts.bench.ts [--json FILE] [--sessions N] [--cycles N]`
 */
import { claim, parse, printMachine, writeResults } from "./report.js"
import { ghosts } from "./server/ghosts.js"

const usage = "npx tsx bench/src/ghosts.bench.ts [--json FILE] [--sessions N] [--cycles N]"
const { cycles, json, sessions } = parse(usage, { sessions: 5_000, cycles: 50_000 })

const options = {
  sessions,
  cycles,
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
  [`bytes leaked per session, ${cycles} cycles`, Math.round(leakBytesPerSession), 1024],
  ["sessions left after the cycles", cycled.sessions, 0],
  ["exit code after SIGTERM", signal.exitCode, 0],
  ["sockets left after the drain", signal.sockets, 0],
  ["milliseconds from SIGTERM to the end", Math.round(signal.millis), 13_000]
]

printMachine(`${sessions} sessions, ${cycles} cycles, ${options.openAtSignal} open at SIGTERM`)
for (const [what, figure, most] of claims) {
  claim(`${what.padEnd(45)} ${String(figure).padStart(8)}   at most ${most}`, figure !== null && figure <= most)
}
console.log(`exits: ${Object.entries(after.exits).map(([tag, n]) => `${tag} ${n}`).join(", ")}`)
writeResults(json, { parameters: options, results: figures })
