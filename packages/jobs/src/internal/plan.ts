/**
 * What a batch of appends does to a set of jobs: pure, and the same for every store. A store loads the records and the
 * places of known ids, applies the plan, and writes what it says in the same transaction.
 */
import * as Either from "effect/Either"
import type { AppendRefused } from "../JobError.js"
import { Fenced, IllegalTransition, JobNotFound, JobOver } from "../JobError.js"
import type { JobEvent } from "../JobEvent.js"
import * as JobState from "../JobState.js"
import type { Appended, AppendRequest, JobRecord } from "../JobStore.js"

/** An event to be inserted, with its data as JSON. */
export interface Insert {
  readonly event: JobEvent
  readonly json: string
  /** The id that the producer gave, if it did: only such ids are looked up. */
  readonly givenId: string | undefined
}

export interface Plan {
  readonly outcomes: ReadonlyArray<Either.Either<Appended, AppendRefused>>
  readonly inserts: ReadonlyArray<Insert>
  /** Records that changed, as they are after the batch. */
  readonly records: ReadonlyArray<JobRecord>
}

/** Key of an event id within its job. Ids of jobs hold no line break (`Job` makes them). */
export const keyOf = (jobId: string, eventId: string): string => `${jobId}\n${eventId}`

const utf8 = new TextEncoder()

export const byteLengthOf = (json: string): number => utf8.encode(json).byteLength

class Planner {
  readonly changed = new Map<string, JobRecord>()
  readonly inserts: Array<Insert> = []
  private readonly added = new Map<string, JobEvent>()

  constructor(
    private readonly records: ReadonlyMap<string, JobRecord>,
    private readonly known: ReadonlyMap<string, JobEvent>
  ) {}

  private find(key: string): JobEvent | undefined {
    return this.added.get(key) ?? this.known.get(key)
  }

  apply(request: AppendRequest): Either.Either<Appended, AppendRefused> {
    const { jobId } = request
    const record = this.changed.get(jobId) ?? this.records.get(jobId)
    if (record === undefined) return Either.left(new JobNotFound({ jobId }))
    if (request.generation !== record.generation) {
      return Either.left(new Fenced({ jobId, generation: request.generation, current: record.generation }))
    }
    return this.append(request, record)
  }

  private append(request: AppendRequest, record: JobRecord): Either.Either<Appended, AppendRefused> {
    const events: Array<JobEvent> = []
    const isNew: Array<boolean> = []
    const inserts: Array<Insert> = []
    let { eventBytes, state } = record
    for (const [index, { data, id, kind }] of request.entries.entries()) {
      const same = (other: Insert): boolean => id !== undefined && other.givenId === id
      const before = id === undefined
        ? undefined
        : this.find(keyOf(record.id, id)) ?? inserts.find(same)?.event
      if (before !== undefined) {
        events.push(before)
        isNew.push(false)
        continue
      }
      const seq = state.seq + 1
      const event: JobEvent = { jobId: record.id, seq, id: id ?? String(seq), at: request.at, kind, data }
      const next = JobState.step(state, event)
      if (next === undefined) return Either.left(this.refusal(record.id, state.status, kind))
      const json = request.encoded[index]!
      state = next
      eventBytes += byteLengthOf(json)
      events.push(event)
      isNew.push(true)
      inserts.push({ event, json, givenId: id })
    }
    return Either.right({ events, isNew, record: this.keep(record, state, eventBytes, inserts) })
  }

  private refusal(jobId: string, status: JobState.Status, kind: JobEvent["kind"]): AppendRefused {
    return JobState.isTerminal(status)
      ? new JobOver({ jobId, status })
      : new IllegalTransition({ jobId, status, kind })
  }

  private keep(
    record: JobRecord,
    state: JobState.JobState,
    eventBytes: number,
    inserts: ReadonlyArray<Insert>
  ): JobRecord {
    if (inserts.length === 0) return record
    const isOver = JobState.isTerminal(state.status)
    const next: JobRecord = {
      ...record,
      state,
      eventBytes,
      // Who has ended owns nothing and is asked nothing.
      ...(isOver ? { owner: undefined, leaseUntil: 0, queuedAt: undefined, cancelRequested: false } : {})
    }
    for (const insert of inserts) {
      this.inserts.push(insert)
      if (insert.givenId !== undefined) this.added.set(keyOf(record.id, insert.givenId), insert.event)
    }
    this.changed.set(record.id, next)
    return next
  }
}

/**
 * Plans a batch. `records` holds the jobs that it names, `known` the events of its given ids that exist, by `keyOf`.
 */
export const plan = (
  batch: ReadonlyArray<AppendRequest>,
  records: ReadonlyMap<string, JobRecord>,
  known: ReadonlyMap<string, JobEvent>
): Plan => {
  const planner = new Planner(records, known)
  const outcomes = batch.map((request) => planner.apply(request))
  return { outcomes, inserts: planner.inserts, records: [...planner.changed.values()] }
}

/** Whether a job can be claimed. */
export const isClaimable = (record: JobRecord, now: number, mayTakeOver: boolean): boolean =>
  !JobState.isTerminal(record.state.status) && (record.owner === undefined || record.leaseUntil <= now || mayTakeOver)
