import { assert, describe } from "@effect/vitest"
import { settle } from "@spillway/testing/Settle"
import type * as WorkerPool from "@spillway/workers/WorkerPool"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/TestClock"
import { makePool, makeRig, test } from "./support.js"

const whoami = (
  pool: WorkerPool.WorkerPoolShape,
  session: string,
  affinity?: "hint" | "strictQueue" | "strictFailFast"
) => Effect.map(pool.execute("whoami", {}, { session, affinity }), String)

/** Keeps the worker of a session busy. */
const occupy = (pool: WorkerPool.WorkerPoolShape, session: string, millis: number) =>
  Effect.zipLeft(Effect.fork(pool.execute("sleep", { millis }, { session })), settle)

describe("affinity of a pool", () => {
  test("A131 consecutive operations of one session use the same worker; the rate is 1", () =>
    Effect.gen(function*() {
      const pool = yield* makePool({ size: 4 })
      const session = (name: string) =>
        Effect.gen(function*() {
          const first = yield* whoami(pool, name)
          for (let count = 1; count <= 20; count++) {
            assert.strictEqual(yield* whoami(pool, name), first)
            yield* Effect.yieldNow()
          }
          return first
        })
      const workers = yield* Effect.all(Array.from({ length: 8 }, (_, index) => session(`s${index}`)), {
        concurrency: "unbounded"
      })
      const { affinity } = yield* pool.status
      assert.deepInclude(affinity, { rate: 1, misses: 0, first: 8, hits: 160, sessions: 8 })
      const perWorker = [...new Set(workers)].map((id) => workers.filter((other) => other === id).length)
      assert.deepStrictEqual(perWorker, [2, 2, 2, 2], "new sessions go where the fewest are")
    }))

  test("A131 counter: a pool that records affinity and does not consult it scores far below 1", () =>
    Effect.gen(function*() {
      const pool = yield* makePool({ size: 4, affinity: "none" })
      const seen = new Map<string, unknown>()
      let hits = 0
      for (let count = 0; count < 100; count++) {
        const name = `s${count % 7}`
        const worker = yield* whoami(pool, name)
        if (seen.get(name) === worker) hits++
        seen.set(name, worker)
      }
      assert.isBelow(hits, 50)
    }))

  test("A131 a session whose worker dies is bound to another at once, and that is a miss", () =>
    Effect.gen(function*() {
      const rig = makeRig()
      const pool = yield* makePool({ size: 2 }, rig)
      const first = yield* whoami(pool, "s")
      rig.inject(first, { _tag: "kill" })
      yield* settle
      const second = yield* whoami(pool, "s")
      assert.notStrictEqual(second, first)
      assert.strictEqual(yield* whoami(pool, "s"), second)
      assert.deepInclude((yield* pool.status).affinity, { first: 1, misses: 1, hits: 1, rate: 0.5 })
    }))

  test("hint: waits 100 ms for its own worker, then takes another one and stays there", () =>
    Effect.gen(function*() {
      const pool = yield* makePool({ size: 2 })
      const own = yield* whoami(pool, "s")
      yield* occupy(pool, "s", 90)
      const patient = yield* Effect.fork(whoami(pool, "s"))
      yield* TestClock.adjust("90 millis")
      assert.strictEqual(yield* Fiber.join(patient), own)
      yield* occupy(pool, "s", 1000)
      const moved = yield* Effect.fork(whoami(pool, "s"))
      yield* TestClock.adjust("99 millis")
      assert.isNull(moved.unsafePoll())
      yield* TestClock.adjust("1 millis")
      const other = yield* Fiber.join(moved)
      assert.notStrictEqual(other, own)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* whoami(pool, "s"), other)
    }))

  test("hint: an operation that waits for a worker which dies goes on with another at once", () =>
    Effect.gen(function*() {
      const rig = makeRig()
      const pool = yield* makePool({ size: 2, affinity: { wait: "5 seconds" } }, rig)
      const own = yield* whoami(pool, "s")
      yield* occupy(pool, "s", 60_000)
      const waiting = yield* Effect.fork(whoami(pool, "s"))
      yield* settle
      rig.inject(own, { _tag: "kill" })
      yield* settle
      assert.notStrictEqual(yield* Fiber.join(waiting), own)
    }))

  test("strictQueue: waits for its own worker and no other, and ends with QueueTimeout", () =>
    Effect.gen(function*() {
      const pool = yield* makePool({ size: 2, affinity: { mode: "strictQueue" } })
      const own = yield* whoami(pool, "s")
      yield* occupy(pool, "s", 4000)
      const waiting = yield* Effect.fork(whoami(pool, "s"))
      yield* TestClock.adjust("4 seconds")
      assert.strictEqual(yield* Fiber.join(waiting), own)
      yield* occupy(pool, "s", 6000)
      const late = yield* Effect.fork(Effect.flip(whoami(pool, "s")))
      yield* TestClock.adjust("5 seconds")
      const error = yield* Fiber.join(late)
      assert.deepInclude(error, { _tag: "QueueTimeout", sessionId: "s", workerId: own, waitedMillis: 5000 })
      assert.strictEqual((yield* pool.status).idle, 1, "another one was free all the time")
    }))

  test("strictQueue: two first operations of one session at once end up on one worker", () =>
    Effect.gen(function*() {
      const pool = yield* makePool({ size: 2, affinity: { mode: "strictQueue" } })
      const others = yield* Effect.replicateEffect(Effect.fork(pool.execute("sleep", { millis: 1000 })), 2)
      yield* settle
      const fibers = yield* Effect.replicateEffect(
        Effect.fork(pool.execute("sleep", { millis: 10 }, { session: "s" })),
        3
      )
      yield* TestClock.adjust("2 seconds")
      assert.lengthOf(new Set(yield* Fiber.joinAll(fibers)), 1)
      yield* Fiber.joinAll(others)
    }))

  test("strictFailFast: a busy worker is an error at once", () =>
    Effect.gen(function*() {
      const pool = yield* makePool({ size: 2 })
      const own = yield* whoami(pool, "s")
      yield* occupy(pool, "s", 1000)
      const error = yield* Effect.flip(whoami(pool, "s", "strictFailFast"))
      assert.deepInclude(error, { _tag: "Busy", sessionId: "s", workerId: own })
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* whoami(pool, "s", "strictFailFast"), own)
    }))

  test("strict: when the worker is gone, everybody who waited for it is told, and the next operation binds anew", () =>
    Effect.gen(function*() {
      const rig = makeRig()
      const pool = yield* makePool({ size: 2, affinity: { mode: "strictQueue" } }, rig)
      const own = yield* whoami(pool, "s")
      yield* whoami(pool, "idle")
      yield* whoami(pool, "t")
      yield* occupy(pool, "s", 60_000)
      const waiting = yield* Effect.replicateEffect(Effect.fork(Effect.flip(whoami(pool, "s"))), 2)
      yield* settle
      rig.inject(own, { _tag: "kill" })
      yield* settle
      for (const fiber of waiting) {
        assert.deepInclude(yield* Fiber.join(fiber), { _tag: "Gone", sessionId: "s", workerId: own })
      }
      assert.notStrictEqual(yield* whoami(pool, "s"), own)
      assert.strictEqual((yield* Effect.flip(whoami(pool, "t")))._tag, "Gone")
      assert.notStrictEqual(yield* whoami(pool, "t"), own)
    }))

  test("A132 a binding of a pool ends 300 s after its last operation", () =>
    Effect.gen(function*() {
      const pool = yield* makePool({ size: 2 })
      yield* whoami(pool, "s")
      yield* TestClock.adjust("299 seconds")
      yield* whoami(pool, "s")
      yield* TestClock.adjust("299 seconds")
      assert.deepInclude((yield* pool.status).affinity, { sessions: 1, hits: 1 })
      yield* TestClock.adjust("61 seconds")
      assert.deepInclude((yield* pool.status).affinity, { sessions: 0, expiredTotal: 1 })
      yield* whoami(pool, "s")
      assert.deepInclude((yield* pool.status).affinity, { sessions: 1, first: 2, misses: 0 })
    }))

  test("a session's lease ends with its scope and pins no worker", () =>
    Effect.gen(function*() {
      const pool = yield* makePool({ size: 2 })
      yield* Effect.scoped(Effect.gen(function*() {
        const session = yield* pool.session("s")
        const [first, second] = [yield* session.execute("whoami", {}), yield* session.execute("whoami", {})]
        assert.strictEqual(first, second)
        assert.strictEqual((yield* pool.status).affinity?.sessions, 1)
      }))
      assert.strictEqual((yield* pool.status).affinity?.sessions, 0)
      // Also when the session is interrupted with an operation under way.
      const fiber = yield* Effect.fork(Effect.scoped(
        Effect.flatMap(pool.session("t"), (session) => session.execute("sleep", { millis: 500 }))
      ))
      yield* settle
      yield* Fiber.interrupt(fiber)
      assert.strictEqual((yield* pool.status).affinity?.sessions, 0)
      yield* TestClock.adjust("500 millis")
      assert.deepInclude(yield* pool.status, { idle: 2, busy: 0 })
    }))

  test("A133 a pool without affinity reports and keeps none; one with it does; both shut down, again and again", () =>
    Effect.gen(function*() {
      for (let round = 0; round < 3; round++) {
        yield* Effect.scoped(Effect.gen(function*() {
          const basic = yield* makePool({ size: 2, affinity: "none" })
          const enhanced = yield* makePool({ size: 2 })
          yield* Effect.all([whoami(basic, "s"), whoami(enhanced, "s")])
          assert.isUndefined((yield* basic.status).affinity)
          assert.strictEqual((yield* enhanced.status).affinity?.sessions, 1)
        }))
      }
    }))
})
