/** The sessions of a pool: whose worker is whose, who lost one, and how often a session found its own. */
import type { Stats } from "../Affinity.js"
import { AffinityTable } from "./affinityTable.js"
import type { Deadline } from "./deadlineSet.js"
import type { PoolCore } from "./pool.js"
import type { ResolvedOptions } from "./poolOptions.js"
import type { Worker } from "./worker.js"

export type FoundWorker =
  | { readonly _tag: "Bound"; readonly worker: Worker }
  | { readonly _tag: "Lost"; readonly workerId: string }

export class Sessions implements Deadline {
  dueAt = Infinity
  /** Operations that found their session's worker, that had to take another one, and that were the first. */
  hits = 0
  misses = 0
  first = 0
  private readonly table: AffinityTable
  /** Sessions whose worker ended and that have not used another one since. */
  private readonly lost = new Map<string, { readonly workerId: string; readonly at: number }>()

  constructor(private readonly options: NonNullable<ResolvedOptions["affinity"]>, private readonly pool: PoolCore) {
    this.table = new AffinityTable(options.ttlMillis)
  }

  /** Forgets at regular times what is over. */
  start(now: number): void {
    this.pool.deadlines.add(this, now + this.options.sweepMillis)
  }

  onDue(now: number): void {
    this.table.sweep(now)
    for (const [sessionId, { at }] of [...this.lost]) {
      if (now - at >= this.options.ttlMillis) this.lost.delete(sessionId)
    }
    this.start(now)
  }

  find(sessionId: string, now: number): FoundWorker | undefined {
    const found = this.table.lookup(sessionId, now)
    if (found._tag === "Bound") {
      const worker = this.pool.workers.get(found.workerId)
      return worker === undefined ? undefined : { _tag: "Bound", worker }
    }
    const lost = this.lost.get(sessionId)
    return lost === undefined ? undefined : { _tag: "Lost", workerId: lost.workerId }
  }

  isBound(sessionId: string, now: number): boolean {
    return this.table.lookup(sessionId, now)._tag === "Bound"
  }

  countOf(worker: Worker): number {
    return this.table.countOf(worker.id)
  }

  /** The one with the fewest sessions, the earlier one of equals. */
  fewest(workers: Iterable<Worker>): Worker | undefined {
    let chosen: Worker | undefined = undefined
    let least = Infinity
    for (const worker of workers) {
      const count = this.countOf(worker)
      if (count < least) [chosen, least] = [worker, count]
    }
    return chosen
  }

  /** An operation of a session has a worker: the session's from now on. */
  use(sessionId: string, worker: Worker, now: number): void {
    const found = this.table.lookup(sessionId, now)
    const before = found._tag === "Bound" ? found.workerId : this.lost.get(sessionId)?.workerId
    this.lost.delete(sessionId)
    this.table.bind(sessionId, worker.id, now)
    const result = before === undefined ? "first" : before === worker.id ? "hit" : "miss"
    this.pool.metrics?.used(result)
    if (result === "first") this.first++
    else if (result === "hit") this.hits++
    else {
      this.misses++
      this.pool.onSessionMoved(sessionId, before!, worker.id)
    }
  }

  /** A worker is out: its sessions are bound to none. */
  lose(worker: Worker, now: number): void {
    for (const sessionId of this.table.removeWorker(worker.id)) {
      this.lost.set(sessionId, { workerId: worker.id, at: now })
    }
  }

  /** A session was told that its worker is gone; its next operation is a first one. */
  told(sessionId: string): void {
    if (!this.lost.delete(sessionId)) return
    this.misses++
    this.pool.metrics?.used("miss")
  }

  forget(sessionId: string): void {
    this.lost.delete(sessionId)
    this.table.unbind(sessionId)
  }

  stats(now: number): Stats {
    return {
      sessions: this.table.sessions,
      workersWithSessions: this.table.workers,
      expiredSessions: this.table.expiredNow(now),
      expiredTotal: this.table.expired
    }
  }
}
