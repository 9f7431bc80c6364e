/**
 * Values for property tests: what a realtime server meets, drawn by `effect/FastCheck`.
 *
 * @since 0.1.0
 */
import * as FastCheck from "effect/FastCheck"
import * as Schema from "effect/Schema"
import * as Faults from "./Faults.js"

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
    nth: maybe(FastCheck.integer({ min: 1, max: 20 })),
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
