/** The log on a store: one fiber commits, readers pull. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type { InvalidOption } from "spillway/SpillwayError"
import type { EventLogShape, Options, Reader, Resolved, Stats } from "../EventLog.js"
import type { AppendError, ReadError } from "../JobError.js"
import { AppendQueueFull, EventTooLarge, JobNotFound, StoreFailed } from "../JobError.js"
import * as JobEvent from "../JobEvent.js"
import * as JobState from "../JobState.js"
import type { Appended, AppendRequest, JobStoreShape } from "../JobStore.js"
import { AppendQueue, type Waiting } from "./appendQueue.js"
import { within } from "./bounded.js"
import { type Channel, Channels } from "./channels.js"
import * as check from "./check.js"
import * as metrics from "./jobMetrics.js"
import { byteLengthOf } from "./plan.js"

const closed = new StoreFailed({ operation: "append", why: "closed" })
const late = new StoreFailed({ operation: "append", why: "timeout" })

class ReaderImpl implements Reader {
  private isOver = false
  /** Whether the store may know more than the tail: at the beginning, say that the log ends at this very place. */
  private isSuspicious = true

  constructor(
    private readonly log: LogImpl,
    private readonly jobId: string,
    private readonly channel: Channel,
    public seq: number
  ) {}

  get behind(): number {
    return Math.max(0, (this.channel.lastSeq ?? 0) - this.seq)
  }

  private give(page: ReadonlyArray<JobEvent.JobEvent>): Option.Option<ReadonlyArray<JobEvent.JobEvent>> {
    const last = page.at(-1)!
    this.seq = last.seq
    this.isOver = JobEvent.isTerminal(last.kind)
    return Option.some(page)
  }

  readonly next: Effect.Effect<Option.Option<ReadonlyArray<JobEvent.JobEvent>>, ReadError> = Effect.suspend(() => {
    if (this.isOver) return Effect.succeedNone
    const { channel, jobId, log, seq } = this
    if (channel.isForgotten) return Effect.fail(new JobNotFound({ jobId }))
    // Read before the store is: what is appended meanwhile changes it.
    const { version } = channel
    const page = channel.page(seq)
    if (page !== undefined) return Effect.succeed(this.give(page))
    // Caught up with the tail: the bell rings for whatever this process appends.
    if (channel.lastSeq === seq && !this.isSuspicious) return Effect.zipRight(this.wait(version), this.next)
    this.isSuspicious = false
    return Effect.flatMap(log.read(jobId, seq), (stored) => {
      if (stored.length > 0) return Effect.succeed(this.give(stored))
      return Effect.zipRight(Effect.zipRight(this.checkEnd, this.wait(version)), this.next)
    })
  })

  /** Waits for the bell; where other processes write, not longer than until the next look into the store. */
  private wait(version: number): Effect.Effect<void> {
    const rung = this.channel.awaitChange(version)
    if (!this.log.store.isShared) return rung
    const look = Effect.map(Effect.sleep(this.log.options.pollInterval), () => {
      this.isSuspicious = true
    })
    return Effect.raceFirst(rung, look)
  }

  /** Nothing is stored after the place: perhaps nothing ever will be. */
  private readonly checkEnd: Effect.Effect<void, ReadError> = Effect.suspend(() =>
    Effect.flatMap(
      this.log.store.get(this.jobId),
      Option.match({
        onNone: () => Effect.fail(new JobNotFound({ jobId: this.jobId })),
        onSome: ({ state }) =>
          Effect.sync(() => {
            if (!JobState.isTerminal(state.status) || state.seq > this.seq) return
            this.isOver = true
            this.channel.ring()
          })
      })
    )
  )
}

class LogImpl implements EventLogShape {
  readonly queue: AppendQueue
  readonly channels: Channels
  isClosed = false
  appended = 0
  commits = 0
  failedCommits = 0
  private committing = false
  private giveUp: (() => void) | undefined = undefined
  /** How often in a row the watchdog has seen the same commit again. */
  private sightings = 0
  private onIdle: (() => void) | undefined = undefined

  constructor(readonly store: JobStoreShape, readonly options: Resolved) {
    this.queue = new AppendQueue(options.queueItemsMax, options.queueBytesMax)
    this.channels = new Channels(options)
  }

  append(
    jobId: string,
    generation: number,
    entries: ReadonlyArray<JobEvent.Entry>
  ): Effect.Effect<Appended, AppendError> {
    return Effect.flatMap(Clock.currentTimeMillis, (at) => {
      const encoded = entries.map(({ data }) => JSON.stringify(data ?? null))
      const sizes = encoded.map(byteLengthOf)
      const tooLarge = sizes.find((byteLength) => byteLength > this.options.eventBytesMax)
      if (tooLarge !== undefined) {
        return Effect.fail(new EventTooLarge({ byteLength: tooLarge, byteLengthMax: this.options.eventBytesMax }))
      }
      return this.enqueue({ jobId, generation, at, entries, encoded }, sizes.reduce((sum, size) => sum + size, 0))
    })
  }

  private enqueue(request: AppendRequest, byteLength: number): Effect.Effect<Appended, AppendError> {
    return Effect.async((resume) => {
      if (this.isClosed) return resume(Effect.fail(closed))
      const limit = this.queue.refuses(byteLength)
      if (limit !== undefined) {
        const max = limit === "items" ? this.options.queueItemsMax : this.options.queueBytesMax
        return resume(Effect.fail(new AppendQueueFull({ limit, max })))
      }
      const waiting: Waiting = { request, byteLength, settle: resume, state: "queued" }
      this.queue.add(waiting)
      return Effect.sync(() => this.queue.withdraw(waiting))
    })
  }

  /** Commits what waits, again and again. */
  readonly commitLoop: Effect.Effect<never> = Effect.forever(
    Effect.zipRight(
      Effect.async<void>((resume) => {
        const stop = this.queue.whenAny(() => resume(Effect.void))
        return Effect.sync(stop)
      }),
      Effect.suspend(() => this.commit(this.queue.take(this.options.batchItemsMax)))
    )
  )

  private commit(batch: ReadonlyArray<Waiting>): Effect.Effect<void> {
    if (batch.length === 0) return Effect.void
    this.committing = true
    return Effect.forkDaemon(this.store.commit(batch.map(({ request }) => request))).pipe(
      Effect.flatMap((fiber) =>
        Effect.async<Exit.Exit<ReadonlyArray<Either.Either<Appended, AppendError>>, StoreFailed>>((resume) => {
          fiber.addObserver((exit) => resume(Effect.succeed(exit)))
          this.giveUp = () => resume(Effect.succeed(Exit.fail(late)))
        })
      ),
      Effect.map((exit) => {
        this.giveUp = undefined
        this.committing = false
        this.commits++
        this.checkIdle()
        if (Exit.isSuccess(exit)) return this.publish(batch, exit.value)
        this.failedCommits++
        for (const { settle } of batch) settle(Effect.failCause(exit.cause))
      })
    )
  }

  /**
   * Gives up a commit that takes too long, within half as long again. One fiber that looks from time to time: a timeout for
   * each commit would cost more than most commits.
   */
  readonly watchdog: Effect.Effect<never> = Effect.suspend(() => {
    let watched = -1
    return Effect.forever(
      Effect.map(Effect.sleep(this.options.commitTimeout / 2), () => {
        const now = this.committing ? this.commits : -1
        // Seen twice, and then a third time: at least the timeout has passed.
        if (now !== -1 && now === watched) this.sightings++
        else this.sightings = 0
        watched = now
        if (this.sightings >= 2) this.giveUp?.()
      })
    )
  })

  /** Durable: only now anybody sees it, and the producers last. */
  private publish(
    batch: ReadonlyArray<Waiting>,
    outcomes: ReadonlyArray<Either.Either<Appended, AppendError>>
  ): void {
    const rung = new Set<Channel>()
    for (const [index, outcome] of outcomes.entries()) {
      if (Either.isLeft(outcome)) continue
      const { events, isNew } = outcome.right
      const { request } = batch[index]!
      const channel = this.channels.find(request.jobId)
      for (const [place, event] of events.entries()) {
        if (isNew[place] !== true) continue
        this.appended++
        metrics.events[event.kind].unsafeUpdate(1, [])
        channel?.push(event, byteLengthOf(request.encoded[place]!))
      }
      if (channel !== undefined) rung.add(channel)
    }
    for (const channel of rung) channel.ring()
    for (const [index, outcome] of outcomes.entries()) batch[index]!.settle(outcome)
  }

  read(jobId: string, after: number, itemsMax: number = this.options.pageItemsMax) {
    return this.store.read(jobId, after, { itemsMax, bytesMax: this.options.pageBytesMax })
  }

  reader(jobId: string, after: number): Effect.Effect<Reader, never, Scope.Scope> {
    return Effect.map(
      Effect.acquireRelease(
        Effect.sync(() => {
          metrics.followers.unsafeModify(1, [])
          return this.channels.open(jobId)
        }),
        (channel) =>
          Effect.sync(() => {
            metrics.followers.unsafeModify(-1, [])
            this.channels.close(jobId, channel)
          })
      ),
      (channel) => new ReaderImpl(this, jobId, channel, after)
    )
  }

  forget(jobId: string): Effect.Effect<void> {
    return Effect.sync(() => this.channels.forget(jobId))
  }

  get followed(): ReadonlyArray<string> {
    return this.channels.ids
  }

  get stats(): Stats {
    return {
      queuedItems: this.queue.items,
      queuedBytes: this.queue.bytes,
      followedJobs: this.channels.size,
      followers: this.channels.sum(({ followers }) => followers),
      tailItems: this.channels.sum(({ items }) => items),
      tailBytes: this.channels.sum(({ bytes }) => bytes),
      appended: this.appended,
      commits: this.commits,
      failedCommits: this.failedCommits
    }
  }

  private checkIdle(): void {
    if (this.queue.items === 0 && !this.committing) this.onIdle?.()
  }

  /** Takes no more, waits for what waits, then stops the loop. What is left then fails. */
  close(loop: Fiber.RuntimeFiber<never>): Effect.Effect<void> {
    const idle = Effect.async<void>((resume) => {
      this.onIdle = () => resume(Effect.void)
      this.checkIdle()
    })
    return Effect.suspend(() => {
      this.isClosed = true
      return within(idle, this.options.flushTimeout)
    }).pipe(
      Effect.zipRight(Effect.sync(() => {
        loop.unsafeInterruptAsFork(loop.id())
        for (const { settle } of this.queue.take(Infinity)) settle(Effect.fail(closed))
      }))
    )
  }
}

const rules = {
  counts: [
    "queueItemsMax",
    "queueBytesMax",
    "batchItemsMax",
    "eventBytesMax",
    "pageItemsMax",
    "pageBytesMax",
    "tailItemsMax",
    "tailBytesMax"
  ],
  durations: ["commitTimeout", "pollInterval", "flushTimeout"]
}

export const make = (
  store: JobStoreShape,
  options: Required<Options>
): Effect.Effect<EventLogShape, InvalidOption, Scope.Scope> =>
  Effect.gen(function*() {
    const log = new LogImpl(store, yield* check.resolve<Resolved>("EventLog", { ...options }, rules))
    yield* Effect.forkScoped(log.watchdog)
    // A fiber inherits the mask of where it is forked, and this one is ended by interruption.
    yield* Effect.acquireRelease(Effect.forkDaemon(Effect.interruptible(log.commitLoop)), (loop) => log.close(loop))
    return log
  })
