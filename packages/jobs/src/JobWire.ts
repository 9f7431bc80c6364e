/**
 * What viewers and HTTP clients are sent: frames and bodies, as schemas. The names are those of the task-stream protocol, in
 * which a job is called a task.
 *
 * A frame is `{type, data}`. `connected` comes first, then one `state` (unless the job has ended), then an `event` for each
 * event of the log, in order, with a `state` whenever one is worth it, and at the end exactly one terminal `state`. An
 * `error` comes before the connection is closed with another code than 1000.
 *
 * @since 0.1.0
 */
import * as DateTime from "effect/DateTime"
import * as Schema from "effect/Schema"
import * as JobEvent from "./JobEvent.js"
import * as JobState from "./JobState.js"
import type { JobRecord } from "./JobStore.js"

const Time = Schema.NullOr(Schema.String)

/**
 * An event on the wire.
 *
 * @since 0.1.0
 * @category models
 */
export const Event = Schema.Struct({
  event_id: Schema.String,
  task_id: Schema.String,
  seq: Schema.Int,
  timestamp: Schema.String,
  event_type: JobEvent.KindSchema,
  payload: Schema.Unknown
})

/**
 * An event on the wire.
 *
 * @since 0.1.0
 * @category models
 */
export type Event = typeof Event.Type

/**
 * A state on the wire. `seq` is the last event that it accounts for.
 *
 * @since 0.1.0
 * @category models
 */
export const State = Schema.Struct({
  task_id: Schema.String,
  seq: Schema.Int,
  status: JobState.StatusSchema,
  attempt: Schema.Int,
  progress: Schema.Number,
  current_agent: Schema.NullOr(Schema.String),
  last_message: Schema.NullOr(Schema.String),
  started_at: Time,
  completed_at: Time,
  error_message: Schema.NullOr(Schema.String),
  final_result: Schema.Unknown
})

/**
 * A state on the wire.
 *
 * @since 0.1.0
 * @category models
 */
export type State = typeof State.Type

/**
 * What a viewer is sent.
 *
 * @since 0.1.0
 * @category models
 */
export const Frame = Schema.Union(
  Schema.Struct({
    type: Schema.Literal("connected"),
    data: Schema.Struct({ task_id: Schema.String, message: Schema.String })
  }),
  Schema.Struct({ type: Schema.Literal("event"), data: Event }),
  Schema.Struct({ type: Schema.Literal("state"), data: State }),
  Schema.Struct({ type: Schema.Literal("error"), data: Schema.Struct({ message: Schema.String }) })
)

/**
 * What a viewer is sent.
 *
 * @since 0.1.0
 * @category models
 */
export type Frame = typeof Frame.Type

/**
 * A job on the wire, as lists have it.
 *
 * @since 0.1.0
 * @category models
 */
export const Task = Schema.Struct({
  id: Schema.String,
  name: Schema.String,
  title: Schema.NullOr(Schema.String),
  status: JobState.StatusSchema,
  progress: Schema.Number,
  input: Schema.Unknown,
  created_at: Schema.String,
  state: State
})

/**
 * A job on the wire, as lists have it.
 *
 * @since 0.1.0
 * @category models
 */
export type Task = typeof Task.Type

const timeOf = (millis: number): string => DateTime.formatIso(DateTime.unsafeMake(millis))

const optionalTime = (millis: number | undefined): string | null => millis === undefined ? null : timeOf(millis)

/**
 * An event as it goes over the wire.
 *
 * @since 0.1.0
 * @category conversions
 */
export const fromEvent = (event: JobEvent.JobEvent): Event => ({
  event_id: event.id,
  task_id: event.jobId,
  seq: event.seq,
  timestamp: timeOf(event.at),
  event_type: event.kind,
  payload: event.data
})

/**
 * An event as it came over the wire.
 *
 * @since 0.1.0
 * @category conversions
 */
export const toEvent = (event: Event): JobEvent.JobEvent => ({
  jobId: event.task_id,
  seq: event.seq,
  id: event.event_id,
  at: Date.parse(event.timestamp),
  kind: event.event_type,
  data: event.payload
})

/**
 * A state as it goes over the wire.
 *
 * @since 0.1.0
 * @category conversions
 */
export const fromState = (jobId: string, state: JobState.JobState): State => ({
  task_id: jobId,
  seq: state.seq,
  status: state.status,
  attempt: state.attempt,
  progress: state.progress,
  current_agent: state.stage ?? null,
  last_message: state.message ?? null,
  started_at: optionalTime(state.startedAt),
  completed_at: optionalTime(state.completedAt),
  error_message: state.error?.message ?? null,
  final_result: state.result ?? null
})

/**
 * A job as it goes over the wire.
 *
 * @since 0.1.0
 * @category conversions
 */
export const fromRecord = (job: JobRecord): Task => ({
  id: job.id,
  name: job.name,
  title: job.title ?? null,
  status: job.state.status,
  progress: job.state.progress,
  input: job.input,
  created_at: timeOf(job.createdAt),
  state: fromState(job.id, job.state)
})
