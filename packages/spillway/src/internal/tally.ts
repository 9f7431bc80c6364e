/** What was counted over all sessions, those that ended included. */
import { type DrainReport, type ExitTag, tags } from "../Exit.js"
import { perLane } from "../Lane.js"
import type { Snapshot } from "../Sessions.js"
import type { LaneCounts, Totals } from "../Telemetry.js"
import type { SessionImpl } from "./session.js"
import { laneCounts } from "./sessionStats.js"

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

/** Ended sessions that are remembered. */
const closedMax = 100

const noCounts = (): Mutable<LaneCounts> => ({
  offered: 0,
  sent: 0,
  evicted: 0,
  rejected: 0,
  conflated: 0,
  expired: 0,
  undelivered: 0,
  inFlight: 0,
  queued: 0
})

const add = (into: Mutable<LaneCounts>, counts: LaneCounts): void => {
  into.offered += counts.offered
  into.sent += counts.sent
  into.evicted += counts.evicted
  into.rejected += counts.rejected
  into.conflated += counts.conflated
  into.expired += counts.expired
  into.undelivered += counts.undelivered
  into.inFlight += counts.inFlight
  into.queued += counts.queued
}

/** What the tally needs to know of the sessions that are alive. */
export interface Living {
  readonly phase: Snapshot["phase"]
  readonly sessions: ReadonlySet<SessionImpl>
  readonly telemetry: { readonly totals: (totals: Totals) => void }
}

export class Tally {
  opened = 0
  private readonly exits = new Map<ExitTag, number>()
  private readonly lanes = perLane(noCounts)
  private readonly stuckTasks = new Map<string, number>()
  private abandonedFinalizers = 0
  private receivedMessages = 0
  private receivedBytes = 0
  private sentBytes = 0
  private closed: Array<Snapshot["closed"][number]> = []

  abandoned(kind: "task" | "finalizer", name: string): void {
    if (kind === "finalizer") this.abandonedFinalizers++
    else this.stuckTasks.set(name, (this.stuckTasks.get(name) ?? 0) + 1)
  }

  returned(kind: "task" | "finalizer", name: string): void {
    if (kind === "finalizer") {
      this.abandonedFinalizers--
      return
    }
    const left = this.stuckTasks.get(name)! - 1
    if (left === 0) this.stuckTasks.delete(name)
    else this.stuckTasks.set(name, left)
  }

  ended(session: SessionImpl, report: DrainReport, now: number): void {
    const tag = report.exit._tag
    this.exits.set(tag, (this.exits.get(tag) ?? 0) + 1)
    perLane((lane, index) => add(this.lanes[lane], laneCounts(session.writer, index)))
    this.receivedMessages += session.inbox.received
    this.receivedBytes += session.inbox.receivedBytes
    this.sentBytes += session.writer.sentBytes
    this.closed.push({ id: session.id, endedAt: now, report })
    // Cutting in halves keeps this O(1) amortised.
    if (this.closed.length >= closedMax * 2) this.closed = this.closed.slice(-closedMax)
  }

  snapshot(living: Living): Snapshot {
    const tasks = new Map<string, number>()
    for (const session of living.sessions) {
      for (const name of session.taskNames) tasks.set(name, (tasks.get(name) ?? 0) + 1)
    }
    const totals = this.totals(living.sessions)
    living.telemetry.totals(totals)
    return {
      phase: living.phase,
      sessions: living.sessions.size,
      opened: this.opened,
      exits: Object.fromEntries(tags.map((tag) => [tag, this.exits.get(tag) ?? 0])) as Record<ExitTag, number>,
      totals,
      tasks: Object.fromEntries(tasks),
      stuck: Object.fromEntries(this.stuckTasks),
      closed: this.closed.slice(-closedMax)
    }
  }

  private totals(sessions: ReadonlySet<SessionImpl>): Totals {
    const lanes = perLane((lane) => ({ ...this.lanes[lane] }))
    const totals: Mutable<Totals> = {
      sessions: sessions.size,
      outboxItems: 0,
      outboxBytes: 0,
      slowSessions: 0,
      pressuredSessions: 0,
      stuckTasks: [...this.stuckTasks.values()].reduce((sum, n) => sum + n, 0),
      abandonedFinalizers: this.abandonedFinalizers,
      receivedMessages: this.receivedMessages,
      receivedBytes: this.receivedBytes,
      sentBytes: this.sentBytes,
      lanes
    }
    for (const session of sessions) {
      const { inbox, writer } = session
      perLane((lane, index) => add(lanes[lane], laneCounts(writer, index)))
      totals.outboxItems += writer.outbox.queue.queuedItems
      totals.outboxBytes += writer.outbox.queue.queuedBytes + writer.inFlightBytes
      if (session.slow) totals.slowSessions++
      if (session.pressure) totals.pressuredSessions++
      totals.receivedMessages += inbox.received
      totals.receivedBytes += inbox.receivedBytes
      totals.sentBytes += writer.sentBytes
    }
    return totals
  }
}
