/**
 * Definitions of jobs: a name, the schemas of what goes in and what comes out, and what may happen to it.
 *
 * A definition has no code in it, so that a program which only submits or follows jobs needs none of what runs them. A
 * handler joins a definition with the code, where jobs are run.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as configured from "./internal/configured.js"
import { invariant } from "./internal/invariant.js"
import type { AppendError, ReadError } from "./JobError.js"
import { HandlerFailed } from "./JobError.js"
import type { JobEvent, LogLevel } from "./JobEvent.js"

/**
 * What happens to a job whose owner is gone (killed, or cut off for longer than its lease). `resume`: its handler runs
 * again, and finds in the log what was done. `fail`: it is marked FAILED with reason `lost`.
 *
 * @since 0.1.0
 * @category models
 */
export type OnLost = "resume" | "fail"

/**
 * A definition of jobs. `Input`, `Event` and `Output` are what handlers see; their schemas say how they are stored.
 *
 * @since 0.1.0
 * @category models
 */
export interface Job<in out Input, in out Event, in out Output> {
  readonly name: string
  // The encoded side is JSON, and of no concern to whoever uses the definition.
  readonly input: Schema.Schema<Input, any>
  readonly event: Schema.Schema<Event, any>
  readonly output: Schema.Schema<Output, any>
  /** Time that one attempt may take. */
  readonly maxDurationMillis: number
  readonly onLost: OnLost
  /** Attempts in all; a job that is lost in its last one has failed. */
  readonly attemptsMax: number
}

/**
 * Any definition.
 *
 * @since 0.1.0
 * @category models
 */
export type Any = Job<any, any, any>

/**
 * What holds unless a definition says otherwise; durations are milliseconds.
 *
 * @since 0.1.0
 * @category configuration
 */
export const defaults = Object.freeze({ maxDuration: 600_000, onLost: "resume" as OnLost, attemptsMax: 3 })

/**
 * Defines jobs. A name that is empty or longer than 100 characters, a duration that is not above zero, or less than one
 * attempt is a defect.
 *
 * @example
 * import { Job } from "@spillway/jobs"
 * import { Schema } from "effect"
 *
 * const Count = Job.make("count", {
 *   input: Schema.Struct({ to: Schema.Int }),
 *   event: Schema.Struct({ at: Schema.Int }),
 *   output: Schema.Int,
 *   maxDuration: "1 minute"
 * })
 * assert.strictEqual(Count.maxDurationMillis, 60_000)
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <Input, InputEncoded, Event, EventEncoded, Output, OutputEncoded>(
  name: string,
  options: {
    readonly input: Schema.Schema<Input, InputEncoded>
    readonly event: Schema.Schema<Event, EventEncoded>
    readonly output: Schema.Schema<Output, OutputEncoded>
    /** Default 600 s. */
    readonly maxDuration?: Duration.DurationInput
    /** Default `resume`. */
    readonly onLost?: OnLost
    /** Default 3. */
    readonly attemptsMax?: number
  }
): Job<Input, Event, Output> => {
  const maxDurationMillis = Duration.toMillis(options.maxDuration ?? defaults.maxDuration)
  const attemptsMax = options.attemptsMax ?? defaults.attemptsMax
  invariant(name.length > 0 && name.length <= 100, "the name of a job has 1 to 100 characters")
  invariant(maxDurationMillis > 0, "the longest duration of a job is above zero")
  invariant(Number.isInteger(attemptsMax) && attemptsMax >= 1, "a job has at least one attempt")
  return {
    name,
    input: options.input,
    event: options.event,
    output: options.output,
    maxDurationMillis,
    onLost: options.onLost ?? defaults.onLost,
    attemptsMax
  }
}

/**
 * The definition with what is configured of it: `maxDuration`, `onLost` and `attemptsMax`. What is not configured stays as
 * it is defined. Use `Config.nested` for a prefix, say the name of the job.
 *
 * **Errors** `ConfigError`, naming the key, when a value cannot be read or is not usable.
 *
 * @example
 * import { Job } from "@spillway/jobs"
 * import { Config, ConfigProvider, Effect, Schema } from "effect"
 *
 * const Count = Job.make("count", { input: Schema.Int, event: Schema.Int, output: Schema.Int })
 * const environment = ConfigProvider.fromMap(new Map([["COUNT_MAX_DURATION", "2 minutes"]]), { pathDelim: "_" })
 * const configured = Config.nested(Job.config(Count), "count").pipe(
 *   Effect.withConfigProvider(ConfigProvider.constantCase(environment)),
 *   Effect.runSync
 * )
 * assert.deepStrictEqual([configured.maxDurationMillis, configured.attemptsMax], [120_000, 3])
 *
 * @since 0.1.0
 * @category configuration
 */
export const config = <Input, Event, Output>(
  job: Job<Input, Event, Output>
): Config.Config<Job<Input, Event, Output>> =>
  Config.map(
    Config.all([
      configured.byKeys(["maxDuration"] as const, configured.period),
      configured.byKeys(["onLost"] as const, Config.literal("resume", "fail")),
      configured.byKeys(["attemptsMax"] as const, configured.count)
    ]),
    ([{ maxDuration }, policy, attempts]) => ({
      ...job,
      ...configured.given<Partial<Job<Input, Event, Output>>>([policy, attempts]),
      maxDurationMillis: maxDuration === undefined ? job.maxDurationMillis : Duration.toMillis(maxDuration)
    })
  )

/**
 * What a handler works with. Everything here appends to the log of its job and returns when that is durable; it fails when
 * the log does, or when the job is no longer this handler's.
 *
 * @since 0.1.0
 * @category models
 */
export interface JobContext<in Event> {
  readonly jobId: string
  /** 1 the first time, more after the job was lost. */
  readonly attempt: number
  /**
   * Appends an event and returns its place in the log. With an `id` it is appended once, however often a later attempt
   * does it again.
   */
  emit(event: Event, options?: { readonly id?: string }): Effect.Effect<number, AppendError>
  /** Appends a line of text, which viewers get as `bulk`: it may be skipped for one that is slow. */
  log(line: string, level?: LogLevel): Effect.Effect<void, AppendError>
  /**
   * Moves the progress, 0 to 1. It never falls; a change of at most a hundredth, with the same stage and message, is not
   * worth an event and appends nothing.
   */
  progress(value: number, about?: { readonly stage?: string; readonly message?: string }): Effect.Effect<
    void,
    AppendError
  >
  /** What earlier attempts appended, to go on from there. Ends where this attempt began. */
  readonly history: Stream.Stream<JobEvent, ReadError>
}

/**
 * A handler as the runner sees it: encoded in, encoded out.
 *
 * @since 0.1.0
 * @category models
 */
export interface Handler {
  readonly job: Any
  readonly run: (input: unknown, context: JobContext<unknown>) => Effect.Effect<unknown, HandlerFailed, Scope.Scope>
}

/**
 * Joins a definition with the code that does the work.
 *
 * **Details.** The code runs in a scope of its own, which closes when it ends. Interruption is how it is cancelled and how
 * its time runs out: code that ignores it is given up and counted, and what it emits afterwards is refused. The services
 * that it needs are taken from where the handler is made.
 *
 * @since 0.1.0
 * @category constructors
 */
export const handler = <Input, Event, Output, E, R>(
  job: Job<Input, Event, Output>,
  f: (input: Input, context: JobContext<Event>) => Effect.Effect<Output, E, R>
): Effect.Effect<Handler, never, Exclude<R, Scope.Scope>> => {
  const decodeInput = Schema.decodeUnknown(job.input)
  const encodeEvent = Schema.encode(job.event)
  const encodeOutput = Schema.encode(job.output)
  return Effect.map(Effect.context<Exclude<R, Scope.Scope>>(), (context) => ({
    job,
    run: (input, raw) =>
      Effect.gen(function*() {
        const value = yield* decodeInput(input)
        const output = yield* f(value, {
          ...raw,
          // A value that does not fit its own schema is a mistake of the handler.
          emit: (event, options) => Effect.flatMap(Effect.orDie(encodeEvent(event)), (data) => raw.emit(data, options))
        })
        return yield* Effect.orDie(encodeOutput(output))
      }).pipe(
        Effect.mapError((cause) => new HandlerFailed({ cause })),
        Effect.mapInputContext((scope: Context.Context<Scope.Scope>) =>
          // What is left to provide is the scope.
          Context.merge(context, scope) as Context.Context<R>
        )
      )
  }))
}
