/**
 * `npm run check`: everything that can be said about a change in a few minutes. `npm run check:full` adds what takes
 * longer. Steps run in order and the first failure ends the run: what comes later would often only repeat it.
 */
import * as Packages from "./lib/packages.mjs"
import { install } from "./lib/prepare.mjs"
import { exitOnFailure, Failure, root, run, runModule, runNpm } from "./lib/process.mjs"

const node24 = "24.21.0"
const typescript7 = "7.0.2"

const module = (path, ...args) => () => runModule(path, args)

const vitest = (...args) => module("vitest/vitest.mjs", "run", ...args)

/** Runs one step after the other and returns the first failure. */
const each = async (values, step) => {
  for (const value of values) {
    const result = await step(value)
    if (result.code !== 0) return result
  }
  return { code: 0 }
}

/** One program of all sources: a package for itself brings those that it imports, and they would be looked at again. */
const diagnostics = () =>
  runModule(
    "@effect/language-service/cli.js",
    ["diagnostics", "--project", "tsconfig.sources.json", "--format", "text", "--strict"],
    { capture: true }
  )

/** The diagnostics and the unit tests keep one core busy each; what the former found is printed after the tests. */
const diagnosticsAndTests = async () => {
  const [found, tests] = await Promise.all([diagnostics(), vitest("--project", "!*:live")()])
  if (found.code === 0) return tests
  console.log(found.output)
  return found
}

const docgen = () =>
  each(Packages.folders(), (folder) => runModule("@effect/docgen/bin.cjs", [], { cwd: `${root}/${folder}` }))

/** Checks the sources with the next compiler. It comes from npm's cache: as a dependency it would take over `tsc`. */
const compileWith7 = () =>
  each(
    [["-p", "tsconfig.test.json"], ["-p", "packages/spillway/tsconfig.json", "--composite", "false"]],
    (args) =>
      runNpm([
        "exec",
        "--yes",
        `--package=typescript@${typescript7}`,
        "--",
        "tsc",
        ...args,
        "--noEmit",
        "--incremental",
        "false"
      ])
  )

/** The suite on the next Node. npm's packages `node-<system>-<processor>` hold the plain binary, no script installs it. */
const suiteOn24 = async () => {
  const system = process.platform === "win32" ? "win" : process.platform
  const name = `--package=node-${system}-${process.arch}@${node24}`
  const found = await runNpm(["exec", "--yes", name, "-c", "node -p process.execPath"], { capture: true })
  const path = found.output.trim().split("\n").at(-1)
  if (found.code !== 0 || !path.includes("node")) throw new Failure(`Node ${node24} is not to be had: ${found.output}`)
  return run(path, [`${root}/node_modules/vitest/vitest.mjs`, "run"])
}

const quick = [
  { name: "format", hint: "npm run format", run: module("dprint/bin.cjs", "check") },
  { name: "lint", hint: "npm run format fixes some of it", run: module("oxlint/bin/oxlint") },
  { name: "types", run: module("typescript/bin/tsc", "-b") },
  {
    name: "effect diagnostics, unit tests and tidy",
    hint: "npm run codegen, if a generated file is out of date",
    run: diagnosticsAndTests
  }
]

const slow = [
  { name: "live tests", run: vitest("--project", "*:live", "--passWithNoTests") },
  { name: "docs", run: docgen },
  { name: "type tests", run: vitest("--config", "vitest.types.config.ts") },
  { name: "dead code", run: module("knip/bin/knip.js") },
  { name: "packed packages", run: Packages.check },
  { name: `types on TypeScript ${typescript7}`, run: compileWith7 },
  { name: `suite on Node ${node24}`, run: suiteOn24 }
]

const seconds = (start) => `${((performance.now() - start) / 1000).toFixed(1)} s`

const check = async () => {
  const start = performance.now()
  await install()
  const steps = process.argv.includes("--full") ? [...quick, ...slow] : quick
  for (const [index, { hint, name, run }] of steps.entries()) {
    const begin = performance.now()
    console.log(`\n[${index + 1}/${steps.length}] ${name}`)
    const { code } = await run()
    if (code !== 0) {
      throw new Failure(
        `\nFailed: ${name}, after ${seconds(begin)}.${hint === undefined ? "" : ` To fix it: ${hint}.`}`
      )
    }
    console.log(`ok: ${name}, ${seconds(begin)}`)
  }
  console.log(`\nAll ${steps.length} checks passed in ${seconds(start)}.`)
}

await check().catch(exitOnFailure)
