import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as MetricBoundaries from "effect/MetricBoundaries"
import * as Metrics from "../src/Metrics.js"
import * as Prometheus from "../src/Prometheus.js"
import * as Sessions from "../src/Sessions.js"
import { bulk, critical, endOf, type Rig, settle, test, withRig } from "./support.js"

const name = "[a-zA-Z_:][a-zA-Z0-9_:]*"
const label = "[a-zA-Z_][a-zA-Z0-9_]*=\"(?:[^\"\\\\\\n]|\\\\[\\\\n\"])*\""
const number = "(?:[+-]?Inf|NaN|-?\\d+(?:\\.\\d+)?(?:e[+-]?\\d+)?)"
const sample = new RegExp(`^${name}(?:\\{${label}(?:,${label})*\\})? ${number}$`)
const help = new RegExp(`^# HELP ${name} (?:[^\\\\\\n]|\\\\[\\\\n])*$`)
const type = new RegExp(`^# TYPE (${name}) (counter|gauge|histogram|summary|untyped)$`)

/** Parses the text by the grammar of version 0.0.4 and returns its series. */
const parse = (text: string): ReadonlyArray<string> => {
  assert.isTrue(text.endsWith("\n"))
  const lines = text.split("\n").slice(0, -1)
  const series: Array<string> = []
  const types = new Set<string>()
  let family = ""
  for (const line of lines) {
    const head = type.exec(line)
    if (head !== null) {
      family = head[1]!
      assert.isFalse(types.has(family), `two TYPE lines for ${family}`)
      types.add(family)
    } else if (line.startsWith("#")) assert.match(line, help)
    else {
      assert.match(line, sample)
      assert.isTrue(line.startsWith(family), `${line} is not of ${family}`)
      series.push(line.slice(0, line.lastIndexOf(" ")))
    }
  }
  assert.deepStrictEqual(series.filter((one, i) => series.indexOf(one) !== i), [], "no series twice")
  return series
}

const textOf = (rig: Rig) => Effect.provideService(Prometheus.text, Sessions.Sessions, rig.sessions)
const valueOf = (text: string, series: string): string | undefined =>
  text.split("\n").find((line) => line.startsWith(`${series} `))?.slice(series.length + 1)

const metered = { telemetry: Metrics.layer }

describe("Prometheus", () => {
  test("every line parses, and every name of the registry is there", metered, (rig) =>
    Effect.gen(function*() {
      const { session } = yield* rig.open()
      yield* session.send(critical("x"))
      yield* endOf(session, Effect.zipRight(settle, session.close()))
      const series = parse(yield* textOf(rig))
      // Series of tasks and breakers exist from the first use of their label on.
      const own = Metrics.registry.filter(({ labels }) => !("label" in labels))
      for (const { name } of own) assert.isTrue(series.some((one) => one.startsWith(name)), name)
    }))

  it.effect("a thousand sessions have no more series than one, and no id is in the text", () =>
    withRig(metered, (rig) =>
      Effect.gen(function*() {
        const { session } = yield* rig.open()
        yield* endOf(session, session.close())
        const before = parse(yield* textOf(rig)).filter((one) => one.startsWith("spillway_")).length
        const pairs = yield* Effect.all(Effect.replicate(
          Effect.flatMap(rig.connect(), ({ connection }) => rig.sessions.open(connection, () => Effect.never)),
          1_000
        ))
        for (const one of pairs) {
          one.unsafeOffer(bulk("x"))
        }
        yield* settle
        const text = yield* textOf(rig)
        assert.strictEqual(parse(text).filter((one) => one.startsWith("spillway_")).length, before)
        assert.strictEqual(valueOf(text, "spillway_sessions"), "1000")
        assert.notInclude(text, session.id)
        assert.notInclude(text, pairs[0]!.id)
      })))

  it.effect("histograms are cumulative, inclusive at their bounds, and have +Inf, _sum and _count", () =>
    Effect.gen(function*() {
      const histogram = Metric.histogram("prom_test_seconds", MetricBoundaries.fromIterable([0.1, 1]))
      for (const value of [0.1, 0.5, 1, 7]) yield* Metric.update(histogram, value)
      const text = Prometheus.render(
        [...(yield* Metric.snapshot)].filter(({ metricKey }) => metricKey.name === "prom_test_seconds")
      )
      assert.strictEqual(
        text,
        [
          "# TYPE prom_test_seconds histogram",
          "prom_test_seconds_bucket{le=\"0.1\"} 1",
          "prom_test_seconds_bucket{le=\"1\"} 3",
          "prom_test_seconds_bucket{le=\"+Inf\"} 4",
          "prom_test_seconds_sum 8.6",
          "prom_test_seconds_count 4",
          ""
        ].join("\n")
      )
    }))

  it.effect("hostile names, labels and descriptions are escaped", () =>
    Effect.gen(function*() {
      const description = "line\nwith \\ and \"quotes\""
      const counter = Metric.counter("prom-test.1 é", { description }).pipe(
        Metric.tagged("a-b", "x\"\n\\y"),
        Metric.tagged("9", "")
      )
      yield* Metric.increment(counter)
      const text = Prometheus.render(
        [...(yield* Metric.snapshot)].filter(({ metricKey }) => metricKey.name.startsWith("prom-test"))
      )
      parse(text)
      assert.include(text, "# HELP prom_test_1__ line\\nwith \\\\ and \"quotes\"")
      assert.include(text, "a_b=\"x\\\"\\n\\\\y\"")
    }))

  it("nothing is an empty text", () => assert.strictEqual(Prometheus.render([]), ""))
})
