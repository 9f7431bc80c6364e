/**
 * Faults as data: rules that say what goes wrong, where and when, and that report whether it really did.
 *
 * A schedule of rules is a value with a `Schema`: it can be printed, stored and replayed, and drawn by a property test
 * (`Arbitraries.faultSchedule`). `MemoryTransport` takes the schedule from this service when it is built with one; `handler` brings the
 * rules for tasks and finalizers to the user's code, on any transport. A scenario ends with `assertAllFired`: a fault that
 * never happened proves nothing.
 *
 * @example
 * import * as Faults from "@spillway/testing/Faults"
 * import * as MemoryTransport from "@spillway/testing/MemoryTransport"
 * import * as Layer from "effect/Layer"
 *
 * // The third message to the second client is torn, and the first connection hears nothing for 20 seconds.
 * const rules = Faults.layer([
 *   Faults.rule({ connection: 1, direction: "toClient", frame: "message", nth: 3 }, { _tag: "Tear" }),
 *   Faults.rule({ connection: 0, direction: "toServer" }, { _tag: "Stall", millis: 20_000 })
 * ])
 * export const network = MemoryTransport.layer({ latency: 5 }).pipe(Layer.provideMerge(rules))
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import type { Session } from "spillway/Session"
import { FaultEngine } from "./internal/faultEngine.js"
import * as faultHandler from "./internal/faultHandler.js"

const positive = Schema.Int.pipe(Schema.positive())
const natural = Schema.Int.pipe(Schema.nonNegative())

/**
 * Which connections: one, several, or every n-th. They are counted from 0 in the order in which they were attempted; for
 * `KillTask` and `FailFinalizer`, in the order in which the handlers started.
 *
 * @since 0.1.0
 * @category models
 */
export const Connections = Schema.Union(
  natural,
  Schema.Array(natural),
  Schema.Struct({ everyNth: positive, offset: Schema.optional(natural) })
)

/**
 * Which connections.
 *
 * @since 0.1.0
 * @category models
 */
export type Connections = typeof Connections.Type

/**
 * Kind of a frame.
 *
 * @since 0.1.0
 * @category models
 */
export const FrameKind = Schema.Literal("message", "ping", "pong", "close")

/**
 * Kind of a frame.
 *
 * @since 0.1.0
 * @category models
 */
export type FrameKind = typeof FrameKind.Type

/**
 * Where and when a rule applies. What is left out matches everything.
 *
 * - `remoteAddress`: of the connection.
 * - `direction`, `frame`: for faults of frames. A frame is matched when it is sent.
 * - `task`: name of the task, for `KillTask`; the handler's is `handler`.
 * - `nth`: the rule acts from its n-th match on, 1 by default, and then `times` times, 1 by default.
 * - `fromMillis`, `untilMillis`: time of `Clock` since the layer was built, the end excluded.
 *
 * @since 0.1.0
 * @category models
 */
export const Match = Schema.Struct({
  connection: Schema.optional(Connections),
  remoteAddress: Schema.optional(Schema.String),
  direction: Schema.optional(Schema.Literal("toClient", "toServer")),
  frame: Schema.optional(FrameKind),
  task: Schema.optional(Schema.String),
  nth: Schema.optional(positive),
  times: Schema.optional(positive),
  fromMillis: Schema.optional(natural),
  untilMillis: Schema.optional(natural)
})

/**
 * Where and when a rule applies.
 *
 * @since 0.1.0
 * @category models
 */
export type Match = typeof Match.Type

/**
 * What happens to a frame.
 *
 * - `Delay`: it travels longer, and as in TCP nothing behind it overtakes it.
 * - `Stall`: its direction carries nothing for a time, or for ever; then everything arrives.
 * - `DropLink`: it is lost, and both ends see a reset.
 * - `Tear`: half of it arrives, then both ends see a reset.
 * - `Corrupt`: bits of one byte of a message are flipped (`byteIndex` modulo the length, default 0; `mask` default 1). Text
 *   that is no UTF-8 any more is a violation (1007) at the reader.
 *
 * @since 0.1.0
 * @category models
 */
export const FrameAct = Schema.Union(
  Schema.TaggedStruct("Delay", { millis: positive }),
  Schema.TaggedStruct("Stall", { millis: Schema.optional(positive) }),
  Schema.TaggedStruct("DropLink", {}),
  Schema.TaggedStruct("Tear", {}),
  Schema.TaggedStruct("Corrupt", {
    byteIndex: Schema.optional(natural),
    mask: Schema.optional(Schema.Int.pipe(Schema.between(1, 255)))
  })
)

/**
 * What happens to a frame.
 *
 * @since 0.1.0
 * @category models
 */
export type FrameAct = typeof FrameAct.Type

/**
 * What happens to an attempt to connect: it is refused, or made twice. The second connection of a duplicated attempt is a
 * client that never says anything (`MemoryTransport.duplicates`).
 *
 * @since 0.1.0
 * @category models
 */
export const ConnectAct = Schema.Union(
  Schema.TaggedStruct("Refuse", {}),
  Schema.TaggedStruct("DuplicateConnection", {})
)

/**
 * What happens to an attempt to connect.
 *
 * @since 0.1.0
 * @category models
 */
export type ConnectAct = typeof ConnectAct.Type

/**
 * A task of a session dies `afterMillis` after its start, by interruption or by a defect (default).
 *
 * @since 0.1.0
 * @category models
 */
export const KillTask = Schema.TaggedStruct("KillTask", {
  afterMillis: Schema.optional(natural),
  by: Schema.optional(Schema.Literal("interruption", "defect"))
})

/**
 * A task of a session dies.
 *
 * @since 0.1.0
 * @category models
 */
export type KillTask = typeof KillTask.Type

/**
 * A finalizer of the handler's scope runs and then fails with a defect.
 *
 * @since 0.1.0
 * @category models
 */
export const FailFinalizer = Schema.TaggedStruct("FailFinalizer", {})

/**
 * A finalizer of the handler's scope runs and then fails with a defect.
 *
 * @since 0.1.0
 * @category models
 */
export type FailFinalizer = typeof FailFinalizer.Type

/**
 * What goes wrong.
 *
 * @since 0.1.0
 * @category models
 */
export const Act = Schema.Union(FrameAct, ConnectAct, KillTask, FailFinalizer)

/**
 * What goes wrong.
 *
 * @since 0.1.0
 * @category models
 */
export type Act = typeof Act.Type

const everyKind: { readonly [K in Act["_tag"]]: true } = {
  Delay: true,
  Stall: true,
  DropLink: true,
  Tear: true,
  Corrupt: true,
  Refuse: true,
  DuplicateConnection: true,
  KillTask: true,
  FailFinalizer: true
}

/**
 * The tags of all acts.
 *
 * @since 0.1.0
 * @category models
 */
export const kinds: ReadonlyArray<Act["_tag"]> = Object.keys(everyKind) as Array<Act["_tag"]>

/**
 * One rule. Of several rules that could act on the same thing the first in the schedule does; the others wait for their
 * next match.
 *
 * @since 0.1.0
 * @category models
 */
export const Rule = Schema.Struct({ match: Match, act: Act })

/**
 * One rule.
 *
 * @since 0.1.0
 * @category models
 */
export type Rule = typeof Rule.Type

/**
 * Rules, in order of precedence.
 *
 * @since 0.1.0
 * @category models
 */
export const Schedule = Schema.Array(Rule)

/**
 * Rules, in order of precedence.
 *
 * @since 0.1.0
 * @category models
 */
export type Schedule = typeof Schedule.Type

/**
 * What became of a rule: how often it matched, how often it acted, and when, in milliseconds since the layer was built
 * (the first 100 times).
 *
 * @since 0.1.0
 * @category models
 */
export interface RuleReport {
  readonly rule: Rule
  readonly matched: number
  readonly fired: number
  readonly firedAt: ReadonlyArray<number>
}

/**
 * Rules that never acted, although the scenario was about them.
 *
 * @since 0.1.0
 * @category errors
 */
export class NeverFired extends Data.TaggedError("NeverFired")<{ readonly rules: ReadonlyArray<RuleReport> }> {
  override get message(): string {
    const lines = this.rules.map(({ matched, rule }) => `  ${JSON.stringify(rule)} (matched ${matched} times)`)
    return `faults that never happened:\n${lines.join("\n")}`
  }
}

/**
 * The faults of a test. The `on…` members are the seam for transports: each is asked when something is about to happen,
 * answers what befalls it, and counts that as done.
 *
 * @since 0.1.0
 * @category testing
 */
export class Faults extends Context.Tag("@spillway/testing/Faults")<Faults, {
  readonly schedule: Schedule
  readonly report: Effect.Effect<ReadonlyArray<RuleReport>>
  /** Whether any rule is about frames; without one a transport need not ask. */
  readonly hasFrameRules: boolean
  /** An attempt to connect. `connection` is its number, from 0. */
  readonly onConnect: (connection: number, remoteAddress: string) => ConnectAct | undefined
  /** A frame that is being sent. */
  readonly onFrame: (frame: {
    readonly connection: number
    readonly remoteAddress: string
    readonly direction: "toClient" | "toServer"
    readonly kind: FrameKind
    readonly payloadBytes: number
  }) => FrameAct | undefined
  /** The handler with the rules for its session's tasks and its scope's finalizers. */
  readonly wrap: <E, R>(
    handler: (session: Session) => Effect.Effect<unknown, E, R>
  ) => (session: Session) => Effect.Effect<unknown, E, R>
}>() {}

/**
 * A rule.
 *
 * @since 0.1.0
 * @category constructors
 */
export const rule = (match: Match, act: Act): Rule => ({ match, act })

/**
 * The service for a schedule. Its time begins now.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (schedule: Schedule): Effect.Effect<Context.Tag.Service<Faults>> =>
  Effect.map(Effect.clock, (clock) => {
    const engine = new FaultEngine(schedule, clock)
    return {
      schedule,
      report: Effect.sync(() => engine.report()),
      hasFrameRules: engine.hasFrameRules,
      onConnect: (connection, remoteAddress) => engine.onConnect(connection, remoteAddress),
      onFrame: (frame) => engine.onFrame(frame),
      wrap: (handler) => faultHandler.wrap(engine, handler)
    }
  })

/**
 * The service for a schedule. Build `MemoryTransport.layer` on top of it.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (schedule: Schedule): Layer.Layer<Faults> => Layer.effect(Faults, make(schedule))

/**
 * A handler whose tasks and finalizers meet the rules: pass it to `Sessions.serve` or `open` in place of the handler.
 *
 * @since 0.1.0
 * @category operations
 */
export const handler = <E, R>(
  self: (session: Session) => Effect.Effect<unknown, E, R>
): (session: Session) => Effect.Effect<unknown, E, R | Faults> =>
(session) => Effect.flatMap(Faults, (faults) => faults.wrap(self)(session))

/**
 * What became of each rule, in the order of the schedule.
 *
 * @since 0.1.0
 * @category operations
 */
export const report: Effect.Effect<ReadonlyArray<RuleReport>, never, Faults> = Effect.flatMap(Faults, (_) => _.report)

/**
 * Fails when a rule never acted.
 *
 * @since 0.1.0
 * @category operations
 */
export const assertAllFired: Effect.Effect<void, NeverFired, Faults> = Effect.flatMap(report, (rules) => {
  const idle = rules.filter(({ fired }) => fired === 0)
  return idle.length === 0 ? Effect.void : Effect.fail(new NeverFired({ rules: idle }))
})

const Text = Schema.parseJson(Schedule)

/**
 * A schedule as one line of JSON.
 *
 * @since 0.1.0
 * @category conversions
 */
export const print: (schedule: Schedule) => string = Schema.encodeSync(Text)

/**
 * The schedule that a line of `print` stands for.
 *
 * @since 0.1.0
 * @category conversions
 */
export const parse: (text: string) => Effect.Effect<Schedule, ParseResult.ParseError> = Schema.decode(Text)
