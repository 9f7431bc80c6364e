/** What the bench `jobs` measures, each on a file of its own. */
import * as EventLog from "@spillway/jobs/EventLog"
import * as JobEvent from "@spillway/jobs/JobEvent"
import { JobStore } from "@spillway/jobs/JobStore"
import * as SqliteStore from "@spillway/jobs/SqliteStore"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { createRequire } from "node:module"
import { median, quantile } from "../report.js"

const payload = "x".repeat(200)
const producers = 64
const rounds = 5
const roundMillis = 1_500

const run = <A, E>(
  options: SqliteStore.Options,
  body: Effect.Effect<A, E, EventLog.EventLog | JobStore>
): Promise<A> =>
  Effect.runPromise(Effect.provide(body, Layer.provideMerge(EventLog.layer(), SqliteStore.layer(options))))

/** A job that is claimed and started, and appends to it. */
const claimed = (jobId: string) =>
  Effect.gen(function*() {
    const store = yield* JobStore
    const log = yield* EventLog.EventLog
    yield* store.insert({ id: jobId, name: "bench", input: null, createdAt: 0 })
    const claim = yield* store.claim({ jobId, owner: "me", now: 0, leaseUntil: 1e15 })
    const { generation } = Option.getOrThrow(claim)
    const append = (entries: Parameters<EventLog.EventLogShape["append"]>[2]) => log.append(jobId, generation, entries)
    yield* append([JobEvent.started(1, "me")])
    return append
  })

/** Of sorted values. */
const at = (sorted: ReadonlyArray<number>, share: number): number => Number(quantile(sorted, share).toFixed(2))

interface Database {
  readonly exec: (sql: string) => void
  readonly prepare: (sql: string) => { readonly run: (params: ReadonlyArray<unknown>) => void }
  readonly close: () => void
}

/** Rows that `libsql` inserts in a second, in transactions of as many as there are producers, in this thread. */
const raw = (path: string, synchronous: string) => {
  const load = createRequire(createRequire(import.meta.url).resolve("@spillway/jobs"))
  const database: Database = new (load("libsql"))(`${path}.raw`)
  for (const pragma of ["locking_mode = EXCLUSIVE", "journal_mode = WAL", `synchronous = ${synchronous}`]) {
    database.exec(`PRAGMA ${pragma}`)
  }
  database.exec("CREATE TABLE event (job TEXT, seq INT, data TEXT, PRIMARY KEY (job, seq)) WITHOUT ROWID")
  const insert = database.prepare("INSERT INTO event VALUES (?, ?, ?)")
  let seq = 0
  const round = (): number => {
    const begin = performance.now()
    let count = 0
    while (performance.now() - begin < roundMillis) {
      database.exec("BEGIN IMMEDIATE")
      seq++
      for (let job = 0; job < producers; job++) insert.run([`job-${job}`, seq, payload])
      database.exec("COMMIT")
      count += producers
    }
    return count / (performance.now() - begin) * 1_000
  }
  return { round, close: () => database.close() }
}

/** 64 producers, each with a job of its own, that append one event after the other; in turns with `raw`. */
export const appends = (path: string, synchronous: "normal" | "full") => {
  const bare = raw(path, synchronous)
  const body = Effect.gen(function*() {
    const jobs = yield* Effect.forEach(Array.from({ length: producers }, (_, n) => `job-${n}`), claimed)
    const waits: Array<number> = []
    const produce = (append: typeof jobs[number], until: number) =>
      Effect.gen(function*() {
        let count = 0
        while (performance.now() < until) {
          const begin = performance.now()
          yield* append([JobEvent.message(payload)])
          waits.push(performance.now() - begin)
          count++
        }
        return count
      })
    const log = yield* EventLog.EventLog
    const round = Effect.gen(function*() {
      const begin = performance.now()
      const counts = yield* Effect.forEach(jobs, (append) => produce(append, begin + roundMillis), {
        concurrency: "unbounded"
      })
      return counts.reduce((sum, count) => sum + count, 0) / (performance.now() - begin) * 1_000
    })
    yield* round
    bare.round()
    waits.length = 0
    const before = log.stats
    const ours: Array<number> = []
    const theirs: Array<number> = []
    for (let i = 0; i < rounds; i++) {
      ours.push(yield* round)
      theirs.push(bare.round())
    }
    waits.sort((a, b) => a - b)
    const { appended, commits } = log.stats
    return {
      producers,
      eventsPerSecond: Math.round(median(ours)),
      rawLibsqlRowsPerSecond: Math.round(median(theirs)),
      eventsInACommit: Number(((appended - before.appended) / (commits - before.commits)).toFixed(1)),
      acknowledgementMillis: { p50: at(waits, 0.5), p99: at(waits, 0.99), worst: at(waits, 1) }
    }
  })
  return run({ path, synchronous }, body).finally(() => bare.close())
}

const megabytes = (bytes: number): number => Math.round(bytes / 1024 / 1024)

/** One job that so many follow while it is written. Each of them checks that it sees all of it in order. */
export const followers = (path: string, viewers: number, events: number) =>
  run(
    { path },
    Effect.gen(function*() {
      const append = yield* claimed("one")
      const follow = Stream.runFold(EventLog.stream("one"), 0, (last, { seq }) => {
        if (seq !== last + 1) throw new Error(`place ${seq} after ${last}`)
        return seq
      })
      const fibers = yield* Effect.replicateEffect(Effect.fork(follow), viewers)
      const begin = performance.now()
      for (let n = 0; n < events; n++) yield* append([JobEvent.message(payload)])
      globalThis.gc!()
      const held = process.memoryUsage().heapUsed
      const { events: [end] } = yield* append([JobEvent.result(null)])
      const written = performance.now()
      for (const fiber of fibers) {
        if ((yield* Fiber.join(fiber)) !== end!.seq) throw new Error("a follower did not see the end")
      }
      const seconds = (performance.now() - begin) / 1_000
      return {
        viewers,
        events,
        deliveriesPerSecond: Math.round(viewers * events / seconds),
        behindAtTheEndMillis: Math.round(performance.now() - written),
        heapMegabytesAfterCollection: megabytes(held),
        peakRssMegabytes: megabytes(process.resourceUsage().maxRSS * 1024)
      }
    })
  )

/** Reads a log from its beginning, and looks at what is held meanwhile. */
export const replay = (path: string, events: number) =>
  run(
    { path },
    Effect.gen(function*() {
      const append = yield* claimed("long")
      const batch = Array.from({ length: 500 }, () => JobEvent.message(payload))
      for (let n = 0; n < events; n += batch.length) yield* append(batch)
      yield* append([JobEvent.result(null)])
      globalThis.gc!()
      const before = { heap: process.memoryUsage().heapUsed, rss: process.memoryUsage().rss }
      const peak = { ...before }
      const begin = performance.now()
      const last = yield* Stream.runFold(EventLog.stream("long"), 0, (last, { seq }) => {
        if (seq !== last + 1) throw new Error(`place ${seq} after ${last}`)
        if (seq % 1_000 === 0) {
          const { heapUsed, rss } = process.memoryUsage()
          peak.heap = Math.max(peak.heap, heapUsed)
          peak.rss = Math.max(peak.rss, rss)
        }
        return seq
      })
      if (last !== events + 2) throw new Error(`${last} events instead of ${events + 2}`)
      return {
        events,
        eventsPerSecond: Math.round(events / (performance.now() - begin) * 1_000),
        heapMegabytes: { before: megabytes(before.heap), peak: megabytes(peak.heap) },
        rssMegabytes: { before: megabytes(before.rss), peak: megabytes(peak.rss) }
      }
    })
  )
