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

const argument = (name: string): string | undefined => {
  const index = process.argv.indexOf(name)
  return index === -1 ? undefined : process.argv[index + 1]
}

const rounds = Number(argument("--rounds") ?? 500)
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

const json = argument("--json")
if (json !== undefined) {
  const machine = { node: process.version, cpus: Os.cpus().length, model: Os.cpus()[0]?.model ?? "" }
  Fs.writeFileSync(json, `${JSON.stringify({ machine, kills, seconds, acknowledged, jobs, resumed, lost }, null, 2)}\n`)
}
