/**
 * The overflow policy: what happens to a message that does not fit into the outbox, lane by lane, and at which fill
 * ratios an outbox sheds early or counts as under pressure.
 *
 * A policy is data, checked when it is made. The outbox carries it out; swapping the layer changes outcomes without
 * touching any code that sends.
 *
 * Whatever the policy: `critical` and `control` are never evicted, a message is evicted only when every lower lane is
 * empty, and a message whose key is queued in its lane takes the place of that one.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import type * as ConfigError from "effect/ConfigError"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as LaneQueue from "./internal/laneQueue.js"
import type { Lane, PerLane } from "./Lane.js"
import * as Lane_ from "./Lane.js"
import { InvalidOption } from "./SpillwayError.js"

/**
 * What happens to a message that does not fit. All but `dropNewest` first evict from the lanes strictly below, lowest
 * lane and oldest message first, and go on as follows when that does not make enough room:
 *
 * - `evictLower`: `important` replaces its own oldest, `bulk` is rejected, `critical` and `control` wait.
 * - `dropOldest`: the oldest messages of its own lane go. For `important` and `bulk`.
 * - `dropNewest`: the newcomer is rejected; nothing is evicted at all.
 * - `conflate`: a message with a key evicts its own lane's oldest, one without is rejected. For `important` and `bulk`.
 * - `suspend`: the offer waits until there is room. For `bulk`, set `refuseBulkAbove` to 1, or early refusal comes first.
 * - `disconnect`: the message is rejected and the session ends.
 *
 * @since 0.1.0
 * @category models
 */
export type WhenFull = LaneQueue.WhenFull

/**
 * Rule of one lane. A message that has been queued for `maxAge` or longer is not delivered.
 *
 * A `target` follows what the session takes: when a message has waited for `target` and the policy's `interval`, the lane
 * has a standing queue, and until it has been empty, messages that have waited for longer than `target` are not
 * delivered, except for the last one. So the lane holds as much as leaves within `target`, be the link fast or slow, and a
 * burst that is over within the interval loses nothing.
 *
 * @since 0.1.0
 * @category models
 */
export interface LaneRule {
  readonly whenFull: WhenFull
  /** Infinite when messages do not age. */
  readonly maxAge: Duration.Duration
  /** Infinite when a standing queue is as good as any other. Only `important` and `bulk` may have one. */
  readonly target: Duration.Duration
}

/**
 * A checked policy.
 *
 * @since 0.1.0
 * @category models
 */
export interface Policy {
  readonly lanes: PerLane<LaneRule>
  /** Messages of `important` that go out for one of `bulk` while both wait; 0 starves `bulk`. */
  readonly importantPerBulk: number
  /** Fill ratio above which new `bulk` is refused although it would fit; 1 switches that off. */
  readonly refuseBulkAbove: number
  /** Fill ratio above which the outbox is under pressure. */
  readonly pressureAt: number
  /** Fill ratio at or below which pressure ends. */
  readonly pressureEnd: number
  /** For how long messages may wait for longer than the `target` of their lane before it has a standing queue. */
  readonly interval: Duration.Duration
}

/**
 * The policy service.
 *
 * @since 0.1.0
 * @category models
 */
export class Overflow extends Context.Tag("spillway/Overflow")<Overflow, Policy>() {}

/**
 * What may be set. Everything left out is as in `defaults`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  readonly lanes?:
    | {
      readonly [L in Lane]?: {
        readonly whenFull?: WhenFull | undefined
        readonly maxAge?: Duration.DurationInput | undefined
        readonly target?: Duration.DurationInput | undefined
      } | undefined
    }
    | undefined
  readonly importantPerBulk?: number | undefined
  readonly refuseBulkAbove?: number | undefined
  readonly pressureAt?: number | undefined
  readonly pressureEnd?: number | undefined
  readonly interval?: Duration.DurationInput | undefined
}

const evictLower: LaneRule = Object.freeze({
  whenFull: "evictLower",
  maxAge: Duration.infinity,
  target: Duration.infinity
})

/**
 * The default policy: every lane evicts below itself, nothing ages, eight of `important` for one of `bulk`, new `bulk`
 * is refused above 0.9, pressure from 0.7 until 0.5. No lane has a `target`; the `interval` is one second.
 *
 * @since 0.1.0
 * @category configuration
 */
export const defaults: Policy = Object.freeze({
  lanes: Object.freeze(Lane_.perLane(() => evictLower)),
  importantPerBulk: 8,
  refuseBulkAbove: 0.9,
  pressureAt: 0.7,
  pressureEnd: 0.5,
  interval: Duration.seconds(1)
})

/**
 * Checks options and makes a policy of them.
 *
 * **Errors** `InvalidOption`, naming the key: a ratio outside 0 to 1, `pressureEnd` not below `pressureAt`, an
 * `importantPerBulk` that is no whole number, a `maxAge`, `target` or `interval` that is not above zero, and
 * `dropOldest`, `conflate` or a `target` for a lane that is never evicted.
 *
 * @example
 * import { Overflow } from "spillway"
 * import * as Effect from "effect/Effect"
 *
 * const policy = Effect.runSync(Overflow.make({ lanes: { bulk: { whenFull: "dropOldest", maxAge: "5 seconds" } } }))
 * assert.strictEqual(policy.lanes.bulk.whenFull, "dropOldest")
 * assert.strictEqual(policy.lanes.critical.whenFull, "evictLower")
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options = {}): Effect.Effect<Policy, InvalidOption> =>
  Effect.gen(function*() {
    const importantPerBulk = options.importantPerBulk ?? defaults.importantPerBulk
    if (!Number.isSafeInteger(importantPerBulk) || importantPerBulk < 0) {
      return yield* invalid("importantPerBulk", importantPerBulk, "a whole number of at least 0")
    }
    const refuseBulkAbove = yield* ratio("refuseBulkAbove", options.refuseBulkAbove ?? defaults.refuseBulkAbove)
    const pressureAt = yield* ratio("pressureAt", options.pressureAt ?? defaults.pressureAt)
    const pressureEnd = yield* ratio("pressureEnd", options.pressureEnd ?? defaults.pressureEnd)
    if (pressureEnd >= pressureAt) {
      return yield* invalid("pressureEnd", pressureEnd, `less than pressureAt (${pressureAt})`)
    }
    const lanes = Object.freeze({
      control: yield* rule("control", options.lanes?.control),
      critical: yield* rule("critical", options.lanes?.critical),
      important: yield* rule("important", options.lanes?.important),
      bulk: yield* rule("bulk", options.lanes?.bulk)
    })
    const interval = yield* duration("interval", options.interval ?? defaults.interval)
    return Object.freeze({ lanes, importantPerBulk, refuseBulkAbove, pressureAt, pressureEnd, interval })
  })

const invalid = (key: string, value: unknown, expected: string): InvalidOption =>
  new InvalidOption({ module: "Overflow", key, value, expected })

const ratio = (key: string, value: number): Effect.Effect<number, InvalidOption> =>
  value >= 0 && value <= 1 ? Effect.succeed(value) : invalid(key, value, "a ratio between 0 and 1")

const whenFullAll = ["evictLower", "dropOldest", "dropNewest", "conflate", "suspend", "disconnect"] as const

/** Negative and NaN durations decode to zero, which would shed every message. */
const duration = (key: string, value: Duration.DurationInput): Effect.Effect<Duration.Duration, InvalidOption> => {
  const decoded = Duration.decodeUnknown(value)
  return Option.isSome(decoded) && Duration.greaterThan(decoded.value, Duration.zero)
    ? Effect.succeed(decoded.value)
    : invalid(key, value, "a duration above zero")
}

type LaneOptions = NonNullable<NonNullable<Options["lanes"]>[Lane]>

const rule = (lane: Lane, options: LaneOptions = {}): Effect.Effect<LaneRule, InvalidOption> =>
  Effect.gen(function*() {
    const whenFull = options.whenFull ?? defaults.lanes[lane].whenFull
    const key = `lanes.${lane}`
    if (!whenFullAll.includes(whenFull)) {
      return yield* invalid(`${key}.whenFull`, whenFull, `one of ${whenFullAll.join(", ")}`)
    }
    const isEvicted = lane === "important" || lane === "bulk"
    if (!isEvicted && (whenFull === "dropOldest" || whenFull === "conflate")) {
      return yield* invalid(`${key}.whenFull`, whenFull, `a rule that evicts nothing of ${lane}`)
    }
    const maxAge = yield* duration(`${key}.maxAge`, options.maxAge ?? defaults.lanes[lane].maxAge)
    const target = yield* duration(`${key}.target`, options.target ?? defaults.lanes[lane].target)
    if (!isEvicted && Duration.isFinite(target)) {
      return yield* invalid(`${key}.target`, options.target, `none, as nothing of ${lane} is shed`)
    }
    return Object.freeze({ whenFull, maxAge, target })
  })

const optional = <A>(self: Config.Config<A>): Config.Config<A | undefined> =>
  Config.map(Config.option(self), Option.getOrUndefined)

const laneConfig = Config.all({
  whenFull: optional(Config.literal(...whenFullAll)("whenFull")),
  maxAge: optional(Config.duration("maxAge")),
  target: optional(Config.duration("target"))
})

/**
 * Options from configuration, without a prefix: `importantPerBulk`, `refuseBulkAbove`, `pressureAt`, `pressureEnd`,
 * `interval`, and for each lane for example `bulk.whenFull`, `bulk.maxAge` and `bulk.target`. Everything may be missing.
 * Use `Config.nested` for a prefix.
 *
 * @since 0.1.0
 * @category configuration
 */
export const config: Config.Config<Options> = Config.all({
  lanes: Config.all({ ...Lane_.perLane((lane) => Config.nested(laneConfig, lane)) }),
  importantPerBulk: optional(Config.integer("importantPerBulk")),
  refuseBulkAbove: optional(Config.number("refuseBulkAbove")),
  pressureAt: optional(Config.number("pressureAt")),
  pressureEnd: optional(Config.number("pressureEnd")),
  interval: optional(Config.duration("interval"))
})

/**
 * Policy with the given options.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options = {}): Layer.Layer<Overflow, InvalidOption> =>
  Layer.effect(Overflow, make(options))

/**
 * The default policy. Cannot fail.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerDefault: Layer.Layer<Overflow> = Layer.succeed(Overflow, defaults)

/**
 * The default policy with a `target` for what may be shed: what a session receives is not old, however slow it is, and
 * what it cannot take is shed early rather than when the outbox is full. Cannot fail.
 *
 * `bulk` waits for at most 250 ms and `important` for a second once they have a standing queue; see ADR 0025 for what that
 * does in simulation.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerAdaptive: Layer.Layer<Overflow> = Layer.succeed(
  Overflow,
  Object.freeze({
    ...defaults,
    lanes: Object.freeze({
      ...defaults.lanes,
      important: Object.freeze({ ...evictLower, target: Duration.seconds(1) }),
      bulk: Object.freeze({ ...evictLower, target: Duration.millis(250) })
    })
  })
)

const dropNewest: LaneRule = Object.freeze({ ...evictLower, whenFull: "dropNewest" })

/**
 * The default policy, but `important` and `bulk` are rejected when the outbox is full, and evict nothing. Cannot fail.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerRejectNewest: Layer.Layer<Overflow> = Layer.succeed(
  Overflow,
  Object.freeze({
    ...defaults,
    lanes: Object.freeze({ ...defaults.lanes, important: dropNewest, bulk: dropNewest })
  })
)

/**
 * Policy from configuration.
 *
 * @example
 * import { Overflow } from "spillway"
 * import * as Config from "effect/Config"
 * import * as ConfigProvider from "effect/ConfigProvider"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.map(Overflow.Overflow, (policy) => policy.pressureAt).pipe(
 *   Effect.provide(Overflow.layerConfig(Config.nested(Overflow.config, "outbox"))),
 *   Effect.withConfigProvider(ConfigProvider.fromMap(new Map([["outbox.pressureAt", "0.8"]])))
 * )
 * assert.strictEqual(Effect.runSync(program), 0.8)
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = (
  options: Config.Config<Options> = config
): Layer.Layer<Overflow, InvalidOption | ConfigError.ConfigError> =>
  Layer.effect(Overflow, Effect.flatMap(options, make))
