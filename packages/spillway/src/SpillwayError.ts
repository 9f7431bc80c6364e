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
 * A subscription would go over a bound; nothing was subscribed. `limit` says whose: a session's own (unsubscribe from
 * something first) or the server's (nothing that this session can do about).
 *
 * @since 0.1.0
 * @category errors
 */
export class TooManyTopics extends Data.TaggedError("TooManyTopics")<{
  readonly limit: "session" | "server"
  readonly topicsMax: number
}> {
  override get message(): string {
    return `more than ${this.topicsMax} topics for the ${this.limit}; nothing was subscribed`
  }
}

/**
 * A breaker refuses a call because what it guards keeps failing. Try again after `retryAfterMillis`; zero means that
 * probes are under way and decide it.
 *
 * @since 0.1.0
 * @category errors
 */
export class BreakerOpen extends Data.TaggedError("BreakerOpen")<{
  readonly breaker: string
  readonly retryAfterMillis: number
}> {
  override get message(): string {
    return `the breaker "${this.breaker}" refuses calls for ${this.retryAfterMillis} ms`
  }
}

/**
 * A connection could not be opened. Trying again later may help.
 *
 * @since 0.1.0
 * @category errors
 */
export class DialFailed extends Data.TaggedError("DialFailed")<{
  readonly url: string
  readonly why: string
}> {
  override get message(): string {
    return `cannot connect to ${this.url}: ${this.why}`
  }
}

/**
 * A request over a link got no answer. `dropped`: too many were waiting, and it was the oldest. `unanswered`: it was sent
 * as often as it may be. `refused`: it is larger than the outbox. `closed`: the link has ended.
 *
 * @since 0.1.0
 * @category errors
 */
export class RequestLost extends Data.TaggedError("RequestLost")<{
  readonly id: number
  readonly why: "dropped" | "unanswered" | "refused" | "closed"
}> {
  override get message(): string {
    return `request ${this.id} got no answer (${this.why})`
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
  | BreakerOpen
  | DialFailed
  | RequestLost
  | TooManyTopics
  | AdmissionRefused
