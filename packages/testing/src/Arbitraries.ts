/**
 * Values for property tests: what a realtime server meets, drawn by `effect/FastCheck`. They are arbitraries as `it.prop`
 * and `it.effect.prop` of `@effect/vitest` take them, and shrink to what is smaller or less.
 *
 * @example
 * import * as Arbitraries from "@spillway/testing/Arbitraries"
 * import * as FastCheck from "effect/FastCheck"
 * import * as Outcome from "spillway/Outcome"
 *
 * // A property of whatever has `unsafeOffer`: an offer has an outcome, whatever the message.
 * export const property = (unsafeOffer: (message: unknown) => Outcome.Outcome) =>
 *   FastCheck.property(Arbitraries.message(), (message) => Outcome.isTaken(unsafeOffer(message)))
 *
 * @since 0.1.0
 */
import * as FastCheck from "effect/FastCheck"
import * as Schema from "effect/Schema"
import * as Lane from "spillway/Lane"
import * as Message from "spillway/Message"
import * as Clients from "./Clients.js"
import * as Faults from "./Faults.js"

/**
 * A lane. Shrinks towards `control`.
 *
 * @since 0.1.0
 * @category testing
 */
export const lane: FastCheck.Arbitrary<Lane.Lane> = FastCheck.constantFrom(...Lane.all)

/**
 * Name of a kind of client: `Clients.all[kind]` connects one. Shrinks towards `fast`.
 *
 * @since 0.1.0
 * @category testing
 */
export const clientKind: FastCheck.Arbitrary<keyof typeof Clients.all> = FastCheck.constantFrom(
  ...Object.keys(Clients.all) as Array<keyof typeof Clients.all>
)

/**
 * What messages to draw: payloads of at most `payloadBytesMax` (2,000) bytes, and one of `keys` or none for each.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface MessageOptions {
  readonly payloadBytesMax?: number
  readonly keys?: ReadonlyArray<string>
}

// Most messages are small. The sizes at which the framing changes (126, 65,536) are met more often than by chance.
const payloadBytes = (max: number): FastCheck.Arbitrary<number> =>
  FastCheck.oneof(
    { weight: 6, arbitrary: FastCheck.nat(Math.min(max, 200)) },
    { weight: 2, arbitrary: FastCheck.nat(max) },
    { weight: 1, arbitrary: FastCheck.constantFrom(...[0, 125, 126, 65_535, 65_536].filter((bytes) => bytes <= max)) }
  )

const key = (keys: ReadonlyArray<string>) => FastCheck.constantFrom(undefined, ...keys)

/**
 * A message, text or binary, of any lane, with or without a key and a maximum age.
 *
 * @since 0.1.0
 * @category testing
 */
export const message = (options: MessageOptions = {}): FastCheck.Arbitrary<Message.Message> =>
  FastCheck.record({
    lane,
    bytes: payloadBytes(options.payloadBytesMax ?? 2_000),
    key: key(options.keys ?? ["a", "b", "c"]),
    maxAge: FastCheck.constantFrom(undefined, undefined, undefined, 1, 100, 10_000),
    binary: FastCheck.boolean()
  }).map(({ binary, bytes, key, lane, maxAge }) => {
    const options = {
      lane,
      ...(key === undefined ? {} : { key }),
      ...(maxAge === undefined ? {} : { maxAge })
    }
    return binary ? Message.binary(new Uint8Array(bytes).fill(7), options) : Message.text("x".repeat(bytes), options)
  })

/**
 * One step of a workload: time passes, a burst of messages is sent to a client, or the client says something.
 *
 * @since 0.1.0
 * @category models
 */
export type WorkloadStep =
  | { readonly _tag: "Wait"; readonly millis: number }
  | {
    readonly _tag: "Send"
    readonly count: number
    readonly lane: Lane.Lane
    readonly payloadBytes: number
    readonly key: string | undefined
  }
  | { readonly _tag: "Say"; readonly payloadBytes: number }

/**
 * What workloads to draw: at most `stepsMax` (50) steps, bursts of at most `burstMax` (20) messages.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface WorkloadOptions extends MessageOptions {
  readonly stepsMax?: number
  readonly burstMax?: number
}

/**
 * What happens on one session, as data: a schedule that a test plays step by step. A failing one can be printed and kept.
 *
 * @since 0.1.0
 * @category testing
 */
export const workload = (options: WorkloadOptions = {}): FastCheck.Arbitrary<ReadonlyArray<WorkloadStep>> => {
  const bytes = payloadBytes(options.payloadBytesMax ?? 2_000)
  const step = FastCheck.oneof<Array<FastCheck.MaybeWeightedArbitrary<WorkloadStep>>>(
    {
      weight: 3,
      arbitrary: FastCheck.integer({ min: 1, max: 2_000 }).map((millis) => ({ _tag: "Wait", millis }))
    },
    {
      weight: 6,
      arbitrary: FastCheck.record({
        _tag: FastCheck.constant("Send" as const),
        count: FastCheck.integer({ min: 1, max: options.burstMax ?? 20 }),
        lane,
        payloadBytes: bytes,
        key: key(options.keys ?? ["a", "b", "c"])
      })
    },
    { weight: 2, arbitrary: bytes.map((payloadBytes) => ({ _tag: "Say", payloadBytes })) }
  )
  return FastCheck.array(step, { maxLength: options.stepsMax ?? 50, size: "max" })
}

/**
 * What schedules to draw: at most `rulesMax` rules, for connections below `connections`, whose windows begin before
 * `withinMillis`, of the kinds in `acts`. Tasks are named in `tasks`; without names no task is killed.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface FaultScheduleOptions {
  readonly connections: number
  readonly withinMillis: number
  readonly rulesMax?: number
  readonly acts?: ReadonlyArray<Faults.Act["_tag"]>
  readonly tasks?: ReadonlyArray<string>
}

const acts: { readonly [T in Faults.Act["_tag"]]: FastCheck.Arbitrary<Faults.Act> } = {
  Delay: FastCheck.record({ _tag: FastCheck.constant("Delay"), millis: FastCheck.integer({ min: 1, max: 5000 }) }),
  Stall: FastCheck.oneof(
    {
      weight: 4,
      arbitrary: FastCheck.integer({ min: 1, max: 20_000 }).map((millis) => ({ _tag: "Stall" as const, millis }))
    },
    { weight: 1, arbitrary: FastCheck.constant({ _tag: "Stall" as const }) }
  ),
  DropLink: FastCheck.constant({ _tag: "DropLink" }),
  Tear: FastCheck.constant({ _tag: "Tear" }),
  Corrupt: FastCheck.record({
    _tag: FastCheck.constant("Corrupt"),
    byteIndex: FastCheck.nat(1000),
    mask: FastCheck.integer({ min: 1, max: 255 })
  }),
  Refuse: FastCheck.constant({ _tag: "Refuse" }),
  DuplicateConnection: FastCheck.constant({ _tag: "DuplicateConnection" }),
  KillTask: FastCheck.record({
    _tag: FastCheck.constant("KillTask"),
    afterMillis: FastCheck.nat(5000),
    by: FastCheck.constantFrom("interruption" as const, "defect" as const)
  }),
  FailFinalizer: FastCheck.constant({ _tag: "FailFinalizer" })
}

const isFrameAct = Schema.is(Faults.FrameAct)

/**
 * Schedules for property tests. They shrink to fewer rules.
 *
 * @since 0.1.0
 * @category testing
 */
export const faultSchedule = (options: FaultScheduleOptions): FastCheck.Arbitrary<Faults.Schedule> => {
  const tasks = options.tasks ?? []
  const tags = (options.acts ?? Object.keys(acts) as Array<Faults.Act["_tag"]>)
    .filter((tag) => tag !== "KillTask" || tasks.length > 0)
  const maybe = <A>(arbitrary: FastCheck.Arbitrary<A>) => FastCheck.option(arbitrary, { nil: undefined, freq: 2 })
  const where = FastCheck.record({
    connection: maybe(FastCheck.nat(Math.max(0, options.connections - 1))),
    fromMillis: maybe(FastCheck.nat(options.withinMillis)),
    nth: maybe(FastCheck.integer({ min: 1, max: 8 })),
    times: maybe(FastCheck.integer({ min: 1, max: 5 }))
  })
  const frames = FastCheck.record({
    direction: maybe(FastCheck.constantFrom("toClient" as const, "toServer" as const)),
    frame: FastCheck.option(FastCheck.constantFrom(...Faults.FrameKind.literals), { nil: "message" as const, freq: 1 })
  })
  const rule = FastCheck.constantFrom(...tags).chain((tag) =>
    FastCheck.tuple(acts[tag], where, frames, FastCheck.constantFrom(...tasks, undefined)).map(
      ([act, given, frame, task]): Faults.Rule => {
        const match = isFrameAct(act)
          ? { ...given, ...frame, ...(act._tag === "Corrupt" ? { frame: "message" as const } : {}) }
          : act._tag === "KillTask"
          ? { ...given, task }
          : given
        return { match: defined(match), act }
      }
    )
  )
  return FastCheck.array(rule, { maxLength: options.rulesMax ?? 8 })
}

const defined = (match: { readonly [K in keyof Faults.Match]: Faults.Match[K] | undefined }): Faults.Match =>
  Object.fromEntries(Object.entries(match).filter(([, value]) => value !== undefined))
