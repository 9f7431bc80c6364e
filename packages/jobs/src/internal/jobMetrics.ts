/** The metrics behind `JobMetrics`: made once, with their labels baked in. */
import * as Metric from "effect/Metric"
import * as MetricBoundaries from "effect/MetricBoundaries"
import * as MetricKey from "effect/MetricKey"
import type * as MetricKeyType from "effect/MetricKeyType"
import * as MetricLabel from "effect/MetricLabel"
import type { Label } from "spillway/Label"

/** Effect compares bounds by identity, so they exist once. In seconds. */
const jobBuckets = MetricBoundaries.fromIterable([1, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600])
const stepBuckets = MetricBoundaries.fromIterable([0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300])

export const statuses = ["SUCCEEDED", "FAILED", "CANCELLED"] as const
export const kinds = ["STARTED", "PROGRESS", "LOG", "MESSAGE", "RESULT", "ERROR", "CANCELLED"] as const
export const outcomes = ["succeeded", "failed", "interrupted"] as const

const counter = (name: string, description: string) => MetricKey.counter(name, { description, incremental: true })
const gauge = (name: string, description: string) => MetricKey.gauge(name, { description })

/** Names, types and bounds as operators know them. */
export const keys = {
  jobs: counter("spillway_jobs_total", "Jobs that ended here, by status"),
  active: gauge("spillway_jobs_active", "Jobs that run here"),
  queued: gauge("spillway_jobs_queued", "Jobs that wait here for a place"),
  stuck: counter("spillway_jobs_stuck_total", "Handlers that ignored their interruption and were given up"),
  duration: MetricKey.histogram("spillway_job_duration_seconds", jobBuckets, "Duration of attempts that ended a job"),
  events: counter("spillway_job_events_total", "Events appended here, by kind"),
  failedCommits: counter("spillway_job_commits_failed_total", "Batches of appends that the store did not take"),
  followers: gauge("spillway_job_followers", "Readers of logs that are open here, of viewers and of others"),
  steps: counter("spillway_job_steps_total", "Steps of jobs that are over, by what became of them"),
  stepsActive: gauge("spillway_job_steps_active", "Steps of jobs that run here"),
  stepDuration: MetricKey.histogram("spillway_job_step_duration_seconds", stepBuckets, "Duration of steps of jobs")
}

const make = <Type extends MetricKeyType.MetricKeyType<any, any>>(
  key: MetricKey.MetricKey<Type>,
  labels: { readonly [name: string]: string } = {}
) => {
  const all = Object.entries(labels).map(([name, value]) => MetricLabel.make(name, value))
  const metric = Metric.fromMetricKey(MetricKey.taggedWithLabels(key, all))
  // Reading registers it: a series exists from the start, as zero, and not only after the first event.
  metric.unsafeValue([])
  return metric
}

const by = <K extends string, A>(all: ReadonlyArray<K>, f: (key: K) => A): { readonly [P in K]: A } =>
  // One entry for each key.
  Object.fromEntries(all.map((key) => [key, f(key)])) as { readonly [P in K]: A }

export const jobs = by(statuses, (status) => make(keys.jobs, { status }))
export const duration = by(statuses, (status) => make(keys.duration, { status }))
export const events = by(kinds, (kind) => make(keys.events, { kind }))
export const active = make(keys.active)
export const queued = make(keys.queued)
export const stuck = make(keys.stuck)
export const failedCommits = make(keys.failedCommits)
export const followers = make(keys.followers)

/** The metrics of the steps with one label, made when it is first used and kept: a label is a literal, so there are few. */
export class StepMetrics {
  private static readonly all = new Map<string, StepMetrics>()

  readonly total: { readonly [O in typeof outcomes[number]]: Metric.Metric.Counter<number> }
  readonly active: Metric.Metric.Gauge<number>
  readonly duration: Metric.Metric.Histogram<number>

  private constructor(label: string) {
    this.total = by(outcomes, (outcome) => make(keys.steps, { label, outcome }))
    this.active = make(keys.stepsActive, { label })
    this.duration = make(keys.stepDuration, { label })
  }

  static of({ name }: Label): StepMetrics {
    let metrics = StepMetrics.all.get(name)
    if (metrics === undefined) {
      metrics = new StepMetrics(name)
      StepMetrics.all.set(name, metrics)
    }
    return metrics
  }
}
