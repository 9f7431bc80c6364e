/**
 * What slow readers and too much do to everybody else, over loopback, with full supervised sessions and default policies.
 *
 * - `isolation`: 100 sessions, 1,000 messages of 1 KiB a second; then ten stop reading. Plain `ws` beside it.
 * - `scale`: 500 streams and 1,800 idle sessions; then a tenth of the streams reads a tenth of what is published.
 * - `sustained`: the most that 100 sessions are carried with, and the latency of each lane at 80 % of it.
 * - `overload`: 20 sessions that read 1 MiB a second each are offered three times that for a minute.
 *
 * It fails when what is claimed does not hold; the claims are printed with the figures. Server and load generator are
 * processes of their own, each on its core where `taskset` is there.
 *
 * `npx tsx bench/src/slow.bench.ts [--json FILE] [--only NAME,...] [--seconds N] [--overload-seconds N] [--repetitions N]`
 */
import { canPin, pinGenerator, pinning } from "./pin.js"
import { claim, median, parse, printMachine, refuse, writeResults } from "./report.js"
import { lanes } from "./slow/protocol.js"
import { isolation, overload, type Percentiles, scale, sustained } from "./slow/scenarios.js"

const usage = "npx tsx bench/src/slow.bench.ts [--json FILE] [--only isolation,scale,sustained,overload] " +
  "[--seconds N] [--overload-seconds N] [--repetitions N]"

const { json, only, "overload-seconds": overloadSeconds, repetitions, seconds } = parse(usage, {
  only: "isolation,scale,sustained,overload",
  seconds: 20,
  "overload-seconds": 60,
  repetitions: 3
})

const millis = ({ p50, p95, p99 }: Percentiles): string =>
  `p50 ${p50.toFixed(1)}, p95 ${p95.toFixed(1)}, p99 ${p99.toFixed(1)} ms`

const results: Record<string, unknown> = {}

/** What the stalled sessions may hold at most: 10 outboxes of 1 MiB with 64 KiB below; and 10 MB for all else. */
const grownMegabytesMax = 10 * (1_048_576 + 65_536) / 1e6 + 10

const measureIsolation = async (): Promise<void> => {
  const runs = []
  for (let i = 0; i < repetitions; i++) {
    runs.push({ ws: await isolation("ws", seconds), spillway: await isolation("spillway", seconds) })
    console.error(`isolation: ${i + 1} of ${repetitions}`)
  }
  results["isolation"] = runs
  for (const peer of ["ws", "spillway"] as const) {
    for (const { [peer]: one } of runs) {
      console.log(
        `  ${peer.padEnd(9)} before: ${millis(one.before)}; during: ${millis(one.during)}; ` +
          `grown ${one.grownMegabytes.toFixed(1)} MB, fast got ${(one.fastReceived * 100).toFixed(1)} %`
      )
    }
  }
  const ours = runs.map(({ spillway }) => spillway)
  const ratio = median(ours.map(({ during }) => during.p99)) / median(ours.map(({ before }) => before.p99))
  claim(`p99 with stalled readers is at most 1.2 times that without (${ratio.toFixed(2)})`, ratio <= 1.2)
  const grown = median(ours.map(({ grownMegabytes }) => grownMegabytes))
  claim(`memory grows by at most ${grownMegabytesMax.toFixed(1)} MB (${grown.toFixed(1)})`, grown <= grownMegabytesMax)
  claim("those that read miss nothing", ours.every(({ fastReceived }) => fastReceived === 1))
  const naive = median(runs.map(({ ws }) => ws.grownMegabytes))
  claim(`plain ws grows by more than that (${naive.toFixed(1)} MB)`, naive > grownMegabytesMax)
}

const measureScale = async (): Promise<void> => {
  const runs = []
  for (let i = 0; i < repetitions; i++) runs.push(await scale(seconds))
  results["scale"] = runs
  for (const one of runs) {
    console.log(
      `  none slow: ${millis(one.without)}; a tenth slow: ${millis(one.withSlow)}; event loop p99 ` +
        `${one.delayP99Millis.toFixed(1)} ms, ${one.slowClosed} slow ones closed, slow got ${
          (one.slowReceived * 100).toFixed(0)
        } %`
    )
  }
  const ratio = median(runs.map(({ withSlow }) => withSlow.p99)) / median(runs.map(({ without }) => without.p99))
  claim(`fast p99 is at most 1.5 times that without slow ones (${ratio.toFixed(2)})`, ratio <= 1.5)
  const delay = median(runs.map(({ delayP99Millis }) => delayP99Millis))
  claim(`event-loop delay p99 below 50 ms (${delay.toFixed(1)})`, delay < 50)
  claim("nobody but slow ones was closed", runs.every(({ othersClosed }) => othersClosed === 0))
  claim("the slow ones were slow", runs.every(({ slowReceived }) => slowReceived < 0.5))
}

const measureSustained = async (): Promise<void> => {
  const runs = []
  for (let i = 0; i < repetitions; i++) runs.push(await sustained(seconds))
  results["sustained"] = runs
  for (const one of runs) {
    console.log(
      `  carried ${one.deliveriesMax} deliveries/s, not ${one.notCarried}; at ${one.deliveries}/s: event loop p99 ` +
        `${one.delayP99Millis.toFixed(1)} ms, ${(one.cpuShare * 100).toFixed(0)} % of a core, ${one.lost} lost`
    )
    for (const lane of lanes) console.log(`    ${lane.padEnd(10)} ${millis(one.latency[lane])}`)
    console.log(`    critical alone, at rest: ${millis(one.idle)}`)
  }
  const delay = median(runs.map(({ delayP99Millis }) => delayP99Millis))
  claim(`at 80 %: event-loop delay p99 below 50 ms (${delay.toFixed(1)})`, delay < 50)
  const p99 = median(runs.map(({ latency }) => latency.critical.p99))
  claim(`at 80 %: p99 of critical below 50 ms (${p99.toFixed(1)})`, p99 < 50)
  claim("at 80 %: no critical and no important is lost", runs.every(({ lost }) => lost === 0))
}

const measureOverload = async (): Promise<void> => {
  const one = await overload(overloadSeconds)
  results["overload"] = one
  console.log(
    `  resident: at most ${one.early.toFixed(0)} MB early, ${one.late.toFixed(0)} MB late; event loop p99 ` +
      `${one.delayP99Millis.toFixed(1)} ms; afterwards ${millis(one.afterwards)}`
  )
  console.log(`  shed ${JSON.stringify(one.shed)}; gaps seen ${JSON.stringify(one.gaps)}`)
  claim("memory is level: late at most early and a tenth", one.late <= one.early * 1.1)
  claim("every session got every critical", one.criticalMissing === 0 && one.sessions === 20)
  claim("what was shed is what clients saw as gaps", lanes.every((lane) => one.shed[lane] === one.gaps[lane]))
  claim("something was shed", one.shed.bulk > 0)
  const after = one.recoveredAfterSeconds
  claim(`back to normal within 10 s (${after?.toFixed(1)})`, after !== undefined && after <= 10)
}

const measures: { readonly [name: string]: () => Promise<void> } = {
  isolation: measureIsolation,
  scale: measureScale,
  sustained: measureSustained,
  overload: measureOverload
}

const chosen = only.split(",")
const unknown = chosen.find((name) => measures[name] === undefined)
if (unknown !== undefined) refuse(`nothing is called ${unknown}`, usage)
pinGenerator()
printMachine(
  `${pinning}; ` +
    `${seconds} s a run, overload ${overloadSeconds} s, ${repetitions} repetitions`
)
for (const name of chosen) {
  console.log(name)
  await measures[name]!()
}
writeResults(json, { parameters: { seconds, overloadSeconds, repetitions, isPinned: canPin }, results })
process.exit()
