/** The metrics behind `JobMetrics`: made once, with their labels baked in. */
import * as Metric from "effect/Metric"
import * as MetricBoundaries from "effect/MetricBoundaries"

const boundaries = MetricBoundaries.fromIterable([1, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600])

const statuses = ["SUCCEEDED", "FAILED", "CANCELLED"] as const
const kinds = ["STARTED", "PROGRESS", "LOG", "MESSAGE", "RESULT", "ERROR", "CANCELLED"] as const

const by = <K extends string, A>(keys: ReadonlyArray<K>, f: (key: K) => A): { readonly [P in K]: A } =>
  // One entry for each key.
  Object.fromEntries(keys.map((key) => [key, f(key)])) as { readonly [P in K]: A }

const ended = Metric.counter("spillway_jobs_total", { description: "Jobs that ended, by status", incremental: true })
const took = Metric.histogram("spillway_job_duration_seconds", boundaries, "Duration of attempts that ended a job")
const appended = Metric.counter("spillway_job_events_total", { description: "Events appended", incremental: true })

export const jobs = by(statuses, (status) => Metric.tagged(ended, "status", status))
export const duration = by(statuses, (status) => Metric.tagged(took, "status", status))
export const events = by(kinds, (kind) => Metric.tagged(appended, "kind", kind))
export const active = Metric.gauge("spillway_jobs_active", { description: "Jobs that run" })
export const followers = Metric.gauge("spillway_job_followers", { description: "Open readers of logs" })
