/**
 * The contract of `JobStore`, and of `EventLog` on it, as tests: a function of a name and a layer, so that memory, SQLite
 * and PostgreSQL pass the same ones. Each test builds the layer anew and uses ids of its own, so a database may be shared.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as EventLog from "../src/EventLog.js"
import * as JobEvent from "../src/JobEvent.js"
import * as JobState from "../src/JobState.js"
import { JobStore } from "../src/JobStore.js"
import { append, claimed, logOn, readAll } from "./support.js"

const seqs = (events: Iterable<JobEvent.JobEvent>) => [...events].map(({ seq }) => seq)

const upTo = (n: number) => Array.from({ length: n }, (_, index) => index + 1)

let ids = 0
const fresh = (): string => `job-${ids++}-${process.pid}`

const follow = (jobId: string, after = 0) => Stream.runCollect(EventLog.stream(jobId, after))

export const contract = (
  name: string,
  store: Layer.Layer<JobStore, unknown>,
  options: { readonly runs?: number } = {}
): void => {
  const Live = logOn(store)
  const test = <A, E>(title: string, body: Effect.Effect<A, E, EventLog.EventLog | JobStore>) =>
    it.effect(title, () => Effect.provide(body, Live))

  describe(`${name}: appends`, () => {
    test(
      "places are 1 to n without gap under concurrent emitters, in the order of each (A076, TL2)",
      Effect.gen(function*() {
        const job = yield* claimed(fresh())
        yield* append(job, JobEvent.started(1, "me"))
        yield* Effect.forEach(
          upTo(8),
          (emitter) =>
            Effect.forEach(upTo(25), (turn) => append(job, JobEvent.message({ emitter, turn })), { discard: true }),
          { concurrency: "unbounded", discard: true }
        )
        const events = yield* readAll(job.id)
        assert.deepStrictEqual(seqs(events), upTo(201))
        for (const emitter of upTo(8)) {
          const turns = events
            .map(({ data }) => data as { readonly emitter?: number; readonly turn: number })
            .filter((data) => data.emitter === emitter)
          assert.deepStrictEqual(turns.map(({ turn }) => turn), upTo(25))
        }
      })
    )

    test(
      "an append with an id that the log has changes nothing and returns the first place (TL4)",
      Effect.gen(function*() {
        const job = yield* claimed(fresh())
        yield* append(job, JobEvent.started(1, "me"))
        const first = yield* append(job, JobEvent.message("a", "one"), JobEvent.message("b", "two"))
        const again = yield* append(job, JobEvent.message("other", "one"))
        assert.deepStrictEqual(again.events, [first.events[0]!])
        assert.deepStrictEqual([first.isNew, again.isNew], [[true, true], [false]])
        const mixed = yield* append(job, JobEvent.message("b", "two"), JobEvent.message("c", "three"))
        assert.deepStrictEqual([seqs(mixed.events), mixed.isNew], [[3, 4], [false, true]])
        const twice = yield* append(job, JobEvent.message("d", "four"), JobEvent.message("e", "four"))
        assert.deepStrictEqual([seqs(twice.events), twice.isNew], [[5, 5], [true, false]])
        assert.deepStrictEqual((yield* readAll(job.id)).map(({ data }) => data).slice(1), ["a", "b", "c", "d"])
        const other = yield* claimed(fresh())
        yield* append(other, JobEvent.started(1, "me"))
        assert.deepStrictEqual((yield* append(other, JobEvent.message("x", "one"))).isNew, [true])
      })
    )

    test(
      "the terminal event and the terminal state come together, and nothing comes after (A062, TL5)",
      Effect.gen(function*() {
        const { get } = yield* JobStore
        const job = yield* claimed(fresh())
        yield* append(job, JobEvent.started(1, "me"))
        yield* append(job, JobEvent.log("working"), JobEvent.result({ sum: 3 }))
        const record = Option.getOrThrow(yield* get(job.id))
        assert.deepInclude(record.state, { status: "SUCCEEDED", seq: 3, progress: 1, result: { sum: 3 } })
        assert.strictEqual(record.owner, undefined)
        for (const entry of [JobEvent.log("late"), JobEvent.cancelled(), JobEvent.error("failed", "no")]) {
          const error = yield* Effect.flip(append(job, entry))
          assert.strictEqual(error._tag, "JobOver")
        }
        assert.strictEqual((yield* readAll(job.id)).length, 3)
        assert.deepStrictEqual(Option.getOrThrow(yield* get(job.id)), record)
      })
    )

    test(
      "entries of one append are appended all or none, and one that is refused touches no other",
      Effect.gen(function*() {
        const job = yield* claimed(fresh())
        const other = yield* claimed(fresh())
        const [refused, taken, unknown] = yield* Effect.all([
          Effect.flip(append(job, JobEvent.started(1, "me"), JobEvent.result(1), JobEvent.log("after the end"))),
          append(other, JobEvent.started(1, "me")),
          Effect.flip(append({ ...job, id: fresh() }, JobEvent.started(1, "me")))
        ], { concurrency: "unbounded" })
        assert.deepStrictEqual([refused._tag, unknown._tag], ["JobOver", "JobNotFound"])
        assert.deepStrictEqual(seqs(taken.events), [1])
        assert.deepStrictEqual(yield* readAll(job.id), [])
        const early = yield* Effect.flip(append(job, JobEvent.log("before the start")))
        assert.strictEqual(early._tag, "IllegalTransition")
      })
    )

    test(
      "an append of an older generation is fenced (TL12)",
      Effect.gen(function*() {
        const { claim } = yield* JobStore
        const old = yield* claimed(fresh())
        yield* append(old, JobEvent.started(1, "me"))
        const none = yield* claim({ jobId: old.id, owner: "other", now: 999, leaseUntil: 2_000 })
        assert.isTrue(Option.isNone(none), "the lease has not run out")
        const now = Option.getOrThrow(yield* claim({ jobId: old.id, owner: "other", now: 1_000, leaseUntil: 2_000 }))
        assert.strictEqual(now.generation, old.generation + 1)
        const error = yield* Effect.flip(append(old, JobEvent.log("I am back")))
        assert.deepInclude(error, { _tag: "Fenced", generation: old.generation, current: now.generation })
        yield* append(now, JobEvent.started(2, "other"))
        assert.deepStrictEqual(seqs(yield* readAll(old.id)), [1, 2])
      })
    )

    test(
      "any JSON comes back as it was appended",
      Effect.gen(function*() {
        const job = yield* claimed(fresh())
        yield* append(job, JobEvent.started(1, "me"))
        const values = [null, "", "it's; -- \"quoted\" \u0000 \ud83d\ude00 é", 1.5, -0.25, true, [1, [2]], {
          a: { b: [] }
        }]
        for (const value of values) yield* append(job, JobEvent.message(value))
        assert.deepStrictEqual((yield* readAll(job.id)).slice(1).map(({ data }) => data), values)
      })
    )

    test(
      "the state of a job is the fold of its events (TL7)",
      Effect.gen(function*() {
        const { get } = yield* JobStore
        const job = yield* claimed(fresh())
        const entries = [
          JobEvent.started(1, "me"),
          JobEvent.progress(0.2, "scan", "looking"),
          JobEvent.message({ file: "a" }),
          JobEvent.progress(0.1),
          JobEvent.started(2, "me"),
          JobEvent.progress(0.7, "index"),
          JobEvent.error("failed", "no more")
        ]
        for (const entry of entries) {
          yield* append(job, entry)
          const record = Option.getOrThrow(yield* get(job.id))
          assert.deepStrictEqual(record.state, JobState.fold(yield* readAll(job.id)))
        }
      })
    )

    test(
      "six hundred appends at once are all there, in order",
      Effect.gen(function*() {
        const job = yield* claimed(fresh())
        yield* append(job, JobEvent.started(1, "me"))
        const places = yield* Effect.forEach(upTo(600), (n) => append(job, JobEvent.message(n)), {
          concurrency: "unbounded"
        })
        assert.deepStrictEqual(places.map(({ events }) => events[0]!.seq), upTo(600).map((n) => n + 1))
        assert.deepStrictEqual((yield* readAll(job.id)).slice(1).map(({ data }) => data), upTo(600))
      })
    )
  })

  describe(`${name}: reads`, () => {
    test(
      "a page has as many events as it may, in items and in bytes, and always one",
      Effect.gen(function*() {
        const { read } = yield* JobStore
        const job = yield* claimed(fresh())
        yield* append(job, JobEvent.started(1, "me"))
        for (const n of upTo(5)) yield* append(job, JobEvent.message("x".repeat(98 * n)))
        const page = (after: number, itemsMax: number, bytesMax: number) =>
          Effect.map(read(job.id, after, { itemsMax, bytesMax }), seqs)
        assert.deepStrictEqual(yield* page(0, 3, 1e6), [1, 2, 3])
        assert.deepStrictEqual(yield* page(1, 100, 298), [2, 3])
        assert.deepStrictEqual(yield* page(1, 100, 297), [2])
        assert.deepStrictEqual(yield* page(5, 100, 1), [6])
        assert.deepStrictEqual(yield* page(6, 100, 1e6), [])
        assert.deepStrictEqual(yield* Effect.map(read(fresh(), 0, { itemsMax: 9, bytesMax: 9 }), seqs), [])
      })
    )

    test(
      "a stream since N delivers N+1 and later, and ends after the terminal event (A074)",
      Effect.gen(function*() {
        const job = yield* claimed(fresh())
        yield* append(job, JobEvent.started(1, "me"), ...upTo(8).map((n) => JobEvent.message(n)))
        const live = yield* Effect.fork(follow(job.id, 4))
        yield* append(job, JobEvent.result(null))
        assert.deepStrictEqual(seqs(yield* Fiber.join(live)), [5, 6, 7, 8, 9, 10])
        assert.deepStrictEqual(seqs(yield* follow(job.id, 8)), [9, 10])
        assert.deepStrictEqual(seqs(yield* follow(job.id, 10)), [])
        const error = yield* Effect.flip(follow(fresh()))
        assert.strictEqual(error._tag, "JobNotFound")
      })
    )

    test(
      "two followers each get every event, in the same order (A072)",
      Effect.gen(function*() {
        const job = yield* claimed(fresh())
        const both = yield* Effect.fork(Effect.all([follow(job.id), follow(job.id)], { concurrency: 2 }))
        yield* append(job, JobEvent.started(1, "me"))
        for (const n of upTo(300)) yield* append(job, JobEvent.message(n))
        yield* append(job, JobEvent.result(null))
        const [a, b] = yield* Fiber.join(both)
        assert.deepStrictEqual(seqs(a), upTo(302))
        assert.deepStrictEqual(Chunk.toReadonlyArray(a), Chunk.toReadonlyArray(b))
      })
    )

    it.effect(
      "replay then live is the stored log, for any moment of joining and any emission (A073, TL6)",
      () =>
        Effect.provide(
          Effect.gen(function*() {
            const plans = FastCheck.sample(
              FastCheck.record({
                bursts: FastCheck.array(FastCheck.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 12 }),
                joins: FastCheck.array(
                  FastCheck.record({
                    burst: FastCheck.nat(12),
                    yields: FastCheck.nat(12),
                    after: FastCheck.nat(30)
                  }),
                  { minLength: 1, maxLength: 4 }
                )
              }),
              { seed: 73, numRuns: options.runs ?? 20 }
            )
            for (const plan of plans) yield* joining(plan)
          }),
          logOn(store, { tailItemsMax: 16, pageItemsMax: 7 })
        )
    )
  })

  describe(`${name}: jobs`, () => {
    test(
      "a job is created once, listed by page and status, and deleted with its events",
      Effect.gen(function*() {
        const { get, insert, list, remove } = yield* JobStore
        const kind = fresh()
        const names = upTo(5).map((n) => `${kind}.${n}`)
        for (const [index, id] of names.entries()) {
          yield* insert({ id, name: kind, title: `t${index}`, input: { index }, createdAt: index })
        }
        const twice = yield* Effect.flip(insert({ id: names[0]!, name: kind, input: 0, createdAt: 9 }))
        assert.strictEqual(twice._tag, "JobExists")
        const page = yield* list({ name: kind, offset: 1, limit: 2 })
        assert.deepStrictEqual([page.total, page.items.map(({ id }) => id)], [5, [names[3]!, names[2]!]])
        assert.deepInclude(page.items[0], { title: "t3", input: { index: 3 }, createdAt: 3, queuedAt: undefined })
        const { claim } = yield* JobStore
        const job = Option.getOrThrow(yield* claim({ jobId: names[4]!, owner: "me", now: 0, leaseUntil: 9 }))
        yield* append(job, JobEvent.started(1, "me"))
        assert.strictEqual((yield* list({ name: kind, status: "RUNNING", offset: 0, limit: 9 })).total, 1)
        assert.strictEqual((yield* list({ name: kind, status: "PENDING", offset: 0, limit: 9 })).total, 4)
        assert.isTrue(yield* remove(job.id))
        assert.isFalse(yield* remove(job.id))
        assert.isTrue(Option.isNone(yield* get(job.id)))
        assert.deepStrictEqual(yield* readAll(job.id), [])
      })
    )

    test(
      "of many who claim a job at once one gets it, and one that ended cannot be claimed (A060)",
      Effect.gen(function*() {
        const { claim, enqueue, insert, release } = yield* JobStore
        const jobId = fresh()
        yield* insert({ id: jobId, name: "claims", input: null, createdAt: 0 })
        const asked = yield* Effect.all(upTo(5).map((at) => enqueue(jobId, at)), { concurrency: "unbounded" })
        assert.strictEqual(asked.filter(Boolean).length, 1)
        const claims = yield* Effect.all(
          upTo(5).map((n) => claim({ jobId, owner: `o${n}`, now: 0, leaseUntil: 100 })),
          { concurrency: "unbounded" }
        )
        const won = claims.flatMap(Option.toArray)
        assert.strictEqual(won.length, 1)
        assert.deepInclude(won[0], { generation: 1, leaseUntil: 100 })
        yield* release(jobId, 99)
        assert.isTrue(Option.isNone(yield* claim({ jobId, owner: "x", now: 50, leaseUntil: 200 })))
        yield* release(jobId, 1)
        const next = Option.getOrThrow(yield* claim({ jobId, owner: "x", now: 50, leaseUntil: 200 }))
        const forced = yield* claim({ jobId, owner: "y", now: 60, leaseUntil: 200, mayTakeOver: true })
        assert.strictEqual(Option.getOrThrow(forced).generation, next.generation + 1)
        yield* append(Option.getOrThrow(forced), JobEvent.cancelled())
        assert.isTrue(Option.isNone(yield* claim({ jobId, owner: "x", now: 1e6, leaseUntil: 2e6 })))
        assert.isFalse(yield* enqueue(jobId, 1))
      })
    )

    test(
      "jobs whose owner is gone are found, longest waiting first, and a lease that is extended holds (TL8)",
      Effect.gen(function*() {
        const { claim, claimable, insert, renew, requestCancel } = yield* JobStore
        const kind = fresh()
        const [a, b, c, d] = upTo(4).map((n) => `${kind}.${n}`) as [string, string, string, string]
        const queue = [[a, 30], [b, 10], [c, 20], [d, undefined]] as const
        for (const [id, queuedAt] of queue) yield* insert({ id, name: kind, input: null, createdAt: 0, queuedAt })
        const found = (now: number) =>
          Effect.map(claimable(now, 1_000), (jobs) => jobs.filter((job) => job.name === kind).map(({ id }) => id))
        assert.deepStrictEqual(yield* found(0), [b, c, a])
        yield* claim({ jobId: b, owner: kind, now: 0, leaseUntil: 100 })
        assert.deepStrictEqual(yield* found(99), [c, a])
        assert.deepStrictEqual(yield* found(100), [b, c, a])
        yield* requestCancel(b)
        const owned = yield* renew(kind, 500)
        assert.deepStrictEqual(owned.map(({ cancelRequested, id, leaseUntil }) => [id, leaseUntil, cancelRequested]), [
          [b, 500, true]
        ])
        assert.deepStrictEqual(yield* found(499), [c, a])
        for (const id of [a, b, c, d]) {
          const job = yield* claim({ jobId: id, owner: "end", now: 1e6, leaseUntil: 1e6 })
          yield* append(Option.getOrThrow(job), JobEvent.cancelled())
        }
        assert.deepStrictEqual(yield* found(1e9), [])
      })
    )

    test(
      "retention deletes whole ended jobs by age, then the oldest by bytes, and none that is followed (TL10)",
      Effect.gen(function*() {
        const { get, list, retain } = yield* JobStore
        const log = yield* EventLog.EventLog
        const kind = fresh()
        const jobs = yield* Effect.forEach(upTo(4), (n) => claimed(`${kind}.${n}`, kind))
        for (const job of jobs) yield* append(job, JobEvent.started(1, "me"), JobEvent.message("x".repeat(1_000)))
        const before = (yield* list({ offset: 0, limit: 1_000 })).items
        const others = before.filter(({ name }) => name !== kind).map(({ id }) => id)
        const [a, b, c] = jobs as [typeof jobs[0], typeof jobs[0], typeof jobs[0]]
        for (const job of [a, b, c]) yield* append(job, JobEvent.result(null))
        yield* Effect.scoped(Effect.gen(function*() {
          yield* log.reader(a.id, 0)
          const except = [...others, ...log.followed]
          // All ended at time 0 of the test's clock.
          const gone = yield* retain({ completedBefore: 1, bytesMax: Infinity, except })
          assert.deepStrictEqual([...gone].sort(), [b.id, c.id])
        }))
        assert.strictEqual((yield* readAll(a.id)).length, 3)
        const kept = yield* retain({ completedBefore: 0, bytesMax: 1e9, except: others })
        assert.deepStrictEqual(kept, [])
        const gone = yield* retain({ completedBefore: 0, bytesMax: 1, except: others })
        assert.deepStrictEqual(gone, [a.id])
        assert.deepStrictEqual(yield* readAll(a.id), [])
        const running = Option.getOrThrow(yield* get(jobs[3]!.id))
        assert.strictEqual(running.state.status, "RUNNING")
        assert.strictEqual((yield* readAll(running.id)).length, 2)
      })
    )
  })
}

interface Joining {
  readonly bursts: ReadonlyArray<number>
  readonly joins: ReadonlyArray<{ readonly burst: number; readonly yields: number; readonly after: number }>
}

/** Emits in bursts; followers join before one of them, each after some turns of its own. */
const joining = ({ bursts, joins }: Joining) =>
  Effect.gen(function*() {
    const job = yield* claimed(fresh())
    const total = bursts.reduce((sum, burst) => sum + burst, 2)
    yield* append(job, JobEvent.started(1, "me"))
    const followers: Array<Fiber.RuntimeFiber<Chunk.Chunk<JobEvent.JobEvent>, unknown>> = []
    for (const [index, burst] of bursts.entries()) {
      for (const { after, burst, yields } of joins) {
        if (burst % bursts.length !== index) continue
        const turns = Effect.replicateEffect(Effect.yieldNow(), yields, { discard: true })
        followers.push(yield* Effect.fork(Effect.zipRight(turns, follow(job.id, after % total))))
      }
      yield* Effect.forEach(upTo(burst), (n) => append(job, JobEvent.message(n)), {
        concurrency: "unbounded",
        discard: true
      })
    }
    yield* append(job, JobEvent.result(null))
    const stored = yield* readAll(job.id)
    assert.deepStrictEqual(seqs(stored), upTo(total))
    for (const [index, fiber] of followers.entries()) {
      const events = Chunk.toReadonlyArray(yield* Fiber.join(fiber))
      const after = stored.length - events.length
      assert.deepStrictEqual(events, stored.slice(after), `follower ${index} after ${after}`)
    }
    const log = yield* EventLog.EventLog
    assert.deepInclude(log.stats, { followers: 0, followedJobs: 0, tailItems: 0, tailBytes: 0, queuedItems: 0 })
  })
