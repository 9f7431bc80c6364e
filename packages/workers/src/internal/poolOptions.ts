/** The options of a pool as its core uses them: everything in milliseconds, nothing missing. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Label } from "spillway/Label"
import { InvalidOption } from "spillway/SpillwayError"
import * as Affinity from "../Affinity.js"
import * as Recovery from "../Recovery.js"
import type { RemoteError } from "../WorkerError.js"
import type { defaults, Options, Transition } from "../WorkerPool.js"

export interface ResolvedOptions {
  readonly name: string
  readonly sizeItems: number
  readonly overflowItems: number
  readonly queueItemsMax: number
  readonly checkoutMillis: number
  readonly operationMillis: number
  readonly interruptGraceMillis: number
  readonly initMillis: number
  readonly startBatchItems: number
  readonly startBatchDelayMillis: number
  readonly stopMillis: number
  readonly killMillis: number
  readonly healthIntervalMillis: number
  readonly healthMillis: number
  readonly backoffMinMillis: number
  readonly backoffMaxMillis: number
  readonly restartsMax: number
  readonly restartPeriodMillis: number
  readonly restartPauseMillis: number
  readonly overflowIdleMillis: number
  readonly recycleAgeMillis: number
  readonly recycleOperationsMax: number
  readonly recycleMemoryBytesMax: number
  readonly recovery: Recovery.Strategy
  readonly isWorkerFault: (error: RemoteError) => boolean
  readonly onTransition: ((transition: Transition) => void) | undefined
  readonly label: Label | undefined
  readonly affinity: {
    readonly mode: Affinity.Mode
    readonly ttlMillis: number
    readonly sweepMillis: number
    readonly waitMillis: number
  } | undefined
}

type Defaults = typeof defaults

type Fields = { readonly [key: string]: number }

const invalid = (key: string, value: unknown, expected: string) =>
  Effect.fail(new InvalidOption({ module: "WorkerPool", key, value, expected }))

const counts = (fields: Fields, least: number): Effect.Effect<void, InvalidOption> => {
  for (const [key, value] of Object.entries(fields)) {
    if (!(Number.isInteger(value) && value >= least)) return invalid(key, value, `a whole number of at least ${least}`)
  }
  return Effect.void
}

const durations = (fields: Fields): Effect.Effect<void, InvalidOption> => {
  for (const [key, value] of Object.entries(fields)) {
    if (!(value > 0)) return invalid(key, value, "a positive duration")
  }
  return Effect.void
}

const millis = Duration.toMillis

const affinityOf = (options: Options): ResolvedOptions["affinity"] => {
  const { affinity = {} } = options
  if (affinity === "none") return undefined
  return {
    mode: affinity.mode ?? "hint",
    ttlMillis: millis(affinity.ttl ?? Affinity.defaults.ttl),
    sweepMillis: millis(affinity.sweepInterval ?? Affinity.defaults.sweepInterval),
    waitMillis: millis(affinity.wait ?? "100 millis")
  }
}

/** What has to be more than nothing, by the name under which a user gave it. */
const positiveOf = (all: Options & Defaults, affinity: ResolvedOptions["affinity"]) => {
  const { recycle = {} } = all
  return {
    checkoutTimeout: millis(all.checkoutTimeout),
    operationTimeout: millis(all.operationTimeout),
    initTimeout: millis(all.initTimeout),
    healthInterval: millis(all.healthInterval),
    healthTimeout: millis(all.healthTimeout),
    killTimeout: millis(all.killTimeout),
    backoffMin: millis(all.backoffMin),
    backoffMax: millis(all.backoffMax),
    restartPeriod: millis(all.restartPeriod),
    restartPause: millis(all.restartPause),
    overflowIdle: millis(all.overflowIdle),
    "affinity.ttl": affinity?.ttlMillis ?? 1,
    "affinity.sweepInterval": affinity?.sweepMillis ?? 1,
    "recycle.age": millis(recycle.age ?? Infinity),
    "recycle.operationsMax": recycle.operationsMax ?? Infinity,
    "recycle.memoryBytesMax": recycle.memoryBytesMax ?? Infinity
  }
}

export const resolve = (
  options: Options,
  defaults: Defaults
): Effect.Effect<ResolvedOptions, InvalidOption> =>
  Effect.gen(function*() {
    const all = { ...defaults, ...options }
    yield* counts({ size: all.size, queueItemsMax: all.queueItemsMax, startBatch: all.startBatch }, 1)
    yield* counts({ overflow: all.overflow, restartsMax: all.restartsMax }, 0)
    const affinity = affinityOf(options)
    const positive = positiveOf(all, affinity)
    yield* durations(positive)
    if (positive.backoffMax < positive.backoffMin) {
      return yield* invalid("backoffMax", positive.backoffMax, "at least backoffMin")
    }
    return {
      name: all.name,
      sizeItems: all.size,
      overflowItems: all.overflow,
      queueItemsMax: all.queueItemsMax,
      checkoutMillis: positive.checkoutTimeout,
      operationMillis: positive.operationTimeout,
      interruptGraceMillis: millis(all.interruptGrace),
      initMillis: positive.initTimeout,
      startBatchItems: all.startBatch,
      startBatchDelayMillis: millis(all.startBatchDelay),
      stopMillis: millis(all.stopTimeout),
      killMillis: positive.killTimeout,
      healthIntervalMillis: positive.healthInterval,
      healthMillis: positive.healthTimeout,
      backoffMinMillis: positive.backoffMin,
      backoffMaxMillis: positive.backoffMax,
      restartsMax: all.restartsMax,
      restartPeriodMillis: positive.restartPeriod,
      restartPauseMillis: positive.restartPause,
      overflowIdleMillis: positive.overflowIdle,
      recycleAgeMillis: positive["recycle.age"],
      recycleOperationsMax: positive["recycle.operationsMax"],
      recycleMemoryBytesMax: positive["recycle.memoryBytesMax"],
      recovery: options.recovery ?? Recovery.strategy(),
      isWorkerFault: options.isWorkerFault ?? (() => false),
      onTransition: options.onTransition,
      label: options.label,
      affinity
    }
  })
