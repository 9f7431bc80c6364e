/**
 * A supervised link: a WebSocket that this program opens and keeps open, in the role of the client.
 *
 * ```
 *             lost                      attempts used up, or breaker open
 * connected ───────▶ reconnect_backoff ──────────────────────────────────▶ degraded ──after a while──▶ half_open_probe
 *     ▲                     │                                                 ▲                              │   │
 *     │◀──────dialled───────┘                                                 └───────────failed─────────────┘   │
 *     └───────────────────────────────────────────dialled────────────────────────────────────────────────────────┘
 * ```
 *
 * Every connection is a session of `Sessions`, with its outbox, bounds, timers and ending. There is one loop, so never
 * two connections; every sleep of it wakes at shutdown. Messages of `send` go out while the link is connected, or are
 * refused. Requests are kept until they are answered: bounded, in order, sent again on each new connection.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { Breaker } from "./Breaker.js"
import type { Dialer } from "./Dialer.js"
import * as link from "./internal/link.js"
import { resolve } from "./internal/linkOptions.js"
import type { Label } from "./Label.js"
import type { Message } from "./Message.js"
import type { Outcome } from "./Outcome.js"
import type { Inbound } from "./Session.js"
import type { Sessions } from "./Sessions.js"
import type { DialFailed, InvalidOption, RequestLost } from "./SpillwayError.js"
import type { Shutdown } from "./Tasks.js"

/**
 * State of a link. It starts in `reconnect_backoff` and dials at once.
 *
 * @since 0.1.0
 * @category models
 */
export type State = "connected" | "reconnect_backoff" | "degraded" | "half_open_probe" | "closed"

/**
 * Options of a link.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface Options<A> {
  readonly label: Label
  readonly url: string
  /** Which inbound messages answer a request, and with what. By default none. */
  readonly answer?: (message: Inbound) => Option.Option<{ readonly id: number; readonly value: A }>
  /** Handles all other inbound messages, one after the other. By default they are dropped. */
  readonly onMessage?: (message: Inbound) => Effect.Effect<void>
  /** Guards each attempt; share one between the links of a process. By default none. */
  readonly breaker?: Breaker<DialFailed>
  /** Ends the link when signalled. A new one by default. */
  readonly shutdown?: Shutdown
  /** Time for one attempt to connect. Default 10 s. */
  readonly dialTimeout?: Duration.DurationInput
  /** Delay before the first attempt after a loss, doubled with each failure, and times a random 0.75 to 1.25. Default 1 s. */
  readonly backoff?: Duration.DurationInput
  /** Longest delay, before the random factor. Default 60 s. */
  readonly backoffMax?: Duration.DurationInput
  /** Attempts in a row that fail before the link is degraded. Default 6. */
  readonly attemptsMax?: number
  /** From degraded to the next probe. Default 60 s. */
  readonly degradedFor?: Duration.DurationInput
  /** A connection that is lost sooner counts as a failed attempt. Default 5 s. */
  readonly stableAfter?: Duration.DurationInput
  /** Requests that wait for an answer; one more drops the oldest. Default 100. */
  readonly requestsMax?: number
  /** Time to answer a request, from its sending on the present connection; then it is sent again. Default 120 s. */
  readonly answerTimeout?: Duration.DurationInput
  /** How often a request is sent again because nobody answered. Default 3. */
  readonly retriesMax?: number
}

/**
 * A reading of a link.
 *
 * @since 0.1.0
 * @category models
 */
export interface Stats {
  readonly state: State
  /** Attempts that failed since the last stable connection. */
  readonly failures: number
  readonly dials: number
  readonly connects: number
  /** Requests that wait for an answer. */
  readonly pending: number
  readonly answered: number
  /** Requests that were the oldest when there were too many. */
  readonly dropped: number
  /** Requests that were sent again because nobody answered. */
  readonly retried: number
  readonly unanswered: number
  /** Answers to no request that waits. */
  readonly unmatched: number
}

/**
 * A supervised link.
 *
 * @since 0.1.0
 * @category models
 */
export interface Link<out A> {
  readonly label: Label
  readonly state: State
  readonly stats: Stats
  /** The present state and each one that follows; ends with `closed`. */
  readonly changes: Stream.Stream<State>
  /** Suspends until the link is connected; for ever if it has ended. */
  readonly awaitConnected: Effect.Effect<void>
  /** Offers a message to the session of the present connection; without one the outcome is `Rejected` with `Closed`. */
  send(message: Message): Effect.Effect<Outcome>
  /**
   * Sends a request and suspends until its answer. The message is made from the number that the answer has to name.
   *
   * **Suspension and interruption.** Waits as long as the link has no connection. Interrupted, the request is forgotten;
   * it may have been sent.
   *
   * **Errors** `RequestLost`, saying why.
   */
  request(message: (id: number) => Message): Effect.Effect<A, RequestLost>
}

/**
 * What holds unless told otherwise; durations are milliseconds.
 *
 * @since 0.1.0
 * @category configuration
 */
export const defaults = Object.freeze({
  dialTimeout: 10_000,
  backoff: 1_000,
  backoffMax: 60_000,
  attemptsMax: 6,
  degradedFor: 60_000,
  stableAfter: 5_000,
  requestsMax: 100,
  answerTimeout: 120_000,
  retriesMax: 3
})

/**
 * Starts a link. When the scope closes its shutdown is signalled: sleeps and attempts end at once, a connection is
 * flushed and closed (1000), and requests without an answer are lost.
 *
 * **Errors** `InvalidOption`, naming the option.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <A = never>(
  options: Options<A>
): Effect.Effect<Link<A>, InvalidOption, Dialer | Sessions | Scope.Scope> =>
  Effect.flatMap(resolve(options, defaults), (resolved) => link.make(options, resolved))
