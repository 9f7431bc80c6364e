/**
 * Events of a job: what its log consists of.
 *
 * An event has a place in its job (`seq`, from 1 without gaps), an id that makes appending it idempotent, and a kind that
 * says what it means for the state of the job (see `JobState`).
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * What an event means. `STARTED` begins an attempt, `PROGRESS` moves the progress, `LOG` is a line of text, `MESSAGE` is an
 * event of the job's own schema. `RESULT`, `ERROR` and `CANCELLED` are terminal: nothing comes after them.
 *
 * @since 0.1.0
 * @category models
 */
export type Kind = "STARTED" | "PROGRESS" | "LOG" | "MESSAGE" | "RESULT" | "ERROR" | "CANCELLED"

/**
 * Schema of a kind.
 *
 * @since 0.1.0
 * @category models
 */
export const KindSchema: Schema.Schema<Kind> = Schema.Literal(
  "STARTED",
  "PROGRESS",
  "LOG",
  "MESSAGE",
  "RESULT",
  "ERROR",
  "CANCELLED"
)

/**
 * Whether an event of this kind is the last one of its job.
 *
 * @since 0.1.0
 * @category guards
 */
export const isTerminal = (kind: Kind): boolean => kind === "RESULT" || kind === "ERROR" || kind === "CANCELLED"

/**
 * One event as it stands in the log. `at` is milliseconds of `Clock`; `data` is JSON whose form depends on the kind.
 *
 * @since 0.1.0
 * @category models
 */
export interface JobEvent {
  readonly jobId: string
  readonly seq: number
  readonly id: string
  readonly at: number
  readonly kind: Kind
  readonly data: unknown
}

/**
 * What is appended: an event that has no place yet. With an `id` the append is idempotent: a second one with the same id
 * changes nothing and returns the place of the first.
 *
 * @since 0.1.0
 * @category models
 */
export interface Entry {
  readonly kind: Kind
  readonly data: unknown
  readonly id?: string | undefined
}

/**
 * Begin of an attempt.
 *
 * @since 0.1.0
 * @category constructors
 */
export const started = (attempt: number, owner: string): Entry => ({ kind: "STARTED", data: { attempt, owner } })

/**
 * Progress, 0 to 1, with the stage that is being worked on and a line for people.
 *
 * @since 0.1.0
 * @category constructors
 */
export const progress = (value: number, stage?: string, message?: string): Entry => ({
  kind: "PROGRESS",
  data: { value, ...(stage === undefined ? {} : { stage }), ...(message === undefined ? {} : { message }) }
})

/**
 * A line of text.
 *
 * @since 0.1.0
 * @category constructors
 */
export const log = (message: string, level: LogLevel = "info"): Entry => ({ kind: "LOG", data: { level, message } })

/**
 * Level of a line of text.
 *
 * @since 0.1.0
 * @category models
 */
export type LogLevel = "debug" | "info" | "warning" | "error"

/**
 * An event of the job's own, already encoded with its schema.
 *
 * @since 0.1.0
 * @category constructors
 */
export const message = (data: unknown, id?: string): Entry => ({ kind: "MESSAGE", data, id })

/**
 * The successful end of a job, with its encoded output.
 *
 * @since 0.1.0
 * @category constructors
 */
export const result = (data: unknown): Entry => ({ kind: "RESULT", data: data ?? null })

/**
 * Why a job failed. `failed`: its handler did. `died`: its handler had a defect. `timeout`: it took longer than it may.
 * `lost`: whoever ran it is gone, and its policy is not to run it again. `unknown`: nobody here can run it.
 *
 * @since 0.1.0
 * @category models
 */
export type Failure = "failed" | "died" | "timeout" | "lost" | "unknown"

/**
 * The end of a job that failed.
 *
 * @since 0.1.0
 * @category constructors
 */
export const error = (reason: Failure, text: string): Entry => ({ kind: "ERROR", data: { reason, message: text } })

/**
 * The end of a job that was cancelled.
 *
 * @since 0.1.0
 * @category constructors
 */
export const cancelled = (text = "cancelled by request"): Entry => ({ kind: "CANCELLED", data: { message: text } })
