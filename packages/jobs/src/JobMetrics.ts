/**
 * The metrics of jobs, as Effect metrics of the process. Labels come from closed sets, or are a `Label`, which cannot be made
 * from traffic: the number of series depends on the program only.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Metric from "effect/Metric"
import type { Label } from "spillway/Label"
import * as metrics from "./internal/jobMetrics.js"
import type { Kind } from "./JobEvent.js"
import type { Status } from "./JobState.js"

/**
 * Counter `spillway_jobs_total` with the label `status`: jobs that ended here.
 *
 * @since 0.1.0
 * @category metrics
 */
export const jobs = (status: Exclude<Status, "PENDING" | "RUNNING">): Metric.Metric.Counter<number> =>
  metrics.jobs[status]

/**
 * Gauge `spillway_jobs_active`: jobs that run here.
 *
 * @since 0.1.0
 * @category metrics
 */
export const active: Metric.Metric.Gauge<number> = metrics.active

/**
 * Gauge `spillway_jobs_queued`: jobs that wait here for a place.
 *
 * @since 0.1.0
 * @category metrics
 */
export const queued: Metric.Metric.Gauge<number> = metrics.queued

/**
 * Counter `spillway_jobs_stuck_total`: handlers that ignored their interruption and were given up.
 *
 * @since 0.1.0
 * @category metrics
 */
export const stuck: Metric.Metric.Counter<number> = metrics.stuck

/**
 * Histogram `spillway_job_duration_seconds` with the label `status`: how long attempts that ended a job took.
 *
 * @since 0.1.0
 * @category metrics
 */
export const duration = (status: Exclude<Status, "PENDING" | "RUNNING">): Metric.Metric.Histogram<number> =>
  metrics.duration[status]

/**
 * Counter `spillway_job_events_total` with the label `kind`: events appended here.
 *
 * @since 0.1.0
 * @category metrics
 */
export const events = (kind: Kind): Metric.Metric.Counter<number> => metrics.events[kind]

/**
 * Counter `spillway_job_commits_failed_total`: batches of appends that the store did not take, or not in time.
 *
 * @since 0.1.0
 * @category metrics
 */
export const failedCommits: Metric.Metric.Counter<number> = metrics.failedCommits

/**
 * Gauge `spillway_job_followers`: readers of logs that are open here, of viewers and of others.
 *
 * @since 0.1.0
 * @category metrics
 */
export const followers: Metric.Metric.Gauge<number> = metrics.followers

/**
 * Counter `spillway_job_steps_total` with the labels `label` and `outcome`: steps that are over.
 *
 * @since 0.1.0
 * @category metrics
 */
export const steps = (label: Label, outcome: "succeeded" | "failed" | "interrupted"): Metric.Metric.Counter<number> =>
  metrics.StepMetrics.of(label).total[outcome]

/**
 * Gauge `spillway_job_steps_active` with the label `label`: steps that run here.
 *
 * @since 0.1.0
 * @category metrics
 */
export const stepsActive = (label: Label): Metric.Metric.Gauge<number> => metrics.StepMetrics.of(label).active

/**
 * Histogram `spillway_job_step_duration_seconds` with the label `label`: how long steps took, however they ended.
 *
 * @since 0.1.0
 * @category metrics
 */
export const stepDuration = (label: Label): Metric.Metric.Histogram<number> => metrics.StepMetrics.of(label).duration

/**
 * Measures an effect as a step of a job: a stage of its work, or a call to something that is slow or dear (a model, say).
 * It changes nothing of the effect.
 *
 * **Details.** A failure and a defect are `failed`; an effect that was only interrupted is `interrupted`.
 *
 * @example
 * import { JobMetrics } from "@spillway/jobs"
 * import { Effect, Metric } from "effect"
 * import { Label } from "spillway"
 *
 * const summary = Label.make("summary")
 *
 * const program = Effect.gen(function*() {
 *   yield* JobMetrics.step(summary)(Effect.succeed("short"))
 *   return yield* Metric.value(JobMetrics.steps(summary, "succeeded"))
 * })
 * assert.strictEqual(Effect.runSync(program).count, 1)
 *
 * @since 0.1.0
 * @category operations
 */
export const step = (label: Label) => {
  const { active, duration, total } = metrics.StepMetrics.of(label)
  return <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.acquireUseRelease(
      Effect.map(Clock.currentTimeMillis, (begunAt) => {
        active.unsafeModify(1, [])
        return begunAt
      }),
      () => effect,
      (begunAt, exit) =>
        Effect.map(Clock.currentTimeMillis, (now) => {
          active.unsafeModify(-1, [])
          duration.unsafeUpdate((now - begunAt) / 1_000, [])
          const outcome = Exit.isSuccess(exit)
            ? "succeeded"
            : Cause.isInterruptedOnly(exit.cause)
            ? "interrupted"
            : "failed"
          total[outcome].unsafeUpdate(1, [])
        })
    )
}

const entry = (
  key: { readonly name: string; readonly description: { readonly _tag: string; readonly value?: string } },
  type: "counter" | "gauge" | "histogram",
  labels: { readonly [name: string]: ReadonlyArray<string> } = {}
) => ({ name: key.name, type, labels, description: key.description.value ?? "" })

const anyLabel = ["any literal of the program"]

/**
 * Names, types, labels and meanings; `docs/JOB_METRICS.md` is generated from it.
 *
 * @since 0.1.0
 * @category metrics
 */
export const registry = [
  entry(metrics.keys.jobs, "counter", { status: metrics.statuses }),
  entry(metrics.keys.active, "gauge"),
  entry(metrics.keys.queued, "gauge"),
  entry(metrics.keys.stuck, "counter"),
  entry(metrics.keys.duration, "histogram", { status: metrics.statuses }),
  entry(metrics.keys.events, "counter", { kind: metrics.kinds }),
  entry(metrics.keys.failedCommits, "counter"),
  entry(metrics.keys.followers, "gauge"),
  entry(metrics.keys.steps, "counter", { label: anyLabel, outcome: metrics.outcomes }),
  entry(metrics.keys.stepsActive, "gauge", { label: anyLabel }),
  entry(metrics.keys.stepDuration, "histogram", { label: anyLabel })
]
