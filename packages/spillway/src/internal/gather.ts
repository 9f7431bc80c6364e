/** `Tasks.gatherWithLogging` and `gatherChunked`. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type { Label } from "../Label.js"
import type { GatherResult } from "../Tasks.js"
import { TaskMetrics } from "./taskMetrics.js"
import { type AnyFiber, drain, forkNamed, stop } from "./tasks.js"

export interface ResolvedGather {
  readonly label: Label
  readonly concurrency: number
  /** `Infinity` is none. */
  readonly timeoutMillis: number
  /** Index of the first item. */
  readonly offset: number
}

/** How long an item that has timed out, or all items of an interrupted gather, may take to acknowledge. */
export const ackMillis = 5_000

type ItemExit<A, E> = Exit.Exit<A, E | Cause.TimeoutException>

const isInterrupted = (exit: Exit.Exit<unknown, unknown>): boolean =>
  exit._tag === "Failure" && Cause.isInterruptedOnly(exit.cause)

const report = (exit: Exit.Exit<unknown, unknown>, index: number, metrics: TaskMetrics): Effect.Effect<void> => {
  if (exit._tag === "Success" || isInterrupted(exit)) return Effect.void
  metrics.gatherFailures.unsafeUpdate(1, [])
  return Effect.annotateLogs(Effect.logWarning(`item ${index} failed`, exit.cause), { label: metrics.name, index })
}

/** Waits for an item that has its own fiber; at its timeout it is stopped, or given up, and has failed. */
const awaitItem = <A, E>(
  fiber: Fiber.RuntimeFiber<A, E>,
  { timeoutMillis }: ResolvedGather,
  metrics: TaskMetrics
): Effect.Effect<ItemExit<A, E>> =>
  timeoutMillis === Infinity
    ? Fiber.await(fiber)
    : Effect.flatMap(
      Effect.timeoutOption(Fiber.await(fiber), timeoutMillis),
      Option.match({
        onSome: (exit): Effect.Effect<ItemExit<A, E>> => Effect.succeed(exit),
        onNone: () =>
          // The stop goes on by itself when the gather is interrupted meanwhile.
          Effect.as(
            Effect.flatMap(Effect.forkDaemon(Effect.interruptible(stop([fiber], ackMillis, metrics))), Fiber.await),
            Exit.fail(new Cause.TimeoutException(`not done within ${timeoutMillis} ms`))
          )
      })
    )

/**
 * Items run in fibers of their own, not in those that wait for them: waiting can always be interrupted, an item that
 * ignores interruption cannot. The mask protects the window between the start of an item and its place in `running`.
 */
const item = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  index: number,
  running: Set<AnyFiber>,
  options: ResolvedGather,
  metrics: TaskMetrics
): Effect.Effect<ItemExit<A, E>, never, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(forkNamed(effect, `${options.label.name}:${index}`), (fiber) => {
      running.add(fiber)
      fiber.addObserver(() => running.delete(fiber))
      return restore(awaitItem(fiber, options, metrics))
    })
  )

/** Workers take the next item when they have ended one. An item that is an exit already needs no fiber. */
const runAll = <A, E, R>(
  items: ReadonlyArray<Effect.Effect<A, E, R>>,
  running: Set<AnyFiber>,
  options: ResolvedGather,
  metrics: TaskMetrics
): Effect.Effect<ReadonlyArray<GatherResult<A, E>>, never, R> => {
  const results = new Array<GatherResult<A, E>>(items.length)
  let next = 0
  const body = (): Effect.Effect<void, never, R> => {
    const position = next++
    const index = options.offset + position
    const done = (exit: ItemExit<A, E>): Effect.Effect<void> => {
      results[position] = { index, exit }
      return report(exit, index, metrics)
    }
    const effect = items[position]!
    // An effect that is an exit is one of its own type; the guard only says `unknown`.
    return Exit.isExit(effect)
      ? done(effect as ItemExit<A, E>)
      : Effect.flatMap(item(effect, index, running, options, metrics), done)
  }
  const worker = Effect.whileLoop({ while: () => next < items.length, body, step: () => {} })
  const workers = Math.min(Math.max(1, options.concurrency), items.length)
  return Effect.as(
    Effect.all(Array.from({ length: workers }, () => worker), { concurrency: "unbounded", discard: true }),
    results
  )
}

/** All items, at most so many at once. */
export const gather = <A, E, R>(
  effects: Iterable<Effect.Effect<A, E, R>>,
  options: ResolvedGather
): Effect.Effect<ReadonlyArray<GatherResult<A, E>>, never, R> =>
  Effect.suspend(() => {
    const items = [...effects]
    if (items.length === 0) return Effect.succeed([])
    const metrics = TaskMetrics.of(options.label)
    const running = new Set<AnyFiber>()
    const cancel = Effect.suspend(() =>
      drain(running, { mode: "cancel", timeoutMillis: ackMillis, ackMillis: 0 }, TaskMetrics.ofCancel(options.label))
    )
    return timed(Effect.onInterrupt(runAll(items, running, options, metrics), () => cancel), metrics)
  })

const timed = <A, E, R>(effect: Effect.Effect<A, E, R>, metrics: TaskMetrics): Effect.Effect<A, E, R> =>
  Effect.flatMap(Effect.clock, (clock) => {
    const startedAt = clock.unsafeCurrentTimeMillis()
    return Effect.ensuring(
      effect,
      Effect.sync(() => metrics.gatherDuration.unsafeUpdate((clock.unsafeCurrentTimeMillis() - startedAt) / 1000, []))
    )
  })

const takeChunk = <A>(iterator: Iterator<A>, count: number): Array<A> => {
  const chunk: Array<A> = []
  while (chunk.length < count) {
    const next = iterator.next()
    if (next.done === true) break
    chunk.push(next.value)
  }
  return chunk
}

/** One chunk after the other; the next is not taken from the iterable before the last one is over. */
export const gatherChunked = <A, E, R>(
  effects: Iterable<Effect.Effect<A, E, R>>,
  chunkItems: number,
  options: ResolvedGather
): Effect.Effect<ReadonlyArray<GatherResult<A, E>>, never, R> =>
  Effect.suspend(() => {
    const iterator = effects[Symbol.iterator]()
    const results: Array<GatherResult<A, E>> = []
    const next: Effect.Effect<ReadonlyArray<GatherResult<A, E>>, never, R> = Effect.suspend(() => {
      const chunk = takeChunk(iterator, chunkItems)
      const isLast = chunk.length < chunkItems
      return Effect.flatMap(gather(chunk, { ...options, offset: results.length }), (some) => {
        for (const result of some) results.push(result)
        return isLast ? Effect.succeed(results) : next
      })
    })
    return Effect.onInterrupt(next, () => Effect.sync(() => iterator.return?.()))
  })
