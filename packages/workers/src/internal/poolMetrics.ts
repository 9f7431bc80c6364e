/** The metrics of one label, made when it is first used and kept: a label is a literal, so there are few. */
import type * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import * as MetricBoundaries from "effect/MetricBoundaries"
import * as MetricKey from "effect/MetricKey"
import type * as MetricKeyType from "effect/MetricKeyType"
import * as MetricLabel from "effect/MetricLabel"
import type { Label } from "spillway/Label"
import type { WorkerError } from "../WorkerError.js"
import type { State } from "../WorkerState.js"
import type { Cause } from "./worker.js"

export const states = ["initializing", "ready", "busy", "degraded", "terminating"] as const

/** Success, a caller that went away, or the tag of the failure. */
export const outcomes = [
  "succeeded",
  "interrupted",
  "RemoteError",
  "OperationTimeout",
  "WorkerCrashed",
  "ProtocolViolation",
  "PayloadTooLarge",
  "NotEncodable",
  "PoolClosed",
  "PoolSaturated",
  "CheckoutTimeout",
  "QueueTimeout",
  "Busy",
  "Gone"
] as const satisfies ReadonlyArray<"succeeded" | "interrupted" | WorkerError["_tag"]>

export const causes = [
  "exited",
  "timed out",
  "violated",
  "health check limit",
  "failure limit",
  "not ready",
  "abandoned",
  "worn out",
  "start failed",
  "idle",
  "closed"
] as const satisfies ReadonlyArray<Cause>

export const affinities = ["hit", "miss", "first"] as const

/** Effect compares bounds by identity, so they exist once. In seconds. */
export const waitBuckets = MetricBoundaries.fromIterable([0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10])

export const keys = {
  workers: MetricKey.gauge("spillway_workers", { description: "Workers that live, by state" }),
  waiting: MetricKey.gauge("spillway_worker_waiting", { description: "Operations that wait for a worker" }),
  operations: MetricKey.counter("spillway_worker_operations_total", {
    description: "Operations that are over, by what became of them",
    incremental: true
  }),
  wait: MetricKey.histogram(
    "spillway_worker_wait_seconds",
    waitBuckets,
    "From the arrival of an operation or a checkout until it had a worker"
  ),
  removals: MetricKey.counter("spillway_worker_removals_total", {
    description: "Workers taken out, by cause; each but those of the last two has a successor",
    incremental: true
  }),
  affinity: MetricKey.counter("spillway_worker_affinity_total", {
    description: "Operations of sessions: on the session's own worker, on another one than before, or the first",
    incremental: true
  })
}

const byKey = <K extends string, A>(all: ReadonlyArray<K>, f: (key: K) => A): { readonly [P in K]: A } =>
  // One entry for each key.
  Object.fromEntries(all.map((key) => [key, f(key)])) as { readonly [P in K]: A }

/** How an operation has ended, for whoever waited. */
export type OperationExit = Exit.Exit<unknown, WorkerError>

export class PoolMetrics {
  readonly workers: { readonly [S in typeof states[number]]: Metric.Metric.Gauge<number> }
  readonly waiting: Metric.Metric.Gauge<number>
  readonly operations: { readonly [O in typeof outcomes[number]]: Metric.Metric.Counter<number> }
  readonly wait: Metric.Metric.Histogram<number>
  readonly removals: { readonly [C in Cause]: Metric.Metric.Counter<number> }
  readonly affinity: { readonly [A in typeof affinities[number]]: Metric.Metric.Counter<number> }
  /** Of all pools with this label: a gauge has one value. */
  private readonly counts = { initializing: 0, ready: 0, busy: 0, degraded: 0, terminating: 0 }
  private waitingItems = 0

  private constructor(name: string) {
    const make = <Type extends MetricKeyType.MetricKeyType<any, any>>(
      key: MetricKey.MetricKey<Type>,
      labels: { readonly [name: string]: string } = {}
    ) => {
      const all = Object.entries({ label: name, ...labels }).map(([key, value]) => MetricLabel.make(key, value))
      const metric = Metric.fromMetricKey(MetricKey.taggedWithLabels(key, all))
      // Reading registers it: a series exists from the start, as zero, and not only after the first event.
      metric.unsafeValue([])
      return metric
    }
    this.workers = byKey(states, (state) => make(keys.workers, { state }))
    this.waiting = make(keys.waiting)
    this.operations = byKey(outcomes, (outcome) => make(keys.operations, { outcome }))
    this.wait = make(keys.wait)
    this.removals = byKey(causes, (cause) => make(keys.removals, { cause }))
    this.affinity = byKey(affinities, (result) => make(keys.affinity, { result }))
  }

  private static readonly all = new Map<string, PoolMetrics>()

  static of({ name }: Label): PoolMetrics {
    let metrics = PoolMetrics.all.get(name)
    if (metrics === undefined) {
      metrics = new PoolMetrics(name)
      PoolMetrics.all.set(name, metrics)
    }
    return metrics
  }

  /** A worker is in a state, or in none any more. */
  moved(from: State | undefined, to: State): void {
    if (from !== undefined) this.count(from, -1)
    this.count(to, 1)
  }

  waits(change: 1 | -1): void {
    this.waitingItems += change
    this.waiting.unsafeUpdate(this.waitingItems, [])
  }

  waited(millis: number): void {
    this.wait.unsafeUpdate(millis / 1000, [])
  }

  over(exit: OperationExit): void {
    if (exit._tag === "Success") this.operations.succeeded.unsafeUpdate(1, [])
    else if (exit.cause._tag === "Fail") this.operations[exit.cause.error._tag].unsafeUpdate(1, [])
  }

  interrupted(): void {
    this.operations.interrupted.unsafeUpdate(1, [])
  }

  removed(cause: Cause): void {
    this.removals[cause].unsafeUpdate(1, [])
  }

  used(result: typeof affinities[number]): void {
    this.affinity[result].unsafeUpdate(1, [])
  }

  private count(state: State, change: 1 | -1): void {
    if (state === "terminated") return
    this.counts[state] += change
    this.workers[state].unsafeUpdate(this.counts[state], [])
  }
}
