/**
 * Every failure that a pool and its workers can have: one class per thing that a caller can do about it.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import type { State } from "./WorkerState.js"

/**
 * A worker cannot move so; it is as it was.
 *
 * @since 0.1.0
 * @category errors
 */
export class InvalidTransition extends Data.TaggedError("InvalidTransition")<{
  readonly workerId: string
  readonly from: State
  readonly to: State
}> {
  override get message(): string {
    return `worker ${this.workerId} cannot move from ${this.from} to ${this.to}`
  }
}

/**
 * A worker could not be started. The pool tries again by itself.
 *
 * @since 0.1.0
 * @category errors
 */
export class SpawnFailed extends Data.TaggedError("SpawnFailed")<{
  readonly workerId: string
  readonly why: string
}> {
  override get message(): string {
    return `worker ${this.workerId} did not start: ${this.why}`
  }
}

/**
 * The pool is closing: it takes no more work.
 *
 * @since 0.1.0
 * @category errors
 */
export class PoolClosed extends Data.TaggedError("PoolClosed")<{}> {
  override get message(): string {
    return "the pool is closed"
  }
}

/**
 * So many wait for a worker already that one more is refused. Nothing was started; try again later, or elsewhere.
 *
 * @since 0.1.0
 * @category errors
 */
export class PoolSaturated extends Data.TaggedError("PoolSaturated")<{
  readonly queueItemsMax: number
}> {
  override get message(): string {
    return `${this.queueItemsMax} operations wait for a worker; one more is refused`
  }
}

/**
 * No worker became free in time. Nothing was started.
 *
 * @since 0.1.0
 * @category errors
 */
export class CheckoutTimeout extends Data.TaggedError("CheckoutTimeout")<{
  readonly waitedMillis: number
}> {
  override get message(): string {
    return `no worker was free within ${this.waitedMillis} ms`
  }
}

/**
 * The session's worker is busy and the session takes no other (`strictFailFast`). Nothing was started; try again later.
 *
 * @since 0.1.0
 * @category errors
 */
export class Busy extends Data.TaggedError("Busy")<{
  readonly sessionId: string
  readonly workerId: string
}> {
  override get message(): string {
    return `worker ${this.workerId} of session ${this.sessionId} is busy`
  }
}

/**
 * The session's worker is no more, and with it what it held for the session. The session is bound to none now: rebuild
 * what was lost with the next operation, which binds it anew.
 *
 * @since 0.1.0
 * @category errors
 */
export class Gone extends Data.TaggedError("Gone")<{
  readonly sessionId: string
  readonly workerId: string
}> {
  override get message(): string {
    return `worker ${this.workerId} of session ${this.sessionId} is gone`
  }
}

/**
 * The session's worker was not free in time and the session takes no other (`strictQueue`). Nothing was started.
 *
 * @since 0.1.0
 * @category errors
 */
export class QueueTimeout extends Data.TaggedError("QueueTimeout")<{
  readonly sessionId: string
  readonly workerId: string
  readonly waitedMillis: number
}> {
  override get message(): string {
    return `worker ${this.workerId} of session ${this.sessionId} was not free within ${this.waitedMillis} ms`
  }
}

/**
 * The worker did not answer in time. What became of the operation is unknown, so the worker was replaced. Repeat the
 * operation only if it is idempotent.
 *
 * @since 0.1.0
 * @category errors
 */
export class OperationTimeout extends Data.TaggedError("OperationTimeout")<{
  readonly workerId: string
  readonly command: string
  readonly timeoutMillis: number
}> {
  override get message(): string {
    return `worker ${this.workerId} did not answer "${this.command}" within ${this.timeoutMillis} ms`
  }
}

/**
 * The worker ended while it had the operation. What became of the operation is unknown.
 *
 * @since 0.1.0
 * @category errors
 */
export class WorkerCrashed extends Data.TaggedError("WorkerCrashed")<{
  readonly workerId: string
  readonly command: string
  readonly code: number | undefined
  readonly signal: string | undefined
}> {
  override get message(): string {
    const how = this.signal === undefined ? `code ${this.code}` : this.signal
    return `worker ${this.workerId} ended (${how}) during "${this.command}"`
  }
}

/**
 * The worker answered something that is no answer; it was replaced. What became of the operation is unknown.
 *
 * @since 0.1.0
 * @category errors
 */
export class ProtocolViolation extends Data.TaggedError("ProtocolViolation")<{
  readonly workerId: string
  readonly why: string
}> {
  override get message(): string {
    return `worker ${this.workerId} broke the protocol: ${this.why}`
  }
}

/**
 * The worker answered that the operation failed. The worker is fine.
 *
 * @since 0.1.0
 * @category errors
 */
export class RemoteError extends Data.TaggedError("RemoteError")<{
  readonly workerId: string
  readonly command: string
  /** Kind of failure as the worker names it; `UnknownCommand` when it knows no such command. */
  readonly type: string
  readonly explanation: string
}> {
  override get message(): string {
    return `"${this.command}" failed: ${this.type}: ${this.explanation}`
  }
}

/**
 * The request is larger than what may be sent to a worker. Nothing was started.
 *
 * @since 0.1.0
 * @category errors
 */
export class PayloadTooLarge extends Data.TaggedError("PayloadTooLarge")<{
  readonly payloadBytes: number
  readonly payloadBytesMax: number
}> {
  override get message(): string {
    return `a request of ${this.payloadBytes} bytes is larger than ${this.payloadBytesMax}`
  }
}

/**
 * The request cannot be written in the codec of the transport. Nothing was started.
 *
 * @since 0.1.0
 * @category errors
 */
export class NotEncodable extends Data.TaggedError("NotEncodable")<{
  readonly command: string
  readonly why: string
}> {
  override get message(): string {
    return `the arguments of "${this.command}" cannot be encoded: ${this.why}`
  }
}

/**
 * No worker was had.
 *
 * @since 0.1.0
 * @category errors
 */
export type CheckoutError = PoolClosed | PoolSaturated | CheckoutTimeout | Busy | Gone | QueueTimeout

/**
 * A worker was had, and the operation failed.
 *
 * @since 0.1.0
 * @category errors
 */
export type OperationError =
  | OperationTimeout
  | WorkerCrashed
  | ProtocolViolation
  | RemoteError
  | PayloadTooLarge
  | NotEncodable
  | PoolClosed

/**
 * Every failure of an operation on a pool.
 *
 * @since 0.1.0
 * @category errors
 */
export type WorkerError = CheckoutError | OperationError
