/**
 * A viewer of one job: the handler of a Spillway session. It sends what `JobWire.Frame` describes, first what is stored
 * after the viewer's place, then what comes, and ends with the job.
 *
 * The viewer holds no queue: it reads the log as fast as its client does, so a slow client is behind and costs nothing. When
 * a client is far behind what happens now, lines of text are left out until it has caught up; it sees a gap in `seq`, and
 * finds them in the log. Losing a viewer does nothing to the job.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Session } from "spillway/Session"
import type { SessionOptions } from "spillway/SessionOptions"
import type { EventLog } from "./EventLog.js"
import * as configured from "./internal/configured.js"
import * as viewer from "./internal/viewer.js"
import type { JobRunner } from "./JobRunner.js"
import type { JobStore } from "./JobStore.js"

/**
 * How a viewer views.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface Options {
  /** Place after which to begin; 0 is everything. Default 0. */
  readonly since?: number | undefined
  /** Whether a job that waits for somebody to start it is started. Default `pending`. */
  readonly autoStart?: "pending" | "never" | undefined
  /** Time for the last events to leave before the terminal state does. Default 0.5 s. */
  readonly finalGrace?: Duration.DurationInput | undefined
  /** Events that a client may be behind what happens now, before lines of text are left out. Default 1024. */
  readonly behindEventsMax?: number | undefined
}

/**
 * What holds unless told otherwise; durations are milliseconds.
 *
 * @since 0.1.0
 * @category configuration
 */
export const defaults = Object.freeze({ finalGrace: 500, behindEventsMax: 1024 })

/**
 * What can be configured, under the names of the options: `autoStart`, `finalGrace` and `behindEventsMax`. What is not
 * configured keeps its default. Use `Config.nested` for a prefix.
 *
 * **Errors** `ConfigError`, naming the key, when a value cannot be read or is not usable.
 *
 * @since 0.1.0
 * @category configuration
 */
export const config: Config.Config<Omit<Options, "since">> = Config.map(
  Config.all([
    configured.byKeys(["autoStart"] as const, Config.literal("pending", "never")),
    configured.byKeys(["finalGrace"] as const, configured.period),
    configured.byKeys(["behindEventsMax"] as const, configured.count)
  ]),
  (parts) => configured.given<Omit<Options, "since">>(parts)
)

/**
 * Options of sessions that view jobs: idle after 30 s. With `pongs` a client that answers pings is never idle, however
 * silent the job; with `events` only messages count, so that viewers of a silent job are closed (1001).
 *
 * @since 0.1.0
 * @category configuration
 */
export const sessionOptions = (idlePolicy: "pongs" | "events" = "pongs"): SessionOptions => ({
  idleTimeout: 30_000,
  idleActivity: idlePolicy === "pongs" ? "messages and pongs" : "messages"
})

/**
 * Handler of a session that views a job.
 *
 * **Details.** Events are `important`, lines of text `bulk` where the client does not keep up, `connected`, errors and the
 * terminal event and state `critical`; of several queued states the latest is sent. Events leave in the order of the log, and
 * none is evicted for another one. The session is closed with 1000 when the job has ended, 1008 when there is none, 1011 when
 * the log cannot be read or the job not be started.
 *
 * **Cost.** A viewer whose client keeps up shares everything with the others: an event is encoded once for all of them, and
 * offered to each without a step of its fiber.
 *
 * **Suspension and interruption.** Runs until the job has ended. Interrupted, when the client has gone, it releases its
 * place in the log; the job goes on.
 *
 * @since 0.1.0
 * @category constructors
 */
export const handler = (jobId: string, options: Options = {}): (
  session: Session
) => Effect.Effect<void, never, EventLog | JobRunner | JobStore | Scope.Scope> => viewer.make(jobId, options, defaults)
