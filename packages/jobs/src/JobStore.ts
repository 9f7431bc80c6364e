/**
 * The storage port: jobs and their events. `EventLog` stands on it and is what programs append to and read from.
 *
 * A store decides where the bytes are and what a transaction is; what an append means is decided by one pure plan that all
 * stores apply, so that they agree. The same contract suite runs against each layer.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import { makeMemory } from "./internal/memoryStore.js"
import type { AppendRefused, JobExists, StoreFailed } from "./JobError.js"
import type { Entry, JobEvent } from "./JobEvent.js"
import type { JobState, Status } from "./JobState.js"

/**
 * A job as it is stored. `input` is encoded. Times are milliseconds of `Clock`.
 *
 * @since 0.1.0
 * @category models
 */
export interface JobRecord {
  readonly id: string
  /** Name of its definition. */
  readonly name: string
  readonly title: string | undefined
  /** Whose turn it takes when jobs wait for a place. */
  readonly turn: string
  readonly input: unknown
  readonly createdAt: number
  readonly state: JobState
  /** When it was asked to run; `undefined` while nobody has. */
  readonly queuedAt: number | undefined
  readonly cancelRequested: boolean
  /** Grows with each owner; an append with an older one is refused. */
  readonly generation: number
  readonly owner: string | undefined
  /** Until when the owner is taken to be alive; zero without one. */
  readonly leaseUntil: number
  /** Bytes of its events, as encoded. */
  readonly eventBytes: number
}

/**
 * What is known of a job when it is created.
 *
 * @since 0.1.0
 * @category models
 */
export interface NewJob {
  readonly id: string
  readonly name: string
  readonly title?: string | undefined
  readonly turn?: string | undefined
  readonly input: unknown
  readonly createdAt: number
  readonly queuedAt?: number | undefined
}

/**
 * Entries for one job, all or none of which are appended. `encoded` has the JSON of each entry's data.
 *
 * @since 0.1.0
 * @category models
 */
export interface AppendRequest {
  readonly jobId: string
  readonly generation: number
  readonly at: number
  readonly entries: ReadonlyArray<Entry>
  readonly encoded: ReadonlyArray<string>
}

/**
 * What became of an append: the events with their places, those that were there already included, and the record after
 * it. `isNew` says for each whether it was appended just now.
 *
 * @since 0.1.0
 * @category models
 */
export interface Appended {
  readonly events: ReadonlyArray<JobEvent>
  readonly isNew: ReadonlyArray<boolean>
  readonly record: JobRecord
}

/**
 * Which jobs to list: newest first, from `offset`.
 *
 * @since 0.1.0
 * @category models
 */
export interface ListQuery {
  readonly status?: Status | undefined
  readonly name?: string | undefined
  readonly offset: number
  readonly limit: number
}

/**
 * Who claims a job. `mayTakeOver`: also from an owner whose lease has not run out.
 *
 * @since 0.1.0
 * @category models
 */
export interface Claim {
  readonly jobId: string
  readonly owner: string
  readonly now: number
  readonly leaseUntil: number
  readonly mayTakeOver?: boolean | undefined
}

/**
 * What a retention may delete: terminal jobs that completed before `completedBefore`, and the oldest terminal ones while
 * all events together have more than `bytesMax` bytes. Jobs of `except` stay.
 *
 * @since 0.1.0
 * @category models
 */
export interface Retention {
  readonly completedBefore: number
  readonly bytesMax: number
  readonly except: ReadonlyArray<string>
}

/**
 * Shape of the port. Each operation is one transaction: it happens entirely or not at all, and what it returned stays
 * after a crash of the process.
 *
 * @since 0.1.0
 * @category models
 */
export interface JobStoreShape {
  readonly kind: string
  /** Whether other processes append to the same store; then whoever follows a log has to look from time to time. */
  readonly isShared: boolean
  insert(job: NewJob): Effect.Effect<JobRecord, JobExists | StoreFailed>
  get(jobId: string): Effect.Effect<Option.Option<JobRecord>, StoreFailed>
  list(query: ListQuery): Effect.Effect<
    { readonly items: ReadonlyArray<JobRecord>; readonly total: number },
    StoreFailed
  >
  /** Appends in the order of the requests, in one transaction; one that is refused does not touch the others. */
  commit(
    batch: ReadonlyArray<AppendRequest>
  ): Effect.Effect<ReadonlyArray<Either.Either<Appended, AppendRefused>>, StoreFailed>
  /**
   * Events after `after`, in order: at most `itemsMax`, and no more than `bytesMax` bytes but for the first one. Empty also
   * for a job that does not exist.
   */
  read(
    jobId: string,
    after: number,
    limits: { readonly itemsMax: number; readonly bytesMax: number }
  ): Effect.Effect<ReadonlyArray<JobEvent>, StoreFailed>
  /**
   * Makes somebody the owner of a job that has not ended and has no owner, or one whose lease has run out: the generation
   * grows. `None` when that is not so.
   */
  claim(claim: Claim): Effect.Effect<Option.Option<JobRecord>, StoreFailed>
  /** Jobs that were asked to run and have no owner, or one whose lease has run out; longest waiting first. */
  claimable(now: number, limit: number): Effect.Effect<ReadonlyArray<JobRecord>, StoreFailed>
  /** Extends the leases of an owner and returns its jobs that have not ended. */
  renew(owner: string, leaseUntil: number): Effect.Effect<ReadonlyArray<JobRecord>, StoreFailed>
  /** Gives a job back before the lease runs out. Ignored when the generation is not the current one. */
  release(jobId: string, generation: number): Effect.Effect<void, StoreFailed>
  /** Asks for a pending job to be run; `false` when that was asked before or it is not pending. */
  enqueue(jobId: string, at: number): Effect.Effect<boolean, StoreFailed>
  /** Asks whoever owns a job to cancel it. */
  requestCancel(jobId: string): Effect.Effect<void, StoreFailed>
  /** Deletes a job and its events; `false` when there is none. */
  remove(jobId: string): Effect.Effect<boolean, StoreFailed>
  /** Deletes whole terminal jobs and returns their ids. */
  retain(retention: Retention): Effect.Effect<ReadonlyArray<string>, StoreFailed>
}

/**
 * The storage port.
 *
 * @since 0.1.0
 * @category models
 */
export class JobStore extends Context.Tag("@spillway/jobs/JobStore")<JobStore, JobStoreShape>() {}

/**
 * A store in memory, which lasts as long as its layer. For tests, and for jobs that need not outlive the process.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerMemory: Layer.Layer<JobStore> = Layer.sync(JobStore, () => makeMemory())
