import { assert, describe, it } from "@effect/vitest"
import { advance, settle } from "@spillway/testing/Settle"
import * as VirtualClock from "@spillway/testing/VirtualClock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as PubSub from "effect/PubSub"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as EventLog from "../src/EventLog.js"
import { makeMemory } from "../src/internal/memoryStore.js"
import { StoreFailed } from "../src/JobError.js"
import * as JobEvent from "../src/JobEvent.js"
import { JobStore } from "../src/JobStore.js"
import { gated, test } from "./logSupport.js"
import { append, claimed, readAll } from "./support.js"

const io = new StoreFailed({ operation: "commit", why: "io" })

describe("appending", () => {
  test(
    "nobody sees an event, its producer included, before the store has it (A075)",
    {},
    ({ control }) =>
      Effect.gen(function*() {
        const log = yield* EventLog.EventLog
        const job = yield* claimed("a")
        yield* append(job, JobEvent.started(1, "me"))
        const seen: Array<number> = []
        const follower = yield* Effect.fork(
          Stream.runForEach(EventLog.stream("a"), ({ seq }) => Effect.sync(() => seen.push(seq)))
        )
        yield* settle
        control.gate = yield* Deferred.make<void>()
        const producer = yield* Effect.fork(append(job, JobEvent.log("one")))
        yield* settle
        assert.deepStrictEqual([seen, producer.unsafePoll(), yield* readAll("a")].flat().length, 3)
        assert.deepStrictEqual(seen, [1])
        yield* Deferred.succeed(control.gate, undefined)
        yield* settle
        assert.deepStrictEqual(seen, [1, 2])
        assert.isTrue(Exit.isSuccess(producer.unsafePoll()!))
        yield* Fiber.interrupt(follower)
        assert.deepInclude(log.stats, { followers: 0, followedJobs: 0, tailItems: 0, tailBytes: 0 })
      })
  )

  test(
    "what comes while the store is busy is committed together, in the order of the calls",
    {},
    ({ control }) =>
      Effect.gen(function*() {
        const job = yield* claimed("a")
        yield* append(job, JobEvent.started(1, "me"))
        control.gate = yield* Deferred.make<void>()
        const first = yield* Effect.fork(append(job, JobEvent.message(0)))
        yield* settle
        const all = yield* Effect.fork(
          Effect.forEach(Array.from({ length: 49 }, (_, n) => n + 1), (n) => append(job, JobEvent.message(n)), {
            concurrency: "unbounded"
          })
        )
        yield* settle
        yield* Deferred.succeed(control.gate, undefined)
        yield* Fiber.joinAll<unknown, unknown>([first, all])
        assert.deepStrictEqual(control.commits, [1, 1, 49])
        assert.deepStrictEqual(
          (yield* readAll("a")).slice(1).map(({ data }) => data),
          Array.from({ length: 50 }, (_, n) => n)
        )
      })
  )

  test("the queue is bounded in items and in bytes, and one more fails at once (TL9)", {
    queueItemsMax: 3,
    queueBytesMax: 100
  }, ({ control }) =>
    Effect.gen(function*() {
      const log = yield* EventLog.EventLog
      const job = yield* claimed("a")
      yield* append(job, JobEvent.started(1, "me"))
      control.gate = yield* Deferred.make<void>()
      const send = (data: unknown) => Effect.zipLeft(Effect.fork(append(job, JobEvent.message(data))), settle)
      const busy = yield* send(0)
      const waiting = [yield* send("x".repeat(80)), yield* send(1)]
      const bytes = yield* Effect.flip(append(job, JobEvent.message("x".repeat(20))))
      assert.deepInclude(bytes, { _tag: "AppendQueueFull", limit: "bytes", max: 100 })
      waiting.push(yield* send(2))
      const items = yield* Effect.flip(append(job, JobEvent.message(3)))
      assert.deepInclude(items, { _tag: "AppendQueueFull", limit: "items", max: 3 })
      assert.deepInclude(log.stats, { queuedItems: 3, queuedBytes: 84 })
      yield* Deferred.succeed(control.gate, undefined)
      for (const fiber of [busy, ...waiting]) yield* Fiber.join(fiber)
      assert.deepInclude(log.stats, { queuedItems: 0, queuedBytes: 0 })
      assert.strictEqual((yield* readAll("a")).length, 5)
    }))

  test("reads never block writers: a follower that nobody reads, or whose read hangs, holds up no append (TL9)", {
    queueItemsMax: 2,
    tailItemsMax: 4
  }, ({ control }) =>
    Effect.gen(function*() {
      const log = yield* EventLog.EventLog
      const job = yield* claimed("a")
      yield* append(job, JobEvent.started(1, "me"))
      yield* Effect.scoped(Effect.gen(function*() {
        const idle = yield* log.reader("a", 0)
        const hanging = yield* log.reader("a", 0)
        const live = yield* log.reader("a", 1)
        control.readGate = yield* Deferred.make<void>()
        const stuck = yield* Effect.fork(hanging.next)
        yield* settle
        // Time stands still: whatever an append waited for would never come.
        for (let n = 1; n <= 50; n++) yield* append(job, JobEvent.message(n))
        assert.isNull(stuck.unsafePoll())
        assert.deepInclude(log.stats, { queuedItems: 0, queuedBytes: 0 })
        assert.isAtMost(log.stats.tailItems, 4, "what is held for those that are behind is bounded")
        assert.deepStrictEqual([idle.behind, live.behind], [51, 50])
        yield* Deferred.succeed(control.readGate, undefined)
        for (const reader of [idle, live]) {
          while (reader.behind > 0) yield* reader.next
          assert.strictEqual(reader.seq, 51)
        }
        assert.deepStrictEqual(Option.getOrThrow(yield* Fiber.join(stuck))[0]!.seq, 1)
      }))
    }))

  test(
    "a log that handed events to its followers through a bounded hub would wait for the slowest",
    {},
    () =>
      Effect.gen(function*() {
        const hub = yield* PubSub.bounded<number>(4)
        yield* Effect.scoped(Effect.gen(function*() {
          yield* PubSub.subscribe(hub)
          const writer = yield* Effect.fork(Effect.forEach([1, 2, 3, 4, 5], (n) => PubSub.publish(hub, n)))
          yield* settle
          assert.isNull(writer.unsafePoll())
          yield* Fiber.interrupt(writer)
        }))
      })
  )

  test(
    "interrupted while it waits an append leaves nothing, interrupted later it is entirely there",
    {},
    ({ control }) =>
      Effect.gen(function*() {
        const job = yield* claimed("a")
        yield* append(job, JobEvent.started(1, "me"))
        control.gate = yield* Deferred.make<void>()
        const taken = yield* Effect.fork(append(job, JobEvent.message("taken"), JobEvent.message("too")))
        yield* settle
        const waits = yield* Effect.fork(append(job, JobEvent.message("waits")))
        yield* settle
        yield* Fiber.interrupt(waits)
        yield* Fiber.interrupt(taken)
        yield* Deferred.succeed(control.gate, undefined)
        yield* append(job, JobEvent.message("next"))
        assert.deepStrictEqual((yield* readAll("a")).slice(1).map(({ data }) => data), ["taken", "too", "next"])
      })
  )

  test(
    "a failing store fails the appends of the batch, and the next ones go on (A075)",
    {},
    ({ control }) =>
      Effect.gen(function*() {
        const log = yield* EventLog.EventLog
        const job = yield* claimed("a")
        yield* append(job, JobEvent.started(1, "me"))
        control.fails = io
        assert.strictEqual(yield* Effect.flip(append(job, JobEvent.log("lost"))), io)
        control.fails = undefined
        const { events } = yield* append(job, JobEvent.log("kept"))
        assert.strictEqual(events[0]!.seq, 2)
        assert.deepInclude(log.stats, { failedCommits: 1, queuedItems: 0 })
      })
  )

  test(
    "a follower misses nothing when a commit that was reported as failed had happened (TL6)",
    {},
    ({ control }) =>
      Effect.gen(function*() {
        const job = yield* claimed("a")
        yield* append(job, JobEvent.started(1, "me"))
        const follower = yield* Effect.fork(Stream.runCollect(EventLog.stream("a")))
        yield* append(job, JobEvent.log("two"))
        control.lies = true
        yield* Effect.flip(append(job, JobEvent.log("three")))
        yield* append(job, JobEvent.log("four"), JobEvent.result(null))
        assert.deepStrictEqual([...(yield* Fiber.join(follower))].map(({ seq }) => seq), [1, 2, 3, 4, 5])
      })
  )

  test("an event that is too large is refused at once", { eventBytesMax: 10 }, () =>
    Effect.gen(function*() {
      const job = yield* claimed("a")
      const error = yield* Effect.flip(append(job, JobEvent.message("123456789")))
      assert.deepInclude(error, { _tag: "EventTooLarge", byteLength: 11, byteLengthMax: 10 })
    }))

  test(
    "a commit that never ends is given up, and what waits goes on",
    { commitTimeout: "30 seconds" },
    ({ control }) =>
      Effect.gen(function*() {
        const job = yield* claimed("a")
        control.gate = yield* Deferred.make<void>()
        const hangs = yield* Effect.fork(Effect.flip(append(job, JobEvent.started(1, "me"))))
        yield* advance("29 seconds")
        assert.isNull(hangs.unsafePoll())
        control.gate = undefined
        yield* advance("16 seconds")
        assert.deepInclude(yield* Fiber.join(hangs), { _tag: "StoreFailed", why: "timeout" })
        yield* append(job, JobEvent.started(1, "me"))
      })
  )

  it.effect("at its end a log takes no more and appends what waits", () =>
    Effect.gen(function*() {
      const { control, store } = gated()
      const scope = yield* Scope.make()
      const services = Layer.provideMerge(EventLog.layer(), Layer.succeed(JobStore, store))
      const context = yield* Layer.buildWithScope(services, scope)
      yield* Effect.gen(function*() {
        const job = yield* claimed("a")
        control.gate = yield* Deferred.make<void>()
        const first = yield* Effect.fork(append(job, JobEvent.started(1, "me")))
        yield* settle
        const second = yield* Effect.fork(append(job, JobEvent.log("waits")))
        yield* settle
        const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
        yield* settle
        assert.deepInclude(yield* Effect.flip(append(job, JobEvent.log("late"))), { why: "closed" })
        yield* Deferred.succeed(control.gate, undefined)
        yield* Fiber.joinAll<unknown, unknown>([first, second, closing])
        assert.strictEqual((yield* readAll("a")).length, 2)
      }).pipe(Effect.provide(context))
    }).pipe(Effect.withClock(VirtualClock.make())))
})

describe("following", () => {
  test(
    "those who have caught up share a tail in memory and leave the store alone",
    { tailItemsMax: 8 },
    ({ control }) =>
      Effect.gen(function*() {
        const log = yield* EventLog.EventLog
        const job = yield* claimed("a")
        yield* append(job, JobEvent.started(1, "me"))
        const all = yield* Effect.forEach(
          Array.from({ length: 20 }, (_, n) => n),
          () => Effect.fork(Stream.runCount(EventLog.stream("a")))
        )
        yield* settle
        const before = control.reads
        for (let n = 0; n < 50; n++) yield* append(job, JobEvent.message(n))
        yield* settle
        assert.strictEqual(control.reads - before, 0)
        assert.deepInclude(log.stats, { followers: 20, followedJobs: 1, tailItems: 8 })
        yield* append(job, JobEvent.result(null))
        assert.deepStrictEqual(yield* Fiber.joinAll(all), Array.from({ length: 20 }, () => 52))
        assert.deepInclude(log.stats, { followers: 0, followedJobs: 0, tailItems: 0, tailBytes: 0 })
      })
  )

  test(
    "a follower that joins at the end of a log that others still follow ends at once",
    {},
    () =>
      Effect.scoped(Effect.gen(function*() {
        const log = yield* EventLog.EventLog
        const job = yield* claimed("a")
        yield* append(job, JobEvent.started(1, "me"))
        yield* log.reader("a", 0)
        yield* append(job, JobEvent.result(null))
        assert.isTrue(Option.isNone(yield* (yield* log.reader("a", 2)).next))
      }))
  )

  test("a job that is deleted ends its followers with JobNotFound", {}, ({ memory }) =>
    Effect.gen(function*() {
      const log = yield* EventLog.EventLog
      const job = yield* claimed("a")
      yield* append(job, JobEvent.started(1, "me"))
      const follower = yield* Effect.fork(Effect.flip(Stream.runDrain(EventLog.stream("a"))))
      yield* settle
      yield* memory.remove("a")
      yield* log.forget("a")
      assert.strictEqual((yield* Fiber.join(follower))._tag, "JobNotFound")
    }))

  test("what another process appends to a shared store is seen within the poll interval", {
    isShared: true,
    pollInterval: "250 millis"
  }, ({ memory }) =>
    Effect.gen(function*() {
      const log = yield* EventLog.EventLog
      const job = yield* claimed("a")
      yield* append(job, JobEvent.started(1, "me"))
      yield* Effect.scoped(Effect.gen(function*() {
        const reader = yield* log.reader("a", 0)
        yield* reader.next
        const next = yield* Effect.fork(reader.next)
        yield* settle
        const at = 0
        const entries = [JobEvent.result(null)]
        yield* memory.commit([{ jobId: "a", generation: job.generation, at, entries, encoded: ["null"] }])
        yield* advance("249 millis")
        assert.isNull(next.unsafePoll())
        yield* advance("1 millis")
        const page = Option.getOrThrow(yield* Fiber.join(next))
        assert.deepStrictEqual(page.map(({ kind, seq }) => [seq, kind]), [[2, "RESULT"]])
        assert.isTrue(Option.isNone(yield* reader.next))
      }))
    }))
})

describe("options", () => {
  it.effect("one that is not usable is refused by name", () =>
    Effect.gen(function*() {
      const options = [{ queueItemsMax: 0 }, { tailBytesMax: 1.5 }, { pollInterval: 0 }, {
        commitTimeout: "soon" as any
      }]
      for (const option of options) {
        const error = yield* Effect.flip(
          Effect.scoped(Effect.provideService(EventLog.make(option), JobStore, makeMemory()))
        )
        assert.deepInclude(error, { _tag: "InvalidOption", key: Object.keys(option)[0]! })
      }
    }))
})
