/** What the tests of tasks share. */
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as HashMap from "effect/HashMap"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Metric from "effect/Metric"
import * as MetricState from "effect/MetricState"
import * as Label from "../src/Label.js"
import * as Tasks from "../src/Tasks.js"
import { advance, settle } from "./support.js"

export { advance, settle }

export const label = Label.make("tasks_test")

/** Counters, gauges and counts of histograms by name and label values, as they are now. */
export const readMetrics: Effect.Effect<ReadonlyMap<string, number>> = Effect.map(
  Metric.snapshot,
  (pairs) =>
    new Map([...pairs].map(({ metricKey, metricState }) => {
      const tags = [...metricKey.tags].map(({ key, value }) => `${key}=${value}`).sort()
      const value = MetricState.isCounterState(metricState)
        ? Number(metricState.count)
        : MetricState.isGaugeState(metricState)
        ? Number(metricState.value)
        : MetricState.isHistogramState(metricState)
        ? metricState.count
        : NaN
      return [[metricKey.name, ...tags].join(" "), value] as const
    }))
)

/** By how much metrics of this label grow while an effect runs. */
export const growth = <A, E, R>(effect: Effect.Effect<A, E, R>, name: string = label.name) =>
  Effect.gen(function*() {
    const before = yield* readMetrics
    const value = yield* effect
    const after = yield* readMetrics
    const grown = (metric: string, reason?: string): number => {
      const key = [metric, `label=${name}`, ...(reason === undefined ? [] : [`reason=${reason}`])].join(" ")
      return (after.get(key) ?? 0) - (before.get(key) ?? 0)
    }
    return { value, grown }
  })

export interface Logged {
  readonly level: string
  readonly message: string
  readonly annotations: Readonly<Record<string, unknown>>
  readonly cause: Cause.Cause<unknown>
}

/** A logger that keeps what was logged. */
export const logging = (logged: Array<Logged>): Layer.Layer<never> =>
  Logger.replace(
    Logger.defaultLogger,
    Logger.make(({ annotations, cause, logLevel, message }) => {
      logged.push({
        level: logLevel._tag,
        message: String(Array.isArray(message) ? message[0] : message),
        annotations: Object.fromEntries(HashMap.toEntries(annotations)),
        cause
      })
    })
  )

/** Starts effects as named fibers that no set owns: what `drainTasks` is given. */
export const fibers = (
  effects: Readonly<Record<string, Effect.Effect<unknown, unknown>>>
): Effect.Effect<ReadonlyArray<Fiber.RuntimeFiber<unknown, unknown>>> =>
  Effect.zipLeft(
    Effect.forEach(Object.entries(effects), ([name, effect]) =>
      Effect.annotateLogs(Effect.forkDaemon(Effect.interruptible(effect)), "task", name)),
    settle
  )

/** Ignores interruption for so long, then ends. */
export const stubborn = (duration: Parameters<typeof Effect.sleep>[0]): Effect.Effect<void> =>
  Effect.uninterruptible(Effect.sleep(duration))

/** Starts an effect in the background; `took` is the virtual time until it ended, to the millisecond. */
export const timed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const clock = yield* Effect.clock
    const startedAt = clock.unsafeCurrentTimeMillis()
    const fiber = yield* Effect.forkDaemon(
      Effect.map(Effect.exit(effect), (exit) => ({ exit, took: clock.unsafeCurrentTimeMillis() - startedAt }))
    )
    yield* settle
    return fiber
  })

/** What a fiber that has ended came to; fails the test when it still runs. */
export const ended = <A>(fiber: Fiber.RuntimeFiber<A, unknown>): Effect.Effect<A> =>
  Effect.suspend(() => {
    const exit: Exit.Exit<A, unknown> | null = fiber.unsafePoll()
    return exit === null ? Effect.dieMessage("still running") : Effect.orDie(exit)
  })

/** Runs a drain in the background, lets so much time pass, and returns its report and how long it took. */
export const drained = (
  tasks: Iterable<Fiber.RuntimeFiber<unknown, unknown>>,
  options: Omit<Tasks.DrainOptions, "label">,
  within: Parameters<typeof Effect.sleep>[0] = "1 minute"
) =>
  Effect.gen(function*() {
    const draining = yield* timed(Tasks.drainTasks(tasks, { ...options, label }))
    yield* advance(within)
    const { exit, took } = yield* ended(draining)
    return { report: yield* exit, took }
  })

export const isRunning = (fiber: Fiber.RuntimeFiber<unknown, unknown>): boolean => fiber.unsafePoll() === null
