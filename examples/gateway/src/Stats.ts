/**
 * The snapshot at `/stats`: what one looks at first when something is odd.
 */
import * as Effect from "effect/Effect"
import { Admission } from "spillway/Admission"
import type * as Session from "spillway/Session"
import { Sessions, type SessionsShape } from "spillway/Sessions"
import { Host } from "./Host.js"
import * as Policies from "./Policies.js"
import { Uncaught } from "./Process.js"
import { Settings } from "./Settings.js"
import { Topics } from "./Topics.js"

const find = (sessions: SessionsShape, id: string): Session.Stats | null => {
  let found: Session.Stats | null = null
  sessions.unsafeForEach((session) => {
    if (session.id === id) found = session.stats
  })
  return found
}

/** The snapshot; with a session's id also what the server knows of that session (`null` when it is gone). */
export const read = (sessionId: string | null) =>
  Effect.gen(function*() {
    const sessions = yield* Sessions
    const settings = yield* Settings
    const snapshot = yield* sessions.snapshot
    const { abandonedFinalizers, lanes, stuckTasks, ...outbox } = snapshot.totals
    return {
      phase: snapshot.phase,
      sessions: snapshot.sessions,
      opened: snapshot.opened,
      fibers: snapshot.tasks,
      outbox: {
        items: outbox.outboxItems,
        bytes: outbox.outboxBytes,
        slowSessions: outbox.slowSessions,
        pressuredSessions: outbox.pressuredSessions,
        sentBytes: outbox.sentBytes
      },
      received: { messages: outbox.receivedMessages, bytes: outbox.receivedBytes },
      /** By lane: offers, and what became of them. */
      lanes,
      exits: snapshot.exits,
      /** The last sessions that ended, newest last. */
      closed: snapshot.closed.map(({ endedAt, id, report }) => ({
        id,
        endedAt,
        exit: report.exit._tag,
        undelivered: report.undelivered,
        stuck: report.stuck,
        durationMillis: report.durationMillis
      })),
      admission: yield* (yield* Admission).stats,
      ...(yield* Policies.stats),
      limits: { outboxItems: settings.outboxItemsMax, outboxBytes: settings.outboxBytesMax },
      stuckTasks,
      abandonedFinalizers,
      uncaughtErrors: yield* (yield* Uncaught).count,
      eventLoopDelay: yield* (yield* Host).eventLoopDelay,
      topics: yield* (yield* Topics).stats,
      process: { residentBytes: process.memoryUsage.rss(), uptimeSeconds: Math.round(process.uptime()) },
      ...(sessionId === null ? {} : { session: find(sessions, sessionId) })
    }
  })
