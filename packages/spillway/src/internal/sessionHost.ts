/** What a session needs from whoever owns it. Kept apart so that sessions do not import the registry that holds them. */
import type * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type * as HashMap from "effect/HashMap"
import type { DrainReport } from "../Exit.js"
import type { Resolved } from "../SessionOptions.js"
import type { TelemetryShape } from "../Telemetry.js"
import type { DeadlineEntry } from "./deadlines.js"
import type { LaneQueueOptions } from "./laneQueue.js"
import type { Ledger } from "./ledger.js"
import type { PressureMarks } from "./pressure.js"
import type { BatchLimits } from "./sharedBatch.js"
import type { SlowOptions } from "./slow.js"

/** What has something to write. */
export interface Pumped {
  /** Whether the next `pump` is likely to write. It looks at what that will need, and changes nothing. */
  readonly isReady: boolean
  /** Writes what can be written. */
  pump(now: number): void
}

/** A session as its host sees it. */
export interface Hosted extends DeadlineEntry {
  /** Looks at all deadlines. `lateMillis` is how late the host itself woke up. */
  onDue(now: number, lateMillis: number): void
}

/** The time that the clock of a host told last. */
export interface Reading {
  host: SessionHost | undefined
  now: number
}

/** The time of a host, asked for once in a row of sessions of one host. */
export const timeOf = (host: SessionHost, reading: Reading): number => {
  if (reading.host !== host) {
    reading.host = host
    reading.now = host.clock.unsafeCurrentTimeMillis()
  }
  return reading.now
}

export interface SessionHost {
  readonly clock: Clock.Clock
  readonly options: Resolved
  readonly queueOptions: LaneQueueOptions
  readonly marks: PressureMarks
  /** Up to this much queued a session that is not under pressure does not come under it. */
  readonly calmItems: number
  readonly calmBytes: number
  readonly batchLimits: BatchLimits
  readonly slow: SlowOptions
  readonly telemetry: TelemetryShape
  readonly ledger: Ledger
  /** Calls `pump` once before the current turn of the scheduler ends, together with all others. */
  schedule(writer: Pumped): void
  /** Makes sure that `onDue` is called at `dueAt` or earlier. */
  arm(session: Hosted, dueAt: number): void
  fork<A, E, R>(
    effect: Effect.Effect<A, E, R>,
    context: Context.Context<R>,
    annotations?: HashMap.HashMap<string, unknown>
  ): Fiber.RuntimeFiber<A, E>
  /** Runs the ending of the session. */
  startEnding(session: Hosted): void
  /** The session is over: it leaves the set of all sessions, and with it the gauge. */
  leave(session: Hosted, report: DrainReport): void
  /** Calls back when the owner asks all endings to hurry, at once if it has; returns how to take that back. */
  onHurry(wake: () => void): () => void
  /** A task or finalizer that ignores interruption was given up on; counted until its fiber ends. */
  abandon(kind: "task" | "finalizer", name: string, fiber: Fiber.RuntimeFiber<unknown, unknown>): void
}
