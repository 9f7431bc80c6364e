import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as EventLog from "../src/EventLog.js"
import type { Statement } from "../src/internal/sql.js"
import * as client from "../src/internal/sqliteClient.js"
import * as sqlStore from "../src/internal/sqlStore.js"
import { StoreFailed } from "../src/JobError.js"
import * as JobEvent from "../src/JobEvent.js"
import * as JobState from "../src/JobState.js"
import { JobStore, type JobStoreShape } from "../src/JobStore.js"
import * as SqliteStore from "../src/SqliteStore.js"
import { contract } from "./contract.js"
import { append, claimed, logOn } from "./support.js"

const folder = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "spillway-jobs-"))),
  (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true }))
)

const file = Effect.map(folder, (path) => Path.join(path, "jobs.db"))

const inFolder = (options: Partial<SqliteStore.Options> = {}) =>
  Layer.scoped(JobStore, Effect.flatMap(file, (path) => SqliteStore.make({ path, ...options })))

contract("store in a file (A080)", inFolder())

// `node:sqlite` came with Node 22.5: where it is missing there is nothing to test.
if ("getBuiltinModule" in process && process.getBuiltinModule("node:sqlite") !== undefined) {
  contract("store in a file through node:sqlite (A080)", inFolder({ driver: "node" }), { runs: 5 })
}

describe("a file", () => {
  it.scopedLive("is held by whoever opened it, and the next one gets StoreLocked until then (TL12)", () =>
    Effect.gen(function*() {
      const path = yield* file
      const first = yield* Scope.make()
      yield* Scope.extend(SqliteStore.make({ path }), first)
      const refused = yield* Effect.flip(Effect.scoped(SqliteStore.make({ path, lockTimeout: "100 millis" })))
      assert.deepInclude(refused, { _tag: "StoreLocked", path })
      yield* Scope.close(first, Exit.void)
      yield* Effect.scoped(SqliteStore.make({ path }))
    }))

  it.scopedLive("keeps what was acknowledged, in both modes, for whoever opens it next (TL1)", () =>
    Effect.gen(function*() {
      for (const synchronous of ["normal", "full"] as const) {
        const path = yield* file
        const on = logOn(SqliteStore.layer({ path, synchronous }))
        const record = yield* Effect.provide(
          Effect.gen(function*() {
            const job = yield* claimed("a")
            yield* append(job, JobEvent.started(1, "me"), JobEvent.message({ n: 1 }))
            return (yield* append(job, JobEvent.result("done"))).record
          }),
          on
        )
        const [found, events] = yield* Effect.provide(
          Effect.all([
            Effect.flatMap(JobStore, ({ get }) => get("a")),
            Effect.flatMap(EventLog.EventLog, (log) => log.read("a", 0))
          ]),
          on
        )
        assert.deepStrictEqual(Option.getOrThrow(found), record)
        assert.deepStrictEqual(events.map(({ seq }) => seq), [1, 2, 3])
      }
    }))

  it.scopedLive("that cannot be opened, and a disk that is full, are typed failures, after which the log goes on", () =>
    Effect.gen(function*() {
      const path = yield* folder
      const error = yield* Effect.flip(
        Effect.scoped(SqliteStore.make({ path: Path.join(path, "no", "such", "folder") }))
      )
      assert.strictEqual(error._tag, "StoreFailed")
      const executor = yield* open(Path.join(path, "full.db"))
      const store = sqlStore.make(yield* client.sqlOf(executor))
      yield* Effect.provide(
        Effect.gen(function*() {
          const job = yield* claimed("a")
          yield* append(job, JobEvent.started(1, "me"))
          const limit = (pages: number) => executor.execute("limit", [query(`PRAGMA max_page_count = ${pages}`)], false)
          yield* limit(1)
          const big = JobEvent.message("x".repeat(100_000))
          const full = yield* Effect.flip(append(job, big))
          assert.deepInclude(full, { _tag: "StoreFailed", operation: "append", why: "full" })
          yield* limit(1_000_000)
          assert.strictEqual((yield* append(job, big)).events[0]!.seq, 2)
        }),
        logOn(Layer.succeed(JobStore, store))
      )
    }))
})

const query = (sql: string): Statement => ({ sql, many: [[]], returns: true })

const open = (path: string) =>
  client.worker({
    path,
    driver: client.libsqlPath(),
    pragmas: ["PRAGMA locking_mode = EXCLUSIVE", "PRAGMA journal_mode = WAL"],
    schema: sqlStore.schema(client.dialect.tableOptions),
    timeoutMillis: 250
  })

/** After a failure of the medium the file is opened anew, which takes a while: one in seven is enough. */
const whyOf = (n: number): StoreFailed["why"] => n % 7 === 0 ? "io" : n % 2 === 0 ? "full" : "busy"

/** Fails one statement, before it is run or after it was. The rest of its request is not run, as with a real failure. */
const failing = (executor: client.Executor) => {
  const control = { failAt: 0, moment: "before" as "before" | "after", count: 0, failed: 0 }
  const wrapped: client.Executor = {
    execute: (operation, statements, reopen) =>
      Effect.suspend(() => {
        const first = control.count + 1
        control.count += statements.length
        const index = control.failAt - first
        if (index < 0 || index >= statements.length) return executor.execute(operation, statements, reopen)
        control.failed++
        const run = statements.slice(0, control.moment === "before" ? index : index + 1)
        const failure = new StoreFailed({ operation, why: whyOf(control.failAt) })
        return Effect.zipRight(executor.execute(operation, run, reopen), Effect.fail(failure))
      })
  }
  return { control, wrapped }
}

/** Everything that a job goes through; what failed is noted, and the rest goes on. */
const life = (store: JobStoreShape, jobId: string) =>
  Effect.gen(function*() {
    const failures: Array<unknown> = []
    const acknowledged: Array<JobEvent.JobEvent> = []
    const attempted: Array<unknown> = []
    const tryIt = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A | undefined> =>
      Effect.catchAll(effect, (error) => Effect.sync(() => void failures.push(error)))
    const created = tryIt(store.insert({ id: jobId, name: "sweep", input: null, createdAt: 0, queuedAt: 0 }))
    if ((yield* created) === undefined) yield* created
    const claim = tryIt(store.claim({ jobId, owner: "me", now: 0, leaseUntil: 9, mayTakeOver: true }))
    const first = yield* claim
    const { generation } = Option.getOrThrow(first ?? (yield* claim) ?? Option.none())
    const entries = [
      JobEvent.started(1, "me"),
      JobEvent.message("one", "one"),
      JobEvent.message("two", "two"),
      JobEvent.message("one", "one"),
      JobEvent.result("out")
    ]
    for (const entry of entries) {
      attempted.push(entry.data)
      const encoded = [JSON.stringify(entry.data)]
      const append = Effect.flatMap(
        store.commit([{ jobId, generation, at: 0, entries: [entry], encoded }]),
        ([outcome]) => Either.isLeft(outcome!) ? Effect.fail(outcome.left) : Effect.succeed(outcome!.right)
      )
      // As a producer does that does not know: it tries again, with the same id.
      const appended = (yield* tryIt(append)) ?? (yield* tryIt(append))
      if (appended !== undefined) acknowledged.push(appended.events[0]!)
    }
    yield* tryIt(store.renew("me", 10))
    // What touches no event of this job: each may fail, and none may change the log.
    yield* tryIt(store.get(jobId))
    yield* tryIt(store.list({ offset: 0, limit: 1 }))
    yield* tryIt(store.read(jobId, 0, { itemsMax: 9, bytesMax: 1e6 }))
    yield* tryIt(store.claimable(0, 1))
    yield* tryIt(store.enqueue(jobId, 1))
    yield* tryIt(store.requestCancel(jobId))
    yield* tryIt(store.release(jobId, generation))
    yield* tryIt(store.retain({ completedBefore: -1, bytesMax: 1e9, except: [] }))
    yield* tryIt(removed(store, `${jobId}-gone`))
    return { acknowledged, attempted, failures }
  })

/** A job that is deleted: entirely, or it is still there. */
const removed = (store: JobStoreShape, jobId: string) =>
  Effect.gen(function*() {
    yield* store.insert({ id: jobId, name: "sweep", input: null, createdAt: 0 })
    const claim = yield* store.claim({ jobId, owner: "me", now: 0, leaseUntil: 9 })
    const { generation } = Option.getOrThrow(claim)
    yield* store.commit([{ jobId, generation, at: 0, entries: [JobEvent.started(1, "me")], encoded: ["{}"] }])
    yield* store.remove(jobId)
  })

describe("a store whose I/O fails", () => {
  it.scopedLive(
    "for every n: when operation n fails once, it fails with a type, and after reopening the log is whole (TL1, TL2, TL3, TL4, TL5, TL7, TL11)",
    () =>
      Effect.gen(function*() {
        const executor = yield* open(yield* file)
        const { control, wrapped } = failing(executor)
        const store = sqlStore.make(yield* client.sqlOf(wrapped))
        control.count = 0
        yield* life(store, "clean")
        const operations = control.count
        assert.isAbove(operations, 40)
        const lives: Array<{ readonly jobId: string } & Effect.Effect.Success<ReturnType<typeof life>>> = []
        for (const moment of ["before", "after"] as const) {
          for (let n = 1; n <= operations; n++) {
            const jobId = `${moment}-${n}`
            Object.assign(control, { count: 0, failAt: n, moment, failed: 0 })
            lives.push({ jobId, ...(yield* life(store, jobId)) })
            assert.strictEqual(control.failed, 1, jobId)
          }
        }
        control.failAt = 0
        yield* executor.execute("reopen", [query("SELECT 1")], true)
        for (const { acknowledged, attempted, failures, jobId } of lives) {
          const events = yield* store.read(jobId, 0, { itemsMax: 99, bytesMax: 1e9 })
          const record = Option.getOrThrow(yield* store.get(jobId))
          // A terminal event that was there after all makes the second try JobOver, and so on: what counts is the log.
          const tags = failures.map((error) => (error as { readonly _tag: string })._tag)
          assert.include(tags, "StoreFailed", jobId)
          assert.deepStrictEqual(events.map(({ seq }) => seq), events.map((_, index) => index + 1), jobId)
          for (const event of acknowledged) assert.deepStrictEqual(events[event.seq - 1], event, jobId)
          for (const { data } of events) assert.deepInclude(attempted, data, jobId)
          assert.deepStrictEqual(events.filter(({ id }) => id === "one").length, 1, jobId)
          assert.deepStrictEqual(events.filter(({ kind }) => JobEvent.isTerminal(kind)).length, 1, jobId)
          assert.deepStrictEqual(record.state, JobState.fold(events), jobId)
          // Of what was to be deleted either all is there or nothing.
          const left = Option.map(yield* store.get(`${jobId}-gone`), ({ state }) => state.seq)
          const orphans = yield* store.read(`${jobId}-gone`, 0, { itemsMax: 9, bytesMax: 1e6 })
          assert.strictEqual(orphans.length, Option.getOrElse(left, () => 0), jobId)
        }
      })
  )
})
