import { assert, describe } from "@effect/vitest"
import * as Retry from "@spillway/workers/Retry"
import * as WorkerError from "@spillway/workers/WorkerError"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as TestClock from "effect/TestClock"
import { test } from "./support.js"

/** The times of all attempts of something that always fails, and its last error. */
const attempts = (options: Retry.Options) =>
  Effect.gen(function*() {
    const times: Array<number> = []
    const failing = Effect.flatMap(Clock.currentTimeMillis, (now) => Effect.fail(`attempt ${times.push(now)}`))
    const fiber = yield* Effect.fork(Effect.flip(Effect.retry(failing, Retry.schedule(options))))
    yield* TestClock.adjust("1 hour")
    return { times, pauses: times.slice(1).map((at, index) => at - times[index]!), error: yield* Fiber.join(fiber) }
  }).pipe(Effect.withRandom(Random.make("retry")))

describe("Retry", () => {
  test("A135 linear, exponential, fibonacci and own pauses; attempts are exact and the last error is kept", () =>
    Effect.gen(function*() {
      const cases: ReadonlyArray<readonly [Retry.Backoff, ReadonlyArray<number>]> = [
        ["linear", [1000, 2000, 3000, 4000, 5000]],
        ["exponential", [1000, 2000, 4000, 8000, 16_000]],
        ["fibonacci", [1000, 1000, 2000, 3000, 5000]],
        [(attempt, previous) => attempt * 10 + previous, [10, 30, 60, 100, 150]]
      ]
      for (const [backoff, expected] of cases) {
        const { error, pauses } = yield* attempts({ backoff, attemptsMax: 6, jitterRatio: 0 })
        assert.deepStrictEqual(pauses, expected)
        assert.strictEqual(error, "attempt 6")
      }
      assert.lengthOf((yield* attempts({})).times, 3, "three by default")
      assert.lengthOf((yield* attempts({ attemptsMax: 1 })).times, 1)
    }))

  test("A135 no pause is longer than the cap of 30 s", () =>
    Effect.gen(function*() {
      const { pauses } = yield* attempts({ attemptsMax: 9 })
      assert.strictEqual(Math.max(...pauses), 30_000)
    }))

  test("A135 jitter keeps a pause within a quarter of its length, on both sides", () =>
    Effect.gen(function*() {
      const { pauses } = yield* attempts({ backoff: () => 1000, attemptsMax: 200 })
      assert.isTrue(pauses.every((millis) => millis >= 749 && millis <= 1251))
      assert.isTrue(pauses.some((millis) => millis < 850) && pauses.some((millis) => millis > 1150))
    }))

  test("A135 decorrelated pauses lie between the base and three times the pause before", () =>
    Effect.gen(function*() {
      const { pauses } = yield* attempts({ backoff: "decorrelated", attemptsMax: 50 })
      for (const [index, millis] of pauses.entries()) {
        const most = Math.min(30_000, Math.max(1000, 3 * (pauses[index - 1] ?? 0)))
        assert.isTrue(millis >= 999 && millis <= most + 3, `${millis} of ${most}`)
      }
      assert.isAbove(new Set(pauses).size, 10)
    }))

  test("A135 what is not worth another attempt is not repeated, and what is unknown only if idempotent", () =>
    Effect.gen(function*() {
      const count = (error: WorkerError.WorkerError, isIdempotent: boolean) =>
        Effect.gen(function*() {
          let calls = 0
          const failing = Effect.suspend(() => {
            calls++
            return Effect.fail(error)
          })
          const fiber = yield* Effect.fork(Effect.flip(Retry.operation(failing, { isIdempotent })))
          yield* TestClock.adjust("1 hour")
          assert.strictEqual(yield* Fiber.join(fiber), error)
          return calls
        })
      const where = { workerId: "w", command: "c" }
      const no = new WorkerError.RemoteError({ ...where, type: "No", explanation: "no" })
      const late = new WorkerError.OperationTimeout({ ...where, timeoutMillis: 1 })
      const full = new WorkerError.PoolSaturated({ queueItemsMax: 1 })
      assert.strictEqual(yield* count(no, true), 1)
      assert.strictEqual(yield* count(late, false), 1)
      assert.strictEqual(yield* count(late, true), 3)
      assert.strictEqual(yield* count(full, false), 3)
    }))
})
