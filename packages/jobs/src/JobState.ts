/**
 * The state of a job, as a pure function of its events.
 *
 * ```
 * PENDING ──STARTED──▶ RUNNING ──RESULT──▶ SUCCEEDED
 *    │                 │  ▲ │ └──ERROR───▶ FAILED
 *    │          STARTED└──┘ └──CANCELLED─▶ CANCELLED
 *    └──CANCELLED──────────────────────────────▲
 * ```
 *
 * `STARTED` while running begins another attempt, after whoever ran the last one is gone. Every other move is refused; from
 * a terminal state there is none. A store applies the same function that a viewer does, so what both say agrees.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import type * as JobEvent from "./JobEvent.js"

/**
 * Where a job stands. The last three are terminal.
 *
 * @since 0.1.0
 * @category models
 */
export type Status = "PENDING" | "RUNNING" | "SUCCEEDED" | "FAILED" | "CANCELLED"

/**
 * Schema of a status.
 *
 * @since 0.1.0
 * @category models
 */
export const StatusSchema: Schema.Schema<Status> = Schema.Literal(
  "PENDING",
  "RUNNING",
  "SUCCEEDED",
  "FAILED",
  "CANCELLED"
)

/**
 * The state of a job. Times are milliseconds of `Clock`. `seq` is the last event that it accounts for.
 *
 * @since 0.1.0
 * @category models
 */
export interface JobState {
  readonly status: Status
  readonly seq: number
  /** Attempts begun. */
  readonly attempt: number
  /** 0 to 1, never falling within one attempt and across attempts. */
  readonly progress: number
  readonly stage: string | undefined
  readonly message: string | undefined
  readonly startedAt: number | undefined
  readonly completedAt: number | undefined
  readonly error: { readonly reason: JobEvent.Failure; readonly message: string } | undefined
  /** The encoded output, once succeeded. */
  readonly result: unknown
}

/**
 * The state of a job without events.
 *
 * @since 0.1.0
 * @category constructors
 */
export const initial: JobState = Object.freeze({
  status: "PENDING",
  seq: 0,
  attempt: 0,
  progress: 0,
  stage: undefined,
  message: undefined,
  startedAt: undefined,
  completedAt: undefined,
  error: undefined,
  result: undefined
})

/**
 * Whether a job with this status has ended.
 *
 * @since 0.1.0
 * @category guards
 */
export const isTerminal = (status: Status): boolean => status !== "PENDING" && status !== "RUNNING"

/**
 * Status after an event of this kind, or `undefined` when it is not possible.
 *
 * @example
 * import { JobState } from "@spillway/jobs"
 *
 * assert.strictEqual(JobState.after("PENDING", "STARTED"), "RUNNING")
 * assert.strictEqual(JobState.after("CANCELLED", "RESULT"), undefined)
 *
 * @since 0.1.0
 * @category operations
 */
export const after = (status: Status, kind: JobEvent.Kind): Status | undefined => {
  if (isTerminal(status)) return undefined
  if (kind === "CANCELLED") return "CANCELLED"
  if (kind === "STARTED") return "RUNNING"
  if (status === "PENDING") return undefined
  return kind === "RESULT" ? "SUCCEEDED" : kind === "ERROR" ? "FAILED" : "RUNNING"
}

const clamp = (value: unknown, floor: number): number =>
  typeof value === "number" && value > floor ? Math.min(value, 1) : floor

const textOf = (value: unknown): string | undefined => typeof value === "string" ? value : undefined

/** The data of an event as a record; what is missing reads as undefined. */
const fields = (data: unknown): { readonly [key: string]: unknown } =>
  typeof data === "object" && data !== null ? data as { readonly [key: string]: unknown } : {}

const failures: ReadonlyArray<unknown> = ["failed", "died", "timeout", "lost", "unknown"] satisfies ReadonlyArray<
  JobEvent.Failure
>

const failureOf = (data: { readonly [key: string]: unknown }): NonNullable<JobState["error"]> => ({
  // Checked by the table just above.
  reason: failures.includes(data["reason"]) ? data["reason"] as JobEvent.Failure : "failed",
  message: textOf(data["message"]) ?? ""
})

/**
 * State after an event, or `undefined` when the event is not possible. Progress is kept within 0 and 1 and never falls.
 *
 * @since 0.1.0
 * @category operations
 */
export const step = (
  state: JobState,
  event: Pick<JobEvent.JobEvent, "seq" | "at" | "kind" | "data">
): JobState | undefined => {
  const status = after(state.status, event.kind)
  if (status === undefined) return undefined
  const { at, kind, seq } = event
  if (kind === "LOG" || kind === "MESSAGE") return { ...state, seq }
  const data = fields(event.data)
  const message = textOf(data["message"]) ?? state.message
  switch (kind) {
    case "STARTED":
      return { ...state, status, seq, attempt: state.attempt + 1, startedAt: state.startedAt ?? at }
    case "PROGRESS":
      return {
        ...state,
        seq,
        progress: clamp(data["value"], state.progress),
        stage: textOf(data["stage"]) ?? state.stage,
        message
      }
    case "RESULT":
      return { ...state, status, seq, progress: 1, completedAt: at, result: event.data }
    case "ERROR":
      return { ...state, status, seq, completedAt: at, error: failureOf(data), message }
    case "CANCELLED":
      return { ...state, status, seq, completedAt: at, message }
  }
}

/**
 * State after a list of events; those that are not possible are left out, as no store holds them.
 *
 * @since 0.1.0
 * @category operations
 */
export const fold = (events: Iterable<JobEvent.JobEvent>, from: JobState = initial): JobState => {
  let state = from
  for (const event of events) state = step(state, event) ?? state
  return state
}

/**
 * Whether a viewer is to be told of the change from one state to another: status, stage, message or attempt differ, or
 * progress by more than a hundredth.
 *
 * @since 0.1.0
 * @category operations
 */
export const isVisibleChange = (before: JobState, now: JobState): boolean =>
  before.status !== now.status ||
  before.stage !== now.stage ||
  before.message !== now.message ||
  before.attempt !== now.attempt ||
  // Half a step of rounding: 0.51 - 0.5 is a little more than a hundredth.
  Math.abs(now.progress - before.progress) > 0.01 + 1e-9
