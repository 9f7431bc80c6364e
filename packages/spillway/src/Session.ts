/**
 * A session: one peer, one scope. User code gets a `Session` value; its ending is a finalizer with a deadline for each
 * step.
 *
 * ```
 * open ──exit──▶ draining ──flushed, or budget over──▶ closing ──peer answered, or terminated──▶ closed
 *
 * 1 shutdown signal   2 grace for handler and tasks   3 user finalizers   4 outbox flush by lane
 * 5 close frame, bounded wait, terminate   6 report   7 the session leaves the gauge, last and always
 * ```
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Either from "effect/Either"
import type * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type * as CloseReason from "./CloseReason.js"
import type { DrainReport } from "./Exit.js"
import type { Frame } from "./Frame.js"
import type { PerLane } from "./Lane.js"
import * as Message from "./Message.js"
import type { Delivery, Outcome } from "./Outcome.js"
import type { InvalidMessage } from "./SpillwayError.js"
import type * as Tasks from "./Tasks.js"
import type { LaneCounts } from "./Telemetry.js"

/**
 * One inbound message. `text` decodes the payload as UTF-8 on every access; `frame` is the same bytes as a frame, not
 * copied, to send them on.
 *
 * @since 0.1.0
 * @category models
 */
export interface Inbound {
  readonly data: Uint8Array
  readonly binary: boolean
  readonly text: string
  readonly frame: Frame
}

/**
 * State of a session. The connection is past its handshake when the session starts, so a session starts `open`.
 *
 * @since 0.1.0
 * @category models
 */
export type State = "open" | "draining" | "closing" | "closed"

/**
 * What the normal end of a supervised task means, as in `Tasks`: the end of a `lifetime` task ends the session
 * (`LifetimeDone`), that of a `finite` one does not, that of a `completion` one completes it (`Completed`, close code
 * 1000). A failure or defect of any task ends the session (`Crashed`); an interrupted task never does.
 *
 * @since 0.1.0
 * @category models
 */
export type TaskKind = Tasks.TaskKind

/**
 * A reading of a session. Durations and times are milliseconds of `Clock`; bytes are encoded bytes.
 *
 * @since 0.1.0
 * @category models
 */
export interface Stats {
  readonly id: string
  readonly state: State
  readonly pressure: boolean
  readonly slow: boolean
  readonly queuedItems: number
  readonly queuedBytes: number
  /** Greater of items and bytes against their bound, 0 to 1; control messages are not counted. */
  readonly fillRatio: number
  readonly inFlightBytes: number
  readonly lanes: PerLane<LaneCounts>
  readonly sentMessages: number
  readonly sentBytes: number
  /** Messages shed in any way: evicted, rejected, conflated, expired. */
  readonly shedMessages: number
  readonly receivedMessages: number
  readonly receivedBytes: number
  readonly unreadMessages: number
  readonly sendMillisMean: number
  readonly pressureEvents: number
  readonly slowEvents: number
  readonly lastHeartbeatAt: number | undefined
  readonly openedAt: number
  readonly tasks: ReadonlyArray<string>
}

/**
 * Type id of a session.
 *
 * @since 0.1.0
 * @category type ids
 */
export const TypeId: unique symbol = Symbol.for("spillway/Session")

/**
 * Type id of a session.
 *
 * @since 0.1.0
 * @category type ids
 */
export type TypeId = typeof TypeId

/**
 * One peer. All methods are safe to call at any time, also after the end.
 *
 * @since 0.1.0
 * @category models
 */
export interface Session {
  readonly [TypeId]: TypeId
  readonly id: string
  /** Sub-protocol that was agreed on; empty when none. */
  readonly protocol: string
  readonly remoteAddress: string
  /** Whom the session belongs to, as whoever opened it says; see `Sessions.endAll`. */
  readonly identity: string | undefined
  /** Time (milliseconds of `Clock`) at which the session ends with `Expired`; `undefined` when never. */
  readonly expiresAt: number | undefined
  readonly state: State
  /** Whether the outbox is above its pressure mark (left again at the lower mark). */
  readonly pressure: boolean
  /** Whether the peer was seen to read slowly; independent of `pressure`. */
  readonly slow: boolean
  /** Messages that wait in the outbox, as in `stats`, without making one. O(1). */
  readonly queuedItems: number
  readonly stats: Stats

  /**
   * Offers a message to the outbox and returns what became of the offer. Suspends only where the lane's policy says so
   * (by default: `critical` when the outbox is full of `critical`); interrupted while suspended, nothing was offered.
   * Never fails: on an ended session the outcome is `Rejected` with reason `Closed`.
   */
  send(message: Message.Message): Effect.Effect<Outcome>
  /** As `send`, but never suspends: where `send` would, the outcome is `Rejected` with reason `LaneFull`. O(1). */
  unsafeOffer(message: Message.Message): Outcome
  /**
   * Offers a message and suspends until its fate is known. `Sent` means that the kernel took the last byte, not that the
   * peer has read it. Interrupting stops the waiting, not the message.
   */
  deliver(message: Message.Message): Effect.Effect<Delivery>

  /**
   * The next inbound message, in order; `None` once the connection has ended or the session shuts down and everything
   * received before was read. Interruption loses nothing.
   */
  readonly receive: Effect.Effect<Option.Option<Inbound>>
  /** Inbound messages as a stream that ends with the session. One consumer. */
  readonly messages: Stream.Stream<Inbound>
  /**
   * Handles each inbound message, one after the other, until the inbound side ends. While an effect works on a message
   * the next ones wait in the bounded inbox, and the socket is paused when that is full. While the loop waits, the
   * function is called as the message arrives, and what it returns is run there as far as it is synchronous: a handler
   * that only sends costs no step of a fiber, whether it does so with `unsafeOffer` and returns nothing or with `send`. If
   * the function throws, the effect dies. Costs less than running `messages`.
   */
  runForEach<E = never, R = never>(
    f: (message: Inbound) => Effect.Effect<unknown, E, R> | void
  ): Effect.Effect<void, E, R>

  /**
   * Starts a supervised task of the session. It is named in logs and stats, gets the shutdown signal, then the grace
   * period, and is interrupted at its end. On a session that is ending the task is not started and `false` returned.
   *
   * Fibers that a handler forks by other means are not supervised: nobody counts them while they run, their failure does not
   * end the session, and they get no grace. Those of `Effect.fork` end with the handler, those of `Effect.forkScoped` with
   * the session's scope, and one that ignores interruption is detached, named in the report (as `handler` or `forkScoped`)
   * and counted until it really ends. Those of `Effect.forkDaemon` are nobody's.
   */
  fork<E, R>(name: string, kind: TaskKind, task: Effect.Effect<unknown, E, R>): Effect.Effect<boolean, never, R>

  /** Suspends until the session shuts down. */
  readonly awaitShutdown: Effect.Effect<void>
  /**
   * Sleeps, but wakes in the same instant when the session shuts down: `true` when it does or did (even for zero
   * durations), `false` when the time has passed.
   */
  sleepUntilShutdown(duration: Duration.DurationInput): Effect.Effect<boolean>

  /** Ends the session with a reason (1000 by default). Returns at once; the ending runs on its own. Idempotent. */
  close(reason?: CloseReason.CloseReason): Effect.Effect<void>
  /**
   * Moves the end of what the session was allowed with, say after the client sent a new token; a time that has passed ends
   * it, `undefined` takes the limit away. `false`: it is ending already, which is not undone.
   */
  renew(expiresAt: number | undefined): Effect.Effect<boolean>
  /** Suspends until the session has ended and every step of the ending is over. */
  readonly awaitExit: Effect.Effect<DrainReport>
}

/**
 * Whether a value is a session.
 *
 * @since 0.1.0
 * @category guards
 */
export const isSession = (u: unknown): u is Session => typeof u === "object" && u !== null && TypeId in u

/**
 * Inbound messages decoded with a schema of their JSON text. A message that does not fit is a `Left` in its place, so
 * that one bad message does not end the session.
 *
 * @since 0.1.0
 * @category operations
 */
export const decoded = <A, I, R>(
  session: Session,
  schema: Schema.Schema<A, I, R>
): Stream.Stream<Either.Either<A, InvalidMessage>, never, R> => {
  const decode = Message.decoder(schema)
  return Stream.mapEffect(session.messages, (inbound) => Effect.either(decode(inbound.text)))
}

/**
 * The heartbeat message that a session sends by default when heartbeats are on: JSON in the `control` lane, of which at
 * most one is queued.
 *
 * @since 0.1.0
 * @category constructors
 */
export const heartbeatMessage = (stats: Stats, now: number): Message.Message =>
  Message.jsonOf({
    type: "heartbeat",
    timestamp: now,
    streamId: stats.id,
    queueSize: stats.queuedItems,
    status: statusOf(stats)
  }, { lane: "control", key: "heartbeat" })

/**
 * One word for the state of a session: `disconnected`, `draining`, `slow_consumer` (wins over) `backpressure`, or
 * `connected`.
 *
 * @since 0.1.0
 * @category conversions
 */
export const statusOf = (stats: Stats): Status =>
  stats.state === "closed"
    ? "disconnected"
    : stats.state !== "open"
    ? "draining"
    : stats.slow
    ? "slow_consumer"
    : stats.pressure
    ? "backpressure"
    : "connected"

/**
 * One word for the state of a session.
 *
 * @since 0.1.0
 * @category models
 */
export type Status = "connected" | "backpressure" | "slow_consumer" | "draining" | "disconnected"
