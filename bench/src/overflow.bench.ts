/**
 * The default policy beside the adaptive one, in simulation: one session on a link with a rate, the same load for both.
 * Virtual time and a seed, so every machine prints the same.
 *
 * `npx tsx bench/src/overflow.bench.ts [--json FILE] [--seconds N] [--seed N]`
 */
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Overflow from "spillway/Overflow"
import { type LaneResult, loads, type Result, run } from "./overflow/world.js"
import { parse, printMachine, writeResults } from "./report.js"

const usage = "npx tsx bench/src/overflow.bench.ts [--json FILE] [--seconds N] [--seed N]"
const { json, seconds, seed } = parse(usage, { seconds: 60, seed: 1 })

const policies = [["default", Overflow.layerDefault], ["adaptive", Overflow.layerAdaptive]] as const

const cell = ({ delivered, offered, p50, p99 }: LaneResult): string =>
  `${(delivered / offered * 100).toFixed(0).padStart(3)} % ${p50.toFixed(0).padStart(6)} ${p99.toFixed(0).padStart(6)}`

const results: Array<{ readonly load: string; readonly policy: string; readonly result: Result }> = []
printMachine(`${seconds} s, seed ${seed}: delivered, and age on arrival in ms, p50 and p99`)
console.log(`${"".padEnd(42)}${["critical", "important", "bulk"].map((lane) => lane.padEnd(21)).join("")}`)
for (const load of loads) {
  for (const [policy, layer] of policies) {
    const quiet = Effect.provide(run(load, layer, seconds, seed), Logger.remove(Logger.defaultLogger))
    const result = await Effect.runPromise(quiet)
    results.push({ load: load.name, policy, result })
    const cells = [result.critical, result.important, result.bulk].map((lane) => cell(lane).padEnd(21))
    console.log(`${(policy === "default" ? load.name : "").padEnd(33)}${policy.padEnd(9)}${cells.join("")}`)
  }
}
writeResults(json, { parameters: { seconds, seed }, results })
