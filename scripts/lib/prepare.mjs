/**
 * Brings a clone into a state where it can run: dependencies as the lock file says, packages built.
 * Both steps do nothing, in well under a second, when nothing changed.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { Failure, root, runModule, runNpm } from "./process.mjs"

const at = (...path) => Path.join(root, ...path)

const readJson = (path) => {
  try {
    return JSON.parse(Fs.readFileSync(path, "utf8"))
  } catch {
    return undefined
  }
}

/**
 * Whether `node_modules` is what the lock file describes. npm leaves a record of what it installed; the two are
 * compared entry by entry, and each folder must still be there. Packages for other systems are absent from the record.
 */
export const installState = (lock, installed, exists) => {
  if (installed === undefined) return "absent"
  const wanted = Object.entries(lock.packages).filter(([path]) => path.includes("node_modules/"))
  const stale = wanted.some(([path, entry]) => {
    const found = installed.packages[path]
    if (found === undefined) return !(entry.optional || entry.peer)
    return found.version !== entry.version || found.integrity !== entry.integrity || !exists(path)
  })
  return stale ? "stale" : "fresh"
}

/** Installs what is missing. The first time with `npm ci`; later only what differs, so that nothing is torn down. */
export const install = () =>
  alone("install", async () => {
    const lock = readJson(at("package-lock.json"))
    if (lock === undefined) {
      throw new Failure("package-lock.json is missing or damaged: restore it from the repository.")
    }
    const installed = readJson(at("node_modules", ".package-lock.json"))
    const state = installState(lock, installed, (path) => Fs.existsSync(at(path)))
    if (state === "fresh") return
    // `--include=dev`: the compiler is a development dependency, and NODE_ENV=production would leave it out.
    const npm = (...args) => {
      console.log(`Installing dependencies (npm ${args.join(" ")}) ...`)
      return runNpm([...args, "--include=dev", "--no-audit", "--no-fund", "--loglevel=error"])
    }
    // After a failed `npm ci` the forgiving way: a manifest under work and its lock file are often a step apart.
    const { code } = state === "absent" && (await npm("ci")).code === 0
      ? { code: 0 }
      : await npm("install", "--no-save")
    if (code !== 0) {
      throw new Failure(`Dependencies could not be installed: npm ended with ${code}, see its output above.`)
    }
  })

/** Builds the given TypeScript projects and what they refer to. */
export const build = (...projects) =>
  alone("build", async () => {
    const { code } = await runModule("typescript/bin/tsc", ["-b", ...projects])
    if (code !== 0) throw new Failure("The build failed, see the compiler's messages above.")
  })

/** The projects that make a complete build; tests are checked by `npm run check`, not by every run. */
export const products = () =>
  JSON.parse(Fs.readFileSync(at("tsconfig.json"), "utf8").replace(/^\s*\/\/.*$/gm, ""))
    .references.map(({ path }) => path)
    .filter((path) => !path.endsWith(".json"))

/**
 * Runs `body` while no other script of this clone is in the same step: `npm start` and `npm test` in two terminals of a
 * fresh clone would otherwise install over each other. The lock holds a process id, so one left by a crash is ignored.
 */
const alone = async (name, body) => {
  const path = at(".tmp", `${name}.lock`)
  Fs.mkdirSync(Path.dirname(path), { recursive: true })
  let told = false
  while (!tryLock(path)) {
    if (!told) console.log(`Waiting for another ${name} of this folder to end ...`)
    told = true
    await sleep(200)
  }
  const release = () => Fs.rmSync(path, { force: true })
  process.once("exit", release)
  try {
    return await body()
  } finally {
    process.off("exit", release)
    release()
  }
}

const tryLock = (path) => {
  try {
    Fs.writeFileSync(path, String(process.pid), { flag: "wx" })
    return true
  } catch (error) {
    if (error.code !== "EEXIST") throw new Failure(`Cannot write ${path}: ${error.message}`)
  }
  const holder = Number(Fs.readFileSync(path, { encoding: "utf8", flag: "a+" }))
  if (holder > 0 && isAlive(holder)) return false
  Fs.rmSync(path, { force: true })
  return false
}

const isAlive = (pid) => {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === "EPERM"
  }
}

/** Removes everything that a build made. */
export const clean = () => {
  for (const project of products()) Fs.rmSync(at(project, "dist"), { recursive: true, force: true })
  for (const entry of [".tmp", "coverage"]) Fs.rmSync(at(entry), { recursive: true, force: true })
}
