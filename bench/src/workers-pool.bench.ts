/**
 * What an operation on a pool costs: Spillway's workers in memory, as threads and as processes, beside piscina and
 * workerpool (threads), and the external process path beside a bare length-prefixed pipe. Small payloads, two workers, eight
 * callers, the same loop for all; the subjects take turns and the median of each is reported. CPU time is that of the
 * process with its threads, and of its child processes.
 *
 * `npx tsx bench/src/workers-pool.bench.ts [--json FILE] [--rounds N] [--millis N]`
 */
import { spawnSync } from "node:child_process"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import { parse } from "./report.js"

const usage = "npx tsx bench/src/workers-pool.bench.ts [--json FILE] [--rounds N] [--millis N]"
const values = parse(usage, { rounds: 5, millis: 1_500 })

const root = Path.resolve(Path.dirname(fileURLToPath(import.meta.url)), "../..")

const node = (...args: ReadonlyArray<string>): void => {
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: "inherit" })
  if (status !== 0) process.exit(status ?? 1)
}

node(Path.join(root, "node_modules/typescript/bin/tsc"), "-b", "bench")
node(Path.join(root, "bench/dist/src/workers/pools.js"), JSON.stringify(values))
