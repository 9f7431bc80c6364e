/** The metrics of one label, made when it is first used and kept: a label is a literal, so there are few. */
import type * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as MetricBoundaries from "effect/MetricBoundaries"
import * as MetricKey from "effect/MetricKey"
import type * as MetricKeyType from "effect/MetricKeyType"
import * as MetricLabel from "effect/MetricLabel"
import type { Label } from "../Label.js"

export const exitReasons = ["disconnect", "crash", "lifetime_done", "completed"] as const

export type ExitReason = typeof exitReasons[number]

/** Effect compares bounds by identity, so each set of bounds exists once. */
export const drainBuckets = MetricBoundaries.fromIterable([0.1, 0.5, 1, 2, 5, 10, 30, 60])

export const gatherBuckets = MetricBoundaries.fromIterable([0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30])

const counterKey = (name: string, description: string) => MetricKey.counter(name, { description, incremental: true })

/** Names, types and bounds as operators know them. */
export const keys = {
  supervisorExit: counterKey("async_supervisor_exit_total", "Supervisions ended, by reason"),
  drainTimeout: counterKey("async_drain_timeout_total", "Drains whose tasks did not end in time"),
  drainDuration: MetricKey.histogram("async_drain_duration_seconds", drainBuckets, "Time that a drain waited"),
  gatherFailures: counterKey("async_gather_failures_total", "Items of gathers that failed or timed out"),
  gatherDuration: MetricKey.histogram("async_gather_duration_seconds", gatherBuckets, "Duration of a gather"),
  stuck: MetricKey.gauge("async_stuck_tasks", {
    description: "Tasks that ignore interruption and were given up, until they end"
  })
}

const labelled = <Type extends MetricKeyType.MetricKeyType<any, any>>(
  key: MetricKey.MetricKey<Type>,
  name: string,
  more: ReadonlyArray<MetricLabel.MetricLabel> = []
): MetricKey.MetricKey<Type> => MetricKey.taggedWithLabels(key, [MetricLabel.make("label", name), ...more])

/** Fibers that were given up and still run: one that is given up twice counts once. */
const abandoned = new WeakSet<Fiber.RuntimeFiber<unknown, unknown>>()

export class TaskMetrics {
  readonly supervisorExit: { readonly [R in ExitReason]: Metric.Metric.Counter<number> }
  readonly drainTimeout: Metric.Metric.Counter<number>
  readonly drainDuration: Metric.Metric.Histogram<number>
  readonly gatherFailures: Metric.Metric.Counter<number>
  readonly gatherDuration: Metric.Metric.Histogram<number>
  readonly stuck: Metric.Metric.Gauge<number>
  private stuckTasks = 0

  private constructor(readonly name: string) {
    const exit = (reason: ExitReason) =>
      Metric.fromMetricKey(labelled(keys.supervisorExit, name, [MetricLabel.make("reason", reason)]))
    this.supervisorExit = {
      disconnect: exit("disconnect"),
      crash: exit("crash"),
      lifetime_done: exit("lifetime_done"),
      completed: exit("completed")
    }
    this.drainTimeout = Metric.fromMetricKey(labelled(keys.drainTimeout, name))
    this.drainDuration = Metric.fromMetricKey(labelled(keys.drainDuration, name))
    this.gatherFailures = Metric.fromMetricKey(labelled(keys.gatherFailures, name))
    this.gatherDuration = Metric.fromMetricKey(labelled(keys.gatherDuration, name))
    this.stuck = Metric.fromMetricKey(labelled(keys.stuck, name))
  }

  private static readonly all = new Map<string, TaskMetrics>()

  static of(label: Label): TaskMetrics {
    return TaskMetrics.named(label.name)
  }

  /** Metrics of the drain that ends an interrupted gather. */
  static ofCancel(label: Label): TaskMetrics {
    return TaskMetrics.named(`${label.name}:cancel`)
  }

  private static named(name: string): TaskMetrics {
    let metrics = TaskMetrics.all.get(name)
    if (metrics === undefined) {
      metrics = new TaskMetrics(name)
      TaskMetrics.all.set(name, metrics)
    }
    return metrics
  }

  /** Counts a fiber that ignores interruption until it has really ended. */
  abandon(fiber: Fiber.RuntimeFiber<unknown, unknown>): void {
    if (abandoned.has(fiber)) return
    abandoned.add(fiber)
    this.stuck.unsafeUpdate(++this.stuckTasks, [])
    fiber.addObserver(() => {
      abandoned.delete(fiber)
      this.stuck.unsafeUpdate(--this.stuckTasks, [])
    })
  }
}
