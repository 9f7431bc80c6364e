/**
 * The owner of sessions: opens them on connections, serves their deadlines with one sweeper, writes what they offered in
 * one go per turn, counts them, and drains them all.
 *
 * A session is detached from the fiber that opened it and from any HTTP request. It belongs to this service, whose layer
 * ends all sessions when it is released; so build it on top of whatever carries the connections.
 *
 * @since 0.1.0
 */
import type * as Config from "effect/Config"
import type * as ConfigError from "effect/ConfigError"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { CloseReason } from "./CloseReason.js"
import type { DrainReport, ExitTag } from "./Exit.js"
import * as registry from "./internal/registry.js"
import type { PerLane } from "./Lane.js"
import type { Message } from "./Message.js"
import { Overflow } from "./Overflow.js"
import type { Session } from "./Session.js"
import * as SessionOptions from "./SessionOptions.js"
import type { InvalidOption, TransportClosed } from "./SpillwayError.js"
import type { Totals } from "./Telemetry.js"
import { Telemetry } from "./Telemetry.js"
import type { Connection, Transport } from "./Transport.js"

/**
 * What a drain tells its clients: wait `afterMillis` and a random time up to `jitterMillis` before reconnecting.
 *
 * @since 0.1.0
 * @category models
 */
export interface Announcement {
  readonly afterMillis: number
  readonly jitterMillis: number
}

/**
 * How far a server is on its way down.
 *
 * - `accepting`: not at all.
 * - `lameDuck`: new connections are refused, clients have been told, nothing is closed yet.
 * - `closing`: sessions end, a few at a time.
 * - `forcing`: all that is left ends, and each of its waits is cut short.
 * - `done`: no session is left, or what was left was terminated.
 *
 * @since 0.1.0
 * @category models
 */
export type DrainPhase = "accepting" | "lameDuck" | "closing" | "forcing" | "done"

/**
 * How to drain. Of the total, the last tenth is for `forcing`.
 *
 * @since 0.1.0
 * @category models
 */
export interface DrainOptions {
  /** Time for everything; what is left then is terminated. Default 28 s. */
  readonly total?: Duration.DurationInput
  /** Time between the announcement and the first close, at most half of the total. Default 2 s when announced, else 0. */
  readonly grace?: Duration.DurationInput
  /**
   * Time over which the closes are spread, with jitter, so that clients do not come back all at once. A few sessions are
   * closed faster: at most 50 ms lie between two. Default, with an announcement, six tenths of the time between the
   * grace and `forcing`, 13.9 s of 28 s; else 0.
   */
  readonly spread?: Duration.DurationInput
  /** Sessions that may be ending at the same time, before `forcing`. Default 128. */
  readonly endingsMax?: number
  /** Message that tells a client; sent in the lane it names, normally `control`. Default none. */
  readonly announce?: (announcement: Announcement) => Message
  /** Default 0. */
  readonly reconnectAfter?: Duration.DurationInput
  /** Spread of reconnects. Default 5 s. */
  readonly reconnectJitter?: Duration.DurationInput
}

/**
 * How a drain went.
 *
 * @since 0.1.0
 * @category models
 */
export interface DrainSummary {
  /** Sessions that were open when the drain began. */
  readonly sessions: number
  /** Sessions that were not over at the end of the total and were terminated. */
  readonly terminated: number
  readonly durationMillis: number
  readonly phases: {
    readonly lameDuckMillis: number
    readonly closingMillis: number
    readonly forcingMillis: number
  }
  /**
   * Sessions that ended, by exit, without those terminated: `Disconnected` are clients that followed the announcement.
   */
  readonly exits: { readonly [T in ExitTag]?: number }
  /** Sessions that were asked to end, by second since the drain began. */
  readonly closesPerSecond: ReadonlyArray<number>
  /** The most sessions that were ending at the same time. */
  readonly endingsMost: number
  /** Messages that were accepted and not sent. */
  readonly undelivered: PerLane<number>
  /** Tasks that had to be interrupted. */
  readonly forced: number
  /** Names of tasks that still ran when their session was given up. */
  readonly stuck: ReadonlyArray<string>
}

/**
 * What whoever opens a session knows of it.
 *
 * @since 0.1.0
 * @category models
 */
export interface OpenOptions {
  /** Whom it belongs to, for `endAll`. */
  readonly identity?: string | undefined
  /** When it ends with `Expired`, in milliseconds of `Clock`; `Session.renew` moves it. Default never. */
  readonly expiresAt?: number | undefined
  /** Called once, when the session has left the gauge, whatever its ending did. To be short, and not to throw. */
  readonly onEnded?: (() => void) | undefined
}

/**
 * A reading of all sessions.
 *
 * @since 0.1.0
 * @category models
 */
export interface Snapshot {
  readonly phase: DrainPhase
  readonly sessions: number
  readonly opened: number
  readonly exits: { readonly [T in ExitTag]: number }
  readonly totals: Totals
  /** Running task fibers by name, the handler included. */
  readonly tasks: { readonly [name: string]: number }
  /** Tasks that ignore interruption and were given up, by name, until they really end. */
  readonly stuck: { readonly [name: string]: number }
  /** The last sessions that ended, newest last; at most 100. */
  readonly closed: ReadonlyArray<{ readonly id: string; readonly endedAt: number; readonly report: DrainReport }>
}

/**
 * What all sessions of an owner hold: memory for their peers, in encoded bytes, and deadlines. All are 0 when no session
 * is left.
 *
 * @since 0.1.0
 * @category models
 */
export interface Memory {
  /** Queued and in flight, as charged to each session: a frame in a thousand outboxes counts a thousand times. */
  readonly chargedBytes: number
  /** Payloads of queued messages: a frame counts once, however many outboxes hold it. */
  readonly heldBytes: number
  /** Sessions that have a deadline to come (ping, idleness, expiry, stall). */
  readonly deadlines: number
}

/**
 * Shape of the service.
 *
 * @since 0.1.0
 * @category models
 */
export interface SessionsShape {
  /**
   * Opens a session on a connection and starts the handler, detached; returns at once. The handler's normal end completes
   * the session (1000), its failure crashes it (1011). Resources that it acquires in its `Scope` are released when the
   * session ends, within the finalizer timeout. While draining, the connection is closed (1001) and the handler
   * not started.
   */
  open<E, R>(
    connection: Connection,
    handler: (session: Session) => Effect.Effect<unknown, E, R>,
    options?: OpenOptions
  ): Effect.Effect<Session, never, Exclude<R, Scope.Scope>>
  /**
   * Opens a session without a handler that ends when the surrounding scope closes: the scope's finalizer is the drain.
   * Its exit is `ClosedByServer` (1000 after success, 1001 after interruption) or, after a failure, `Crashed`.
   */
  scoped(connection: Connection): Effect.Effect<Session, never, Scope.Scope>
  /** Opens a session on every connection that the transport hands out, for as long as the effect runs. */
  serve<E, R>(
    handler: (session: Session) => Effect.Effect<unknown, E, R>
  ): Effect.Effect<never, TransportClosed, Transport | Exclude<R, Scope.Scope>>
  /** Number of sessions that have not ended. */
  readonly size: number
  /** `false` from the start of a drain on, and while new sessions are refused. */
  readonly isAccepting: boolean
  /** Kept as messages come and go: reading it costs nothing. */
  readonly memory: Memory
  /** Refuses new sessions with `Overloaded` (4015), or takes them again. Those that are open are not touched. */
  unsafeRefuse(isRefusing: boolean): void
  /** Calls `f` for every session that is open. */
  unsafeForEach(f: (session: Session) => void): void
  /**
   * Ends the open sessions of an identity, or those for which the function holds, and returns how many; at once, each
   * ending runs on its own. O(sessions). The close reason is `CloseReason.revoked` (4503) unless given. What is still
   * being authorised is not open: whoever revokes does so where `authorize` looks first.
   */
  endAll(of: string | ((session: Session) => boolean), reason?: CloseReason): Effect.Effect<number>
  /**
   * Ends all sessions within a total time: announces, waits the grace, ends them spread over a time (flushing lanes),
   * terminates what is left. New connections are refused from the start. A second call joins the first.
   */
  drain(options?: DrainOptions): Effect.Effect<DrainSummary>
  /** Cuts every wait of every ending short. For a second signal. */
  readonly hurry: Effect.Effect<void>
  readonly phase: DrainPhase
  /** The phase, and each one after it, until `done`. */
  readonly phases: Stream.Stream<DrainPhase>
  readonly snapshot: Effect.Effect<Snapshot>
}

/**
 * The owner of sessions.
 *
 * @since 0.1.0
 * @category models
 */
export class Sessions extends Context.Tag("spillway/Sessions")<Sessions, SessionsShape>() {}

/**
 * Makes an owner of sessions. When its scope closes, all sessions are drained without announcement.
 *
 * **Errors** `InvalidOption`, naming the option.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  options?: SessionOptions.SessionOptions
): Effect.Effect<SessionsShape, InvalidOption, Overflow | Telemetry | Scope.Scope> =>
  Effect.gen(function*() {
    const resolved = yield* SessionOptions.resolve(options)
    const policy = yield* Overflow
    const telemetry = yield* Telemetry
    return yield* registry.make(resolved, policy, telemetry)
  })

/**
 * The owner of sessions as a layer. Give each its own `Telemetry` layer: totals are of one owner.
 *
 * @example
 * import { Overflow, Sessions, Telemetry } from "spillway"
 * import * as Layer from "effect/Layer"
 *
 * const SessionsLive = Sessions.layer({ outboxItemsMax: 256, sendTimeout: "3 seconds" }).pipe(
 *   Layer.provide([Overflow.layerDefault, Telemetry.layerNoop])
 * )
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  options?: SessionOptions.SessionOptions
): Layer.Layer<Sessions, InvalidOption, Overflow | Telemetry> => Layer.scoped(Sessions, make(options))

/**
 * As `layer`, with the options from configuration (`SessionOptions.config`).
 *
 * **Errors** `ConfigError` when a value cannot be read, `InvalidOption` when it is not usable.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = (
  config: Config.Config<SessionOptions.SessionOptions> = SessionOptions.config
): Layer.Layer<Sessions, InvalidOption | ConfigError.ConfigError, Overflow | Telemetry> =>
  Layer.scoped(Sessions, Effect.flatMap(config, make))
