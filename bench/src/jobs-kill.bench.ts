/**
 * `kill -9` of a process that writes jobs, at random moments: 500 times, unless `--rounds` says otherwise.
 *
 * `npx tsx bench/src/jobs-kill.bench.ts [--rounds N] [--json FILE]`
 */
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import { killRounds } from "./jobs/kill.js"
import { parse, printMachine, writeResults } from "./report.js"

const { json, rounds } = parse("npx tsx bench/src/jobs-kill.bench.ts [--rounds N] [--json FILE]", { rounds: 500 })
printMachine(`${rounds} rounds`)
const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "spillway-jobs-kill-"))
const begin = performance.now()

const totals = await killRounds({
  path: Path.join(folder, "jobs.db"),
  rounds,
  command: [process.execPath, "--import", "tsx", fileURLToPath(new URL("jobs/main.ts", import.meta.url))],
  random: Math.random,
  onRound: (round, { acknowledged, jobs }) => {
    if (round % 10 === 0) console.log(`${round} of ${rounds} kills, ${jobs} jobs, ${acknowledged} acknowledged events`)
  }
}).finally(() => Fs.rmSync(folder, { recursive: true, force: true }))

const seconds = Math.round((performance.now() - begin) / 1000)
const { acknowledged, jobs, kills, lost, resumed } = totals
console.log(
  `${kills} kills in ${seconds} s: ${acknowledged} acknowledged events in ${jobs} jobs, none lost, no gap, none twice; ` +
    `${resumed} jobs resumed, ${lost} marked lost, none forgotten`
)
writeResults(json, { parameters: { rounds }, results: { kills, seconds, acknowledged, jobs, resumed, lost } })
