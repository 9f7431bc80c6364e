/**
 * A budget for the memory of all sessions together. The bound of each outbox keeps one slow reader small; this keeps ten
 * thousand of them small together.
 *
 * At regular times the bytes that are queued and in flight in all sessions are compared with the budget, and the event loop
 * with the delay that is allowed. The more is used, the more is given up, the largest sessions first, at most so many at a
 * time; sessions themselves die last.
 *
 * ```
 * 0.70 shed bulk ─▶ 0.85 shed important ─▶ 0.92 hint ─▶ 0.95 refuse newcomers ─▶ 1.0 end sessions (Overloaded, 4015)
 *        ◀──────────────── each is left when the load is 0.05 below its mark ────────────────
 * ```
 *
 * `critical` and `control` are never shed here either. Without a budget every outbox may be full at once, which is the
 * number of sessions times their bound.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as budget from "./internal/budget.js"
import type { Message } from "./Message.js"
import type { Session } from "./Session.js"
import type { Sessions } from "./Sessions.js"
import type { InvalidOption } from "./SpillwayError.js"

/**
 * What is being done, each level with everything of those before it.
 *
 * @since 0.1.0
 * @category models
 */
export type Level = "calm" | "shed bulk" | "shed important" | "hint" | "refuse" | "end"

/**
 * All levels, in order.
 *
 * @since 0.1.0
 * @category models
 */
export const levels: ReadonlyArray<Level> = ["calm", "shed bulk", "shed important", "hint", "refuse", "end"]

/**
 * What can be set. `bytesMax` has no default that fits every machine: a quarter of the heap limit is a start.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** Bytes queued and in flight in all sessions. */
  readonly bytesMax: number
  /** Delay of the event loop that counts as full load; it sheds and refuses, but ends no session. Default 500 ms. */
  readonly delayMax?: Duration.DurationInput
  /** Time between looks. Default 100 ms. */
  readonly interval?: Duration.DurationInput
  /** Load from which `bulk` of the largest sessions is shed. Default 0.7. */
  readonly shedBulkAt?: number
  /** Default 0.85. */
  readonly shedImportantAt?: number
  /** Load from which the largest sessions are told to go elsewhere, by `hint`. Default 0.92. */
  readonly hintAt?: number
  /** Load from which new sessions are refused. Default 0.95. */
  readonly refuseAt?: number
  /** Load from which the largest sessions are ended, if shedding at the look before did not help. Default 1. */
  readonly endAt?: number
  /** How far the load has to fall below a mark. Default 0.05. */
  readonly margin?: number
  /** Sessions that one look sheds from, hints at, or ends, at most. Default 50. */
  readonly sessionsPerLook?: number
  /** What a session is told. Default nothing. */
  readonly hint?: (session: Session) => Message
}

/**
 * The defaults. Sources: the marks of Envoy's overload manager, and its 50 streams at a time.
 *
 * @since 0.1.0
 * @category configuration
 */
export const defaults: Required<Omit<Options, "bytesMax" | "hint">> = Object.freeze({
  delayMax: "500 millis",
  interval: "100 millis",
  shedBulkAt: 0.7,
  shedImportantAt: 0.85,
  hintAt: 0.92,
  refuseAt: 0.95,
  endAt: 1,
  margin: 0.05,
  sessionsPerLook: 50
})

/**
 * A reading of a budget.
 *
 * @since 0.1.0
 * @category models
 */
export interface BudgetStats {
  readonly level: Level
  readonly bytes: number
  readonly bytesMax: number
  /** Highest number of bytes that a look found. */
  readonly peakBytes: number
  /** Messages that were shed for the budget. */
  readonly shedBulk: number
  readonly shedImportant: number
  readonly hinted: number
  readonly ended: number
}

/**
 * The level changed.
 *
 * @since 0.1.0
 * @category models
 */
export interface Change {
  readonly from: Level
  readonly to: Level
  readonly bytes: number
  readonly delayMillis: number
  readonly at: number
}

/**
 * Shape of the service.
 *
 * @since 0.1.0
 * @category models
 */
export interface BudgetShape {
  readonly stats: BudgetStats
  /** Every change of the level from now on; a reader that lags by 256 loses the oldest. */
  readonly changes: Stream.Stream<Change>
}

/**
 * The budget.
 *
 * @since 0.1.0
 * @category models
 */
export class Budget extends Context.Tag("spillway/Budget")<Budget, BudgetShape>() {}

/**
 * Keeps the sessions of the surrounding owner within a budget until the scope closes.
 *
 * **Errors** `InvalidOption`, naming the option: counts below 1, marks that do not rise.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options): Effect.Effect<BudgetShape, InvalidOption, Sessions | Scope.Scope> =>
  budget.make({ ...defaults, ...options })

/**
 * The budget as a layer.
 *
 * @example
 * import { Budget } from "spillway"
 *
 * const BudgetLive = Budget.layer({ bytesMax: 256 * 1024 * 1024 })
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options): Layer.Layer<Budget, InvalidOption, Sessions> =>
  Layer.scoped(Budget, make(options))
