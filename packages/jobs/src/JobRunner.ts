/**
 * Runs jobs, in the scope of the application: whoever submits or follows one may leave, and it goes on.
 *
 * A job that was asked to run waits for a place (`concurrencyMax`), in turns, is claimed for a lease that the runner keeps
 * extending, and ends with exactly one terminal event, whatever its handler does. When its owner is gone, a runner finds it
 * at its start or when the lease has run out, and resumes it or marks it lost, as its definition says.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import type * as ConfigError from "effect/ConfigError"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type { InvalidOption } from "spillway/SpillwayError"
import { EventLog } from "./EventLog.js"
import * as check from "./internal/check.js"
import * as configured from "./internal/configured.js"
import * as runner from "./internal/runner.js"
import type { Handler, Job } from "./Job.js"
import type * as JobError from "./JobError.js"
import type { JobRecord } from "./JobStore.js"
import { JobStore } from "./JobStore.js"

/**
 * Limits of a runner. Every field has a default in `defaults`.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface Options {
  /** Jobs that run at once. Default 16. */
  readonly concurrencyMax?: number
  /** Jobs that wait for a place here. Beyond, `start` fails with `JobQueueFull`. Default 10,000. */
  readonly queuedJobsMax?: number
  /** For how long a job stays with an owner that is not heard of. Default 30 s. */
  readonly lease?: Duration.DurationInput
  /** How often to look for jobs and requests of other processes, where the store is shared. Default 1 s. */
  readonly pollInterval?: Duration.DurationInput
  /** Time for an interrupted handler to end; then it is given up and counted. Default 5 s. */
  readonly ackTimeout?: Duration.DurationInput
  /** At the end of the runner, time for running jobs to end by themselves. Default 5 s. */
  readonly shutdownGrace?: Duration.DurationInput
  /** How long the log of a job is kept after its end. Default 7 days. */
  readonly retentionAge?: Duration.DurationInput
  /** Bytes of events; beyond, the oldest jobs that have ended are deleted. Default 1 GiB. */
  readonly retentionBytesMax?: number
  /** How often to delete what is beyond both. Default 60 s. */
  readonly retentionInterval?: Duration.DurationInput
}

/**
 * Options with every field present; durations are milliseconds.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface Resolved {
  readonly concurrencyMax: number
  readonly queuedJobsMax: number
  readonly lease: number
  readonly pollInterval: number
  readonly ackTimeout: number
  readonly shutdownGrace: number
  readonly retentionAge: number
  readonly retentionBytesMax: number
  readonly retentionInterval: number
}

/**
 * The defaults.
 *
 * @since 0.1.0
 * @category configuration
 */
export const defaults: Resolved = Object.freeze({
  concurrencyMax: 16,
  queuedJobsMax: 10_000,
  lease: 30_000,
  pollInterval: 1_000,
  ackTimeout: 5_000,
  shutdownGrace: 5_000,
  retentionAge: 7 * 24 * 3_600_000,
  retentionBytesMax: 1024 * 1024 * 1024,
  retentionInterval: 60_000
})

/**
 * What may be said of a job when it is created.
 *
 * @since 0.1.0
 * @category models
 */
export interface CreateOptions {
  /** Its id, of at most 100 letters, digits, `-`, `_` and `.`. A random one by default. */
  readonly id?: string | undefined
  readonly title?: string | undefined
  /** Whose turn it takes when jobs wait for a place, say a customer. Default the name of its definition. */
  readonly turn?: string | undefined
  /** Whether it is asked to run at once. Default `true`. */
  readonly start?: boolean | undefined
}

/**
 * What a runner is doing.
 *
 * @since 0.1.0
 * @category models
 */
export interface Snapshot {
  /** Ids of the jobs that run here. */
  readonly running: ReadonlyArray<string>
  /** Jobs that wait for a place here. */
  readonly queued: number
  /** Handlers that ignored their interruption and were given up, since the start. */
  readonly stuck: number
  readonly owner: string
}

/**
 * Shape of the service.
 *
 * @since 0.1.0
 * @category models
 */
export interface JobRunnerShape {
  /** Creates a job. **Errors** `InvalidInput`, `UnknownJob`, `JobExists`, `JobQueueFull`, `StoreFailed`. */
  create<Input, Event, Output>(
    job: Job<Input, Event, Output>,
    input: Input,
    options?: CreateOptions
  ): Effect.Effect<JobRecord, CreateError>
  /** As `create`, by name and with input as it comes over the wire. */
  createEncoded(name: string, input: unknown, options?: CreateOptions): Effect.Effect<JobRecord, CreateError>
  /**
   * Asks for a pending job to run: `started`. One that runs, or was asked to, is left alone: `existing`. However many ask
   * at once, it starts once. **Errors** `JobOver` for one that has ended: it never runs again.
   */
  start(jobId: string): Effect.Effect<"started" | "existing", StartError>
  /**
   * Cancels a job: interrupts its handler, waits until it has ended or was given up, and returns the record. One that
   * another process runs is asked to, and waited for. **Errors** `JobOver` when it had ended before, or ended otherwise.
   */
  cancel(jobId: string, message?: string): Effect.Effect<JobRecord, CancelError>
  /** Deletes a job and its events; one that has not ended is cancelled first. */
  remove(jobId: string): Effect.Effect<void, JobError.JobNotFound | JobError.AppendError>
  /** Suspends until a job has ended. */
  awaitEnd(jobId: string): Effect.Effect<JobRecord, JobError.ReadError>
  readonly snapshot: Snapshot
}

/**
 * What creating a job can fail with.
 *
 * @since 0.1.0
 * @category errors
 */
export type CreateError =
  | JobError.InvalidInput
  | JobError.UnknownJob
  | JobError.JobExists
  | JobError.JobQueueFull
  | JobError.StoreFailed

/**
 * What starting a job can fail with.
 *
 * @since 0.1.0
 * @category errors
 */
export type StartError =
  | JobError.JobNotFound
  | JobError.JobOver
  | JobError.JobQueueFull
  | JobError.UnknownJob
  | JobError.StoreFailed

/**
 * What cancelling a job can fail with.
 *
 * @since 0.1.0
 * @category errors
 */
export type CancelError = JobError.AppendError

/**
 * Runs jobs.
 *
 * @since 0.1.0
 * @category models
 */
export class JobRunner extends Context.Tag("@spillway/jobs/JobRunner")<JobRunner, JobRunnerShape>() {}

/**
 * Makes a runner for some handlers. When its scope closes it takes no more jobs, lets those that run end within
 * `shutdownGrace`, then interrupts them: a job with policy `resume` goes on at the next start, one with `fail` is lost.
 *
 * **Errors** `InvalidOption`, naming the option.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  handlers: ReadonlyArray<Handler>,
  options: Options = {}
): Effect.Effect<JobRunnerShape, InvalidOption, EventLog | JobStore | Scope.Scope> =>
  Effect.gen(function*() {
    const log = yield* EventLog
    const store = yield* JobStore
    return yield* runner.make({ log, store, handlers }, { ...defaults, ...options })
  })

/**
 * A runner as a layer. The handlers take the services that they need from the layer's environment.
 *
 * @example
 * import { EventLog, Job, JobRunner, JobStore } from "@spillway/jobs"
 * import { Effect, Layer, Schema } from "effect"
 *
 * const Double = Job.make("double", { input: Schema.Number, event: Schema.String, output: Schema.Number })
 *
 * const JobsLive = JobRunner.layer([
 *   Job.handler(Double, (n, job) => Effect.as(job.emit("doubling"), 2 * n))
 * ]).pipe(
 *   Layer.provideMerge(EventLog.layer()),
 *   Layer.provideMerge(JobStore.layerMemory)
 * )
 *
 * const program = Effect.gen(function*() {
 *   const runner = yield* JobRunner.JobRunner
 *   const { id } = yield* runner.create(Double, 21)
 *   const { state } = yield* runner.awaitEnd(id)
 *   assert.deepStrictEqual([state.status, state.result], ["SUCCEEDED", 42])
 * })
 * await Effect.runPromise(Effect.provide(program, JobsLive))
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = <R = never>(
  handlers: ReadonlyArray<Effect.Effect<Handler, never, R>>,
  options?: Options
): Layer.Layer<JobRunner, InvalidOption, EventLog | JobStore | R> =>
  Layer.scoped(JobRunner, Effect.flatMap(Effect.all(handlers), (all) => make(all, options)))

/**
 * The options as configuration. The keys are their names; what is not configured keeps its default. Use `Config.nested` for
 * a prefix.
 *
 * @since 0.1.0
 * @category configuration
 */
export const config: Config.Config<Options> = configured.byRules(check.runnerRules)

/**
 * A runner as a layer, with options from configuration.
 *
 * **Errors** `ConfigError`, naming the key, when a value cannot be read or is not usable.
 *
 * @example
 * import { JobRunner } from "@spillway/jobs"
 * import { Config, ConfigProvider, Effect } from "effect"
 *
 * const environment = ConfigProvider.fromMap(new Map([["JOBS_CONCURRENCY_MAX", "4"]]), { pathDelim: "_" })
 * const options = Config.nested(JobRunner.config, "jobs").pipe(
 *   Effect.withConfigProvider(ConfigProvider.constantCase(environment)),
 *   Effect.runSync
 * )
 * assert.deepStrictEqual(options, { concurrencyMax: 4 })
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = <R = never>(
  handlers: ReadonlyArray<Effect.Effect<Handler, never, R>>,
  options: Config.Config<Options> = config
): Layer.Layer<JobRunner, InvalidOption | ConfigError.ConfigError, EventLog | JobStore | R> =>
  Layer.unwrapEffect(Effect.map(options, (given) => layer(handlers, given)))
