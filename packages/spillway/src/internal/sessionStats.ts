/** Readings of a session. */
import type { LaneIndex } from "../Lane.js"
import { perLane } from "../Lane.js"
import type { Stats } from "../Session.js"
import type { LaneCounts } from "../Telemetry.js"
import type { SessionImpl } from "./session.js"
import type { SessionWriter } from "./sessionWriter.js"

/** Messages of a lane that were handed to the connection and that the kernel has not taken. */
const inFlightOf = ({ inFlightByLane }: SessionWriter, lane: LaneIndex): number => inFlightByLane?.[lane] ?? 0

/** Messages of a lane that the kernel has taken. */
const sentOf = (writer: SessionWriter, lane: LaneIndex): number =>
  writer.outbox.queue.takenOf(lane) - inFlightOf(writer, lane) - (writer.lostByLane?.[lane] ?? 0)

/** Messages of a lane that were accepted and never sent, because the session ended. */
export const undeliveredOf = (writer: SessionWriter, lane: LaneIndex): number =>
  writer.outbox.queue.counters(lane).returned + (writer.lostByLane?.[lane] ?? 0)

/** Messages that the kernel has taken. */
export const sentMessages = (writer: SessionWriter): number =>
  sentOf(writer, 0) + sentOf(writer, 1) + sentOf(writer, 2) + sentOf(writer, 3)

/** How long the oldest queued message has waited; 0 when none is queued. */
export const oldestMillis = (writer: SessionWriter, now: number): number => {
  const { oldestAt } = writer.outbox.queue
  return oldestAt === Infinity ? 0 : Math.max(0, now - oldestAt)
}

/** How long the write in flight has made no progress; 0 when none is. */
export const stalledMillis = (writer: SessionWriter, now: number): number =>
  writer.isWaiting ? writer.owner.timers.stalledMillis(now, writer.progress) : 0

/** Counts of one lane; `offered` is the sum of the others (I2). */
export const laneCounts = (writer: SessionWriter, lane: LaneIndex): LaneCounts => {
  const counters = writer.outbox.queue.counters(lane)
  return {
    offered: counters.offered,
    sent: sentOf(writer, lane),
    evicted: counters.evicted,
    rejected: counters.rejected,
    conflated: counters.conflated,
    expired: counters.expired,
    undelivered: undeliveredOf(writer, lane),
    inFlight: inFlightOf(writer, lane),
    queued: counters.queuedItems
  }
}

export const stats = (session: SessionImpl): Stats => {
  const { inbox, timers, writer } = session
  const lanes = perLane((_, index) => laneCounts(writer, index))
  const all = [lanes.control, lanes.critical, lanes.important, lanes.bulk]
  const sum = (f: (counts: LaneCounts) => number): number => all.reduce((total, counts) => total + f(counts), 0)
  return Object.freeze({
    id: session.id,
    state: session.state,
    pressure: session.pressure,
    slow: session.slow,
    queuedItems: writer.outbox.queue.queuedItems,
    queuedBytes: writer.outbox.queue.queuedBytes,
    fillRatio: writer.outbox.queue.fillRatio,
    inFlightBytes: writer.inFlightBytes,
    lanes,
    sentMessages: sum((counts) => counts.sent),
    sentBytes: writer.sentBytes,
    shedMessages: sum((counts) => counts.evicted + counts.rejected + counts.conflated + counts.expired),
    receivedMessages: inbox.received,
    receivedBytes: inbox.receivedBytes,
    unreadMessages: inbox.items,
    sendMillisMean: writer.sends === 0 ? 0 : writer.sendMillisTotal / writer.sends,
    pressureEvents: writer.pressure.crossings,
    slowEvents: writer.slow.slowEvents,
    lastHeartbeatAt: timers.lastHeartbeatAt,
    openedAt: session.openedAt,
    tasks: session.taskNames
  })
}
