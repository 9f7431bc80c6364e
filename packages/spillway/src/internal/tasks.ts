/**
 * What sessions and free tasks have in common: a task is a fiber of its own with a name, held by no scope, because a
 * scope waits without bound for what it owns. Whoever starts it drains it within deadlines and gives up what remains.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as FiberRef from "effect/FiberRef"
import * as HashMap from "effect/HashMap"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type { Label } from "../Label.js"
import type { DrainReport, Shutdown, TaskKind, TaskSet, TaskSetOptions } from "../Tasks.js"
import { atMost, ownFiber, suspended } from "./bounded.js"
import { TaskMetrics } from "./taskMetrics.js"

export type AnyFiber = Fiber.RuntimeFiber<unknown, unknown>

/** What the end of a task means. An interruption is not the task's own doing. */
export const verdict = (
  kind: TaskKind,
  exit: Exit.Exit<unknown, unknown>
): "ignored" | "crash" | "lifetime_done" | "completed" => {
  if (exit._tag === "Failure") return Cause.isInterruptedOnly(exit.cause) ? "ignored" : "crash"
  return kind === "lifetime" ? "lifetime_done" : kind === "completion" ? "completed" : "ignored"
}

/** Key of the log annotation that carries the name of a task. */
const annotation = "task"

/** Starts a fiber that can be interrupted whatever the mask of the caller. It inherits the annotation, which costs nothing. */
export const forkNamed = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  name: string
): Effect.Effect<Fiber.RuntimeFiber<A, E>, never, R> =>
  Effect.annotateLogs(Effect.forkDaemon(Effect.interruptible(effect)), annotation, name)

/** Name of the task that a fiber is, or its number. */
export const nameOf = (fiber: AnyFiber): string =>
  Option.match(HashMap.get(fiber.getFiberRef(FiberRef.currentLogAnnotations), annotation), {
    onNone: () => FiberId.threadName(fiber.id()),
    onSome: String
  })

export const isRunning = (fiber: AnyFiber): boolean => fiber.unsafePoll() === null

/** Asks fibers to stop. Returns at once. */
export const interruptAll = (fibers: Iterable<AnyFiber>): void => {
  for (const fiber of fibers) fiber.unsafeInterruptAsFork(FiberId.none)
}

const awaitAll = (fibers: ReadonlyArray<AnyFiber>): Effect.Effect<void> =>
  Effect.forEach(fibers, (fiber) => Fiber.await(fiber), { discard: true })

/** A few turns, for who only has to acknowledge; takes no time. */
const turns = Effect.replicateEffect(Effect.yieldNow(), 4, { discard: true })

/**
 * Interrupts fibers, waits so long for them to acknowledge, gives up the others: they are logged by name and counted
 * until they really end. To be run in a fiber of its own.
 */
export const stop = (
  fibers: ReadonlyArray<AnyFiber>,
  ackMillis: number,
  metrics: TaskMetrics
): Effect.Effect<ReadonlyArray<string>> =>
  Effect.suspend(() => {
    interruptAll(fibers)
    return Effect.zipRight(
      ackMillis > 0 ? atMost(awaitAll(fibers), ackMillis) : turns,
      Effect.suspend(() => {
        const stuck = fibers.filter(isRunning)
        if (stuck.length === 0) return Effect.succeed([])
        for (const fiber of stuck) metrics.abandon(fiber)
        const names = stuck.map(nameOf)
        return Effect.as(Effect.logWarning(`tasks ignore interruption and are given up: ${names.join(", ")}`), names)
      })
    )
  })

export interface ResolvedDrain {
  readonly mode: "grace" | "cancel"
  readonly timeoutMillis: number
  readonly ackMillis: number
}

const nothing: DrainReport = { drained: 0, forced: 0, stuck: [], durationMillis: 0 }

const logFailure = (fiber: AnyFiber): Effect.Effect<void> => {
  const exit = fiber.unsafePoll()
  return exit !== null && verdict("finite", exit) === "crash" && exit._tag === "Failure"
    ? Effect.logDebug(`task "${nameOf(fiber)}" failed before or during the drain`, exit.cause)
    : Effect.void
}

const drainPending = (
  pending: ReadonlyArray<AnyFiber>,
  options: ResolvedDrain,
  metrics: TaskMetrics
): Effect.Effect<DrainReport> =>
  Effect.gen(function*() {
    const clock = yield* Effect.clock
    const startedAt = clock.unsafeCurrentTimeMillis()
    const elapsed = (): number => clock.unsafeCurrentTimeMillis() - startedAt
    if (options.mode === "cancel") interruptAll(pending)
    yield* atMost(awaitAll(pending), options.timeoutMillis)
    metrics.drainDuration.unsafeUpdate(elapsed() / 1000, [])
    yield* Effect.forEach(pending, logFailure, { discard: true })
    const late = pending.filter(isRunning)
    const drained = pending.length - late.length
    if (late.length === 0) return { drained, forced: 0, stuck: [], durationMillis: elapsed() }
    metrics.drainTimeout.unsafeUpdate(1, [])
    yield* Effect.logWarning(`tasks did not end in time and are interrupted: ${late.map(nameOf).join(", ")}`)
    const stuck = yield* stop(late, options.ackMillis, metrics)
    return { drained, forced: late.length, stuck, durationMillis: elapsed() }
  })

/** Drains fibers. A fiber that drains itself is left out: it could only wait for its own end. */
export const drain = (
  fibers: Iterable<AnyFiber>,
  options: ResolvedDrain,
  metrics: TaskMetrics
): Effect.Effect<DrainReport> =>
  Effect.withFiberRuntime<DrainReport>((self) => {
    const pending = [...new Set(fibers)].filter((fiber) => fiber !== self && isRunning(fiber))
    if (pending.length === 0) return Effect.succeed(nothing)
    return Effect.annotateLogs(ownFiber(drainPending(pending, options, metrics)), "label", metrics.name)
  })

export class ShutdownImpl implements Shutdown {
  isSignalled = false
  private waiters: Set<() => void> | undefined = undefined

  unsafeSignal(): void {
    this.isSignalled = true
    const waiters = this.waiters
    this.waiters = undefined
    if (waiters !== undefined) { for (const wake of waiters) wake() }
  }

  readonly signal: Effect.Effect<void> = Effect.sync(() => this.unsafeSignal())

  readonly awaitSignal: Effect.Effect<void> = suspended<void>((resume) => {
    if (this.isSignalled) return resume(Effect.void)
    const wake = (): void => resume(Effect.void)
    ;(this.waiters ??= new Set()).add(wake)
    return () => {
      this.waiters?.delete(wake)
    }
  })
}

/** Live tasks of one owner. */
export class TaskSetImpl implements TaskSet {
  private readonly fibers = new Set<AnyFiber>()
  private closed = false

  constructor(readonly label: Label, readonly shutdown: Shutdown) {}

  get count(): number {
    return this.fibers.size
  }

  get names(): ReadonlyArray<string> {
    return [...this.fibers].map(nameOf)
  }

  [Symbol.iterator](): Iterator<AnyFiber> {
    return this.fibers.values()
  }

  /** Starts a task; on a closed set one that is interrupted before its first step. */
  start<A, E, R>(
    effect: Effect.Effect<A, E, R>,
    name: string
  ): Effect.Effect<Fiber.RuntimeFiber<A, E>, never, R> {
    return Effect.uninterruptible(Effect.suspend(() => {
      if (this.closed) return forkNamed(Effect.interrupt, name)
      return Effect.tap(forkNamed(effect, name), (fiber) =>
        Effect.sync(() => {
          // The observer is told even if the fiber has ended already.
          this.fibers.add(fiber)
          fiber.addObserver(() => this.fibers.delete(fiber))
        }))
    }))
  }

  /** Signals, takes no more tasks, and drains. Those that `first` holds are interrupted at once. */
  close(options: ResolvedDrain, first: Iterable<AnyFiber> = []): Effect.Effect<DrainReport> {
    return Effect.suspend(() => {
      this.closed = true
      this.shutdown.unsafeSignal()
      interruptAll(first)
      return drain(this.fibers, options, TaskMetrics.of(this.label))
    })
  }
}

/** A set that drains when the scope closes. `first` are the fibers that are interrupted at once. */
export const makeScoped = (
  options: TaskSetOptions,
  resolved: ResolvedDrain,
  first: () => Iterable<AnyFiber> = () => []
): Effect.Effect<TaskSetImpl, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => new TaskSetImpl(options.label, options.shutdown ?? new ShutdownImpl())),
    (set) =>
      Effect.flatMap(
        Effect.suspend(() => set.close(resolved, first())),
        (report) => options.onDrained?.(report) ?? Effect.void
      )
  )
