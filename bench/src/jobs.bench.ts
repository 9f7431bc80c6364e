/**
 * Jobs on SQLite: events that 64 producers append in a second and how long each waits for its acknowledgement, with the
 * disk waited for (FULL) and without (NORMAL), beside batches of 64 rows that `libsql` alone inserts and commits in turns
 * with them; one job of 500 events to 1,000 viewers, each a WebSocket connection to a server in another process, as fast as
 * they are durable and 20 a second; the same to 1,000 followers of its log as streams, without sockets; and the replay of a
 * million events, with the memory that it took.
 *
 * It fails when a viewer misses an event, or sees one twice or out of order, or not exactly one terminal state.
 *
 * Each part runs in a process of its own, so that the peak of its memory is its own.
 *
 * `npx tsx bench/src/jobs.bench.ts [--json FILE] [--events N]`
 */
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import * as measure from "./jobs/measure.js"
import { viewers } from "./jobs/viewers.js"

const argument = (name: string): string | undefined => {
  const index = process.argv.indexOf(name)
  return index === -1 ? undefined : process.argv[index + 1]
}

const replayed = Number(argument("--events") ?? 1_000_000)

const parts: Record<string, (path: string) => Promise<object>> = {
  normal: (path) => measure.appends(path, "normal"),
  full: (path) => measure.appends(path, "full"),
  viewers: (path) => viewers(path, 1_000, { events: 500, payloadBytes: 200, pauseMillis: 0 }),
  viewersPaced: (path) => viewers(path, 1_000, { events: 200, payloadBytes: 200, pauseMillis: 50 }),
  followers: (path) => measure.followers(path, 1_000, 500),
  replay: (path) => measure.replay(path, replayed)
}

const self = fileURLToPath(import.meta.url)

const inChild = (part: string): object => {
  const args = [...process.execArgv, "--expose-gc", self, "--part", part, "--events", String(replayed)]
  return JSON.parse(execFileSync(process.execPath, args, { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] }))
}

const part = argument("--part")
if (part !== undefined) {
  const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "spillway-jobs-bench-"))
  const result = await parts[part]!(Path.join(folder, "jobs.db")).finally(() =>
    Fs.rmSync(folder, { recursive: true, force: true })
  )
  console.log(JSON.stringify(result))
} else {
  const machine = { cpu: Os.cpus()[0]!.model, cores: Os.cpus().length, node: process.version }
  const results: Record<string, object> = {}
  for (const name of Object.keys(parts)) {
    results[name] = inChild(name)
    console.log(name, results[name])
  }
  const json = argument("--json")
  if (json !== undefined) Fs.writeFileSync(json, `${JSON.stringify({ machine, ...results }, null, 2)}\n`)
}
