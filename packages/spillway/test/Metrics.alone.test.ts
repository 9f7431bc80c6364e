import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as MetricState from "effect/MetricState"
import { tags } from "../src/Exit.js"
import * as Lane from "../src/Lane.js"
import * as Metrics from "../src/Metrics.js"
import { clog, critical, endOf, settle, test } from "./support.js"

/** Counters and gauges by name and labels, as they are now. */
const read = Effect.map(Metric.snapshot, (pairs) =>
  new Map([...pairs].flatMap(({ metricKey, metricState }) => {
    const key = [metricKey.name, ...[...metricKey.tags].map(({ value }) => value)].join(" ")
    if (MetricState.isCounterState(metricState)) return [[key, Number(metricState.count)] as const]
    return MetricState.isGaugeState(metricState) ? [[key, Number(metricState.value)] as const] : []
  })))

const metered = { telemetry: Metrics.layer }

describe("Metrics", () => {
  test(
    "A034 A105 the gauge rises and falls, the exit is counted once, lanes follow the snapshot",
    metered,
    (rig) =>
      Effect.gen(function*() {
        yield* rig.snapshot
        const before = yield* read
        const pair = yield* rig.open()
        yield* clog(pair)
        pair.session.unsafeOffer(critical("never sent"))
        yield* rig.snapshot
        assert.strictEqual((yield* read).get("spillway_sessions"), 1)
        yield* endOf(pair.session, pair.client.reset)
        yield* rig.snapshot
        const after = yield* read
        const grown = (key: string) => after.get(key)! - (before.get(key) ?? 0)
        assert.strictEqual(after.get("spillway_sessions"), 0)
        assert.strictEqual(after.get("spillway_outbox_items"), 0)
        assert.strictEqual(grown("spillway_sessions_opened_total"), 1)
        assert.strictEqual(tags.reduce((sum, tag) => sum + grown(`spillway_session_exits_total ${tag}`), 0), 1)
        assert.strictEqual(grown("spillway_session_exits_total Disconnected"), 1)
      })
  )

  test("two snapshots in a row count nothing twice", metered, (rig) =>
    Effect.gen(function*() {
      const { session } = yield* rig.open()
      yield* session.send(critical("x"))
      yield* settle
      yield* rig.snapshot
      const once = yield* read
      yield* rig.snapshot
      assert.deepStrictEqual(yield* read, once)
    }))

  it("the registry names each metric once, with labels from closed sets", () => {
    const names = Metrics.registry.map(({ name }) => name)
    assert.strictEqual(new Set(names).size, names.length)
    for (const { labels, name, type } of Metrics.registry) {
      assert.match(name, /^(spillway|async)_[a-z_]+$/)
      assert.strictEqual(name.endsWith("_total"), type === "counter", name)
      for (const values of Object.values(labels)) assert.isAtMost(values.length, tags.length)
    }
    assert.deepStrictEqual(Metrics.registry.find(({ name }) => name === "spillway_sojourn_seconds")!.labels, {
      lane: Lane.all
    })
  })
})
