/** Readings of all sessions, and what differs between two of them. */
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { Hub } from "../Hub.js"
import type { Change, Inspection, LaneView, ManagerMetrics, SessionView } from "../Inspector.js"
import { all, perLane } from "../Lane.js"
import { type Status, statusOf } from "../Session.js"
import { Sessions, type SessionsShape, type Snapshot } from "../Sessions.js"
import type { SessionImpl } from "./session.js"
import { oldestMillis, stalledMillis } from "./sessionStats.js"

const view = (session: SessionImpl, now: number): SessionView => {
  const { writer } = session
  const { queue } = writer.outbox
  const stats = session.stats
  const lanes = perLane((lane, index): LaneView => {
    const { conflated, evicted, expired, queued, rejected } = stats.lanes[lane]
    const oldestAt = queue.oldestAtOf(index)
    return {
      queued,
      queuedBytes: queue.queuedBytesOf(index),
      oldestMillis: oldestAt === Infinity ? 0 : Math.max(0, now - oldestAt),
      shed: evicted + rejected + conflated + expired
    }
  })
  return {
    stats,
    status: statusOf(stats),
    protocol: session.protocol,
    remoteAddress: session.remoteAddress,
    lanes,
    oldestMillis: oldestMillis(writer, now),
    stalledMillis: stalledMillis(writer, now),
    lastShed: writer.lastShedAt < 0
      ? undefined
      : { lane: all[writer.lastShedLane]!, reason: writer.lastShedReason, at: writer.lastShedAt }
  }
}

/** Sessions that end have left the set of those that are open, and are in the counts of the snapshot. */
const views = (sessions: SessionsShape, now: number): ReadonlyArray<SessionView> => {
  const made: Array<SessionView> = []
  // Every session of an owner is one.
  sessions.unsafeForEach((session) => void made.push(view(session as SessionImpl, now)))
  return made
}

const distributionOf = (made: ReadonlyArray<SessionView>): { readonly [S in Status]: number } => {
  const counts = { connected: 0, backpressure: 0, slow_consumer: 0, draining: 0, disconnected: 0 }
  for (const { status } of made) counts[status]++
  return counts
}

const metricsOf = (
  sessions: SessionsShape,
  snapshot: Snapshot,
  made: ReadonlyArray<SessionView>
): ManagerMetrics => {
  const { lanes, outboxItems, sentBytes } = snapshot.totals
  const sum = (f: (counts: Snapshot["totals"]["lanes"]["bulk"]) => number): number =>
    all.reduce((total, lane) => total + f(lanes[lane]), 0)
  const open = distributionOf(made)
  return {
    managerStatus: snapshot.phase === "accepting" ? "running" : snapshot.phase === "done" ? "stopped" : "draining",
    totalConnections: snapshot.opened,
    activeStreams: snapshot.sessions,
    totalQueueSize: outboxItems,
    totalMessagesSent: sum(({ sent }) => sent),
    totalMessagesDropped: sum(({ conflated, evicted, expired, rejected }) => evicted + rejected + conflated + expired),
    totalBytesSent: sentBytes,
    broadcastBacklog: made.filter(({ stats }) => stats.queuedItems > 0).length,
    // Those that are ending are sessions too, and not in the list.
    streamStatusDistribution: { ...open, draining: open.draining + snapshot.sessions - made.length },
    memory: sessions.memory
  }
}

const read = Effect.gen(function*() {
  const sessions = yield* Sessions
  const snapshot = yield* sessions.snapshot
  const now = yield* Clock.currentTimeMillis
  const made = views(sessions, now)
  return { now, snapshot, made, metrics: metricsOf(sessions, snapshot, made) }
})

export const inspect: Effect.Effect<Inspection, never, Sessions> = Effect.gen(function*() {
  const { made, metrics, now, snapshot } = yield* read
  const hub = yield* Effect.serviceOption(Hub)
  const topics = Option.isNone(hub) ? new Map<string, number>() : yield* hub.value.topics
  return {
    at: now,
    metrics,
    sessions: made,
    tasks: snapshot.tasks,
    stuck: snapshot.stuck,
    topics: Object.fromEntries(topics),
    closed: snapshot.closed
  }
})

/** What tells two readings of a session apart: everything but the time that has passed. */
const signatureOf = ({ stats }: SessionView): string => {
  const { lastHeartbeatAt: _, lanes, ...others } = stats
  return JSON.stringify([others, lanes])
}

const compare = (known: Map<string, string>, made: ReadonlyArray<SessionView>) => {
  const opened: Array<SessionView> = []
  const changed: Array<SessionView> = []
  const gone = new Set(known.keys())
  for (const one of made) {
    const signature = signatureOf(one)
    const before = known.get(one.stats.id)
    gone.delete(one.stats.id)
    known.set(one.stats.id, signature)
    if (before === undefined) opened.push(one)
    else if (before !== signature) changed.push(one)
  }
  for (const id of gone) known.delete(id)
  return { opened, changed, gone: [...gone] }
}

export const changes = (every: Duration.DurationInput): Stream.Stream<Change, never, Sessions> =>
  Stream.suspend(() => {
    const known = new Map<string, string>()
    const look = Effect.map(read, ({ made, metrics, now }): Option.Option<Change> => {
      const difference = compare(known, made)
      const isSame = difference.opened.length + difference.changed.length + difference.gone.length === 0
      return isSame ? Option.none() : Option.some({ at: now, metrics, ...difference })
    })
    return Stream.filterMap(
      Stream.concat(Stream.fromEffect(look), Stream.repeatEffect(Effect.zipRight(Effect.sleep(every), look))),
      (change) => change
    )
  })
