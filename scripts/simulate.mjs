/**
 * `npm run simulate [-- --seeds N --hours H ...]`: builds, then runs seeds of `Simulation` one after the other: many
 * sessions, mixed faults, all laws checked. Ends with 1 when a law was broken, after the line that replays it.
 */
import * as Path from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { build, install } from "./lib/prepare.mjs"
import { exitOnFailure, root, run } from "./lib/process.mjs"
import { campaign, help, read } from "./lib/simulation.mjs"

const load = async (path) => import(pathToFileURL(Path.join(root, path)).href)

/** Room for what is young: most of what a world allocates dies soon, but not before the default room is full. */
const youngGeneration = "--max-semi-space-size=64"

const simulate = async () => {
  const args = process.argv.slice(2)
  if (args.includes("--help")) return console.log(help)
  const options = read(args)
  if (!process.execArgv.includes(youngGeneration)) {
    await install()
    const { code } = await run(process.execPath, [youngGeneration, fileURLToPath(import.meta.url), ...args])
    process.exitCode = code
    return
  }
  await build("packages/testing")
  const Simulation = await load("packages/testing/dist/Simulation.js")
  await campaign(Simulation, await load("node_modules/effect/dist/esm/Effect.js"), options)
}

simulate().catch(exitOnFailure)
