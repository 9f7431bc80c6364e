/**
 * Workers that die: four worker processes in Python that take 200 ms to start, 100 sessions, 200 operations a second, and
 * every kind of real fault in turn. Every operation must end in success or a typed error within its time with its own
 * answer, the pool must be whole again within 5 s of each fault, and no process may be left. Anything else fails the bench.
 *
 * `npm run bench -- workers-chaos` runs for a minute;
 * `npx tsx bench/src/workers-chaos.bench.ts [--json FILE] [--seconds 600] [--kind python|node]`
 */
import * as Chaos from "@spillway/workers/Chaos"
import { claim, parse, printMachine, writeResults } from "./report.js"
import { chaos, type Options } from "./workers/chaos.js"

const usage = "npx tsx bench/src/workers-chaos.bench.ts [--json FILE] [--seconds N] [--kind python|node]"
const { json, kind, seconds } = parse(usage, { seconds: 60, kind: "python" })

const options: Options = {
  seconds,
  size: 4,
  sessions: 100,
  operationsPerSecond: 200,
  startMillis: 200,
  calmMillis: 1000,
  kind: kind === "node" ? "node" : "python",
  scenarios: Object.keys(Chaos.scenarios) as Array<keyof typeof Chaos.scenarios>
}

const figures = await chaos(options, (line) => console.error(line))
const { calm, happened, load, moved, orphans, rows, undead, workersEver, zombies } = figures

printMachine(`${options.kind} workers, ${seconds} s`)
const line = (cells: ReadonlyArray<unknown>) =>
  console.log(cells.map((cell, index) => index === 0 ? String(cell).padEnd(18) : String(cell).padStart(9)).join(" "))
line(["scenario", "runs", "hits", "real", "probes", "ok", "p50 ms", "max ms"])
for (const row of rows) {
  line([
    row.scenario,
    row.runs,
    row.hits,
    row.real,
    row.probes,
    row.probesSucceeded,
    row.recoveredMillisMedian,
    row.recoveredMillisMax
  ])
}
const failed = Object.values(load.failed).reduce((sum, count) => sum + count, 0)
console.log(`happened: ${Object.entries(happened).map(([kind, count]) => `${kind} ${count}`).join(", ")}`)
console.log(`failed: ${Object.entries(load.failed).map(([tag, count]) => `${tag} ${count}`).join(", ")}`)
console.log(`latency: p50 ${load.p50} ms, p99 ${load.p99} ms, max ${load.max} ms`)
console.log(`${workersEver} workers, ${moved} sessions moved, ${calm.hits} hits in the calm`)

/** What is claimed: name, figure, and the bound that it is held against. */
const claims: ReadonlyArray<readonly [string, number, number]> = [
  ["operations lost", load.started - load.succeeded - failed, 0],
  ["answers to another's question", load.wrong, 0],
  ["operations over their deadline", load.late, 0],
  ["scenarios that did not really happen", rows.reduce((sum, { real, runs }) => sum + runs - real, 0), 0],
  ["probes after a recovery that failed", rows.reduce((sum, row) => sum + row.probes - row.probesSucceeded, 0), 0],
  ["slowest recovery, ms", Math.max(...rows.map(({ recoveredMillisMax }) => recoveredMillisMax)), 5000],
  ["affinity misses in the calm", calm.misses, 0],
  ["orphans", orphans, 0],
  ["zombies", zombies, 0],
  ["workers that outlived their kill", undead, 0]
]
console.log(`${load.started} operations: ${load.succeeded} succeeded, ${failed} failed with a typed error`)
for (const [what, figure, most] of claims) {
  claim(`${what.padEnd(45)} ${String(figure).padStart(8)}   at most ${most}`, figure <= most)
}
writeResults(json, { parameters: { ...options }, results: figures })
