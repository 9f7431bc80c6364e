import { assert, describe } from "@effect/vitest"
import * as Affinity from "@spillway/workers/Affinity"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/TestClock"
import { AffinityTable } from "../src/internal/affinityTable.js"
import { test } from "./support.js"

const make = (options?: Affinity.Options) => Effect.orDie(Affinity.make(options))

describe("Affinity", () => {
  test("A132 a binding is there for 300 s after its last use, is told as expired once, and then is none", () =>
    Effect.gen(function*() {
      const table = yield* make({ sweepInterval: "1 hour" })
      yield* table.bind("s", "w")
      yield* TestClock.adjust("299 seconds")
      assert.deepStrictEqual(yield* table.lookup("s"), { _tag: "Bound", workerId: "w" })
      yield* table.bind("s", "w")
      yield* TestClock.adjust("299 seconds")
      assert.deepStrictEqual(yield* table.lookup("s"), { _tag: "Bound", workerId: "w" })
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* table.stats).expiredSessions, 1)
      assert.deepStrictEqual(yield* table.lookup("s"), { _tag: "Expired", workerId: "w" })
      assert.deepStrictEqual(yield* table.lookup("s"), { _tag: "None" })
    }))

  test("A132 what nobody asks for is forgotten at the next sweep, each 60 s", () =>
    Effect.gen(function*() {
      const table = yield* make({ ttl: "90 seconds" })
      yield* table.bind("s", "w")
      yield* TestClock.adjust("119 seconds")
      assert.deepInclude(yield* table.stats, { sessions: 1, expiredSessions: 1, expiredTotal: 0 })
      yield* TestClock.adjust("1 second")
      assert.deepInclude(yield* table.stats, {
        sessions: 0,
        expiredSessions: 0,
        expiredTotal: 1,
        workersWithSessions: 0
      })
    }))

  test("A132 rebind moves a session, unbind frees it, and removing a worker frees all of its sessions", () =>
    Effect.gen(function*() {
      const table = yield* make()
      yield* Effect.forEach(["a", "b", "c"], (session) => table.bind(session, "w1"))
      yield* table.bind("c", "w2")
      assert.deepStrictEqual(yield* table.lookup("c"), { _tag: "Bound", workerId: "w2" })
      assert.isTrue(yield* table.unbind("a"))
      assert.isFalse(yield* table.unbind("a"))
      assert.deepStrictEqual(yield* table.removeWorker("w1"), ["b"])
      assert.deepStrictEqual(yield* table.lookup("b"), { _tag: "None" })
      assert.deepInclude(yield* table.stats, { sessions: 1, workersWithSessions: 1 })
    }))

  test("A132 fifty that bind, ask and unbind at once, with five that remove workers, leave nothing", () =>
    Effect.gen(function*() {
      const table = yield* make()
      const session = (index: number) =>
        Effect.gen(function*() {
          yield* table.bind(`s${index}`, `w${index % 5}`)
          yield* Effect.yieldNow()
          yield* table.lookup(`s${index}`)
          yield* Effect.yieldNow()
          yield* table.unbind(`s${index}`)
        })
      yield* Effect.all([
        ...Array.from({ length: 50 }, (_, index) => session(index)),
        ...Array.from({ length: 5 }, (_, index) => table.removeWorker(`w${index}`))
      ], { concurrency: "unbounded" })
      assert.deepInclude(yield* table.stats, { sessions: 0, workersWithSessions: 0 })
    }))

  test("A132 binding and asking costs the same however many are bound", () =>
    Effect.sync(() => {
      const table = new AffinityTable(1000)
      for (let index = 0; index < 1000; index++) table.bind(`s${index}`, `w${index % 8}`, 0)
      for (let index = 0; index < 1000; index++) {
        assert.deepStrictEqual(table.lookup(`s${index}`, 1), { _tag: "Bound", workerId: `w${index % 8}` })
      }
      assert.strictEqual(table.sessions, 1000)
    }))

  test("an option that is not usable is refused by name", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Affinity.make({ ttl: 0 }))
      assert.deepInclude(error, { _tag: "InvalidOption", module: "Affinity", key: "ttl" })
    }))
})
