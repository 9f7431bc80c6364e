/**
 * A pool of workers that die well. Whatever a worker does, ends, hangs, answers nonsense, or never starts, each operation
 * ends in success or in a typed error within its own time, the worker is ended within its deadlines, and another one takes
 * its place.
 *
 * ```
 * execute ──▶ own worker idle? any worker idle? ──no──▶ bounded queue ──▶ CheckoutTimeout | QueueTimeout | Busy | Gone
 *                        │ yes                               │ a worker comes back
 *                        ▼                                   ▼
 *               request to the worker ──▶ answer | OperationTimeout | WorkerCrashed | ProtocolViolation | RemoteError
 *                                            │        └──────────────┴────────────────┴──▶ the worker is replaced
 *                                            └──▶ the worker serves who has waited longest
 * ```
 *
 * Each place in the pool has a supervisor: a worker that ended is replaced at once, one that ends again and again with
 * growing pauses, and after `restartsMax` in `restartPeriod` its place rests for `restartPause` while the others serve.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { Label } from "spillway/Label"
import type { InvalidOption } from "spillway/SpillwayError"
import type * as Affinity from "./Affinity.js"
import * as poolShell from "./internal/poolShell.js"
import type * as Recovery from "./Recovery.js"
import type { CheckoutError, RemoteError, WorkerError } from "./WorkerError.js"
import type * as WorkerState from "./WorkerState.js"
import type { WorkerExit, WorkerTransport } from "./WorkerTransport.js"

/**
 * How sessions keep to their workers.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface AffinityOptions extends Affinity.Options {
  /** Default `hint`. An operation may have another one. */
  readonly mode?: Affinity.Mode
  /** How long an operation with `hint` waits for its own worker before it takes any. Default 100 ms. */
  readonly wait?: Duration.DurationInput
}

/**
 * When a worker is replaced that did nothing wrong. By default never.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface RecycleOptions {
  readonly age?: Duration.DurationInput
  readonly operationsMax?: number
  /** Looked at with each probe, where the transport knows it. */
  readonly memoryBytesMax?: number
}

/**
 * A worker moved, as `onTransition` is told.
 *
 * @since 0.1.0
 * @category models
 */
export interface Transition {
  readonly workerId: string
  readonly entry: WorkerState.HistoryEntry
}

/**
 * Options of a pool.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface Options {
  /** Name in the ids of workers. */
  readonly name?: string
  /** Workers that there are always. Default 4. */
  readonly size?: number
  /** Workers that there are beside them while operations wait. Default 0. */
  readonly overflow?: number
  /** Operations that may wait for a worker; one more is refused. Default 1000. */
  readonly queueItemsMax?: number
  /** How long an operation waits for a worker. Default 5 s. */
  readonly checkoutTimeout?: Duration.DurationInput
  /** How long a worker has for an operation; then it is replaced. Default 30 s. */
  readonly operationTimeout?: Duration.DurationInput
  /** How long a worker has to answer when nobody waits for the answer any more; then it is replaced. Default 1 s. */
  readonly interruptGrace?: Duration.DurationInput
  /** How long a worker has from its start to its first answer. Default 5 s. */
  readonly initTimeout?: Duration.DurationInput
  /** Workers that are started at once when the pool is made. Default 8. */
  readonly startBatch?: number
  /** Time between batches. Default 0. */
  readonly startBatchDelay?: Duration.DurationInput
  /** How long a worker has to end by itself; then it is killed. Default 1 s. */
  readonly stopTimeout?: Duration.DurationInput
  /** How long a killed worker is waited for; then it is counted as undead. Default 5 s. */
  readonly killTimeout?: Duration.DurationInput
  /** Time between probes of a worker that does nothing. Default 30 s. */
  readonly healthInterval?: Duration.DurationInput
  /** How long a worker has to answer a probe. Default 5 s. */
  readonly healthTimeout?: Duration.DurationInput
  /** Pause before the second of several restarts; it doubles with each. Default 50 ms. */
  readonly backoffMin?: Duration.DurationInput
  /** Default 2 s. */
  readonly backoffMax?: Duration.DurationInput
  /** Restarts of one place within `restartPeriod` (10 s) after which it rests for `restartPause` (3 s). Default 5. */
  readonly restartsMax?: number
  readonly restartPeriod?: Duration.DurationInput
  readonly restartPause?: Duration.DurationInput
  /** How long an overflow worker may do nothing. Default 10 s. */
  readonly overflowIdle?: Duration.DurationInput
  readonly recycle?: RecycleOptions
  /** `none`: sessions are no concern of this pool, and it keeps nothing about them. */
  readonly affinity?: AffinityOptions | "none"
  /** Default `Recovery.strategy()`. */
  readonly recovery?: Recovery.Strategy
  /** Whether an error that a worker answered is the worker's own fault, so that it degrades. Default never. */
  readonly isWorkerFault?: (error: RemoteError) => boolean
  /** Is told each move of each worker, from inside it. What it throws is ignored. */
  readonly onTransition?: (transition: Transition) => void
  /** Has metrics (`WorkerMetrics`) under this label. Default none. */
  readonly label?: Label
}

/**
 * The defaults.
 *
 * @since 0.1.0
 * @category configuration
 */
export const defaults: Required<
  Omit<Options, "affinity" | "recovery" | "isWorkerFault" | "onTransition" | "recycle" | "label">
> = Object.freeze({
  name: "worker",
  size: 4,
  overflow: 0,
  queueItemsMax: 1000,
  checkoutTimeout: "5 seconds",
  operationTimeout: "30 seconds",
  interruptGrace: "1 second",
  initTimeout: "5 seconds",
  startBatch: 8,
  startBatchDelay: 0,
  stopTimeout: "1 second",
  killTimeout: "5 seconds",
  healthInterval: "30 seconds",
  healthTimeout: "5 seconds",
  backoffMin: "50 millis",
  backoffMax: "2 seconds",
  restartsMax: 5,
  restartPeriod: "10 seconds",
  restartPause: "3 seconds",
  overflowIdle: "10 seconds"
})

/**
 * Options of getting a worker.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface CheckoutOptions {
  /** Whose operation it is. Without, any worker will do. */
  readonly session?: string | undefined
  readonly affinity?: Affinity.Mode | undefined
  readonly checkoutTimeout?: Duration.DurationInput | undefined
}

/**
 * Options of an operation.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface ExecuteOptions extends CheckoutOptions {
  readonly timeout?: Duration.DurationInput | undefined
  /** Is called with what the worker tells while it works. What it throws is ignored. */
  readonly onProgress?: ((value: unknown) => void) | undefined
}

/**
 * A worker that is checked out: nobody else gets it. When the scope closes it is returned; if the scope failed, as one
 * that is to blame.
 *
 * @since 0.1.0
 * @category models
 */
export interface Checkout {
  readonly workerId: string
  /** **Errors** as `WorkerPoolShape.execute`, without those of waiting. */
  readonly execute: (
    command: string,
    args: unknown,
    options?: Pick<ExecuteOptions, "timeout" | "onProgress">
  ) => Effect.Effect<unknown, WorkerError>
}

/**
 * Operations of one session, for as long as a scope is open.
 *
 * @since 0.1.0
 * @category models
 */
export interface SessionLease {
  readonly sessionId: string
  readonly execute: (
    command: string,
    args: unknown,
    options?: Omit<ExecuteOptions, "session">
  ) => Effect.Effect<unknown, WorkerError>
}

/**
 * Affinity of a pool. `rate` is the part of the operations of known sessions that found the session's own worker, 1 when
 * there were none.
 *
 * @since 0.1.0
 * @category models
 */
export interface AffinityStats extends Affinity.Stats {
  readonly hits: number
  readonly misses: number
  /** Operations of sessions that were bound to none. */
  readonly first: number
  readonly rate: number
}

/**
 * A reading of a pool. `live` = `idle` + `busy` + `starting` + `stopping`, always; `degraded` are those of the idle that
 * take no work.
 *
 * @since 0.1.0
 * @category models
 */
export interface Status {
  readonly size: number
  readonly live: number
  readonly idle: number
  readonly degraded: number
  readonly busy: number
  readonly starting: number
  readonly stopping: number
  /** Overflow workers, of the live. */
  readonly overflow: number
  /** Places that have no worker now, and wait before the next start. */
  readonly failed: number
  /** Some place rests because its workers ended too often. */
  readonly isDegraded: boolean
  readonly waiting: number
  readonly totals: {
    readonly succeeded: number
    readonly failed: number
    readonly interrupted: number
    readonly startFailures: number
    readonly ended: number
    /** Workers that were still there after they had been killed. */
    readonly undead: number
  }
  /** `undefined` when the pool keeps no affinity. */
  readonly affinity: AffinityStats | undefined
}

/**
 * A reading of one worker.
 *
 * @since 0.1.0
 * @category models
 */
export interface WorkerInfo {
  readonly id: string
  readonly pid: number | undefined
  readonly isOverflow: boolean
  readonly machine: WorkerState.Machine
  /** Operations in a row for whose failure it is to blame. */
  readonly failures: number
  /** Probes in a row that it did not answer. */
  readonly missedProbes: number
  readonly checkouts: number
  readonly operations: number
  readonly errorCheckins: number
  readonly probes: number
  readonly probeFailures: number
  readonly sessions: number
  readonly inFlight: number
  /** As of the last probe. */
  readonly memoryBytes: number | undefined
  readonly startedAt: number
  readonly lastUsedAt: number
}

/**
 * What happens to the workers of a pool. `at` is in milliseconds since the epoch.
 *
 * @since 0.1.0
 * @category models
 */
export type PoolEvent =
  | { readonly _tag: "WorkerReady"; readonly workerId: string; readonly pid: number | undefined; readonly at: number }
  | {
    readonly _tag: "WorkerRemoved"
    readonly workerId: string
    readonly cause: Recovery.Why | "closed" | "idle"
    readonly at: number
  }
  | {
    readonly _tag: "WorkerEnded"
    readonly workerId: string
    readonly exit: WorkerExit | undefined
    readonly at: number
  }
  | { readonly _tag: "WorkerUndead"; readonly workerId: string; readonly pid: number | undefined; readonly at: number }
  | { readonly _tag: "StartFailed"; readonly workerId: string; readonly why: string; readonly at: number }
  | { readonly _tag: "SlotPaused"; readonly slot: number; readonly at: number }
  | { readonly _tag: "SlotResumed"; readonly slot: number; readonly at: number }
  | {
    readonly _tag: "SessionMoved"
    readonly sessionId: string
    readonly from: string
    readonly to: string
    readonly at: number
  }

/**
 * Shape of the service.
 *
 * @since 0.1.0
 * @category models
 */
export interface WorkerPoolShape {
  /**
   * Runs a command on a worker: the session's own where there is one.
   *
   * **Suspension and interruption** Suspends until the answer, at most `checkoutTimeout` and then `timeout`. Interrupted
   * while it waits, nothing was started; later, the worker has `interruptGrace` to answer all the same and is returned
   * then, or replaced.
   *
   * **Errors** Waiting: `CheckoutTimeout`, `PoolSaturated`, `PoolClosed`; with a session also `Busy`, `Gone`,
   * `QueueTimeout`. Working: `RemoteError` (the worker said no and is fine), `OperationTimeout`, `WorkerCrashed`,
   * `ProtocolViolation` (the worker is replaced), `PayloadTooLarge`, `NotEncodable` (nothing was sent).
   */
  readonly execute: (command: string, args: unknown, options?: ExecuteOptions) => Effect.Effect<unknown, WorkerError>
  /** Takes a worker out of the pool for as long as the scope is open. */
  readonly checkout: (options?: CheckoutOptions) => Effect.Effect<Checkout, CheckoutError, Scope.Scope>
  /**
   * A session whose binding ends with the scope, so that a session that is over pins no worker. The scope of a
   * `Session` of Spillway does.
   */
  readonly session: (sessionId: string) => Effect.Effect<SessionLease, never, Scope.Scope>
  readonly status: Effect.Effect<Status>
  readonly workers: Effect.Effect<ReadonlyArray<WorkerInfo>>
  /** Every event from now on; a reader that lags by 1024 loses the oldest. */
  readonly events: Stream.Stream<PoolEvent>
  /** Suspends until every place has a worker that is ready or busy. */
  readonly awaitFull: Effect.Effect<void>
  /** Asserts every invariant; a violation is a defect. For tests. */
  readonly check: Effect.Effect<void>
}

/**
 * The pool.
 *
 * @since 0.1.0
 * @category models
 */
export class WorkerPool extends Context.Tag("@spillway/workers/WorkerPool")<WorkerPool, WorkerPoolShape>() {}

/**
 * Starts a pool. It is there when each place has tried once to start its worker; those that failed go on trying. When the
 * scope closes, everybody who waits is refused, and every worker is ended: asked, after `stopTimeout` killed.
 *
 * **Errors** `InvalidOption`, naming the option.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  options: Options = {}
): Effect.Effect<WorkerPoolShape, InvalidOption, WorkerTransport | Scope.Scope> => poolShell.make(options, defaults)

/**
 * The pool as a layer.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options = {}): Layer.Layer<WorkerPool, InvalidOption, WorkerTransport> =>
  Layer.scoped(WorkerPool, make(options))
