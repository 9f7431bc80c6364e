/** What the followers of one job share, and what each of them is still promised. */
import { assert, describe, it } from "@effect/vitest"
import { advance, settle } from "@spillway/testing/Settle"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as EventLog from "../src/EventLog.js"
import { StoreFailed } from "../src/JobError.js"
import * as JobEvent from "../src/JobEvent.js"
import * as JobStore from "../src/JobStore.js"
import { test } from "./logSupport.js"
import { append, claimed, logOn } from "./support.js"

const upTo = (n: number) => Array.from({ length: n }, (_, index) => index + 1)

const messages = (n: number) => upTo(n).map((value) => JobEvent.message(value))

/** A reader that has read everything there is. */
const caughtUp = (jobId: string) =>
  Effect.gen(function*() {
    const log = yield* EventLog.EventLog
    const reader = yield* log.reader(jobId, 0)
    yield* reader.next
    const waits = yield* Effect.fork(reader.next)
    yield* settle
    yield* Fiber.interrupt(waits)
    return reader
  })

describe("followers of one job", () => {
  test("are told of a batch once, together, and are handed the same page", {}, ({ control }) =>
    Effect.gen(function*() {
      const job = yield* claimed("a")
      yield* append(job, JobEvent.started(1, "me"))
      const live = yield* Effect.replicateEffect(caughtUp("a"), 20)
      const pulling = yield* Effect.replicateEffect(caughtUp("a"), 20)
      const calls: Array<ReadonlyArray<JobEvent.JobEvent>> = []
      for (const { live: follow } of live) {
        yield* Effect.fork(follow((events) => {
          calls.push(events)
          return events.length
        }))
      }
      const pages = yield* Effect.forEach(pulling, ({ next }) => Effect.fork(next))
      yield* settle
      const { reads } = control
      yield* append(job, ...messages(3))
      for (const page of pages) calls.push(Option.getOrThrow(yield* Fiber.join(page)))
      assert.strictEqual(calls.length, 40)
      assert.deepStrictEqual(calls[0]!.map(({ seq }) => seq), [2, 3, 4])
      assert.strictEqual(new Set(calls).size, 1, "one page for all of them")
      assert.strictEqual(control.reads, reads)
      yield* append(job, ...messages(2))
      assert.strictEqual(calls.length, 60, "those who follow live are told where it is appended")
      assert.deepStrictEqual([live[0]!.seq, pulling[0]!.seq], [6, 4])
    }).pipe(Effect.scoped))

  it.effect("see the log, each once and in order, however little they take and whichever way they read (A072, A073)", () => {
    const plan = FastCheck.record({
      bursts: FastCheck.array(FastCheck.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 12 }),
      // How much each call takes: most take all, some nothing.
      takes: FastCheck.array(FastCheck.array(FastCheck.nat(8), { minLength: 1, maxLength: 5 }), {
        minLength: 1,
        maxLength: 4
      })
    })
    return Effect.forEach(
      FastCheck.sample(plan, { seed: 72, numRuns: 40 }),
      ({ bursts, takes }) =>
        Effect.gen(function*() {
          const job = yield* claimed("a")
          yield* append(job, JobEvent.started(1, "me"))
          const total = bursts.reduce((sum, burst) => sum + burst, 2)
          const followers = yield* Effect.forEach(takes, (takes) =>
            Effect.fork(Effect.scoped(Effect.gen(function*() {
              const log = yield* EventLog.EventLog
              const reader = yield* log.reader("a", 0)
              const seen: Array<number> = []
              let calls = 0
              for (;;) {
                const page = yield* reader.next
                if (Option.isNone(page)) return seen
                seen.push(...page.value.map(({ seq }) => seq))
                yield* reader.live((events) => {
                  const most = takes[calls++ % takes.length]!
                  const taken = events.slice(0, most === 8 ? events.length : most)
                  seen.push(...taken.map(({ seq }) => seq))
                  return taken.length
                })
              }
            }))))
          for (const burst of bursts) {
            yield* Effect.forEach(messages(burst), (message) => append(job, message), {
              concurrency: "unbounded",
              discard: true
            })
          }
          yield* append(job, JobEvent.result(null))
          for (const follower of followers) assert.deepStrictEqual(yield* Fiber.join(follower), upTo(total))
          const log = yield* EventLog.EventLog
          assert.deepInclude(log.stats, { followers: 0, followedJobs: 0, tailItems: 0, tailBytes: 0 })
        }).pipe(Effect.provide(logOn(JobStore.layerMemory, { tailItemsMax: 16, pageItemsMax: 7 }))),
      { discard: true }
    )
  })

  test("that are interrupted while they follow live leave nothing, and lose nothing", {}, () =>
    Effect.gen(function*() {
      const job = yield* claimed("a")
      yield* append(job, JobEvent.started(1, "me"))
      const reader = yield* caughtUp("a")
      let calls = 0
      const live = yield* Effect.fork(reader.live((events) => {
        calls++
        return events.length
      }))
      yield* settle
      yield* Fiber.interrupt(live)
      yield* append(job, JobEvent.message(1))
      assert.deepStrictEqual([calls, reader.seq], [0, 1])
      assert.deepStrictEqual(Option.getOrThrow(yield* reader.next).map(({ seq }) => seq), [2])
    }).pipe(Effect.scoped))

  test("of which one is far behind: it reads the store, and the tail is no longer for that", { tailItemsMax: 4 }, ({
    control
  }) =>
    Effect.gen(function*() {
      const log = yield* EventLog.EventLog
      const job = yield* claimed("a")
      yield* append(job, JobEvent.started(1, "me"))
      const slow = yield* caughtUp("a")
      const fast = yield* caughtUp("a")
      let seen = 0
      yield* Effect.fork(fast.live((events) => {
        seen += events.length
        return events.length
      }))
      yield* settle
      const { reads } = control
      for (const message of messages(50)) yield* append(job, message)
      assert.deepInclude(log.stats, { tailItems: 4 })
      assert.deepStrictEqual([seen, slow.behind, control.reads - reads], [50, 50, 0])
      yield* slow.live(() => assert.fail("one that is behind is told nothing"))
      const page = Option.getOrThrow(yield* slow.next)
      assert.deepStrictEqual(page.map(({ seq }) => seq), upTo(50).map((n) => n + 1))
      assert.strictEqual(control.reads - reads, 1)
    }).pipe(Effect.scoped))
})

describe("followers of one job in a shared store", () => {
  /** As another process appends. */
  const elsewhere = (memory: JobStore.JobStoreShape, generation: number, entries: ReadonlyArray<JobEvent.Entry>) => {
    const encoded = entries.map(({ data }) => JSON.stringify(data))
    return memory.commit([{ jobId: "a", generation, at: 0, entries, encoded }])
  }

  const shared = { isShared: true, pollInterval: "250 millis" } as const

  test(
    "look for what others append together: one look for all of them, as one",
    shared,
    ({ control, memory }) =>
      Effect.gen(function*() {
        const job = yield* claimed("a")
        yield* append(job, JobEvent.started(1, "me"))
        const waiting = yield* Effect.replicateEffect(
          Effect.flatMap(caughtUp("a"), ({ next }) => Effect.fork(next)),
          50
        )
        const { gets, reads } = control
        yield* advance("1 second")
        // Each for itself it would be 200 of either.
        assert.deepStrictEqual([control.reads - reads, control.gets - gets], [4, 4])
        yield* elsewhere(memory, job.generation, messages(2))
        yield* advance("250 millis")
        const pages = new Set<unknown>()
        for (const fiber of waiting) pages.add(Option.getOrThrow(yield* Fiber.join(fiber)))
        assert.strictEqual(pages.size, 1)
      }).pipe(Effect.scoped)
  )

  test("see all that others appended at the next look, not a page of it", { ...shared, pageItemsMax: 10 }, (
    { memory }
  ) =>
    Effect.gen(function*() {
      const job = yield* claimed("a")
      yield* append(job, JobEvent.started(1, "me"))
      const reader = yield* caughtUp("a")
      let seen = 1
      yield* Effect.fork(Effect.forever(Effect.zipRight(
        reader.live((events) => {
          seen += events.length
          return events.length
        }),
        Effect.map(reader.next, Option.map((events) => (seen += events.length)))
      )))
      yield* settle
      yield* elsewhere(memory, job.generation, [...messages(95), JobEvent.result(null)])
      yield* advance("250 millis")
      assert.strictEqual(seen, 97)
      assert.isTrue(Option.isNone(yield* reader.next))
    }).pipe(Effect.scoped))

  test("each fail when the store does, and wait no longer when the job is deleted elsewhere", shared, (
    { control, memory }
  ) =>
    Effect.gen(function*() {
      const job = yield* claimed("a")
      yield* append(job, JobEvent.started(1, "me"))
      const readers = yield* Effect.replicateEffect(caughtUp("a"), 3)
      const failing = yield* Effect.forEach(readers, ({ next }) => Effect.fork(Effect.flip(next)))
      yield* settle
      control.readFails = new StoreFailed({ operation: "read", why: "io" })
      yield* advance("250 millis")
      for (const fiber of failing) assert.strictEqual(yield* Fiber.join(fiber), control.readFails)
      control.readFails = undefined
      const waiting = yield* Effect.forEach(readers, ({ next }) => Effect.fork(Effect.flip(next)))
      yield* settle
      yield* memory.remove("a")
      yield* advance("250 millis")
      for (const fiber of waiting) assert.strictEqual((yield* Fiber.join(fiber))._tag, "JobNotFound")
    }).pipe(Effect.scoped))
})
