import { assert, describe, it } from "@effect/vitest"
import { settle } from "@spillway/testing/Settle"
import * as Recovery from "@spillway/workers/Recovery"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/TestClock"
import { makePool, makeRig, test } from "./support.js"

const exit = { code: 1, signal: undefined }

describe("Recovery", () => {
  it("A134 the table, case by case", () => {
    const decide = Recovery.strategy()
    const replace = (why: Recovery.Why, isForced = true) => ({ _tag: "replace", why, isForced })
    const degrade = { _tag: "degrade", delayMillis: 5000 }
    const table: ReadonlyArray<readonly [Recovery.Trouble, object]> = [
      [{ _tag: "Exited", exit }, replace("exited")],
      [{ _tag: "TimedOut", command: "c", timeoutMillis: 1 }, replace("timed out")],
      [{ _tag: "Violated", why: "nonsense" }, replace("violated")],
      [{ _tag: "ProbeFailed", failures: 1 }, degrade],
      [{ _tag: "ProbeFailed", failures: 2 }, degrade],
      [{ _tag: "ProbeFailed", failures: 3 }, replace("health check limit")],
      [{ _tag: "CheckinFailed", failures: 2, why: "x" }, degrade],
      [{ _tag: "CheckinFailed", failures: 3, why: "x" }, replace("failure limit")],
      [{ _tag: "NotReady" }, replace("not ready")],
      [{ _tag: "Abandoned", command: "c" }, replace("abandoned")],
      [{ _tag: "WornOut", limit: "age" }, replace("worn out", false)]
    ]
    for (const [trouble, action] of table) assert.deepStrictEqual<object>(decide(trouble), action)
  })

  test("A134 a worker that cannot be degraded any more is replaced", () =>
    Effect.gen(function*() {
      const rig = makeRig()
      const pool = yield* makePool({ size: 1, recovery: () => ({ _tag: "degrade", delayMillis: 1000 }) }, rig)
      rig.inject("w-0.0", { _tag: "kill" })
      yield* settle
      yield* pool.awaitFull
      assert.strictEqual(yield* pool.execute("whoami", {}), "w-0.1")
    }))

  test("A134 a policy that degrades on a timeout keeps the worker, which serves again when a probe succeeds", () =>
    Effect.gen(function*() {
      const pool = yield* makePool({
        size: 1,
        operationTimeout: "1 second",
        recovery: () => ({ _tag: "degrade", delayMillis: 500 })
      })
      const late = yield* Effect.fork(Effect.flip(pool.execute("sleep", { millis: 3000 })))
      const next = yield* Effect.fork(Effect.zipRight(Effect.yieldNow(), pool.execute("whoami", {})))
      yield* TestClock.adjust("2999 millis")
      assert.strictEqual((yield* Fiber.join(late))._tag, "OperationTimeout")
      assert.isNull(next.unsafePoll(), "its late answer is no reason to give it work")
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* Fiber.join(next), "w-0.0")
    }))

  test("A134 replacing a worker clears the bindings of its sessions", () =>
    Effect.gen(function*() {
      const rig = makeRig()
      const pool = yield* makePool({ size: 1 }, rig)
      yield* Effect.forEach(["a", "b", "c"], (session) => pool.execute("echo", 1, { session }))
      assert.strictEqual((yield* pool.status).affinity?.sessions, 3)
      rig.inject("w-0.0", { _tag: "kill" })
      yield* settle
      assert.deepInclude((yield* pool.status).affinity, { sessions: 0, workersWithSessions: 0 })
    }))

  test("A134 a timeout has one outcome: the caller is told, and the worker is replaced", () =>
    Effect.gen(function*() {
      const pool = yield* makePool({ size: 1, operationTimeout: "1 second" })
      const late = yield* Effect.fork(Effect.flip(pool.execute("sleep", { millis: 1500 })))
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(late))._tag, "OperationTimeout")
      assert.strictEqual(yield* pool.execute("whoami", {}), "w-0.1")
    }))
})
