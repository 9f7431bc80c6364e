/**
 * What all benches do in the same way: options and usage, the line about the machine, claims that can fail, and the form of
 * the results. It leaves to each what it measures and how it prints that.
 */
import { spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"

/** The commit that is checked out, as far as there is one and git can tell. */
const headCommit = (): string | undefined => {
  const { status, stdout } = spawnSync("git", ["rev-parse", "--short", "HEAD"], {
    cwd: fileURLToPath(new URL(".", import.meta.url)),
    encoding: "utf8"
  })
  return status === 0 ? stdout.trim() : undefined
}

/** Taken at the start: a long bench measures what was checked out then. */
export const machine = {
  cpu: Os.cpus()[0]?.model.trim() ?? "unknown CPU",
  cores: Os.cpus().length,
  node: process.version,
  commit: headCommit()
}

/** What ran, on what, and with which parameters, in one line. */
export const printMachine = (parameters: string): void => {
  const { commit, cores, cpu, node } = machine
  const load = Os.loadavg()[0]!.toFixed(1)
  console.log(`${cpu}, ${cores} cores, load ${load}, Node ${node}, commit ${commit ?? "unknown"}; ${parameters}`)
}

/** Ends the process with 2 and the usage: it was asked for what there is not. */
export const refuse = (message: string, usage: string): never => {
  console.error(`${message}\n${usage}`)
  return process.exit(2)
}

type Defaults = { readonly [name: string]: number | string | boolean | undefined }

/** A default says what its option takes; `undefined` is that of a text that may be missing. */
type Values<D> = {
  readonly [K in keyof D]: D[K] extends number ? number
    : D[K] extends boolean ? boolean
    : D[K] extends string ? string
    : string | undefined
}

/** Values of the options of a bench, and of `--json FILE`. `--help` prints the usage and ends with 0. */
export const parse = <const D extends Defaults>(
  usage: string,
  defaults: D,
  args: ReadonlyArray<string> = process.argv.slice(2)
): Values<D & { readonly json: undefined }> => {
  const all: Defaults = { json: undefined, help: false, ...defaults }
  const typeOf = (name: string) => typeof all[name] === "boolean" ? "boolean" as const : "string" as const
  const options = Object.fromEntries(Object.keys(all).map((name) => [name, { type: typeOf(name) }]))
  const values = { ...all }
  try {
    for (const [name, given] of Object.entries(parseArgs({ args: [...args], options }).values)) {
      const isNumber = typeof all[name] === "number"
      if (isNumber && Number.isNaN(Number(given))) throw new Error(`--${name} takes a number, not ${String(given)}`)
      values[name] = isNumber ? Number(given) : given as string | boolean
    }
  } catch (error) {
    refuse((error as Error).message, usage)
  }
  if (values["help"] === true) {
    console.log(usage)
    process.exit(0)
  }
  return values as unknown as Values<D & { readonly json: undefined }>
}

/** Prints a claim and whether it holds. One that does not makes the run a failure. */
export const claim = (text: string, holds: boolean): void => {
  console.log(`  ${holds ? "holds" : "FAILS"}: ${text}`)
  if (!holds) process.exitCode = 1
}

/** What a run leaves behind as JSON. */
export interface Run {
  readonly parameters: { readonly [name: string]: unknown }
  readonly results: unknown
}

/** Writes `{ machine, parameters, results }`, the form of everything in `bench/results`, if there is a path. */
export const writeResults = (path: string | undefined, { parameters, results }: Run): void => {
  if (path === undefined) return
  Fs.writeFileSync(path, `${JSON.stringify({ machine, parameters, results }, undefined, 2)}\n`)
}

/** Of values in order, the one below which this share of them is; 1 is the greatest. NaN of none. */
export const quantile = (sorted: ReadonlyArray<number>, share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN

/** Of values in any order, the mean of the middle two if they are even in number. NaN of none. */
export const median = (values: ReadonlyArray<number>): number => {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}
