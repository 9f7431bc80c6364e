/**
 * The life of one worker as a pure state machine: which moves there are, why each was made, and how long each state took.
 *
 * ```
 * initializing ──▶ ready ◀──▶ busy
 *      │           ▲ │ │        │ │
 *      │           │ │ └──▶ degraded ◀┘   (and busy ──▶ degraded)
 *      │           └─┼──────────┘ │
 *      │             ▼            ▼
 *      │         terminating ◀────┘  (from ready, busy and degraded)
 *      ▼             ▼
 *      └──────▶ terminated
 * ```
 *
 * Health is apart from the state: a worker takes work when it is `ready` **and** `healthy`.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import { InvalidTransition } from "./WorkerError.js"

/**
 * Where a worker is in its life.
 *
 * @since 0.1.0
 * @category models
 */
export type State = "initializing" | "ready" | "busy" | "degraded" | "terminating" | "terminated"

/**
 * What the last probe said; `unknown` before the first.
 *
 * @since 0.1.0
 * @category models
 */
export type Health = "unknown" | "healthy" | "unhealthy"

/**
 * Why a worker moved.
 *
 * @since 0.1.0
 * @category models
 */
export type Reason =
  | "init_complete"
  | "checkout"
  | "checkin_success"
  | "checkin_error"
  | "health_check_failed"
  | "health_check_passed"
  | "health_restored"
  | "shutdown"
  | "terminate"
  | "error"
  | "timeout"
  | "recovery_degrade"

/**
 * What is known about a move besides its reason.
 *
 * @since 0.1.0
 * @category models
 */
export interface Metadata {
  readonly [key: string]: unknown
}

/**
 * One move. `durationMillis` is the time that was spent in `from`.
 *
 * @since 0.1.0
 * @category models
 */
export interface HistoryEntry {
  readonly from: State
  readonly to: State
  readonly reason: Reason
  readonly durationMillis: number
  /** Milliseconds since the epoch. */
  readonly at: number
  readonly metadata: Metadata
}

/** A list that shares its tail with the machines before. */
interface Moves {
  readonly entry: HistoryEntry
  readonly before: Moves | undefined
  readonly count: number
}

/**
 * A worker's state. A value: each move gives a new one.
 *
 * @since 0.1.0
 * @category models
 */
export interface Machine {
  readonly workerId: string
  readonly state: State
  readonly health: Health
  /** When the present state began, in milliseconds since the epoch. */
  readonly since: number
  /** What the moves so far have told, later ones over earlier ones. */
  readonly metadata: Metadata
  /** All moves ever made, also those that are no longer in the history. */
  readonly transitions: number
  /** @internal */
  readonly moves: Moves | undefined
}

/**
 * Moves that are remembered; older ones are forgotten.
 *
 * @since 0.1.0
 * @category configuration
 */
export const historyItemsMax = 100

/**
 * All states, in the order of a life.
 *
 * @since 0.1.0
 * @category models
 */
export const states: ReadonlyArray<State> = ["initializing", "ready", "busy", "degraded", "terminating", "terminated"]

/**
 * The moves that there are. Every other one is refused.
 *
 * @since 0.1.0
 * @category models
 */
export const transitions: { readonly [S in State]: ReadonlyArray<State> } = Object.freeze({
  initializing: ["ready", "terminated"],
  ready: ["busy", "degraded", "terminating"],
  busy: ["ready", "degraded", "terminating"],
  degraded: ["ready", "terminating"],
  terminating: ["terminated"],
  terminated: []
})

/**
 * A worker at its beginning: `initializing`, its health unknown.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (workerId: string, at: number): Machine => ({
  workerId,
  state: "initializing",
  health: "unknown",
  since: at,
  metadata: {},
  transitions: 0,
  moves: undefined
})

/**
 * Whether there is such a move.
 *
 * @since 0.1.0
 * @category guards
 */
export const canMove = (from: State, to: State): boolean => transitions[from].includes(to)

/**
 * Whether the worker may be given work: it is ready and healthy.
 *
 * @since 0.1.0
 * @category guards
 */
export const canAcceptWork = ({ health, state }: Machine): boolean => state === "ready" && health === "healthy"

/**
 * Whether the worker is on its way out, or out.
 *
 * @since 0.1.0
 * @category guards
 */
export const shouldRemove = ({ state }: Machine): boolean => state === "terminating" || state === "terminated"

/**
 * The moves, newest first, at most `historyItemsMax`.
 *
 * @since 0.1.0
 * @category conversions
 */
export const history = ({ moves }: Machine): ReadonlyArray<HistoryEntry> => {
  const entries: Array<HistoryEntry> = []
  for (let at = moves; at !== undefined && entries.length < historyItemsMax; at = at.before) entries.push(at.entry)
  return entries
}

const none: Metadata = Object.freeze({})

const push = (machine: Machine, entry: HistoryEntry): Moves => {
  const { moves } = machine
  if (moves === undefined || moves.count < 2 * historyItemsMax) {
    return { entry, before: moves, count: (moves?.count ?? 0) + 1 }
  }
  // What is too old goes, all of it at once, so that a move costs the same however many there were.
  const kept = history(machine).reduceRight<Moves | undefined>(
    (before, old) => ({ entry: old, before, count: (before?.count ?? 0) + 1 }),
    undefined
  )
  return { entry, before: kept, count: historyItemsMax + 1 }
}

/**
 * Moves a worker.
 *
 * **Errors** `InvalidTransition` when there is no such move; the machine is as before.
 *
 * @example
 * import * as WorkerState from "@spillway/workers/WorkerState"
 * import * as Either from "effect/Either"
 *
 * const born = WorkerState.make("w1", 0)
 * const ready = Either.getOrThrow(WorkerState.transition(born, "ready", { reason: "init_complete", at: 200 }))
 * assert.strictEqual(WorkerState.history(ready)[0]?.durationMillis, 200)
 * assert.strictEqual(Either.isLeft(WorkerState.transition(ready, "initializing", { reason: "error", at: 300 })), true)
 *
 * @since 0.1.0
 * @category operations
 */
export const transition = (
  machine: Machine,
  to: State,
  options: { readonly reason: Reason; readonly at: number; readonly metadata?: Metadata }
): Either.Either<Machine, InvalidTransition> => {
  const { state: from, workerId } = machine
  if (!canMove(from, to)) return Either.left(new InvalidTransition({ workerId, from, to }))
  return Either.right(unsafeMoved(machine, to, options.reason, options.at, options.metadata))
}

/**
 * As `transition`, for who knows that there is such a move.
 *
 * @internal
 */
export const unsafeMoved = (
  machine: Machine,
  to: State,
  reason: Reason,
  at: number,
  metadata: Metadata = none
): Machine => {
  const { state: from, workerId } = machine
  const entry: HistoryEntry = { from, to, reason, durationMillis: at - machine.since, at, metadata }
  return {
    workerId,
    state: to,
    health: machine.health,
    since: at,
    metadata: metadata === none ? machine.metadata : { ...machine.metadata, ...metadata },
    transitions: machine.transitions + 1,
    moves: push(machine, entry)
  }
}

/**
 * The same worker with another health. It moves nothing.
 *
 * @since 0.1.0
 * @category operations
 */
export const withHealth = (machine: Machine, health: Health): Machine =>
  machine.health === health ? machine : { ...machine, health }
