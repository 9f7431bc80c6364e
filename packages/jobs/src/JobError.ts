/**
 * Every failure that an effect of this package can have. One class per thing that a caller can do about it.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import type { Kind } from "./JobEvent.js"

/**
 * There is no such job, or no longer.
 *
 * @since 0.1.0
 * @category errors
 */
export class JobNotFound extends Data.TaggedError("JobNotFound")<{ readonly jobId: string }> {
  override get message(): string {
    return `job ${this.jobId} not found`
  }
}

/**
 * There is a job with this id already.
 *
 * @since 0.1.0
 * @category errors
 */
export class JobExists extends Data.TaggedError("JobExists")<{ readonly jobId: string }> {
  override get message(): string {
    return `job ${this.jobId} exists already`
  }
}

/**
 * The job has ended; nothing can be done to it any more.
 *
 * @since 0.1.0
 * @category errors
 */
export class JobOver extends Data.TaggedError("JobOver")<{ readonly jobId: string; readonly status: string }> {
  override get message(): string {
    return `job ${this.jobId} is over (${this.status})`
  }
}

/**
 * An event of this kind is not possible in the state of the job.
 *
 * @since 0.1.0
 * @category errors
 */
export class IllegalTransition extends Data.TaggedError("IllegalTransition")<{
  readonly jobId: string
  readonly status: string
  readonly kind: Kind
}> {
  override get message(): string {
    return `job ${this.jobId} is ${this.status}, in which ${this.kind} is not possible`
  }
}

/**
 * Somebody else owns the job now: a writer of an older generation may not append.
 *
 * @since 0.1.0
 * @category errors
 */
export class Fenced extends Data.TaggedError("Fenced")<{
  readonly jobId: string
  readonly generation: number
  readonly current: number
}> {
  override get message(): string {
    return `job ${this.jobId} is owned by generation ${this.current}, not ${this.generation}`
  }
}

/**
 * More appends wait for the store than may. Nothing was appended; try again later.
 *
 * @since 0.1.0
 * @category errors
 */
export class AppendQueueFull extends Data.TaggedError("AppendQueueFull")<{
  readonly limit: "items" | "bytes"
  readonly max: number
}> {
  override get message(): string {
    return `the append queue is full (${this.limit}, at most ${this.max})`
  }
}

/**
 * An event is larger than one may be.
 *
 * @since 0.1.0
 * @category errors
 */
export class EventTooLarge extends Data.TaggedError("EventTooLarge")<{
  readonly byteLength: number
  readonly byteLengthMax: number
}> {
  override get message(): string {
    return `an event of ${this.byteLength} bytes, more than ${this.byteLengthMax}`
  }
}

/**
 * The store could not do what it was asked. `full`: no space left. `io`: the medium failed. `busy`: somebody else has it
 * locked for too long. `closed`: it was closed. `timeout`: no answer in time. `other`: see `cause`.
 *
 * @since 0.1.0
 * @category errors
 */
export class StoreFailed extends Data.TaggedError("StoreFailed")<{
  readonly operation: string
  readonly why: "full" | "io" | "busy" | "closed" | "timeout" | "other"
  readonly cause?: unknown
}> {
  override get message(): string {
    return `the job store could not ${this.operation} (${this.why})`
  }
}

/**
 * Another process has the store open, and only one may.
 *
 * @since 0.1.0
 * @category errors
 */
export class StoreLocked extends Data.TaggedError("StoreLocked")<{ readonly path: string }> {
  override get message(): string {
    return `${this.path} is in use by another process`
  }
}

/**
 * More jobs wait for a place than may.
 *
 * @since 0.1.0
 * @category errors
 */
export class JobQueueFull extends Data.TaggedError("JobQueueFull")<{ readonly jobsMax: number }> {
  override get message(): string {
    return `${this.jobsMax} jobs wait already`
  }
}

/**
 * Nobody here can run a job of this name.
 *
 * @since 0.1.0
 * @category errors
 */
export class UnknownJob extends Data.TaggedError("UnknownJob")<{ readonly name: string }> {
  override get message(): string {
    return `no job is called "${this.name}"`
  }
}

/**
 * The input of a job is not what its schema says.
 *
 * @since 0.1.0
 * @category errors
 */
export class InvalidInput extends Data.TaggedError("InvalidInput")<{ readonly explanation: string }> {
  override get message(): string {
    return this.explanation
  }
}

/**
 * The code of a job failed; `cause` is what with. The job ends FAILED.
 *
 * @since 0.1.0
 * @category errors
 */
export class HandlerFailed extends Data.TaggedError("HandlerFailed")<{ readonly cause: unknown }> {
  override get message(): string {
    const { cause } = this
    return cause instanceof Error && cause.message !== "" ? cause.message : String(cause)
  }
}

/**
 * Why an append was refused by the state of its job.
 *
 * @since 0.1.0
 * @category errors
 */
export type AppendRefused = JobNotFound | JobOver | IllegalTransition | Fenced

/**
 * Everything that an append can fail with.
 *
 * @since 0.1.0
 * @category errors
 */
export type AppendError = AppendRefused | AppendQueueFull | EventTooLarge | StoreFailed

/**
 * Everything that reading a log can fail with.
 *
 * @since 0.1.0
 * @category errors
 */
export type ReadError = JobNotFound | StoreFailed
