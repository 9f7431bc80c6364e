/**
 * The log of every job: append, read, follow.
 *
 * An append gets its place (gap-free from 1, per job) from the store and is durable before anybody sees it. Appends of all
 * jobs that come while the store is busy with the last batch go into the next one together (group commit), so no append
 * waits for company. Whoever follows a log reads it from the store until it has caught up, then from a short tail in
 * memory that all followers of the job share: they are told of a batch together, once, and those at the same place are
 * handed the same page. One that falls behind is back at the store. No follower holds a queue, nor any part of the tail.
 *
 * @since 0.1.0
 */
import * as Channel from "effect/Channel"
import * as Chunk from "effect/Chunk"
import * as Config from "effect/Config"
import type * as ConfigError from "effect/ConfigError"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { InvalidOption } from "spillway/SpillwayError"
import * as check from "./internal/check.js"
import * as configured from "./internal/configured.js"
import * as eventLog from "./internal/eventLog.js"
import type { AppendError, ReadError, StoreFailed } from "./JobError.js"
import type { Entry, JobEvent } from "./JobEvent.js"
import type { Appended } from "./JobStore.js"
import { JobStore } from "./JobStore.js"

/**
 * Limits of a log. Every field has a default in `defaults`.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface Options {
  /** Appends that wait for the store. Beyond, an append fails with `AppendQueueFull`. Default 10,000. */
  readonly queueItemsMax?: number
  /** Encoded bytes that wait for the store; as above. Default 16 MiB. */
  readonly queueBytesMax?: number
  /** Appends in one transaction; the rest waits for the next. Default 512. */
  readonly batchItemsMax?: number
  /** Encoded bytes of one event's data. Beyond, an append fails with `EventTooLarge`. Default 128 KiB. */
  readonly eventBytesMax?: number
  /** Time for one transaction; then its appends fail with `StoreFailed`. Default 30 s. */
  readonly commitTimeout?: Duration.DurationInput
  /** Events that a follower is given at once. Default 128. */
  readonly pageItemsMax?: number
  /** Encoded bytes that a follower is given at once, one event excepted. Default 256 KiB. */
  readonly pageBytesMax?: number
  /** Events that are kept in memory of a job that somebody follows. Default 256. */
  readonly tailItemsMax?: number
  /** Encoded bytes of the same. Default 256 KiB. */
  readonly tailBytesMax?: number
  /**
   * How often a store that other processes write to is looked into, once for all who follow a job. Default 250 ms.
   */
  readonly pollInterval?: Duration.DurationInput
  /** At the end, time for what waits to be appended. Default 5 s. */
  readonly flushTimeout?: Duration.DurationInput
}

/**
 * Options with every field present; durations are milliseconds.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface Resolved {
  readonly queueItemsMax: number
  readonly queueBytesMax: number
  readonly batchItemsMax: number
  readonly eventBytesMax: number
  readonly commitTimeout: number
  readonly pageItemsMax: number
  readonly pageBytesMax: number
  readonly tailItemsMax: number
  readonly tailBytesMax: number
  readonly pollInterval: number
  readonly flushTimeout: number
}

/**
 * The defaults.
 *
 * @since 0.1.0
 * @category configuration
 */
export const defaults: Resolved = Object.freeze({
  queueItemsMax: 10_000,
  queueBytesMax: 16 * 1024 * 1024,
  batchItemsMax: 512,
  eventBytesMax: 128 * 1024,
  commitTimeout: 30_000,
  pageItemsMax: 128,
  pageBytesMax: 256 * 1024,
  tailItemsMax: 256,
  tailBytesMax: 256 * 1024,
  pollInterval: 250,
  flushTimeout: 5_000
})

/**
 * A place in the log of one job from which one consumer reads on.
 *
 * @since 0.1.0
 * @category models
 */
export interface Reader {
  /**
   * The next events, at least one; `None` once the terminal event was given. Suspends until there is one. Interrupted,
   * nothing is lost.
   */
  readonly next: Effect.Effect<Option.Option<ReadonlyArray<JobEvent>>, ReadError>
  /**
   * Follows without a step of a fiber for each event: calls `take` with what is appended, where it is appended, as long as
   * this reader has caught up. The array and the events are those that all followers of the job get. `take` answers how
   * many of the events, from the first, it has taken; it must neither suspend nor throw, and should be short, since the
   * producer waits for its acknowledgement meanwhile.
   *
   * **Suspension and interruption.** Suspends as long as `take` takes everything; then, and at once when this reader has
   * not caught up, `next` goes on. Interrupted, nothing is lost.
   */
  live(take: (events: ReadonlyArray<JobEvent>) => number): Effect.Effect<void>
  /** Sequence of the last event that was given. */
  readonly seq: number
  /** Events that this process knows to come after it. */
  readonly behind: number
}

/**
 * Shape of the service.
 *
 * @since 0.1.0
 * @category models
 */
export interface EventLogShape {
  /**
   * Appends entries to a job, all or none, and returns when they are durable. `generation` is that of the claim under
   * which the job is worked on.
   *
   * **Details.** Appends of one job are made in the order of the calls. An entry with an id that the log has is not
   * appended again; its place is returned. Nothing can be appended after a terminal event.
   *
   * **Suspension and interruption.** Suspends until the store has it. Interrupted while it waits, nothing is appended;
   * interrupted later, the entries are appended all or none.
   *
   * **Errors** `Fenced`, `JobOver`, `IllegalTransition`, `JobNotFound`; `AppendQueueFull` and `EventTooLarge` at once;
   * `StoreFailed`, after which the entries may be there (all or none).
   */
  append(jobId: string, generation: number, entries: ReadonlyArray<Entry>): Effect.Effect<Appended, AppendError>
  /** Events after `after`, in order, at most a page; empty when there are none. */
  read(jobId: string, after: number, itemsMax?: number): Effect.Effect<ReadonlyArray<JobEvent>, StoreFailed>
  /** A reader of the events after `after`. While it is open, retention leaves the job alone. */
  reader(jobId: string, after: number): Effect.Effect<Reader, never, Scope.Scope>
  /** Tells followers that a job was deleted: they fail with `JobNotFound`. */
  forget(jobId: string): Effect.Effect<void>
  /** Jobs that somebody follows. */
  readonly followed: ReadonlyArray<string>
  /** What is held in memory; all zero when nothing waits and nobody follows. */
  readonly stats: Stats
}

/**
 * What a log holds in memory, and what it did.
 *
 * @since 0.1.0
 * @category models
 */
export interface Stats {
  readonly queuedItems: number
  readonly queuedBytes: number
  readonly followedJobs: number
  readonly followers: number
  readonly tailItems: number
  readonly tailBytes: number
  readonly appended: number
  readonly commits: number
  readonly failedCommits: number
}

/**
 * The log of every job.
 *
 * @since 0.1.0
 * @category models
 */
export class EventLog extends Context.Tag("@spillway/jobs/EventLog")<EventLog, EventLogShape>() {}

/**
 * Makes a log on a store. When its scope closes no append is taken any more, and what waits is appended within
 * `flushTimeout`.
 *
 * **Errors** `InvalidOption`, naming the option.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options = {}): Effect.Effect<EventLogShape, InvalidOption, JobStore | Scope.Scope> =>
  Effect.flatMap(JobStore, (store) => eventLog.make(store, { ...defaults, ...options }))

/**
 * The log as a layer.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options?: Options): Layer.Layer<EventLog, InvalidOption, JobStore> =>
  Layer.scoped(EventLog, make(options))

/**
 * The options as configuration. The keys are their names; what is not configured keeps its default. Use `Config.nested` for
 * a prefix.
 *
 * @since 0.1.0
 * @category configuration
 */
export const config: Config.Config<Options> = configured.byRules(check.logRules)

/**
 * The log as a layer, with options from configuration.
 *
 * **Errors** `ConfigError`, naming the key, when a value cannot be read or is not usable.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = (
  options: Config.Config<Options> = config
): Layer.Layer<EventLog, InvalidOption | ConfigError.ConfigError, JobStore> =>
  Layer.unwrapEffect(Effect.map(options, layer))

/**
 * The events of a job after `after`: first those that are stored, then those to come, each once and in order, whatever
 * happens at the moment of joining. Ends after the terminal event.
 *
 * **Errors** `JobNotFound`, also when the job is deleted meanwhile; `StoreFailed`.
 *
 * @example
 * import { EventLog, JobEvent, JobStore } from "@spillway/jobs"
 * import { Chunk, Effect, Layer, Option, Stream } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const store = yield* JobStore.JobStore
 *   const log = yield* EventLog.EventLog
 *   yield* store.insert({ id: "a", name: "count", input: null, createdAt: 0 })
 *   const claim = yield* store.claim({ jobId: "a", owner: "me", now: 0, leaseUntil: 1_000 })
 *   const { generation } = Option.getOrThrow(claim)
 *   yield* log.append("a", generation, [JobEvent.started(1, "me"), JobEvent.log("hello"), JobEvent.result(42)])
 *   return Chunk.toArray(yield* Stream.runCollect(EventLog.stream("a"))).map(({ kind, seq }) => [seq, kind])
 * })
 * const Live = Layer.provideMerge(EventLog.layer(), JobStore.layerMemory)
 * assert.deepStrictEqual(await Effect.runPromise(Effect.provide(program, Live)), [
 *   [1, "STARTED"],
 *   [2, "LOG"],
 *   [3, "RESULT"]
 * ])
 *
 * @since 0.1.0
 * @category constructors
 */
export const stream = (jobId: string, after = 0): Stream.Stream<JobEvent, ReadError, EventLog> =>
  Stream.unwrapScoped(
    Effect.flatMap(
      EventLog,
      (log) => Effect.map(log.reader(jobId, after), (reader) => Stream.fromChannel(pages(reader)))
    )
  )

/** The pages of a reader. Written out, since the combinators of `Stream` for this cost each page twice as much. */
const pages = (reader: Reader): Channel.Channel<Chunk.Chunk<JobEvent>, unknown, ReadError> => {
  const next = Channel.fromEffect(reader.next)
  const rest: Channel.Channel<Chunk.Chunk<JobEvent>, unknown, ReadError> = Channel.flatMap(
    next,
    (page) =>
      Option.isNone(page) ? Channel.void : Channel.zipRight(Channel.write(Chunk.unsafeFromArray(page.value)), rest)
  )
  return rest
}
