/**
 * All metrics of the process in the Prometheus text format, version 0.0.4.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import type * as MetricLabel from "effect/MetricLabel"
import type * as MetricPair from "effect/MetricPair"
import * as MetricState from "effect/MetricState"
import { Sessions } from "./Sessions.js"

/**
 * Content type of the text.
 *
 * @since 0.1.0
 * @category metrics
 */
export const contentType = "text/plain; version=0.0.4; charset=utf-8"

/** Names may hold letters, digits, `_` and `:`; anything else becomes `_`. */
const nameOf = (name: string): string => name.replace(/[^a-zA-Z0-9_:]/g, "_").replace(/^(\d)/, "_$1")

const escapeHelp = (text: string): string => text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")

const escapeValue = (text: string): string => escapeHelp(text).replaceAll("\"", "\\\"")

const number = (value: number | bigint): string =>
  value === Infinity ? "+Inf" : value === -Infinity ? "-Inf" : String(value)

const labelText = (labels: ReadonlyArray<readonly [string, string]>): string =>
  labels.length === 0
    ? ""
    : `{${labels.map(([key, value]) => `${nameOf(key)}="${escapeValue(value)}"`).join(",")}}`

const typeOf = (state: MetricState.MetricState.Untyped): "counter" | "gauge" | "histogram" | "summary" | "untyped" =>
  MetricState.isCounterState(state)
    ? "counter"
    : MetricState.isGaugeState(state)
    ? "gauge"
    : MetricState.isHistogramState(state)
    ? "histogram"
    : MetricState.isSummaryState(state)
    ? "summary"
    : "untyped"

/** Lines of one series. Effect's histogram buckets are cumulative already; the last one may be missing. */
const seriesLines = (
  name: string,
  labels: ReadonlyArray<readonly [string, string]>,
  state: MetricState.MetricState.Untyped
): ReadonlyArray<string> => {
  const line = (suffix: string, value: number | bigint, more: ReadonlyArray<readonly [string, string]> = []): string =>
    `${name}${suffix}${labelText([...labels, ...more])} ${number(value)}`
  if (MetricState.isCounterState(state)) return [line("", state.count)]
  if (MetricState.isGaugeState(state)) return [line("", state.value)]
  if (MetricState.isFrequencyState(state)) {
    return [...state.occurrences].map(([key, count]) => line("", count, [["key", key]]))
  }
  if (MetricState.isHistogramState(state)) {
    const buckets = state.buckets.filter(([bound]) => bound !== Infinity)
    return [
      ...buckets.map(([bound, count]) => line("_bucket", count, [["le", number(bound)]])),
      line("_bucket", state.count, [["le", "+Inf"]]),
      line("_sum", state.sum),
      line("_count", state.count)
    ]
  }
  if (MetricState.isSummaryState(state)) {
    return [
      ...state.quantiles.map(([quantile, value]) =>
        line("", value._tag === "Some" ? value.value : NaN, [["quantile", number(quantile)]])
      ),
      line("_sum", state.sum),
      line("_count", state.count)
    ]
  }
  return []
}

/**
 * Renders metric pairs as text. Series of one name stand together under one `HELP` and one `TYPE` line.
 *
 * @since 0.1.0
 * @category conversions
 */
export const render = (pairs: Iterable<MetricPair.MetricPair.Untyped>): string => {
  const families = new Map<string, { readonly head: ReadonlyArray<string>; readonly lines: Array<string> }>()
  for (const pair of pairs) {
    const name = nameOf(pair.metricKey.name)
    let family = families.get(name)
    if (family === undefined) {
      const description = pair.metricKey.description
      const help = description._tag === "Some" ? [`# HELP ${name} ${escapeHelp(description.value)}`] : []
      family = { head: [...help, `# TYPE ${name} ${typeOf(pair.metricState)}`], lines: [] }
      families.set(name, family)
    }
    const labels = pair.metricKey.tags.map((tag: MetricLabel.MetricLabel) => [tag.key, tag.value] as const)
    family.lines.push(...seriesLines(name, labels, pair.metricState))
  }
  const sorted = [...families.entries()].sort(([a], [b]) => (a < b ? -1 : 1))
  return sorted.map(([, family]) => [...family.head, ...family.lines, ""].join("\n")).join("")
}

/**
 * The text of all metrics of the process, with the gauges of the sessions as they are now.
 *
 * @since 0.1.0
 * @category metrics
 */
export const text: Effect.Effect<string, never, Sessions> = Effect.flatMap(
  Sessions,
  (sessions) => Effect.map(Effect.zipRight(sessions.snapshot, Metric.snapshot), render)
)
