/**
 * Structured concurrency whose deadlines hold: in finalizers, in interrupted fibers, and against fibers that ignore
 * interruption. For any Effect program; nothing here knows of sessions.
 *
 * A task is a fiber of its own with a name. No scope owns it, because a scope waits without bound for what it owns;
 * a `TaskSet` does, and when the set's scope closes it drains:
 *
 * ```
 * signal shutdown ──▶ grace (`timeout`) ──late──▶ interrupt ──▶ `ackTimeout` ──late──▶ given up: named and counted
 *        └─ sleepUntilShutdown wakes                             in the gauge `async_stuck_tasks` until it really ends
 * ```
 *
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import { dual } from "effect/Function"
import type * as Scope from "effect/Scope"
import { sleepUnless } from "./internal/bounded.js"
import * as gather from "./internal/gather.js"
import { supervise } from "./internal/supervise.js"
import { TaskMetrics } from "./internal/taskMetrics.js"
import { drain, makeScoped, nameOf, type ResolvedDrain, ShutdownImpl, type TaskSetImpl } from "./internal/tasks.js"
import type { Label } from "./Label.js"

/**
 * What the normal end of a supervised task means.
 *
 * - `lifetime`: it was to live as long as what it serves; its end ends that (`LifetimeDone`).
 * - `finite`: it may end; supervision goes on.
 * - `completion`: its end is the normal end of the whole (`Completed`).
 *
 * A failure or defect of any task is a crash; an interrupted task alone never ends anything.
 *
 * @since 0.1.0
 * @category models
 */
export type TaskKind = "lifetime" | "finite" | "completion"

/**
 * An effect to be supervised, with its name.
 *
 * @since 0.1.0
 * @category models
 */
export interface Task<out E = never, out R = never> {
  readonly name: string
  readonly kind: TaskKind
  readonly run: Effect.Effect<unknown, E, R>
}

/**
 * A shutdown signal: given once, seen by whoever asks or waits, never taken back.
 *
 * @since 0.1.0
 * @category models
 */
export interface Shutdown {
  readonly isSignalled: boolean
  /** Gives the signal. Idempotent. */
  readonly signal: Effect.Effect<void>
  /** Synchronous form of `signal`. */
  unsafeSignal(): void
  /** Suspends until the signal is given. */
  readonly awaitSignal: Effect.Effect<void>
}

/**
 * The running tasks of one owner. Iterates over their fibers.
 *
 * @since 0.1.0
 * @category models
 */
export interface TaskSet extends Iterable<Fiber.RuntimeFiber<unknown, unknown>> {
  readonly label: Label
  /** Signalled when the set starts to drain. */
  readonly shutdown: Shutdown
  readonly count: number
  readonly names: ReadonlyArray<string>
}

/**
 * How a drain went. `drained` tasks ended by themselves in time (or, in mode `cancel`, acknowledged in time); `forced`
 * ones were still running at the timeout; of these, `stuck` ones did not even then end.
 *
 * @since 0.1.0
 * @category models
 */
export interface DrainReport {
  readonly drained: number
  readonly forced: number
  /** Names. Each is counted in the gauge `async_stuck_tasks` until it really ends. */
  readonly stuck: ReadonlyArray<string>
  readonly durationMillis: number
}

/**
 * Options of a drain.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface DrainOptions {
  readonly label: Label
  /** `grace`: tasks may finish, and are interrupted at the timeout. `cancel`: they are interrupted at once. */
  readonly mode: "grace" | "cancel"
  /** Default 30 s. Zero interrupts at once. */
  readonly timeout?: Duration.DurationInput
  /** Time to acknowledge the interruption at the timeout; then a task is given up. Default 5 s. */
  readonly ackTimeout?: Duration.DurationInput
}

/**
 * Options of a set: how it drains when its scope closes (mode `grace` unless told otherwise), and who is told.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface TaskSetOptions extends Omit<DrainOptions, "mode"> {
  readonly mode?: DrainOptions["mode"]
  /** Signalled when the set starts to drain. A new one by default. */
  readonly shutdown?: Shutdown
  /** Gets the report of the drain. */
  readonly onDrained?: (report: DrainReport) => Effect.Effect<void>
}

/**
 * Options of `superviseTasks`.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface SuperviseOptions<out E, out R> extends TaskSetOptions {
  /** The task whose end, however it ends, is a disconnect. It is interrupted as soon as the scope closes. */
  readonly receive?: { readonly name: string; readonly run: Effect.Effect<unknown, E, R> }
  readonly background?: ReadonlyArray<Task<unknown, R>>
}

/**
 * Why a supervision ended.
 *
 * - `Disconnect`: `receive` ended; `cause` says how if not normally.
 * - `Crash`: a background task failed or died.
 * - `LifetimeDone`, `Completed`: a task of that kind ended normally.
 * - `AllDone`: there was no `receive`, and nothing is left to wait for. `Empty`: there was nothing from the start.
 *
 * @since 0.1.0
 * @category models
 */
export type SupervisorExit<E = never> =
  | { readonly _tag: "Disconnect"; readonly task: string; readonly cause: Cause.Cause<E> | undefined }
  | { readonly _tag: "Crash"; readonly task: string; readonly cause: Cause.Cause<unknown> }
  | { readonly _tag: "LifetimeDone"; readonly task: string }
  | { readonly _tag: "Completed"; readonly task: string }
  | { readonly _tag: "AllDone" }
  | { readonly _tag: "Empty" }

/**
 * Options of `gatherWithLogging`.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface GatherOptions {
  readonly label: Label
  /** Items that run at once. Default 10. */
  readonly concurrency?: number
  /** For each item. Default none. */
  readonly timeout?: Duration.DurationInput
}

/**
 * Options of `gatherChunked`.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface GatherChunkedOptions extends GatherOptions {
  /** Default 10. */
  readonly chunkItems?: number
  /** Items that run at once. Default `chunkItems`. */
  readonly concurrency?: number
}

/**
 * How one item ended. `index` is its place in the whole input. An item that timed out has failed with
 * `TimeoutException`; one that somebody interrupted has that as its exit.
 *
 * @since 0.1.0
 * @category models
 */
export interface GatherResult<out A, out E = never> {
  readonly index: number
  readonly exit: Exit.Exit<A, E | Cause.TimeoutException>
}

/**
 * What holds unless told otherwise; durations are milliseconds.
 *
 * @since 0.1.0
 * @category configuration
 */
export const defaults = Object.freeze({ timeout: 30_000, ackTimeout: 5_000, concurrency: 10, chunkItems: 10 })

const resolveDrain = (options: Omit<DrainOptions, "label">): ResolvedDrain => ({
  mode: options.mode,
  timeoutMillis: Duration.toMillis(options.timeout ?? defaults.timeout),
  ackMillis: Duration.toMillis(options.ackTimeout ?? defaults.ackTimeout)
})

/**
 * A shutdown signal that was not given yet.
 *
 * @since 0.1.0
 * @category constructors
 */
export const makeShutdown: Effect.Effect<Shutdown> = Effect.sync(() => new ShutdownImpl())

/**
 * Sleeps, but wakes in the same instant when the signal is given: `true` when it is or was (even for zero durations),
 * `false` when the time has passed.
 *
 * @example
 * import { Tasks } from "spillway"
 * import * as Effect from "effect/Effect"
 *
 * const poller = (shutdown: Tasks.Shutdown, poll: Effect.Effect<void>) =>
 *   poll.pipe(
 *     Effect.zipRight(Tasks.sleepUntilShutdown(shutdown, "60 seconds")),
 *     Effect.repeat({ until: (isShutdown) => isShutdown })
 *   )
 *
 * @since 0.1.0
 * @category operations
 */
export const sleepUntilShutdown = (shutdown: Shutdown, duration: Duration.DurationInput): Effect.Effect<boolean> =>
  sleepUnless(() => shutdown.isSignalled, shutdown.awaitSignal, duration)

/**
 * A set of tasks that drains when the surrounding scope closes: it signals shutdown, then does what `drainTasks` does,
 * within `timeout` and `ackTimeout`. A task that is started afterwards is interrupted before its first step.
 *
 * @since 0.1.0
 * @category constructors
 */
export const makeSet = (options: TaskSetOptions): Effect.Effect<TaskSet, never, Scope.Scope> =>
  makeScoped(options, resolveDrain({ ...options, mode: options.mode ?? "grace" }))

/**
 * Starts an effect as a task of a set and returns its fiber. The name is the log annotation `task` of everything that
 * the task does, and `fiberName` of its fiber. The task is in the set until it has ended, however it ends. Interrupting
 * the calling fiber does not end it; the set's scope does.
 *
 * @since 0.1.0
 * @category constructors
 */
export const createNamedTask: {
  /**
   * Starts an effect as a task of a set and returns its fiber. The name is the log annotation `task` of everything that
   * the task does, and `fiberName` of its fiber. The task is in the set until it has ended, however it ends. Interrupting
   * the calling fiber does not end it; the set's scope does.
   *
   * @since 0.1.0
   * @category constructors
   */
  (
    options: { readonly name: string; readonly tasks: TaskSet }
  ): <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<Fiber.RuntimeFiber<A, E>, never, R>
  /**
   * Starts an effect as a task of a set and returns its fiber. The name is the log annotation `task` of everything that
   * the task does, and `fiberName` of its fiber. The task is in the set until it has ended, however it ends. Interrupting
   * the calling fiber does not end it; the set's scope does.
   *
   * @since 0.1.0
   * @category constructors
   */
  <A, E, R>(
    effect: Effect.Effect<A, E, R>,
    options: { readonly name: string; readonly tasks: TaskSet }
  ): Effect.Effect<Fiber.RuntimeFiber<A, E>, never, R>
} = dual(
  2,
  <A, E, R>(
    effect: Effect.Effect<A, E, R>,
    { name, tasks }: { readonly name: string; readonly tasks: TaskSet }
  ): Effect.Effect<Fiber.RuntimeFiber<A, E>, never, R> =>
    // The only class that implements the interface.
    (tasks as TaskSetImpl).start(effect, name)
)

/**
 * Name of the task that a fiber is, or the number of the fiber.
 *
 * @since 0.1.0
 * @category conversions
 */
export const fiberName = (fiber: Fiber.RuntimeFiber<unknown, unknown>): string => nameOf(fiber)

/**
 * Waits for tasks to end, interrupts those that did not at the timeout, waits for their acknowledgement, and gives up
 * those that ignore even that: they are named in the report and counted until they really end.
 *
 * **Details.** Any fibers, named or not. Those that have ended already count for nothing; if all have, nothing is
 * measured. A task that drains its own set is left out.
 *
 * **Suspension and interruption.** Suspends at most `timeout` plus `ackTimeout`, in a finalizer and in an interrupted
 * fiber too. Interrupting the caller does not cut it short. Cannot fail.
 *
 * @since 0.1.0
 * @category lifecycle
 */
export const drainTasks = (
  tasks: Iterable<Fiber.RuntimeFiber<unknown, unknown>>,
  options: DrainOptions
): Effect.Effect<DrainReport> => drain(tasks, resolveDrain(options), TaskMetrics.of(options.label))

/**
 * Starts tasks and waits until one of them ends the whole; says which and why. It decides and interrupts nothing: what
 * still runs is drained when the surrounding scope closes, also when the caller was interrupted (signal, `receive`
 * interrupted at once, grace for the others, then as `drainTasks`).
 *
 * **Details.** Of what ends at once a disconnect wins, then a crash, then the rest in the order of `background`. An
 * interrupted background task decides nothing.
 *
 * @example
 * import { Label, Tasks } from "spillway"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.scoped(Tasks.superviseTasks({
 *   label: Label.make("listen"),
 *   receive: { name: "receive", run: Effect.never },
 *   background: [
 *     { name: "heartbeat", kind: "lifetime", run: Effect.never },
 *     { name: "profile", kind: "finite", run: Effect.void },
 *     { name: "job", kind: "completion", run: Effect.succeed("done") }
 *   ]
 * }))
 *
 * assert.deepStrictEqual(await Effect.runPromise(program), { _tag: "Completed", task: "job" })
 *
 * @since 0.1.0
 * @category operations
 */
export const superviseTasks = <E = never, R = never>(
  options: SuperviseOptions<E, R>
): Effect.Effect<SupervisorExit<E>, never, R | Scope.Scope> =>
  supervise(options, resolveDrain({ ...options, mode: options.mode ?? "grace" }))

/**
 * Runs effects, at most so many at once, and returns how each ended, in their order. Never fails: a failure or a timeout
 * is the exit of its item, is logged as a warning with label and index, and is counted.
 *
 * **Suspension and interruption.** Interrupting it interrupts all items that run and returns when they have ended, after
 * at most 5 s; who ignores it is given up and counted. An item that has timed out keeps its place among those that run at
 * once until it has acknowledged, at most 5 s. What is given up no longer counts as running.
 *
 * @since 0.1.0
 * @category operations
 */
export const gatherWithLogging = <A, E, R>(
  effects: Iterable<Effect.Effect<A, E, R>>,
  options: GatherOptions
): Effect.Effect<ReadonlyArray<GatherResult<A, E>>, never, R> =>
  gather.gather(effects, resolveGather(options, defaults.concurrency))

const resolveGather = (options: GatherOptions, concurrency: number): gather.ResolvedGather => ({
  label: options.label,
  concurrency: options.concurrency ?? concurrency,
  timeoutMillis: Duration.toMillis(options.timeout ?? Duration.infinity),
  offset: 0
})

/**
 * As `gatherWithLogging`, chunk by chunk: a chunk starts when the one before it is over, and is taken from the iterable
 * only then, so that an endless supply of work holds one chunk in memory besides the results. Indices are global.
 *
 * @since 0.1.0
 * @category operations
 */
export const gatherChunked = <A, E, R>(
  effects: Iterable<Effect.Effect<A, E, R>>,
  options: GatherChunkedOptions
): Effect.Effect<ReadonlyArray<GatherResult<A, E>>, never, R> => {
  const chunkItems = Math.max(1, Math.floor(options.chunkItems ?? defaults.chunkItems))
  return gather.gatherChunked(effects, chunkItems, resolveGather(options, chunkItems))
}
