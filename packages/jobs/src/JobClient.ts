/**
 * The client of one job: what its viewer is sent, as a stream that survives lost connections.
 *
 * It remembers the last event that it handed out, comes back with it, and drops what it has seen: the events of the stream
 * are those of the log, each once and in order, whatever happens to the connections.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { Dialer } from "spillway/Dialer"
import type { DialFailed, InvalidMessage } from "spillway/SpillwayError"
import { Follower } from "./internal/follower.js"
import type { JobNotFound } from "./JobError.js"
import type * as JobWire from "./JobWire.js"

/**
 * How to follow. Every duration has a default in `defaults`.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface Options {
  /** Address of the viewer of a job, after an event: `ws://host/ws/tasks/a?since=7`, say. */
  readonly url: (jobId: string, since: number) => string
  /** Place after which to begin. Default 0. */
  readonly since?: number
  /** Time for one attempt to connect. Default 10 s. */
  readonly dialTimeout?: Duration.DurationInput
  /** First delay before coming back, doubled with each failure; a random share of it is waited. Default 0.5 s. */
  readonly backoff?: Duration.DurationInput
  /** Longest delay. Default 20 s. */
  readonly backoffMax?: Duration.DurationInput
  /** Attempts in a row that bring no frame, before the stream fails. Default no limit. */
  readonly attemptsMax?: number
  /** Neither a frame nor a ping for so long: the connection is taken to be dead. Default 60 s. */
  readonly silenceTimeout?: Duration.DurationInput
  /** Frames that wait to be taken; beyond, the socket is paused. Default 256. */
  readonly bufferFramesMax?: number
}

/**
 * What holds unless told otherwise; durations are milliseconds.
 *
 * @since 0.1.0
 * @category configuration
 */
export const defaults = Object.freeze({
  since: 0,
  dialTimeout: 10_000,
  backoff: 500,
  backoffMax: 20_000,
  attemptsMax: Infinity,
  silenceTimeout: 60_000,
  bufferFramesMax: 256
})

/**
 * Follows a job until it has ended: each event once and in order, and the states between them, the terminal one last.
 *
 * **Suspension and interruption.** Coming back is a matter of its own: the stream is silent meanwhile. Interrupted, the
 * connection is terminated; the job goes on.
 *
 * **Errors** `JobNotFound`; `DialFailed` after `attemptsMax` attempts; `InvalidMessage` for a server that does not speak
 * `JobWire`.
 *
 * @example
 * import { JobClient } from "@spillway/jobs"
 * import { Console, Stream } from "effect"
 *
 * export const watch = (jobId: string) =>
 *   JobClient.follow(jobId, { url: (id, since) => `ws://127.0.0.1:8080/ws/tasks/${id}?since=${since}` }).pipe(
 *     Stream.runForEach((frame) => Console.log(frame.type, frame.data))
 *   )
 *
 * @since 0.1.0
 * @category constructors
 */
export const follow = (
  jobId: string,
  options: Options
): Stream.Stream<JobWire.Frame, JobNotFound | DialFailed | InvalidMessage, Dialer> =>
  Stream.unwrapScoped(
    Effect.flatMap(Dialer, (dialer) =>
      Effect.map(
        Effect.acquireRelease(
          Effect.sync(() => new Follower(jobId, dialer, { ...defaults, ...options })),
          (follower) => Effect.sync(() => follower.unsafeClose())
        ),
        (follower) => Stream.repeatEffectChunkOption(follower.next)
      ))
  )

/**
 * The events alone.
 *
 * @since 0.1.0
 * @category constructors
 */
export const events = (
  jobId: string,
  options: Options
): Stream.Stream<JobWire.Event, JobNotFound | DialFailed | InvalidMessage, Dialer> =>
  Stream.flatMap(follow(jobId, options), (frame) => frame.type === "event" ? Stream.make(frame.data) : Stream.empty)
