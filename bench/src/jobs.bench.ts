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
import { parse, printMachine, writeResults } from "./report.js"

const { events, json, part } = parse("npx tsx bench/src/jobs.bench.ts [--json FILE] [--events N]", {
  events: 1_000_000,
  // Set by this program for itself: what to measure in this process.
  part: undefined
})

const parts: Record<string, (path: string) => Promise<object>> = {
  normal: (path) => measure.appends(path, "normal"),
  full: (path) => measure.appends(path, "full"),
  viewers: (path) => viewers(path, 1_000, { events: 500, payloadBytes: 200, pauseMillis: 0 }),
  viewersPaced: (path) => viewers(path, 1_000, { events: 200, payloadBytes: 200, pauseMillis: 50 }),
  followers: (path) => measure.followers(path, 1_000, 500),
  replay: (path) => measure.replay(path, events)
}

const self = fileURLToPath(import.meta.url)

const inChild = (part: string): object => {
  const args = [...process.execArgv, "--expose-gc", self, "--part", part, "--events", String(events)]
  return JSON.parse(execFileSync(process.execPath, args, { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] }))
}

if (part !== undefined) {
  const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "spillway-jobs-bench-"))
  const result = await parts[part]!(Path.join(folder, "jobs.db")).finally(() =>
    Fs.rmSync(folder, { recursive: true, force: true })
  )
  console.log(JSON.stringify(result))
} else {
  printMachine(`${events} events to replay`)
  const results: Record<string, object> = {}
  for (const name of Object.keys(parts)) {
    results[name] = inChild(name)
    console.log(name, results[name])
  }
  writeResults(json, { parameters: { events }, results })
}
