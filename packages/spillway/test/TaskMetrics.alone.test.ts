import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Metric from "effect/Metric"
import * as MetricState from "effect/MetricState"
import * as Label from "../src/Label.js"
import { render } from "../src/Prometheus.js"
import * as TaskMetrics from "../src/TaskMetrics.js"
import * as Tasks from "../src/Tasks.js"

const label = Label.make("metrics_test")

/** Every metric of tasks, as Effect has them, by name. */
const series = Effect.map(
  Metric.snapshot,
  (pairs) => [...pairs].filter(({ metricKey }) => metricKey.name.startsWith("async_"))
)

/** A session's worth of everything. */
const session = Effect.gen(function*() {
  yield* Effect.scoped(Tasks.superviseTasks({
    label,
    mode: "cancel",
    receive: { name: "receive", run: Effect.void },
    background: [{ name: "bg", kind: "lifetime", run: Effect.never }]
  }))
  const late = yield* Effect.forkDaemon(Effect.never)
  yield* Tasks.drainTasks([late], { label, mode: "grace", timeout: 0 })
  yield* Tasks.gatherWithLogging([Effect.fail("no"), Effect.sync(() => 1)], { label })
})

describe("metrics of tasks", () => {
  it.effect("A104 names, types, labels and bucket bounds are those that operators know", () =>
    Effect.gen(function*() {
      yield* session
      const own = (yield* series).filter(({ metricKey }) =>
        metricKey.tags.some(({ value }) => value === "metrics_test")
      )
      const described = own.map(({ metricKey, metricState }) => ({
        name: metricKey.name,
        type: MetricState.isCounterState(metricState)
          ? "counter"
          : MetricState.isHistogramState(metricState)
          ? "histogram"
          : "gauge",
        labels: metricKey.tags.map(({ key, value }) => `${key}=${value}`).sort(),
        bounds: MetricState.isHistogramState(metricState)
          ? metricState.buckets.map(([bound]) => bound).filter((bound) => bound !== Infinity)
          : []
      })).sort((a, b) => a.name < b.name ? -1 : 1)
      const only = ["label=metrics_test"]
      assert.deepStrictEqual(described, [
        {
          name: "async_drain_duration_seconds",
          type: "histogram",
          labels: only,
          bounds: [0.1, 0.5, 1, 2, 5, 10, 30, 60]
        },
        { name: "async_drain_timeout_total", type: "counter", labels: only, bounds: [] },
        {
          name: "async_gather_duration_seconds",
          type: "histogram",
          labels: only,
          bounds: [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30]
        },
        { name: "async_gather_failures_total", type: "counter", labels: only, bounds: [] },
        {
          name: "async_supervisor_exit_total",
          type: "counter",
          labels: ["label=metrics_test", "reason=disconnect"],
          bounds: []
        }
      ])
      assert.deepStrictEqual(
        TaskMetrics.registry.map(({ labels, name, type }) => [name, type, Object.keys(labels).sort()]),
        [
          ["async_supervisor_exit_total", "counter", ["label", "reason"]],
          ["async_drain_timeout_total", "counter", ["label"]],
          ["async_drain_duration_seconds", "histogram", ["label"]],
          ["async_gather_failures_total", "counter", ["label"]],
          ["async_gather_duration_seconds", "histogram", ["label"]],
          ["async_stuck_tasks", "gauge", ["label"]]
        ]
      )
    }))

  it.effect("A104 a thousand sessions have no more series than one", () =>
    Effect.gen(function*() {
      yield* session
      const one = (yield* series).length
      yield* Effect.replicateEffect(session, 1_000, { concurrency: 50, discard: true }).pipe(
        Logger.withMinimumLogLevel(LogLevel.None)
      )
      assert.strictEqual((yield* series).length, one)
    }), 60_000)

  it.effect("the values are those of the metrics, and the Prometheus text has them", () =>
    Effect.gen(function*() {
      const count = Effect.map(Metric.value(TaskMetrics.supervisorExits(label, "disconnect")), ({ count }) => count)
      const before = yield* count
      yield* session
      assert.strictEqual((yield* count) - before, 1)
      const metrics = [
        TaskMetrics.drainTimeouts(label),
        TaskMetrics.drainDuration(label),
        TaskMetrics.gatherFailures(label),
        TaskMetrics.gatherDuration(label)
      ]
      for (const metric of metrics) {
        assert.isAbove((yield* Metric.value(metric as Metric.Metric<any, any, { readonly count: number }>)).count, 0)
      }
      assert.strictEqual((yield* Metric.value(TaskMetrics.stuckTasks(label))).value, 0)
      const text = render(yield* Metric.snapshot)
      assert.include(text, "async_drain_duration_seconds_bucket{label=\"metrics_test\",le=\"+Inf\"}")
      assert.include(text, "# TYPE async_supervisor_exit_total counter")
    }))
})

describe("Label", () => {
  it("A104 what gets past the compiler meets the form and the bound", () => {
    const unchecked = Label.make as unknown as (name: string) => Label.Label
    for (const name of ["", "user 42", "10.0.0.1", "9lives", "a".repeat(65), "a-b", "a:b"]) {
      assert.throws(() => unchecked(name), /label is a literal/)
    }
    assert.throws(() => {
      for (let id = 0; id <= Label.labelsMax; id++) unchecked(`user${id}`)
    }, /at most 256 labels/)
    // What was made before stays what it was.
    assert.strictEqual(Label.make("metrics_test"), label)
    assert.isTrue(Label.isLabel(label))
    assert.isFalse(Label.isLabel({ name: "metrics_test" }))
  })
})
