/**
 * Every failure that a Spillway effect can have. One class per thing that a caller can do about it; outcomes of normal
 * operation (shedding, closing) are values, see `Outcome` and `Session.Exit`.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"

/**
 * An option of a layer or constructor is not usable. `key` names the option as the caller wrote it.
 *
 * @since 0.1.0
 * @category errors
 */
export class InvalidOption extends Data.TaggedError("InvalidOption")<{
  readonly module: string
  readonly key: string
  readonly value: unknown
  readonly expected: string
}> {
  override get message(): string {
    return `${this.module}: option "${this.key}" must be ${this.expected}, got ${String(this.value)}`
  }
}

/**
 * The outbox was shut down: it takes and gives no more messages.
 *
 * @since 0.1.0
 * @category errors
 */
export class OutboxClosed extends Data.TaggedError("OutboxClosed")<{}> {
  override get message(): string {
    return "the outbox is closed"
  }
}

/**
 * The connection can no longer carry what was asked of it.
 *
 * @since 0.1.0
 * @category errors
 */
export class ConnectionClosed extends Data.TaggedError("ConnectionClosed")<{
  readonly code: number
  readonly reason: string
}> {
  override get message(): string {
    return `the connection is closed (${this.code} ${this.reason})`
  }
}

/**
 * The transport takes no more connections.
 *
 * @since 0.1.0
 * @category errors
 */
export class TransportClosed extends Data.TaggedError("TransportClosed")<{}> {
  override get message(): string {
    return "the transport is closed"
  }
}

/**
 * An inbound message is not what its schema says. `message` is the schema's own explanation; `path` is empty when the
 * text is not JSON at all.
 *
 * @since 0.1.0
 * @category errors
 */
export class InvalidMessage extends Data.TaggedError("InvalidMessage")<{
  readonly explanation: string
}> {
  override get message(): string {
    return this.explanation
  }
}

/**
 * There is no room for one more: `limit` says which limit is reached, `retryAfterMillis` when to ask again.
 *
 * @since 0.1.0
 * @category errors
 */
export class AdmissionRefused extends Data.TaggedError("AdmissionRefused")<{
  readonly limit: "sessions" | "acceptRate" | "address" | "addressRate" | "identity"
  readonly retryAfterMillis: number
}> {
  override get message(): string {
    return `not admitted: limit "${this.limit}" is reached`
  }
}

/**
 * Union of all failures.
 *
 * @since 0.1.0
 * @category errors
 */
export type SpillwayError =
  | InvalidOption
  | OutboxClosed
  | ConnectionClosed
  | TransportClosed
  | InvalidMessage
  | AdmissionRefused
