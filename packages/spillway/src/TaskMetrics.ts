/**
 * The metrics of `Tasks`, as Effect metrics. Each takes a `Label`, which cannot be made from traffic, so the number of
 * series depends on the program only.
 *
 * @since 0.1.0
 */
import type * as Metric from "effect/Metric"
import { drainBuckets, exitReasons, gatherBuckets, keys, TaskMetrics } from "./internal/taskMetrics.js"
import type { Label } from "./Label.js"

/**
 * Value of the label `reason`: why a supervision ended.
 *
 * @since 0.1.0
 * @category models
 */
export type ExitReason = "disconnect" | "crash" | "lifetime_done" | "completed"

/**
 * Counter `async_supervisor_exit_total` with the labels `label` and `reason`: supervisions that ended.
 *
 * @since 0.1.0
 * @category metrics
 */
export const supervisorExits = (label: Label, reason: ExitReason): Metric.Metric.Counter<number> =>
  TaskMetrics.of(label).supervisorExit[reason]

/**
 * Counter `async_drain_timeout_total` with the label `label`: drains whose tasks did not end in time.
 *
 * @since 0.1.0
 * @category metrics
 */
export const drainTimeouts = (label: Label): Metric.Metric.Counter<number> => TaskMetrics.of(label).drainTimeout

/**
 * Histogram `async_drain_duration_seconds` with the label `label`: how long drains waited before they interrupted.
 *
 * @since 0.1.0
 * @category metrics
 */
export const drainDuration = (label: Label): Metric.Metric.Histogram<number> => TaskMetrics.of(label).drainDuration

/**
 * Counter `async_gather_failures_total` with the label `label`: items that failed or timed out. Interrupted ones have not
 * failed.
 *
 * @since 0.1.0
 * @category metrics
 */
export const gatherFailures = (label: Label): Metric.Metric.Counter<number> => TaskMetrics.of(label).gatherFailures

/**
 * Histogram `async_gather_duration_seconds` with the label `label`: duration of each gather, of each chunk in
 * `gatherChunked`.
 *
 * @since 0.1.0
 * @category metrics
 */
export const gatherDuration = (label: Label): Metric.Metric.Histogram<number> => TaskMetrics.of(label).gatherDuration

/**
 * Gauge `async_stuck_tasks` with the label `label`: tasks that ignore interruption and were given up, until they end.
 *
 * @since 0.1.0
 * @category metrics
 */
export const stuckTasks = (label: Label): Metric.Metric.Gauge<number> => TaskMetrics.of(label).stuck

/**
 * What the documentation says of the values of `label`.
 *
 * @since 0.1.0
 * @category metrics
 */
export const anyLabel: ReadonlyArray<string> = ["any literal of the program"]

const entry = (
  key: { readonly name: string; readonly description: { readonly _tag: string; readonly value?: string } },
  type: "counter" | "gauge" | "histogram",
  labels: { readonly [name: string]: ReadonlyArray<string> } = {}
) => ({ name: key.name, type, labels: { label: anyLabel, ...labels }, description: key.description.value ?? "" })

/**
 * Names, types, labels and meanings, in the order of the documentation.
 *
 * @since 0.1.0
 * @category metrics
 */
export const registry = [
  entry(keys.supervisorExit, "counter", { reason: exitReasons }),
  entry(keys.drainTimeout, "counter"),
  entry(keys.drainDuration, "histogram"),
  entry(keys.gatherFailures, "counter"),
  entry(keys.gatherDuration, "histogram"),
  entry(keys.stuck, "gauge")
]

/**
 * Bounds of the two histograms in seconds.
 *
 * @since 0.1.0
 * @category metrics
 */
export const buckets = { drainDuration: drainBuckets, gatherDuration: gatherBuckets }
