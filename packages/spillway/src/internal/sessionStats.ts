/** Readings of a session. */
import type { LaneIndex } from "../Lane.js"
import { perLane } from "../Lane.js"
import type { Stats } from "../Session.js"
import type { LaneCounts } from "../Telemetry.js"
import type { SessionImpl } from "./session.js"
import type { SessionWriter } from "./sessionWriter.js"

/** Counts of one lane; `offered` is the sum of the others (I2). */
export const laneCounts = (writer: SessionWriter, lane: LaneIndex): LaneCounts => {
  const counters = writer.outbox.queue.counters(lane)
  return {
    offered: counters.offered,
    sent: writer.sentOf(lane),
    evicted: counters.evicted,
    rejected: counters.rejected,
    conflated: counters.conflated,
    expired: counters.expired,
    undelivered: writer.undelivered(lane),
    inFlight: writer.inFlightOf(lane),
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
