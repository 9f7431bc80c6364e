import { assert, describe, it } from "@effect/vitest"
import * as Array from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Tasks from "../src/Tasks.js"
import {
  advance,
  ended,
  growth,
  isRunning,
  label,
  type Logged,
  logging,
  readMetrics,
  settle,
  stubborn,
  timed
} from "./taskSupport.js"

/** Items that record how many of them run at once, and in which order they started. */
const meter = () => {
  const started: Array<number> = []
  let running = 0
  const seen = { peak: 0, started, finished: 0 }
  const item = (index: number, millis = 100) =>
    Effect.acquireUseRelease(
      Effect.sync(() => {
        started.push(index)
        seen.peak = Math.max(seen.peak, ++running)
      }),
      () => Effect.as(Effect.sleep(millis), index),
      () =>
        Effect.sync(() => {
          running--
          seen.finished++
        })
    )
  return { item, seen }
}

const values = (results: ReadonlyArray<Tasks.GatherResult<unknown, unknown>>) =>
  results.map(({ exit }) => Exit.isSuccess(exit) ? exit.value : "failed")

const indices = (results: ReadonlyArray<Tasks.GatherResult<unknown, unknown>>) => results.map(({ index }) => index)

/** Runs while so much time passes. */
const inTime = <A, E>(effect: Effect.Effect<A, E>, duration: Parameters<typeof Effect.sleep>[0]) =>
  Effect.gen(function*() {
    const fiber = yield* timed(effect)
    yield* advance(duration)
    const { exit, took } = yield* ended(fiber)
    return { value: yield* exit, took }
  })

const range = (count: number): Array<number> => count === 0 ? [] : Array.range(0, count - 1)

describe("gatherWithLogging", () => {
  it.effect("A096 order and indices are those of the input, whatever ends first; undefined and null are values", () =>
    Effect.gen(function*() {
      const { item } = meter()
      const slowFirst = range(5).map((index) => item(index, 500 - 100 * index))
      const { value } = yield* inTime(Tasks.gatherWithLogging(slowFirst, { label }), "1 second")
      assert.deepStrictEqual([values(value), indices(value)], [range(5), range(5)])
      const empties = yield* Tasks.gatherWithLogging([
        Effect.succeed(undefined),
        Effect.suspend(() => Effect.succeed(null))
      ], {
        label
      })
      assert.deepStrictEqual(values(empties), [undefined, null])
    }))

  it.effect("A096 partial and total failure are told per item; empty gives empty and measures nothing", () =>
    Effect.gen(function*() {
      const items: ReadonlyArray<Effect.Effect<number, string>> = [
        Effect.succeed(1),
        Effect.fail("no"),
        Effect.die("bug"),
        Effect.interrupt,
        Effect.sync(() => 5)
      ]
      const some = yield* Tasks.gatherWithLogging(items, { label })
      assert.deepStrictEqual(values(some), [1, "failed", "failed", "failed", 5])
      assert.deepStrictEqual(some[1]!.exit, Exit.fail("no"))
      assert.isTrue(Exit.isInterrupted(some[3]!.exit))
      const all = yield* Tasks.gatherWithLogging(range(3).map(() => Effect.fail("no")), { label })
      assert.deepStrictEqual(values(all), ["failed", "failed", "failed"])
      const { grown, value } = yield* growth(Tasks.gatherWithLogging(Array.empty<Effect.Effect<void>>(), { label }))
      assert.deepStrictEqual([value, grown("async_gather_duration_seconds")], [[], 0])
    }))

  it.effect("A097 twenty items, at most five: never more than five at once; one is strictly serial; ten by default", () =>
    Effect.gen(function*() {
      for (const [concurrency, peak, took] of [[5, 5, 400], [1, 1, 2_000], [undefined, 10, 200]] as const) {
        const { item, seen } = meter()
        const options = concurrency === undefined ? { label } : { label, concurrency }
        const result = yield* inTime(Tasks.gatherWithLogging(range(20).map((index) => item(index)), options), took)
        assert.deepStrictEqual([seen.peak, result.took, seen.started], [peak, took, range(20)])
      }
    }))

  it.effect("A098 a timeout fails its item only; each failure is logged with label and index, and counted", () =>
    Effect.gen(function*() {
      const logged: Array<Logged> = []
      const items = [Effect.sleep("1 second"), Effect.never, Effect.fail("no"), Effect.sleep("3 seconds")]
      const { grown, value: { value, took } } = yield* growth(
        inTime(
          Effect.provide(Tasks.gatherWithLogging(items, { label, timeout: "3500 millis" }), logging(logged)),
          "3500 millis"
        )
      )
      assert.deepStrictEqual(values(value), [undefined, "failed", "failed", undefined])
      const timeout = value[1]!.exit
      assert.isTrue(Exit.isFailure(timeout) && Cause.isTimeoutException(Cause.squash(timeout.cause)))
      assert.strictEqual(took, 3_500)
      assert.deepStrictEqual(logged.filter(({ level }) => level === "Warning").map(({ annotations }) => annotations), [
        { label: "tasks_test", index: 2 },
        { label: "tasks_test", index: 1 }
      ])
      assert.strictEqual(grown("async_gather_failures_total"), 2)
      assert.strictEqual(grown("async_gather_duration_seconds"), 1)
    }))

  it.effect("A098 an item that ignores its timeout is given up 5 s later and counted until it ends", () =>
    Effect.gen(function*() {
      const items = [stubborn("1 minute"), Effect.sleep("1 second")]
      const { value, took } = yield* inTime(
        Tasks.gatherWithLogging(items, { label, timeout: "2 seconds", concurrency: 1 }),
        "10 seconds"
      )
      assert.deepStrictEqual([values(value), took], [["failed", undefined], 8_000])
      assert.strictEqual((yield* readMetrics).get("async_stuck_tasks label=tasks_test"), 1)
      yield* advance("1 minute")
      assert.strictEqual((yield* readMetrics).get("async_stuck_tasks label=tasks_test"), 0)
    }))

  it.effect("A099 interrupting it interrupts all children and returns at once when they acknowledge", () =>
    Effect.gen(function*() {
      const { item, seen } = meter()
      const { grown } = yield* growth(
        Effect.gen(function*() {
          const fiber = yield* timed(
            Tasks.gatherWithLogging(range(20).map((index) => item(index, 60_000)), { label })
          )
          assert.strictEqual(seen.started.length, 10)
          yield* Fiber.interruptFork(fiber)
          yield* settle
          assert.isFalse(isRunning(fiber))
          assert.deepStrictEqual([seen.finished, seen.started.length], [10, 10])
        }),
        "tasks_test:cancel"
      )
      assert.strictEqual(grown("async_drain_duration_seconds"), 1)
    }))

  it.effect("A099 it returns within 5 s although a child ignores interruption, also one that has timed out before", () =>
    Effect.gen(function*() {
      for (const timeout of ["1 hour", "1 second"] as const) {
        const fiber = yield* timed(
          Tasks.gatherWithLogging([stubborn("10 minutes"), Effect.never], { label, timeout })
        )
        yield* advance("2 seconds")
        yield* Fiber.interruptFork(fiber)
        yield* advance("4999 millis")
        assert.isTrue(isRunning(fiber))
        yield* advance(1)
        assert.isFalse(isRunning(fiber))
        yield* advance("10 minutes")
      }
    }))
})

describe("gatherChunked", () => {
  it.effect("A100 a chunk starts when the one before has ended; a short last chunk; indices are global", () =>
    Effect.gen(function*() {
      const { item, seen } = meter()
      const finishedAtStart: Array<number> = []
      const noted = (index: number) =>
        Effect.zipRight(
          Effect.sync(() => void finishedAtStart.push(seen.finished)),
          index === 4 ? Effect.fail("no") : item(index, index % 3 === 0 ? 300 : 100)
        )
      const { value, took } = yield* inTime(
        Tasks.gatherChunked(range(8).map(noted), { label, chunkItems: 3 }),
        "1 second"
      )
      assert.deepStrictEqual(finishedAtStart, [0, 0, 0, 3, 3, 3, 5, 5])
      assert.deepStrictEqual(values(value), [0, 1, 2, 3, "failed", 5, 6, 7])
      assert.deepStrictEqual(indices(value), range(8))
      assert.strictEqual(took, 900)
    }))

  it.effect("A100 empty, one, exactly one chunk; a concurrency below the chunk", () =>
    Effect.gen(function*() {
      for (const count of [0, 1, 10]) {
        const value = yield* Tasks.gatherChunked(range(count).map((n) => Effect.sync(() => n)), { label })
        assert.deepStrictEqual(values(value), range(count))
      }
      const { item, seen } = meter()
      yield* inTime(
        Tasks.gatherChunked(range(12).map((n) => item(n)), { label, chunkItems: 6, concurrency: 2 }),
        "1 second"
      )
      assert.strictEqual(seen.peak, 2)
    }))

  it.effect(
    "A100 a million lazy items: no more than a chunk is taken ahead of what has ended",
    () =>
      Effect.gen(function*() {
        const count = 1_000_000
        const chunkItems = 1_000
        let taken = 0
        let ahead = 0
        let ended = 0
        const items = function*() {
          for (; taken < count; taken++) {
            ahead = Math.max(ahead, taken - ended)
            // Every thousandth runs in a fiber of its own and says when it has ended; most are done before they start.
            yield taken % chunkItems === chunkItems - 1
              ? Effect.sync(() => (ended += chunkItems))
              : Effect.succeed(taken)
          }
        }
        const results = yield* Tasks.gatherChunked(items(), { label, chunkItems, concurrency: 1 })
        assert.deepStrictEqual([results.length, ahead, ended], [count, chunkItems - 1, count])
        assert.strictEqual(results.at(-1)!.index, count - 1)
      }),
    60_000
  )

  it.effect("interrupted, it takes no further chunk and tells the iterator", () =>
    Effect.gen(function*() {
      let taken = 0
      let returned = false
      const items = function*() {
        try {
          for (;;) {
            taken++
            yield Effect.sleep("1 second")
          }
        } finally {
          returned = true
        }
      }
      const fiber = yield* timed(Tasks.gatherChunked(items(), { label }))
      yield* advance("1500 millis")
      yield* Fiber.interruptFork(fiber)
      yield* settle
      assert.deepStrictEqual([isRunning(fiber), taken, returned], [false, 20, true])
    }))
})
