/**
 * Why a session ended, and how its ending went.
 *
 * Every session has exactly one exit. When several things happen at once a disconnect wins, then a crash, then the rest
 * in the order in which they happened.
 *
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"
import * as CloseReason from "./CloseReason.js"
import type { PerLane } from "./Lane.js"
import type { ConnectionEnd } from "./Transport.js"

/**
 * Why a session ended.
 *
 * - `Disconnected`: the connection ended first; `end` says how.
 * - `Crashed`: a task (or the handler) failed or died.
 * - `LifetimeDone`: a task that was to live as long as the session ended.
 * - `Completed`: the handler, or a task declared as `completion`, ended normally.
 * - `IdleTimeout`: no traffic in either direction.
 * - `ReceiveTimeout`: nothing was heard from the peer (no data, or no pong), so that it is presumed dead; or the handler
 *   read nothing for as long while the inbox was full.
 * - `SendTimeout`: no byte could be written.
 * - `SlowConsumer`: the peer read too slowly, or its outbox overflowed in a lane whose policy is to disconnect.
 * - `Overloaded`: the server sheds sessions.
 * - `RateLimited`: the peer sent more than its limit, where that is not merely slowed down.
 * - `Expired`: what the session was allowed with has expired.
 * - `ServerDraining`: the server stops.
 * - `ClosedByServer`: the application closed it with a reason of its own.
 *
 * @since 0.1.0
 * @category models
 */
export type Exit =
  | { readonly _tag: "Disconnected"; readonly end: ConnectionEnd }
  | { readonly _tag: "Crashed"; readonly task: string; readonly cause: Cause.Cause<unknown> }
  | { readonly _tag: "LifetimeDone"; readonly task: string }
  | { readonly _tag: "Completed"; readonly task: string }
  | { readonly _tag: "IdleTimeout" }
  | { readonly _tag: "ReceiveTimeout"; readonly waitedFor: "data" | "pong" | "handler" }
  | { readonly _tag: "SendTimeout" }
  | { readonly _tag: "SlowConsumer"; readonly why: SlowReason }
  | { readonly _tag: "Overloaded" }
  | { readonly _tag: "RateLimited" }
  | { readonly _tag: "Expired" }
  | { readonly _tag: "ServerDraining"; readonly announced: boolean }
  | { readonly _tag: "ClosedByServer"; readonly reason: CloseReason.CloseReason }

/**
 * Why a session was ended as a slow consumer: its sends took long, its write stood still, a lane was full whose policy is
 * to disconnect, or a rule of `SlowConsumers` (its reason).
 *
 * @since 0.1.0
 * @category models
 */
export type SlowReason =
  | "slow sends"
  | "stalled"
  | "lane full"
  | "bytes"
  | "items"
  | "age"
  | "no progress"
  | "ack lag"

/**
 * Tag of an exit; the closed set of values of the `reason` label in metrics.
 *
 * @since 0.1.0
 * @category models
 */
export type ExitTag = Exit["_tag"]

/**
 * All tags of exits.
 *
 * @since 0.1.0
 * @category models
 */
export const tags: ReadonlyArray<ExitTag> = [
  "Disconnected",
  "Crashed",
  "LifetimeDone",
  "Completed",
  "IdleTimeout",
  "ReceiveTimeout",
  "SendTimeout",
  "SlowConsumer",
  "Overloaded",
  "RateLimited",
  "Expired",
  "ServerDraining",
  "ClosedByServer"
]

/**
 * Precedence among exits that happen at once: a smaller number wins.
 *
 * @since 0.1.0
 * @category conversions
 */
export const precedence = (exit: Exit): number => exit._tag === "Disconnected" ? 0 : exit._tag === "Crashed" ? 1 : 2

const closeReasons: { readonly [T in ExitTag]: CloseReason.CloseReason } = {
  Disconnected: CloseReason.normal,
  Crashed: CloseReason.internalError,
  LifetimeDone: CloseReason.goingAway,
  Completed: CloseReason.normal,
  IdleTimeout: CloseReason.withReason(CloseReason.goingAway, "idle timeout"),
  ReceiveTimeout: CloseReason.withReason(CloseReason.internalError, "receive timeout"),
  SendTimeout: CloseReason.sendTimeout,
  SlowConsumer: CloseReason.slowConsumer,
  Overloaded: CloseReason.overloaded,
  RateLimited: CloseReason.rateLimited,
  Expired: CloseReason.expired,
  ServerDraining: CloseReason.draining,
  ClosedByServer: CloseReason.normal
}

/** A reason may be any record of the application's: what must not go on the wire does not. */
const sendable = ({ code, reason }: CloseReason.CloseReason): CloseReason.CloseReason =>
  CloseReason.withReason({ code: CloseReason.isSendable(code) ? code : CloseReason.internalError.code, reason }, reason)

/**
 * The close code and reason that the peer is told. A crash never tells its cause. A code
 * that may not be sent becomes 1011; a reason is cut to 123 bytes.
 *
 * @example
 * import { Exit } from "spillway"
 *
 * assert.strictEqual(Exit.toCloseReason({ _tag: "IdleTimeout" }).code, 1001)
 *
 * @since 0.1.0
 * @category conversions
 */
export const toCloseReason = (exit: Exit): CloseReason.CloseReason => {
  if (exit._tag === "ClosedByServer") return sendable(exit.reason)
  if (exit._tag === "ServerDraining" && !exit.announced) return CloseReason.goingAway
  return closeReasons[exit._tag]
}

/**
 * How one phase of the ending went: `done` within its budget, `cut` at its deadline, or `skipped` (nothing to do, or the
 * link was gone).
 *
 * @since 0.1.0
 * @category models
 */
export type PhaseResult = "done" | "cut" | "skipped"

/**
 * How the ending of a session went. Counts are messages; `undelivered` were accepted and not sent, by lane.
 *
 * @since 0.1.0
 * @category models
 */
export interface DrainReport {
  readonly exit: Exit
  readonly phases: {
    /** Handler and tasks ended by themselves (`done`) or were interrupted at the end of their grace (`cut`). */
    readonly tasks: PhaseResult
    readonly finalizers: PhaseResult
    readonly flush: PhaseResult
    /** The peer answered the close (`done`) or was terminated (`cut`). */
    readonly close: PhaseResult
  }
  /** Messages sent during the flush. */
  readonly flushed: number
  readonly undelivered: PerLane<number>
  /** Inbound messages that nobody read. */
  readonly unread: number
  /** Tasks that had to be interrupted. */
  readonly forced: number
  /**
   * Names of tasks that still ran when the session was given up (`forkScoped` for a fiber that the handler put into the
   * session's scope); they are counted until they really end.
   */
  readonly stuck: ReadonlyArray<string>
  readonly durationMillis: number
}
