/** The store in memory: maps, and the shared plan. Each operation is one synchronous step, so it is a transaction. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { JobExists } from "../JobError.js"
import type { JobEvent } from "../JobEvent.js"
import * as JobState from "../JobState.js"
import type { AppendRequest, Claim, JobRecord, JobStoreShape, ListQuery, NewJob, Retention } from "../JobStore.js"
import { byteLengthOf, isClaimable, keyOf, plan } from "./plan.js"

interface Stored {
  readonly event: JobEvent
  readonly byteLength: number
}

export const recordOf = (job: NewJob): JobRecord => ({
  id: job.id,
  name: job.name,
  title: job.title,
  turn: job.turn ?? "",
  input: job.input,
  createdAt: job.createdAt,
  state: JobState.initial,
  queuedAt: job.queuedAt,
  cancelRequested: false,
  generation: 0,
  owner: undefined,
  leaseUntil: 0,
  eventBytes: 0
})

const newestFirst = (a: JobRecord, b: JobRecord): number =>
  b.createdAt - a.createdAt || (a.id < b.id ? 1 : a.id > b.id ? -1 : 0)

const longestWaiting = (a: JobRecord, b: JobRecord): number =>
  (a.queuedAt ?? 0) - (b.queuedAt ?? 0) || (a.id < b.id ? -1 : 1)

class Memory {
  private readonly jobs = new Map<string, JobRecord>()
  private readonly logs = new Map<string, Array<Stored>>()
  /** Events by the id that their producer gave. */
  private readonly ids = new Map<string, JobEvent>()

  insert(job: NewJob): Effect.Effect<JobRecord, JobExists> {
    if (this.jobs.has(job.id)) return Effect.fail(new JobExists({ jobId: job.id }))
    const record = recordOf(job)
    this.jobs.set(job.id, record)
    this.logs.set(job.id, [])
    return Effect.succeed(record)
  }

  get(jobId: string): Option.Option<JobRecord> {
    return Option.fromNullable(this.jobs.get(jobId))
  }

  list({ limit, name, offset, status }: ListQuery): { items: ReadonlyArray<JobRecord>; total: number } {
    const all = [...this.jobs.values()]
      .filter((job) => status === undefined || job.state.status === status)
      .filter((job) => name === undefined || job.name === name)
      .sort(newestFirst)
    return { items: all.slice(offset, offset + limit), total: all.length }
  }

  commit(batch: ReadonlyArray<AppendRequest>) {
    const { inserts, outcomes, records } = plan(batch, this.jobs, this.ids)
    for (const { event, givenId, json } of inserts) {
      this.logs.get(event.jobId)!.push({ event, byteLength: byteLengthOf(json) })
      if (givenId !== undefined) this.ids.set(keyOf(event.jobId, givenId), event)
    }
    for (const record of records) this.jobs.set(record.id, record)
    return outcomes
  }

  read(jobId: string, after: number, limits: { readonly itemsMax: number; readonly bytesMax: number }) {
    const log = this.logs.get(jobId) ?? []
    const page: Array<JobEvent> = []
    let bytes = 0
    for (let index = Math.max(0, after); index < log.length && page.length < limits.itemsMax; index++) {
      const { byteLength, event } = log[index]!
      bytes += byteLength
      if (page.length > 0 && bytes > limits.bytesMax) break
      page.push(event)
    }
    return page
  }

  claim({ jobId, leaseUntil, mayTakeOver = false, now, owner }: Claim): Option.Option<JobRecord> {
    const job = this.jobs.get(jobId)
    if (job === undefined || !isClaimable(job, now, mayTakeOver)) return Option.none()
    return Option.some(this.put({ ...job, owner, leaseUntil, generation: job.generation + 1 }))
  }

  claimable(now: number, limit: number): ReadonlyArray<JobRecord> {
    return [...this.jobs.values()]
      .filter((job) => (job.queuedAt !== undefined || job.cancelRequested) && isClaimable(job, now, false))
      .sort(longestWaiting)
      .slice(0, limit)
  }

  renew(owner: string, leaseUntil: number): ReadonlyArray<JobRecord> {
    const owned = [...this.jobs.values()].filter((job) => job.owner === owner)
    return owned.map((job) => this.put({ ...job, leaseUntil }))
  }

  release(jobId: string, generation: number): void {
    const job = this.jobs.get(jobId)
    if (job?.generation === generation) this.put({ ...job, owner: undefined, leaseUntil: 0 })
  }

  enqueue(jobId: string, at: number): boolean {
    const job = this.jobs.get(jobId)
    if (job === undefined || job.state.status !== "PENDING" || job.queuedAt !== undefined) return false
    this.put({ ...job, queuedAt: at })
    return true
  }

  requestCancel(jobId: string): void {
    const job = this.jobs.get(jobId)
    if (job !== undefined && !JobState.isTerminal(job.state.status)) this.put({ ...job, cancelRequested: true })
  }

  remove(jobId: string): boolean {
    for (const { event } of this.logs.get(jobId) ?? []) this.ids.delete(keyOf(jobId, event.id))
    this.logs.delete(jobId)
    return this.jobs.delete(jobId)
  }

  retain({ bytesMax, completedBefore, except }: Retention): ReadonlyArray<string> {
    const kept = new Set(except)
    let bytes = [...this.jobs.values()].reduce((sum, job) => sum + job.eventBytes, 0)
    const gone: Array<string> = []
    const ended = [...this.jobs.values()]
      .filter((job) => job.state.completedAt !== undefined && !kept.has(job.id))
      .sort((a, b) => a.state.completedAt! - b.state.completedAt! || (a.id < b.id ? -1 : 1))
    for (const job of ended) {
      if (job.state.completedAt! >= completedBefore && bytes <= bytesMax) break
      bytes -= job.eventBytes
      gone.push(job.id)
      this.remove(job.id)
    }
    return gone
  }

  private put(job: JobRecord): JobRecord {
    this.jobs.set(job.id, job)
    return job
  }
}

/** A store in memory. `isShared` makes it look like one that other processes write to. */
export const makeMemory = (options: { readonly isShared?: boolean } = {}): JobStoreShape => {
  const memory = new Memory()
  return {
    kind: "memory",
    isShared: options.isShared ?? false,
    insert: (job) => Effect.suspend(() => memory.insert(job)),
    get: (jobId) => Effect.sync(() => memory.get(jobId)),
    list: (query) => Effect.sync(() => memory.list(query)),
    commit: (batch) => Effect.sync(() => memory.commit(batch)),
    read: (jobId, after, limits) => Effect.sync(() => memory.read(jobId, after, limits)),
    claim: (claim) => Effect.sync(() => memory.claim(claim)),
    claimable: (now, limit) => Effect.sync(() => memory.claimable(now, limit)),
    renew: (owner, leaseUntil) => Effect.sync(() => memory.renew(owner, leaseUntil)),
    release: (jobId, generation) => Effect.sync(() => memory.release(jobId, generation)),
    enqueue: (jobId, at) => Effect.sync(() => memory.enqueue(jobId, at)),
    requestCancel: (jobId) => Effect.sync(() => memory.requestCancel(jobId)),
    remove: (jobId) => Effect.sync(() => memory.remove(jobId)),
    retain: (retention) => Effect.sync(() => memory.retain(retention))
  }
}
