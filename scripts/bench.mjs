/**
 * `npm run bench [-- NAME...]`: builds, then runs the benches one after the other. Each prints its table and writes
 * `bench/results/NAME.json`. Without names all of them run, which takes some minutes. Close everything else first.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { build, install } from "./lib/prepare.mjs"
import { exitOnFailure, Failure, root, runModule } from "./lib/process.mjs"

const folder = Path.join(root, "bench/src")
const suffix = ".bench.ts"
const all = Fs.readdirSync(folder).filter((file) => file.endsWith(suffix)).map((file) => file.slice(0, -suffix.length))

const runOne = async (name) => {
  console.log(`\n# ${name}`)
  const results = Path.join(root, "bench/results", `${name}.json`)
  Fs.mkdirSync(Path.dirname(results), { recursive: true })
  const { code } = await runModule("tsx/dist/cli.mjs", [Path.join(folder, name + suffix), "--json", results])
  if (code !== 0) throw new Failure(`The bench ${name} ended with ${code}.`)
}

const bench = async () => {
  const names = process.argv.slice(2)
  if (names.includes("--help")) {
    console.log(`npm run bench [-- NAME...]; names: ${all.join(", ")}`)
    return
  }
  const unknown = names.find((name) => !all.includes(name))
  if (unknown !== undefined) throw new Failure(`No bench is called ${unknown}; there are ${all.join(", ")}.`)
  await install()
  await build("packages/node", "packages/testing", "packages/jobs", "packages/workers")
  for (const name of names.length === 0 ? all : names) await runOne(name)
}

bench().catch(exitOnFailure)
