/**
 * The metrics of pools, as Effect metrics of the process: for pools that have a `label`, and none for others. A `Label`
 * cannot be made from traffic and everything else comes from closed sets, so the number of series depends on the program
 * only. Pools with the same label are counted together.
 *
 * @since 0.1.0
 */
import type * as Metric from "effect/Metric"
import type { Label } from "spillway/Label"
import { affinities, causes, keys, outcomes, PoolMetrics, states } from "./internal/poolMetrics.js"
import type { Why } from "./Recovery.js"
import type { WorkerError } from "./WorkerError.js"
import type { State } from "./WorkerState.js"

/**
 * Gauge `spillway_workers` with the labels `label` and `state`: workers that live.
 *
 * @since 0.1.0
 * @category metrics
 */
export const workers = (label: Label, state: Exclude<State, "terminated">): Metric.Metric.Gauge<number> =>
  PoolMetrics.of(label).workers[state]

/**
 * Gauge `spillway_worker_waiting` with the label `label`: operations that wait for a worker.
 *
 * @since 0.1.0
 * @category metrics
 */
export const waiting = (label: Label): Metric.Metric.Gauge<number> => PoolMetrics.of(label).waiting

/**
 * Counter `spillway_worker_operations_total` with the labels `label` and `outcome`: operations that are over. An operation
 * whose caller was interrupted is `interrupted`, whatever its worker answers later.
 *
 * @since 0.1.0
 * @category metrics
 */
export const operations = (
  label: Label,
  outcome: "succeeded" | "interrupted" | WorkerError["_tag"]
): Metric.Metric.Counter<number> => PoolMetrics.of(label).operations[outcome]

/**
 * Histogram `spillway_worker_wait_seconds` with the label `label`: from the arrival of an operation or a checkout until it
 * had a worker. Who got none is not in it.
 *
 * @since 0.1.0
 * @category metrics
 */
export const wait = (label: Label): Metric.Metric.Histogram<number> => PoolMetrics.of(label).wait

/**
 * Counter `spillway_worker_removals_total` with the labels `label` and `cause`: workers that were taken out of the pool. All
 * but `idle` and `closed` are followed by a start of another one.
 *
 * @since 0.1.0
 * @category metrics
 */
export const removals = (
  label: Label,
  cause: Why | "idle" | "start failed" | "closed"
): Metric.Metric.Counter<number> => PoolMetrics.of(label).removals[cause]

/**
 * Counter `spillway_worker_affinity_total` with the labels `label` and `result`: operations of sessions. A `miss` is a
 * session that moves to another worker, or is told that its own is gone.
 *
 * @since 0.1.0
 * @category metrics
 */
export const affinity = (label: Label, result: "hit" | "miss" | "first"): Metric.Metric.Counter<number> =>
  PoolMetrics.of(label).affinity[result]

const entry = (
  key: { readonly name: string; readonly description: { readonly _tag: string; readonly value?: string } },
  type: "counter" | "gauge" | "histogram",
  labels: { readonly [name: string]: ReadonlyArray<string> } = {}
) => ({
  name: key.name,
  type,
  labels: { label: ["any literal of the program"], ...labels },
  description: key.description.value ?? ""
})

/**
 * Names, types, labels and meanings; `docs/WORKER_METRICS.md` is generated from it.
 *
 * @since 0.1.0
 * @category metrics
 */
export const registry = [
  entry(keys.workers, "gauge", { state: states }),
  entry(keys.waiting, "gauge"),
  entry(keys.operations, "counter", { outcome: outcomes }),
  entry(keys.wait, "histogram"),
  entry(keys.removals, "counter", { cause: causes }),
  entry(keys.affinity, "counter", { result: affinities })
]
