/**
 * The telemetry port: what sessions report. All calls are synchronous and cheap; none is made per message. Counts by lane
 * are read from the sessions by whoever exports them (see `Sessions.snapshot`).
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import type { DrainReport } from "./Exit.js"
import type { LaneIndex, PerLane } from "./Lane.js"
import type { AdmissionRefused } from "./SpillwayError.js"

/**
 * Numbers of messages by what became of them, for one lane. `offered` is the sum of all others.
 *
 * @since 0.1.0
 * @category models
 */
export interface LaneCounts {
  readonly offered: number
  readonly sent: number
  readonly evicted: number
  readonly rejected: number
  readonly conflated: number
  readonly expired: number
  readonly undelivered: number
  /** Handed to the connection, not yet taken by the kernel. */
  readonly inFlight: number
  readonly queued: number
}

/**
 * What is true of all sessions at one moment; the input of gauges and counters.
 *
 * @since 0.1.0
 * @category models
 */
export interface Totals {
  readonly sessions: number
  readonly outboxItems: number
  readonly outboxBytes: number
  readonly slowSessions: number
  readonly pressuredSessions: number
  readonly stuckTasks: number
  readonly abandonedFinalizers: number
  readonly receivedMessages: number
  readonly receivedBytes: number
  readonly sentBytes: number
  readonly lanes: PerLane<LaneCounts>
}

/**
 * Shape of the telemetry service.
 *
 * @since 0.1.0
 * @category models
 */
export interface TelemetryShape {
  readonly sessionStarted: () => void
  readonly sessionEnded: (report: DrainReport, sessionDurationMillis: number) => void
  /** A gathered write was taken by the kernel after so long. */
  readonly sendCompleted: (durationMillis: number) => void
  /** Time in the outbox of the first message of a gathered write. */
  readonly sojourn: (lane: LaneIndex, millis: number) => void
  readonly pressureEntered: () => void
  readonly slowEntered: () => void
  /** A newcomer was refused because of this limit. */
  readonly admissionRefused: (limit: AdmissionRefused["limit"]) => void
  /** The current totals, whenever a snapshot is taken: before each export, or regularly by `Metrics.layerSync`. */
  readonly totals: (totals: Totals) => void
}

/**
 * The telemetry service. Swap the layer to change where measurements go; sessions do not change.
 *
 * @since 0.1.0
 * @category models
 */
export class Telemetry extends Context.Tag("spillway/Telemetry")<Telemetry, TelemetryShape>() {}

const ignore = (): void => {}

/**
 * Telemetry that measures nothing.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerNoop: Layer.Layer<Telemetry> = Layer.succeed(Telemetry, {
  sessionStarted: ignore,
  sessionEnded: ignore,
  sendCompleted: ignore,
  sojourn: ignore,
  pressureEntered: ignore,
  slowEntered: ignore,
  admissionRefused: ignore,
  totals: ignore
})
