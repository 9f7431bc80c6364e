/** The log on a store: one fiber commits, and rings once for each job in the batch. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type { InvalidOption } from "spillway/SpillwayError"
import type { EventLogShape, Options, Reader, Resolved, Stats } from "../EventLog.js"
import type { AppendError } from "../JobError.js"
import { AppendQueueFull, EventTooLarge, StoreFailed } from "../JobError.js"
import * as JobEvent from "../JobEvent.js"
import * as JobState from "../JobState.js"
import type { Appended, AppendRequest, JobStoreShape } from "../JobStore.js"
import { AppendQueue, type Waiting } from "./appendQueue.js"
import { within } from "./bounded.js"
import { type Channel, Channels } from "./channels.js"
import * as check from "./check.js"
import * as metrics from "./jobMetrics.js"
import { byteLengthOf } from "./plan.js"
import { ReaderImpl } from "./reader.js"

const closed = new StoreFailed({ operation: "append", why: "closed" })
const late = new StoreFailed({ operation: "append", why: "timeout" })

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
        metrics.failedCommits.unsafeUpdate(1, [])
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
    return Effect.acquireRelease(
      Effect.suspend(() => {
        metrics.followers.unsafeModify(1, [])
        const channel = this.channels.of(jobId)
        const reader = new ReaderImpl(this, jobId, channel, after)
        channel.join(reader)
        const isAlone = channel.stopLooking === undefined && this.store.isShared
        return Effect.as(isAlone ? this.startLooking(jobId, channel) : Effect.void, reader)
      }),
      (reader) =>
        Effect.sync(() => {
          metrics.followers.unsafeModify(-1, [])
          this.channels.close(jobId, reader.channel, reader)
        })
    )
  }

  get(jobId: string) {
    return this.store.get(jobId)
  }

  /** Looks, for all who follow a job together, for what other processes append to it. */
  private startLooking(jobId: string, channel: Channel): Effect.Effect<void> {
    const looks = Effect.forever(Effect.zipRight(Effect.sleep(this.options.pollInterval), this.look(jobId, channel)))
    // A fiber inherits the mask of where it is forked, and this one is ended by interruption.
    return Effect.map(Effect.forkDaemon(Effect.interruptible(looks)), (fiber) => {
      channel.stopLooking = () => fiber.unsafeInterruptAsFork(fiber.id())
    })
  }

  private look(jobId: string, channel: Channel): Effect.Effect<void> {
    return Effect.suspend(() => {
      const after = channel.waitsAfter
      if (after === undefined) return Effect.void
      return Effect.flatMap(
        this.readOn(jobId, channel, after),
        (last) => last > after ? Effect.void : this.lookForEnd(jobId, channel)
      )
    }).pipe(Effect.catchAll(() => Effect.sync(() => channel.doubt())))
  }

  /** Reads to the end of what is stored, and returns the last place. */
  private readOn(jobId: string, channel: Channel, after: number): Effect.Effect<number, StoreFailed> {
    return Effect.flatMap(this.read(jobId, after), (found) => {
      const last = found.at(-1)
      if (last === undefined) return Effect.succeed(after)
      this.learn(channel, found)
      return this.readOn(jobId, channel, last.seq)
    })
  }

  private lookForEnd(jobId: string, channel: Channel): Effect.Effect<void, StoreFailed> {
    return Effect.map(
      this.store.get(jobId),
      Option.match({
        onNone: () => this.channels.forget(jobId),
        onSome: ({ state }) => {
          if (JobState.isTerminal(state.status)) channel.end(state.seq)
        }
      })
    )
  }

  /** What another process has appended joins the tail, unless something newer was there first. */
  private learn(channel: Channel, found: ReadonlyArray<JobEvent.JobEvent>): void {
    for (const event of found) {
      if (event.seq > (channel.lastSeq ?? 0)) channel.push(event, byteLengthOf(JSON.stringify(event.data ?? null)))
    }
    channel.ring()
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
        this.channels.stopLooking()
        for (const { settle } of this.queue.take(Infinity)) settle(Effect.fail(closed))
      }))
    )
  }
}

export const make = (
  store: JobStoreShape,
  options: Required<Options>
): Effect.Effect<EventLogShape, InvalidOption, Scope.Scope> =>
  Effect.gen(function*() {
    const log = new LogImpl(store, yield* check.resolve<Resolved>("EventLog", { ...options }, check.logRules))
    yield* Effect.forkScoped(log.watchdog)
    // A fiber inherits the mask of where it is forked, and this one is ended by interruption.
    yield* Effect.acquireRelease(Effect.forkDaemon(Effect.interruptible(log.commitLoop)), (loop) => log.close(loop))
    return log
  })
