/**
 * Slow consumers: who lags, why, and what is done about it, as a policy that is data.
 *
 * A fiber looks at every session at regular times and compares its readings with the rules. A rule that has held for its
 * time does its action to that session and to no other; rules are in the order of their gravity, and the gravest in force
 * counts. When none has held for `recoverAfter`, what was done is undone and a `Recovered` event tells so.
 *
 * ```
 * keeps up ──rule──▶ lags: warn < conflate < throttle < shed to critical < disconnect
 *    ◀──────────── recovered ────────────
 * ```
 *
 * None of this is needed to stay bounded: that is the outbox's doing, always. This decides what else becomes of a session
 * that keeps the outbox full.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as slowConsumers from "./internal/slowConsumers.js"
import * as Message from "./Message.js"
import type { Session } from "./Session.js"
import type { Sessions } from "./Sessions.js"
import type { InvalidOption } from "./SpillwayError.js"

/**
 * Why a session lags.
 *
 * - `bytes`, `items`: how full its outbox is, as a ratio.
 * - `age`: how long the oldest message has waited.
 * - `no progress`: how long a write has made no progress.
 * - `ack lag`: how far the application says that the client lags, see `reportAckLag`.
 *
 * @since 0.1.0
 * @category models
 */
export type Reason = "bytes" | "items" | "age" | "no progress" | "ack lag"

/**
 * What is done to a session that lags.
 *
 * - `warn`: it is told, in `control`.
 * - `conflate`: of each topic of the hub it gets only the latest message (of each key) that waits.
 * - `throttle`: its outbox is halved and its send timeout doubled.
 * - `shed to critical`: what waits below `critical` is shed, again at each look.
 * - `disconnect`: it ends with `SlowConsumer` (4008) and the reason.
 *
 * @since 0.1.0
 * @category models
 */
export type Action = "warn" | "conflate" | "throttle" | "shed to critical" | "disconnect"

/**
 * A rule: when a reading is above a mark (a ratio or a duration, by its reason) for so long (default zero), do this.
 *
 * @since 0.1.0
 * @category models
 */
export type Rule =
  & { readonly action: Action; readonly for?: Duration.DurationInput }
  & (
    | { readonly reason: "bytes" | "items"; readonly above: number }
    | { readonly reason: "age" | "no progress" | "ack lag"; readonly above: Duration.DurationInput }
  )

/**
 * What can be set. Every field has a default in `defaults`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** In the order of gravity, the gravest last. Default: warn above 0.8 of the items or bytes for 1 s. */
  readonly rules?: ReadonlyArray<Rule>
  /** Time between looks. Default 250 ms. */
  readonly interval?: Duration.DurationInput
  /** Time without any rule in force after which a session has recovered. Default 10 s. */
  readonly recoverAfter?: Duration.DurationInput
  /** What a session is told. Default `warning`. */
  readonly warning?: (event: Lagging) => Message.Message
  /** Events that a reader may lag behind; beyond, the oldest are lost to it. Default 1,024. */
  readonly eventsMax?: number
}

/**
 * A session began to lag, or a graver rule came into force. `value` is the reading, a ratio or milliseconds.
 *
 * @since 0.1.0
 * @category models
 */
export interface Lagging {
  readonly _tag: "Lagging"
  readonly session: string
  readonly reason: Reason
  readonly action: Action
  readonly value: number
  readonly at: number
}

/**
 * What happens to sessions that lag.
 *
 * @since 0.1.0
 * @category models
 */
export type Event =
  | Lagging
  | {
    readonly _tag: "Recovered"
    readonly session: string
    readonly lagMillis: number
    readonly at: number
  }

/**
 * One place in the ranking of sessions that lag.
 *
 * @since 0.1.0
 * @category models
 */
export interface Ranked {
  readonly session: string
  /** How long its oldest message has waited. */
  readonly oldestMillis: number
  readonly fillRatio: number
  /** How long its write has made no progress; 0 when nothing is being written. */
  readonly stalledMillis: number
}

/**
 * Shape of the service.
 *
 * @since 0.1.0
 * @category models
 */
export interface SlowConsumersShape {
  /** Ids of the sessions whose outbox is fuller than the threshold (0.8 by default), in items or bytes. O(sessions). */
  slowSessions(threshold?: number): Effect.Effect<ReadonlyArray<string>>
  /** The `count` sessions whose oldest message has waited longest, longest first; those with nothing waiting are not in it. */
  top(count: number): Effect.Effect<ReadonlyArray<Ranked>>
  /** Does an action to a session, whatever the rules say. `conflate` and `throttle` last until `restore`. */
  apply(session: Session, action: Action): Effect.Effect<void>
  /** Undoes `conflate` and `throttle`. */
  restore(session: Session): Effect.Effect<void>
  /** Sessions that lag now, with the rule in force. */
  readonly lagging: Effect.Effect<ReadonlyArray<Lagging>>
  /** What the application knows of a client that acknowledges: how old the oldest message is that it has not confirmed. */
  reportAckLag(session: Session, lag: Duration.DurationInput): Effect.Effect<void>
  /** What happens from now on. Never ends before the layer. */
  readonly events: Stream.Stream<Event>
}

/**
 * Who lags, and what is done about it.
 *
 * @since 0.1.0
 * @category models
 */
export class SlowConsumers extends Context.Tag("spillway/SlowConsumers")<SlowConsumers, SlowConsumersShape>() {}

/**
 * The default warning: JSON in `control`, of which at most one is queued.
 *
 * @since 0.1.0
 * @category constructors
 */
export const warning = (event: Lagging): Message.Message =>
  Message.jsonOf(
    { type: "warning", warning: "slow_consumer", streamId: event.session, reason: event.reason },
    { lane: "control", key: "spillway/slowConsumer" }
  )

/**
 * The defaults. Sources: omi (0.8), EMQX (a time of calm before the all-clear).
 *
 * @since 0.1.0
 * @category configuration
 */
export const defaults: Required<Options> = Object.freeze<Required<Options>>({
  rules: [
    { reason: "items", above: 0.8, for: "1 second", action: "warn" },
    { reason: "bytes", above: 0.8, for: "1 second", action: "warn" }
  ],
  interval: "250 millis",
  recoverAfter: "10 seconds",
  warning,
  eventsMax: 1_024
})

/**
 * Starts to look at the sessions of the surrounding owner, until the scope closes.
 *
 * **Errors** `InvalidOption`, naming the option.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  options?: Options
): Effect.Effect<SlowConsumersShape, InvalidOption, Sessions | Scope.Scope> =>
  slowConsumers.make({ ...defaults, ...options })

/**
 * The service as a layer.
 *
 * @example
 * import { SlowConsumers } from "spillway"
 *
 * const SlowConsumersLive = SlowConsumers.layer({
 *   rules: [
 *     { reason: "age", above: "2 seconds", action: "warn" },
 *     { reason: "bytes", above: 0.7, for: "5 seconds", action: "conflate" },
 *     { reason: "no progress", above: "3 seconds", action: "disconnect" }
 *   ]
 * })
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options?: Options): Layer.Layer<SlowConsumers, InvalidOption, Sessions> =>
  Layer.scoped(SlowConsumers, make(options))
