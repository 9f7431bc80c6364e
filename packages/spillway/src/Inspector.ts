/**
 * What goes on in all sessions, for those who look: one consistent reading as a value, and changes as a stream.
 *
 * A reading is plain data, made in one step, so that its numbers belong together. It costs O(sessions) and nothing while
 * nobody looks.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import * as inspector from "./internal/inspector.js"
import type { Lane, PerLane } from "./Lane.js"
import type { Stats, Status } from "./Session.js"
import type { Memory, Sessions, Snapshot } from "./Sessions.js"

/**
 * The manager's metrics: one number for each question about all sessions.
 *
 * @since 0.1.0
 * @category models
 */
export interface ManagerMetrics {
  readonly managerStatus: "running" | "draining" | "stopped"
  /** Sessions that were ever opened. */
  readonly totalConnections: number
  readonly activeStreams: number
  /** Messages queued. */
  readonly totalQueueSize: number
  readonly totalMessagesSent: number
  /** Messages shed in any way: evicted, rejected, conflated, expired; those of sessions that ended included. */
  readonly totalMessagesDropped: number
  readonly totalBytesSent: number
  /** Sessions that have something queued: a broadcast itself never waits. */
  readonly broadcastBacklog: number
  /** Number of sessions by status. */
  readonly streamStatusDistribution: { readonly [S in Status]: number }
  readonly memory: Memory
}

/**
 * One lane of one session.
 *
 * @since 0.1.0
 * @category models
 */
export interface LaneView {
  readonly queued: number
  readonly queuedBytes: number
  /** How long its first message has waited; 0 when it is empty. */
  readonly oldestMillis: number
  readonly shed: number
}

/**
 * One session.
 *
 * @since 0.1.0
 * @category models
 */
export interface SessionView {
  readonly stats: Stats
  readonly status: Status
  readonly protocol: string
  readonly remoteAddress: string
  readonly lanes: PerLane<LaneView>
  /** How long the oldest message has waited, over all lanes. */
  readonly oldestMillis: number
  /** How long a write has made no progress; 0 when nothing is being written. */
  readonly stalledMillis: number
  readonly lastShed:
    | { readonly lane: Lane; readonly reason: "evicted" | "conflated" | "expired" | "rejected"; readonly at: number }
    | undefined
}

/**
 * A reading of everything.
 *
 * @since 0.1.0
 * @category models
 */
export interface Inspection {
  readonly at: number
  readonly metrics: ManagerMetrics
  readonly sessions: ReadonlyArray<SessionView>
  /** Running task fibers by name. */
  readonly tasks: Snapshot["tasks"]
  /** Tasks that were given up and still run, by name. */
  readonly stuck: Snapshot["stuck"]
  /** Number of members by topic, where there is a hub. */
  readonly topics: { readonly [topic: string]: number }
  /** The last sessions that ended, with their reports; newest last. */
  readonly closed: Snapshot["closed"]
}

/**
 * What changed since the reading before.
 *
 * @since 0.1.0
 * @category models
 */
export interface Change {
  readonly at: number
  readonly metrics: ManagerMetrics
  readonly opened: ReadonlyArray<SessionView>
  readonly changed: ReadonlyArray<SessionView>
  /** Ids of sessions that are gone. */
  readonly gone: ReadonlyArray<string>
}

/**
 * A reading of everything, made in one step. Names the topics of the hub if the context has one. O(sessions).
 *
 * @since 0.1.0
 * @category operations
 */
export const inspect: Effect.Effect<Inspection, never, Sessions> = inspector.inspect

/**
 * What changed, looked at in regular intervals (default 1 s): first every session as opened, then only those whose counts,
 * flags or tasks changed. Nothing is emitted when nothing did. Never ends.
 *
 * @since 0.1.0
 * @category operations
 */
export const changes = (options?: {
  readonly every?: Duration.DurationInput
}): Stream.Stream<Change, never, Sessions> => inspector.changes(options?.every ?? "1 second")
