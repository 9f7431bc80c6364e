/**
 * What became of a message: first what the offer did with it, later how it ended.
 *
 * Shedding is normal operation of a spillway, so outcomes are values and never errors.
 *
 * @since 0.1.0
 */

/**
 * Result of an offer.
 *
 * - `Queued`: the message waits in its lane.
 * - `QueuedEvicting`: it waits, and `evicted` messages of lower lanes (or, for `important`, of its own) were shed for it.
 * - `Conflated`: it took the place of a queued message with the same key.
 * - `Rejected`: it was not taken, for the stated reason.
 *
 * @since 0.1.0
 * @category models
 */
export type Outcome = Queued | QueuedEvicting | Conflated | Rejected

/**
 * The message waits in its lane.
 *
 * @since 0.1.0
 * @category models
 */
export interface Queued {
  readonly _tag: "Queued"
}

/**
 * The message waits in its lane and `evicted` (at least 1) queued messages were shed to make room.
 *
 * @since 0.1.0
 * @category models
 */
export interface QueuedEvicting {
  readonly _tag: "QueuedEvicting"
  readonly evicted: number
}

/**
 * The message took the place of a queued message with the same key in the same lane.
 *
 * @since 0.1.0
 * @category models
 */
export interface Conflated {
  readonly _tag: "Conflated"
}

/**
 * The message was not taken.
 *
 * @since 0.1.0
 * @category models
 */
export interface Rejected {
  readonly _tag: "Rejected"
  readonly reason: RejectReason
}

/**
 * Why a message was not taken: `LaneFull` (no room and nothing that may be shed for it), `Pressure` (bulk refused early
 * because the outbox is above its refusal mark), `TooLarge` (larger than the outbox can ever hold), `Closed` (the
 * session no longer takes messages).
 *
 * @since 0.1.0
 * @category models
 */
export type RejectReason = "LaneFull" | "Pressure" | "TooLarge" | "Closed"

/**
 * How a message ended, for a producer that asked to be told: `Sent` (the kernel took its last byte), `Evicted`,
 * `Conflated` (a newer message with its key took its place), `Expired` (older than its lane or itself allows),
 * `Undelivered` (the session ended first), `Rejected` (never taken).
 *
 * @since 0.1.0
 * @category models
 */
export type Delivery =
  | { readonly _tag: "Sent" }
  | { readonly _tag: "Evicted" }
  | { readonly _tag: "Conflated" }
  | { readonly _tag: "Expired" }
  | { readonly _tag: "Undelivered" }
  | Rejected

/**
 * The `Queued` outcome.
 *
 * @since 0.1.0
 * @category constructors
 */
export const queued: Queued = Object.freeze({ _tag: "Queued" })

/**
 * The `Conflated` outcome.
 *
 * @since 0.1.0
 * @category constructors
 */
export const conflated: Conflated = Object.freeze({ _tag: "Conflated" })

/**
 * The `QueuedEvicting` outcome.
 *
 * @since 0.1.0
 * @category constructors
 */
export const queuedEvicting = (evicted: number): QueuedEvicting => ({ _tag: "QueuedEvicting", evicted })

const rejectedByReason: { readonly [R in RejectReason]: Rejected } = {
  LaneFull: Object.freeze({ _tag: "Rejected", reason: "LaneFull" }),
  Pressure: Object.freeze({ _tag: "Rejected", reason: "Pressure" }),
  TooLarge: Object.freeze({ _tag: "Rejected", reason: "TooLarge" }),
  Closed: Object.freeze({ _tag: "Rejected", reason: "Closed" })
}

/**
 * The `Rejected` outcome for a reason.
 *
 * @since 0.1.0
 * @category constructors
 */
export const rejected = (reason: RejectReason): Rejected => rejectedByReason[reason]

/**
 * Whether the message was taken (queued or conflated).
 *
 * @example
 * import { Outcome } from "spillway"
 *
 * assert.strictEqual(Outcome.isTaken(Outcome.queued), true)
 * assert.strictEqual(Outcome.isTaken(Outcome.rejected("LaneFull")), false)
 *
 * @since 0.1.0
 * @category guards
 */
export const isTaken = (outcome: Outcome): outcome is Queued | QueuedEvicting | Conflated => outcome._tag !== "Rejected"
