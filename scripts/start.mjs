/**
 * `npm start`: installs what is missing, builds, and becomes the flagship server (`examples/gateway`).
 *
 * The server runs in this very process: there is no launcher left over that could swallow a signal or an exit code.
 * For the same reason the npm script says `exec`: the shell of npm would otherwise stay between the two, and die of a
 * SIGTERM that it does not pass on.
 *
 * Arguments go to the server: `npm start -- --help`. The environment does too: `PORT=9000 npm start`.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { pathToFileURL } from "node:url"
import { build, install } from "./lib/prepare.mjs"
import { exitOnFailure, Failure, root } from "./lib/process.mjs"

const project = "examples/gateway"
const main = Path.join(root, project, "dist/main.js")

/**
 * Ctrl-C in a terminal reaches this process twice within a few milliseconds: once from the terminal, which signals the
 * whole process group, and once from npm, which passes on what it received. For the server a second signal means "hurry
 * up", so the echo is dropped. A person does not press the key twice within 150 ms.
 */
const dropEchoedSignals = () => {
  const echoMillis = 150
  const last = new Map()
  const emit = process.emit
  process.emit = function(event, ...args) {
    if (event === "SIGINT" || event === "SIGTERM") {
      const now = performance.now()
      if (now - (last.get(event) ?? -Infinity) < echoMillis) return true
      last.set(event, now)
    }
    return emit.call(this, event, ...args)
  }
}

const prepare = async () => {
  await install()
  await build(project)
  // The build record can outlive the files it speaks of, when somebody deleted a part of `dist`.
  if (!Fs.existsSync(main)) await build("--force", project)
  if (!Fs.existsSync(main)) throw new Failure(`${project} has no src/main.ts, so there is no server to start.`)
}

await prepare().catch(exitOnFailure)
dropEchoedSignals()
process.argv[1] = main
await import(pathToFileURL(main).href)
