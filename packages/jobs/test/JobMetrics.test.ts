import { assert, describe, it } from "@effect/vitest"
import { advance, settle } from "@spillway/testing/Settle"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Label from "spillway/Label"
import { StoreFailed } from "../src/JobError.js"
import * as JobEvent from "../src/JobEvent.js"
import * as JobMetrics from "../src/JobMetrics.js"
import { test } from "./logSupport.js"
import { node, Work, world } from "./runnerSupport.js"
import { append, claimed } from "./support.js"

const valueOf = (gauge: Metric.Metric.Gauge<number>) => Effect.map(Metric.value(gauge), ({ value }) => value)
const countOf = (counter: Metric.Metric.Counter<number>) => Effect.map(Metric.value(counter), ({ count }) => count)

describe("metrics of jobs", () => {
  it("the registry names each metric once, and every series of a closed set exists before anything has happened", () => {
    const series = Metric.unsafeSnapshot().map(({ metricKey }) =>
      [metricKey.name, ...metricKey.tags.map(({ key, value }) => `${key}=${value}`)].join(" ")
    )
    const names = JobMetrics.registry.map(({ name }) => name)
    assert.strictEqual(new Set(names).size, names.length)
    for (const { labels, name } of JobMetrics.registry) {
      if ("label" in labels) continue
      const [[label, values] = ["", [""]]] = Object.entries(labels)
      for (const value of values!) assert.include(series, label === "" ? name : `${name} ${label}=${value}`)
    }
  })

  it.effect("jobs that wait for a place are counted, also one that is cancelled, and those that a stop leaves", () =>
    world((at) =>
      Effect.gen(function*() {
        const { runner, stop } = yield* node(at, () => Effect.never, { concurrencyMax: 1 })
        const before = yield* valueOf(JobMetrics.queued)
        const waiting = () => Effect.map(valueOf(JobMetrics.queued), (now) => now - before)
        yield* runner.create(Work, "")
        yield* settle
        assert.strictEqual(yield* waiting(), 0)
        const { id } = yield* runner.create(Work, "")
        yield* runner.create(Work, "")
        yield* settle
        assert.deepStrictEqual([yield* waiting(), runner.snapshot.queued], [2, 2])
        yield* runner.cancel(id)
        assert.strictEqual(yield* waiting(), 1)
        yield* stop
        assert.strictEqual(yield* waiting(), 0)
      })
    ))

  it.effect("a handler that is given up is counted (A068)", () =>
    world((at) =>
      Effect.gen(function*() {
        const { runner } = yield* node(at, () => Effect.uninterruptible(Effect.never))
        const before = yield* countOf(JobMetrics.stuck)
        const { id } = yield* runner.create(Work, "")
        yield* settle
        const cancelled = yield* Effect.fork(runner.cancel(id))
        yield* advance("6 seconds")
        yield* Fiber.join(cancelled)
        assert.strictEqual((yield* countOf(JobMetrics.stuck)) - before, 1)
      })
    ))

  test("a batch that the store does not take is counted", {}, ({ control }) =>
    Effect.gen(function*() {
      const job = yield* claimed("a")
      const before = yield* countOf(JobMetrics.failedCommits)
      control.fails = new StoreFailed({ operation: "commit", why: "io" })
      yield* Effect.flip(append(job, JobEvent.started(1, "me")))
      assert.strictEqual((yield* countOf(JobMetrics.failedCommits)) - before, 1)
    }))

  it.effect("a step is measured while it runs and by how it ends, and is what it was", () =>
    world(() =>
      Effect.gen(function*() {
        const label = Label.make("metrics_of_a_step")
        const step = JobMetrics.step(label)
        assert.strictEqual(yield* step(Effect.succeed(7)), 7)
        assert.strictEqual(yield* Effect.flip(step(Effect.fail("no"))), "no")
        yield* Effect.exit(step(Effect.die("defect")))
        const running = yield* Effect.fork(step(Effect.zipRight(Effect.sleep("3 seconds"), Clock.currentTimeMillis)))
        const interrupted = yield* Effect.fork(step(Effect.never))
        yield* settle
        assert.strictEqual(yield* valueOf(JobMetrics.stepsActive(label)), 2)
        yield* advance("3 seconds")
        assert.strictEqual(yield* Fiber.join(running), 3_000)
        yield* Fiber.interrupt(interrupted)
        const counts = yield* Effect.forEach(["succeeded", "failed", "interrupted"] as const, (outcome) =>
          countOf(JobMetrics.steps(label, outcome)))
        assert.deepStrictEqual(counts, [2, 2, 1])
        assert.strictEqual(yield* valueOf(JobMetrics.stepsActive(label)), 0)
        const { count, sum } = yield* Metric.value(JobMetrics.stepDuration(label))
        assert.deepStrictEqual([count, sum], [5, 6])
      })
    ))
})
