import { assert, describe } from "@effect/vitest"
import { settle } from "@spillway/testing/Settle"
import * as WorkerMetrics from "@spillway/workers/WorkerMetrics"
import type * as WorkerPool from "@spillway/workers/WorkerPool"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as TestClock from "effect/TestClock"
import * as Label from "spillway/Label"
import { makePool, makeRig, test } from "./support.js"

const label = Label.make("pool_test")

/** Every series of the label, and what it says. */
const series = (name: string) =>
  Effect.map(
    Metric.snapshot,
    (pairs) =>
      [...pairs].filter(({ metricKey }) =>
        metricKey.name.startsWith("spillway_worker") && metricKey.tags.some(({ value }) => value === name)
      )
  )

const states = ["initializing", "ready", "busy", "degraded", "terminating"] as const

/** Workers by state: what the metrics say, and what the pool says. */
const compared = (pool: WorkerPool.WorkerPoolShape) =>
  Effect.gen(function*() {
    const counted: Record<string, number> = {}
    for (const { machine } of yield* pool.workers) counted[machine.state] = (counted[machine.state] ?? 0) + 1
    for (const state of states) {
      const { value } = yield* Metric.value(WorkerMetrics.workers(label, state))
      assert.strictEqual(value, counted[state] ?? 0, state)
    }
  })

const count = (metric: Metric.Metric.Counter<number>) => Effect.map(Metric.value(metric), ({ count }) => count)

describe("metrics of a pool", () => {
  test("names, types and labels are those of the registry, and each series is there from the start, as zero", () =>
    Effect.gen(function*() {
      yield* Effect.scoped(makePool({ label: Label.make("pool_names") }))
      const own = yield* series("pool_names")
      const names = new Set(own.map(({ metricKey }) => metricKey.name))
      assert.deepStrictEqual([...names].sort(), WorkerMetrics.registry.map(({ name }) => name).sort())
      for (const { labels, name } of WorkerMetrics.registry) {
        const expected = Object.values(labels).reduce((product, values) => product * values.length, 1)
        assert.lengthOf(own.filter(({ metricKey }) => metricKey.name === name), expected, name)
      }
    }))

  test("A130 workers by state are those of the pool at every instant, and none when it is closed", () =>
    Effect.gen(function*() {
      const rig = makeRig({ startTime: "200 millis" })
      yield* Effect.scoped(Effect.gen(function*() {
        const fiber = yield* Effect.fork(makePool({ size: 3, label, isWorkerFault: () => true }, rig))
        yield* TestClock.adjust("200 millis")
        const pool = yield* Fiber.join(fiber)
        yield* compared(pool)
        const operations = yield* Effect.fork(
          Effect.all([pool.execute("sleep", { millis: 50 }), Effect.exit(pool.execute("fail", {}))], {
            concurrency: 2
          })
        )
        yield* settle
        yield* compared(pool)
        rig.inject("w-2.0", { _tag: "kill" })
        yield* settle
        yield* compared(pool)
        yield* TestClock.adjust("50 millis")
        yield* Fiber.join(operations)
        yield* compared(pool)
        yield* TestClock.adjust("10 seconds")
        yield* compared(pool)
      }))
      for (const state of states) {
        assert.strictEqual((yield* Metric.value(WorkerMetrics.workers(label, state))).value, 0)
      }
    }))

  test("operations by outcome add up to what the pool says; an interrupted one is counted once", () =>
    Effect.gen(function*() {
      const own = Label.make("pool_outcomes")
      const pool = yield* makePool({ size: 1, label: own, queueItemsMax: 1 })
      yield* pool.execute("echo", {})
      yield* Effect.exit(pool.execute("fail", {}))
      const long = yield* Effect.fork(pool.execute("sleep", { millis: 500 }))
      yield* settle
      const waiting = yield* Effect.fork(pool.execute("echo", {}))
      yield* settle
      assert.strictEqual((yield* Metric.value(WorkerMetrics.waiting(own))).value, 1)
      assert.strictEqual((yield* Effect.flip(pool.execute("echo", {})))._tag, "PoolSaturated")
      yield* Fiber.interrupt(waiting)
      assert.strictEqual((yield* Metric.value(WorkerMetrics.waiting(own))).value, 0)
      yield* TestClock.adjust("500 millis")
      yield* Fiber.join(long)
      const outcomes = ["succeeded", "interrupted", "RemoteError", "PoolSaturated", "OperationTimeout"] as const
      const counts = yield* Effect.forEach(outcomes, (outcome) => count(WorkerMetrics.operations(own, outcome)))
      assert.deepStrictEqual(counts, [2, 1, 1, 1, 0])
      const { failed, succeeded } = (yield* pool.status).totals
      assert.deepStrictEqual([succeeded, failed], [2, 2])
    }))

  test("waiting for a worker is measured for who got one, from its arrival on", () =>
    Effect.gen(function*() {
      const own = Label.make("pool_wait")
      const pool = yield* makePool({ size: 1, label: own })
      const fibers = yield* Effect.fork(
        Effect.all(Array.from({ length: 2 }, () => pool.execute("sleep", { millis: 300 })), { concurrency: 2 })
      )
      yield* TestClock.adjust("600 millis")
      yield* Fiber.join(fibers)
      const { count, max, sum } = yield* Metric.value(WorkerMetrics.wait(own))
      assert.deepStrictEqual([count, max, sum], [2, 0.3, 0.3])
    }))

  test("A131 removals by cause, and affinity: hits, the first ones, and the sessions that had to move", () =>
    Effect.gen(function*() {
      const own = Label.make("pool_affinity")
      const rig = makeRig()
      const pool = yield* makePool({ size: 2, label: own }, rig)
      const operation = pool.execute("whoami", {}, { session: "s" })
      const worker = yield* operation
      yield* operation
      rig.inject(String(worker), { _tag: "kill" })
      yield* settle
      yield* operation
      const results = yield* Effect.forEach(
        ["first", "hit", "miss"] as const,
        (result) => count(WorkerMetrics.affinity(own, result))
      )
      assert.deepStrictEqual(results, [1, 1, 1])
      const { affinity } = yield* pool.status
      assert.deepInclude(affinity, { first: 1, hits: 1, misses: 1 })
      assert.strictEqual(yield* count(WorkerMetrics.removals(own, "exited")), 1)
      assert.strictEqual(yield* count(WorkerMetrics.removals(own, "closed")), 0)
    }))

  test("a pool without a label has none", () =>
    Effect.gen(function*() {
      const before = [...yield* Metric.snapshot].length
      const pool = yield* makePool({ size: 1 })
      yield* pool.execute("echo", {}, { session: "s" })
      assert.lengthOf([...yield* Metric.snapshot], before)
    }))
})
