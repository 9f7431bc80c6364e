/**
 * Faults for pools, as data: what goes wrong, with how many workers, in which order; and a report that says whether it
 * really happened, and how long the pool took to be whole again. For pools on any layer of the port, also your own.
 *
 * A fault is not believed because it was asked for. Links count what has happened to them: a process that was ended, bytes
 * that were changed, replies that were held back. A scenario whose faults did not happen says so in its report.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as chaos from "./internal/chaos.js"
import * as chaosLoad from "./internal/chaosLoad.js"
import * as chaosRun from "./internal/chaosRun.js"
import type { WorkerPoolShape } from "./WorkerPool.js"
import { type LinkFault, WorkerTransport, type WorkerTransportShape } from "./WorkerTransport.js"

/**
 * Which workers: so many, a part of them (at least one), or those at these positions of `pool.workers`. Who is hit is drawn
 * from `Random`.
 *
 * @since 0.1.0
 * @category models
 */
export type Target =
  | { readonly _tag: "count"; readonly count: number }
  | { readonly _tag: "ratio"; readonly ratio: number }
  | { readonly _tag: "positions"; readonly positions: ReadonlyArray<number> }

/**
 * What goes wrong.
 *
 * @since 0.1.0
 * @category models
 */
export type Scenario =
  | { readonly _tag: "fault"; readonly fault: LinkFault; readonly target: Target }
  | { readonly _tag: "refuseSpawn"; readonly starts: number }
  | { readonly _tag: "wait"; readonly duration: Duration.DurationInput }
  | { readonly _tag: "sequence"; readonly scenarios: ReadonlyArray<Scenario>; readonly recoverBetween: boolean }
  | { readonly _tag: "parallel"; readonly scenarios: ReadonlyArray<Scenario> }

/**
 * How often each fault has happened.
 *
 * @since 0.1.0
 * @category models
 */
export type Counts = { readonly [F in LinkFault["_tag"] | "refuseSpawn"]: number }

/**
 * Shape of the service.
 *
 * @since 0.1.0
 * @category models
 */
export interface ChaosShape {
  /** Tells a worker to have a fault; whether there is such a worker. */
  readonly inject: (workerId: string, fault: LinkFault) => Effect.Effect<boolean>
  /** Makes the next so many starts fail. */
  readonly refuseSpawn: (starts: number) => Effect.Effect<void>
  readonly happened: Effect.Effect<Counts>
}

/**
 * The kit.
 *
 * @since 0.1.0
 * @category models
 */
export class Chaos extends Context.Tag("@spillway/workers/Chaos")<Chaos, ChaosShape>() {}

/**
 * A transport whose workers can be hurt, and the kit that does it.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: (inner: WorkerTransportShape) => {
  readonly transport: WorkerTransportShape
  readonly chaos: ChaosShape
} = chaos.make

/**
 * The same as a layer around a layer.
 *
 * @example
 * import { Chaos, ProcessWorkers, WorkerPool } from "@spillway/workers"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 *
 * const program = Effect.gen(function*() {
 *   const pool = yield* WorkerPool.WorkerPool
 *   return yield* Chaos.run(pool, Chaos.scenarios.halfKilled)
 * })
 * const HurtLive = Chaos.layer(ProcessWorkers.layer({ command: "python3", args: ["worker.py"] }))
 *
 * export const main = Effect.provide(program, Layer.provideMerge(WorkerPool.layer({ size: 4 }), HurtLive))
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = <E, R>(
  inner: Layer.Layer<WorkerTransport, E, R>
): Layer.Layer<Chaos | WorkerTransport, E, R> =>
  Layer.flatMap(inner, (context) => {
    const { chaos: kit, transport } = make(Context.get(context, WorkerTransport))
    return Layer.merge(Layer.succeed(Chaos, kit), Layer.succeed(WorkerTransport, transport))
  })

/**
 * One fault to so many workers, drawn at random.
 *
 * @since 0.1.0
 * @category constructors
 */
export const hit = (fault: LinkFault, count = 1): Scenario => ({
  _tag: "fault",
  fault,
  target: { _tag: "count", count }
})

/**
 * One fault to a part of the workers, at least one.
 *
 * @since 0.1.0
 * @category constructors
 */
export const hitPart = (fault: LinkFault, ratio: number): Scenario => ({
  _tag: "fault",
  fault,
  target: { _tag: "ratio", ratio }
})

/**
 * One after the other; with `recoverBetween` each begins when the pool is whole again.
 *
 * @since 0.1.0
 * @category constructors
 */
export const sequence = (
  scenarios: ReadonlyArray<Scenario>,
  options: { readonly recoverBetween: boolean } = { recoverBetween: true }
): Scenario => ({ _tag: "sequence", scenarios, recoverBetween: options.recoverBetween })

/**
 * All at once.
 *
 * @since 0.1.0
 * @category constructors
 */
export const parallel = (scenarios: ReadonlyArray<Scenario>): Scenario => ({ _tag: "parallel", scenarios })

const kill: LinkFault = { _tag: "kill" }
const megabytes = (count: number): LinkFault => ({ _tag: "exhaustMemory", bytes: count * 1024 * 1024 })

/**
 * Scenarios that every pool should survive.
 *
 * @since 0.1.0
 * @category constructors
 */
export const scenarios = {
  singleKill: hit(kill),
  halfKilled: hitPart(kill, 0.5),
  cascade: sequence([hit(kill), hitPart(kill, 0.3), hit(kill)]),
  memoryPressure: hit(megabytes(50)),
  corruption: hit({ _tag: "corrupt" }),
  tornFrame: hit({ _tag: "tear" }),
  hang: hit({ _tag: "hang" }),
  partition: hit({ _tag: "partition" }),
  slow: hit({ _tag: "slow", delayMillis: 100 }),
  deadStarts: sequence([{ _tag: "refuseSpawn", starts: 3 }, hit(kill)], { recoverBetween: false }),
  killUnderPressure: parallel([hit(kill), hit(megabytes(30))]),
  everything: parallel([hitPart(kill, 0.5), hit(megabytes(40)), hit({ _tag: "corrupt" })])
} as const satisfies Readonly<Record<string, Scenario>>

/**
 * What a scenario did to a pool.
 *
 * @since 0.1.0
 * @category models
 */
export interface Report {
  /** Workers that were hit, in order. */
  readonly targeted: ReadonlyArray<string>
  /** What has happened because of it. */
  readonly happened: Counts
  /** Whether everything that was asked for has happened. */
  readonly isReal: boolean
  /** From the last fault until every worker that cannot serve any more was replaced; `undefined`: not in time. */
  readonly recoveredMillis: number | undefined
  /** Operations after the recovery, and those of them that succeeded. */
  readonly probes: number
  readonly probesSucceeded: number
  readonly live: number
}

/**
 * Options of `run`.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface RunOptions {
  /** How long the pool may take to be whole again. Default 60 s. */
  readonly recoveryTimeout?: Duration.DurationInput
  /** How long an operation may take by which a worker that hangs is found out. Default 1 s. */
  readonly probeTimeout?: Duration.DurationInput
  /** Operations after the recovery. Default 5. */
  readonly probes?: number
}

/**
 * The defaults.
 *
 * @since 0.1.0
 * @category configuration
 */
export const defaults: Required<RunOptions> = Object.freeze({
  recoveryTimeout: "60 seconds",
  probeTimeout: "1 second",
  probes: 5
})

/**
 * Runs a scenario against a pool, finds out by `ping` operations whom it has hit, waits until the pool is whole again, and
 * tries it.
 *
 * @since 0.1.0
 * @category testing
 */
export const run = (
  pool: WorkerPoolShape,
  scenario: Scenario,
  options: RunOptions = {}
): Effect.Effect<Report, never, Chaos> =>
  Effect.flatMap(Chaos, (kit) => chaosRun.run(pool, kit, scenario, { ...defaults, ...options }))

/**
 * What became of a load. `started` is always the sum of `succeeded` and `failed` when the load is over.
 *
 * @since 0.1.0
 * @category models
 */
export interface LoadReport {
  readonly started: number
  readonly succeeded: number
  /** Operations that failed, by the tag of their error. */
  readonly failed: { readonly [tag: string]: number }
  /** Answers to something else than what was asked. */
  readonly wrong: number
  /** Operations that took longer than they may. */
  readonly late: number
  /** Milliseconds. */
  readonly p50: number
  readonly p99: number
  readonly max: number
}

/**
 * Options of a load.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface LoadOptions {
  readonly sessions: number
  readonly operationsPerSecond: number
  readonly duration: Duration.DurationInput
  /** Default 1 s each. */
  readonly timeout?: Duration.DurationInput
  readonly checkoutTimeout?: Duration.DurationInput
  /** How late an operation may be on a machine that has other things to do. Default 100 ms. */
  readonly tolerance?: Duration.DurationInput
}

/**
 * Sends `echo` operations of many sessions to a pool, at a steady rate whatever becomes of them, and checks every answer.
 *
 * @since 0.1.0
 * @category testing
 */
export const load: (pool: WorkerPoolShape, options: LoadOptions) => Effect.Effect<LoadReport> = chaosLoad.run
