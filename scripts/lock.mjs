/**
 * `npm run lock`: brings package-lock.json up to date with the manifests and makes it complete. To be run after any
 * change of a dependency, instead of trusting what `npm install` left.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { complete } from "./lib/lock.mjs"
import { exitOnFailure, Failure, root, runNpm } from "./lib/process.mjs"

const path = Path.join(root, "package-lock.json")

const lock = async () => {
  const { code } = await runNpm(["install", "--package-lock-only", "--loglevel=error"])
  if (code !== 0) throw new Failure("npm could not resolve the dependencies, see its output above.")
  Fs.writeFileSync(path, `${JSON.stringify(complete(JSON.parse(Fs.readFileSync(path, "utf8"))), undefined, 2)}\n`)
}

await lock().catch(exitOnFailure)
