/**
 * The metrics of jobs, as Effect metrics of the process. Labels come from closed sets, so the number of series depends on
 * no traffic.
 *
 * @since 0.1.0
 */
import type * as Metric from "effect/Metric"
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
 * Gauge `spillway_job_followers`: readers of logs that are open here, of viewers and of others.
 *
 * @since 0.1.0
 * @category metrics
 */
export const followers: Metric.Metric.Gauge<number> = metrics.followers
