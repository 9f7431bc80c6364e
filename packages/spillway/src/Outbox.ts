/**
 * The outbox: the bounded priority queue of one session. Producers offer messages into four lanes; a consumer takes the
 * most urgent one first.
 *
 * The outbox decides order, bounds and accounting. What happens to a message that does not fit is decided by `Overflow`.
 *
 * - Order: `control` and `critical` before everything below them, `important` and `bulk` in turns; first in, first out
 *   inside a lane, also among offers that wait.
 * - Bounds: items and bytes of the three lower lanes together, and a reserve for `control`.
 * - Accounting: per lane, at every instant, offered = taken + evicted + rejected + conflated + expired + returned + queued.
 *
 * @since 0.1.0
 */
import type * as Array from "effect/Array"
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { OutboxImpl } from "./internal/outboxEffect.js"
import { outboxRules } from "./internal/outboxRules.js"
import type { Lane, PerLane } from "./Lane.js"
import type { Outcome } from "./Outcome.js"
import * as Overflow from "./Overflow.js"
import type { OutboxClosed } from "./SpillwayError.js"
import { InvalidOption } from "./SpillwayError.js"

/**
 * A message to offer.
 *
 * @since 0.1.0
 * @category models
 */
export interface Offer<A> {
  readonly item: A
  /** Encoded bytes: what it counts against the bound. */
  readonly bytes: number
  readonly lane: Lane
  /** Compared as `Map` compares keys. A queued message of the same lane with the same key is replaced, in its place. */
  readonly key?: unknown
  /** From the moment it is queued. The smaller of this and the lane's own applies; at exactly this age it is too old. */
  readonly maxAge?: Duration.DurationInput | undefined
}

/**
 * A message that left the outbox. `seq` is its number in its lane: every offer consumes one, so a number that is missing
 * is a message that was shed.
 *
 * @since 0.1.0
 * @category models
 */
export interface Taken<A> {
  readonly item: A
  readonly lane: Lane
  readonly bytes: number
  readonly seq: number
}

/**
 * Counters of one lane. `offered` is the sum of `taken`, `evicted`, `rejected`, `conflated`, `expired`, `returned` and
 * `queuedItems`.
 *
 * @since 0.1.0
 * @category models
 */
export interface LaneStats {
  readonly offered: number
  readonly taken: number
  readonly evicted: number
  readonly rejected: number
  readonly conflated: number
  readonly expired: number
  /** Given back by `shutdown`. */
  readonly returned: number
  readonly queuedItems: number
  readonly queuedBytes: number
}

/**
 * State of an outbox at one instant.
 *
 * @since 0.1.0
 * @category models
 */
export interface Stats {
  readonly lanes: PerLane<LaneStats>
  /** What is queued in all lanes now. */
  readonly queuedItems: number
  readonly queuedBytes: number
  /** The most that was ever queued in all lanes. */
  readonly peakItems: number
  readonly peakBytes: number
  /** Items or bytes of the lanes below `control` by their bound, whichever is more. Never above 1. */
  readonly fillRatio: number
  /** Offers that wait for room. They are not counted as offered yet. */
  readonly waiters: number
}

/**
 * The outbox.
 *
 * @since 0.1.0
 * @category models
 */
export interface Outbox<A> {
  /**
   * Offers a message.
   *
   * **Suspension and interruption** Suspends while the policy of the lane says to wait, or others of the lane wait
   * already. Interrupted while it waits, it leaves nothing behind, and those behind it move up. An offer that was
   * admitted in the very turn in which it is interrupted stays queued, once.
   *
   * **Bounds** At most `waitersMax` offers wait; beyond that the outcome is `Rejected` with `LaneFull`.
   *
   * **Errors** `OutboxClosed` after `shutdown`.
   */
  readonly offer: (message: Offer<A>) => Effect.Effect<Outcome, OutboxClosed>
  /**
   * Offers a message without ever waiting: where `offer` would suspend, the outcome is `Rejected` with `LaneFull`. After
   * `shutdown` it is `Rejected` with `Closed`.
   */
  readonly unsafeOffer: (message: Offer<A>) => Outcome
  /**
   * Takes the most urgent message.
   *
   * **Suspension and interruption** Suspends while there is none, without polling. The message leaves the outbox in the
   * very step in which this effect succeeds, so an interrupted take has taken nothing.
   *
   * **Errors** `OutboxClosed` after `shutdown`.
   */
  readonly take: Effect.Effect<Taken<A>, OutboxClosed>
  /**
   * Takes messages, most urgent first, until `itemsMax` are taken or the next one would exceed `bytesMax`. Takes at least
   * one, whatever its size. Suspends and fails as `take` does.
   */
  readonly takeBatch: (options: {
    readonly itemsMax: number
    readonly bytesMax: number
  }) => Effect.Effect<Array.NonEmptyReadonlyArray<Taken<A>>, OutboxClosed>
  /** Takes the most urgent message if there is one. */
  readonly unsafePoll: () => Option.Option<Taken<A>>
  /** Suspends until nothing is queued. A shut down outbox is empty. Cannot fail. */
  readonly awaitEmpty: Effect.Effect<void>
  /**
   * Ends the outbox and returns what was queued, most urgent lane first. Offers and takes that are suspended fail with
   * `OutboxClosed`. The second time it returns nothing. Never suspends.
   */
  readonly shutdown: Effect.Effect<ReadonlyArray<Taken<A>>>
  /** Counters, totals and peaks, as a frozen record. */
  readonly stats: Effect.Effect<Stats>
}

/**
 * What may be set. Everything left out is as in `defaults`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** Messages of `critical`, `important` and `bulk` together. */
  readonly itemsMax?: number | undefined
  /** Bytes of `critical`, `important` and `bulk` together. */
  readonly bytesMax?: number | undefined
  /** Messages of `control`, on top of the bound. */
  readonly reserveItems?: number | undefined
  /** Bytes of `control`, on top of the bound. */
  readonly reserveBytes?: number | undefined
  /** Offers that may wait at the same time. */
  readonly waitersMax?: number | undefined
}

/**
 * Default bounds: 1024 messages and 1 MiB, a reserve of 100 messages and 64 KiB, 1024 waiting offers.
 *
 * @since 0.1.0
 * @category configuration
 */
export const defaults = Object.freeze({
  itemsMax: 1024,
  bytesMax: 1_048_576,
  reserveItems: 100,
  reserveBytes: 65_536,
  waitersMax: 1024
})

/**
 * Makes an outbox with the policy in context. It is shut down when the scope closes; what is queued then is dropped.
 *
 * **Errors** `InvalidOption` for a bound that is no whole number, below 1 (`waitersMax`: below 0) or above 2^30.
 *
 * @example
 * import { Outbox, Overflow } from "spillway"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.gen(function*() {
 *   const outbox = yield* Outbox.make<string>({ itemsMax: 2 })
 *   yield* outbox.offer({ item: "position", bytes: 8, lane: "bulk" })
 *   yield* outbox.offer({ item: "paid", bytes: 4, lane: "critical" })
 *   const outcome = yield* outbox.offer({ item: "shipped", bytes: 7, lane: "critical" })
 *   assert.deepStrictEqual(outcome, { _tag: "QueuedEvicting", evicted: 1 })
 *   assert.strictEqual((yield* outbox.take).item, "paid")
 * })
 *
 * Effect.runSync(Effect.scoped(program).pipe(Effect.provide(Overflow.layerDefault)))
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <A>(
  options: Options = {}
): Effect.Effect<Outbox<A>, InvalidOption, Overflow.Overflow | Scope.Scope> =>
  Effect.gen(function*() {
    const itemsMax = yield* bound("itemsMax", options.itemsMax, 1)
    const bytesMax = yield* bound("bytesMax", options.bytesMax, 1)
    const reserveItems = yield* bound("reserveItems", options.reserveItems, 1)
    const reserveBytes = yield* bound("reserveBytes", options.reserveBytes, 1)
    const waitersMax = yield* bound("waitersMax", options.waitersMax, 0)
    const policy = yield* Overflow.Overflow
    const clock: Clock.Clock = yield* Effect.clock
    const bounds = { itemsMax, bytesMax, reserveItems, reserveBytes }
    const outbox = new OutboxImpl<A>(clock, waitersMax, { ...bounds, ...outboxRules(policy) })
    yield* Effect.addFinalizer(() => outbox.shutdown)
    return outbox
  })

const boundMax = 2 ** 30

const bound = (
  key: keyof typeof defaults,
  value: number = defaults[key],
  min: number
): Effect.Effect<number, InvalidOption> =>
  Number.isSafeInteger(value) && value >= min && value <= boundMax
    ? Effect.succeed(value)
    : new InvalidOption({ module: "Outbox", key, value, expected: `a whole number from ${min} to ${boundMax}` })
