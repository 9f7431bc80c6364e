/** The runner: who waits for a place, who runs, and who is looked after because its owner is gone. */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { InvalidOption } from "spillway/SpillwayError"
import type { EventLogShape } from "../EventLog.js"
import type { Any, Handler, Job } from "../Job.js"
import type { AppendError, ReadError } from "../JobError.js"
import { InvalidInput, JobNotFound, JobOver, JobQueueFull, StoreFailed, UnknownJob } from "../JobError.js"
import * as JobEvent from "../JobEvent.js"
import type { CreateOptions, JobRunnerShape, Options, Resolved, Snapshot } from "../JobRunner.js"
import * as JobState from "../JobState.js"
import type { JobRecord, JobStoreShape } from "../JobStore.js"
import { within } from "./bounded.js"
import * as check from "./check.js"
import { FairQueue } from "./fairQueue.js"
import { explain, idForm, randomId } from "./ids.js"
import * as metrics from "./jobMetrics.js"
import { type Ending, type Environment, Running } from "./running.js"

interface Services {
  readonly log: EventLogShape
  readonly store: JobStoreShape
  readonly handlers: ReadonlyArray<Handler>
}

/** Jobs that a look for work takes in at once. */
const sweepJobsMax = 256

class RunnerImpl implements JobRunnerShape {
  private readonly handlers: ReadonlyMap<string, Handler>
  private readonly queue = new FairQueue((change) => metrics.queued.unsafeModify(change, []))
  private readonly running = new Map<string, Running>()
  private readonly environment: Environment
  private readonly log: EventLogShape
  private readonly store: JobStoreShape
  /** Jobs whose claim is under way: nobody else here may start one. */
  private readonly claiming = new Set<string>()
  private stuck = 0
  private isClosing = false
  private isFirstSweep = true
  private renewedAt = 0
  private retainedAt = 0

  constructor(
    services: Services,
    private readonly options: Resolved,
    readonly owner: string,
    private readonly bell: Queue.Queue<void>
  ) {
    this.log = services.log
    this.store = services.store
    this.handlers = new Map(services.handlers.map((handler) => [handler.job.name, handler]))
    this.environment = {
      log: services.log,
      owner,
      ackTimeout: options.ackTimeout,
      shutdownGrace: options.shutdownGrace,
      onStuck: () => {
        this.stuck++
      }
    }
  }

  get snapshot(): Snapshot {
    return { running: [...this.running.keys()], queued: this.queue.size, stuck: this.stuck, owner: this.owner }
  }

  // ---------------------------------------------------------------------------
  // What callers ask for
  // ---------------------------------------------------------------------------

  create<Input, Event, Output>(job: Job<Input, Event, Output>, input: Input, options: CreateOptions = {}) {
    return Effect.flatMap(
      Effect.mapError(Schema.encode(job.input)(input), explain),
      (encoded) => this.insert(job, encoded, options)
    )
  }

  createEncoded(name: string, input: unknown, options: CreateOptions = {}) {
    return Effect.suspend(() => {
      const job = this.handlers.get(name)?.job
      if (job === undefined) return Effect.fail(new UnknownJob({ name }))
      return Effect.zipRight(
        Effect.mapError(Schema.decodeUnknown(job.input)(input), explain),
        this.insert(job, input, options)
      )
    })
  }

  private insert(job: Any, input: unknown, { id, start = true, title, turn = job.name }: CreateOptions) {
    return Effect.gen(this, function*() {
      if (id !== undefined && !idForm.test(id)) {
        return yield* new InvalidInput({
          explanation: "an id has 1 to 100 letters, digits, dots, dashes and underscores"
        })
      }
      const isHere = this.handlers.has(job.name)
      if (!isHere && !this.store.isShared) return yield* new UnknownJob({ name: job.name })
      if (start && isHere) yield* this.room
      const createdAt = yield* Clock.currentTimeMillis
      const jobId = id ?? (yield* randomId)
      const record = yield* this.store.insert({
        id: jobId,
        name: job.name,
        title,
        turn,
        input,
        createdAt,
        queuedAt: start ? createdAt : undefined
      })
      if (start && isHere) this.wait(record)
      return record
    })
  }

  private readonly room: Effect.Effect<void, JobQueueFull> = Effect.suspend(() =>
    this.queue.size < this.options.queuedJobsMax
      ? Effect.void
      : Effect.fail(new JobQueueFull({ jobsMax: this.options.queuedJobsMax }))
  )

  private get(jobId: string): Effect.Effect<JobRecord, ReadError> {
    return Effect.flatMap(
      this.store.get(jobId),
      Option.match({
        onNone: () => Effect.fail(new JobNotFound({ jobId })),
        onSome: (record) => Effect.succeed(record)
      })
    )
  }

  start(jobId: string) {
    return Effect.gen(this, function*() {
      const record = yield* this.get(jobId)
      const { status } = record.state
      if (JobState.isTerminal(status)) return yield* new JobOver({ jobId, status })
      if (status === "RUNNING" || record.queuedAt !== undefined) return "existing" as const
      const isHere = this.handlers.has(record.name)
      if (!isHere && !this.store.isShared) return yield* new UnknownJob({ name: record.name })
      if (isHere) yield* this.room
      if (!(yield* this.store.enqueue(jobId, yield* Clock.currentTimeMillis))) return "existing" as const
      if (isHere) this.wait(record)
      return "started" as const
    })
  }

  cancel(jobId: string, message?: string): Effect.Effect<JobRecord, AppendError> {
    return Effect.gen(this, function*() {
      const running = this.running.get(jobId)
      if (running !== undefined) {
        running.unsafeEnd({ _tag: "cancel", message })
        return yield* this.cancelled(yield* this.ended(jobId, running))
      }
      const record = yield* this.get(jobId)
      const { status } = record.state
      if (JobState.isTerminal(status)) return yield* new JobOver({ jobId, status })
      yield* this.store.requestCancel(jobId)
      this.queue.remove(jobId)
      const written = yield* this.whileClaiming(jobId, this.cancelUnowned(jobId, message))
      return yield* Option.match(written, {
        onNone: () => Effect.flatMap(this.awaitEnd(jobId), (record) => this.cancelled(record)),
        onSome: (record) => Effect.succeed(record)
      })
    })
  }

  private cancelUnowned(jobId: string, message?: string): Effect.Effect<Option.Option<JobRecord>, AppendError> {
    return Effect.flatMap(
      this.claim(jobId),
      Option.match({
        onNone: () => Effect.succeedNone,
        onSome: ({ generation }) =>
          Effect.map(
            this.log.append(jobId, generation, [JobEvent.cancelled(message)]),
            ({ record }) => Option.some(record)
          )
      })
    )
  }

  private ended(jobId: string, running: Running): Effect.Effect<JobRecord, ReadError> {
    return Effect.flatMap(Deferred.await(running.outcome), (outcome) =>
      outcome._tag === "ended"
        ? Effect.succeed(outcome.record)
        : outcome._tag === "unwritten"
        ? Effect.fail(new StoreFailed({ operation: "cancel", why: "other" }))
        : this.awaitEnd(jobId))
  }

  private cancelled(record: JobRecord): Effect.Effect<JobRecord, JobOver> {
    const { status } = record.state
    return status === "CANCELLED" ? Effect.succeed(record) : Effect.fail(new JobOver({ jobId: record.id, status }))
  }

  remove(jobId: string) {
    return Effect.gen(this, function*() {
      yield* Effect.catchTag(this.cancel(jobId, "deleted"), "JobOver", () => Effect.void)
      if (!(yield* this.store.remove(jobId))) return yield* new JobNotFound({ jobId })
      yield* this.log.forget(jobId)
    })
  }

  awaitEnd(jobId: string): Effect.Effect<JobRecord, ReadError> {
    return Effect.scoped(Effect.gen(this, function*() {
      const { state } = yield* this.get(jobId)
      const reader = yield* this.log.reader(jobId, state.seq)
      let page = yield* reader.next
      while (Option.isSome(page)) page = yield* reader.next
      return yield* this.get(jobId)
    }))
  }

  // ---------------------------------------------------------------------------
  // Who waits, and who runs
  // ---------------------------------------------------------------------------

  private wait(record: JobRecord): void {
    if (this.isClosing || this.running.has(record.id) || this.claiming.has(record.id)) return
    if (this.queue.add(record.id, record.turn)) this.bell.unsafeOffer(undefined)
  }

  /** Starts jobs while there are places, whenever the bell rings. */
  readonly pump: Effect.Effect<never> = Effect.forever(
    Effect.zipRight(Effect.suspend(() => Queue.take(this.bell)), Effect.suspend(() => this.fill))
  )

  private readonly fill: Effect.Effect<void> = Effect.suspend(() => {
    if (this.isClosing || this.running.size + this.claiming.size >= this.options.concurrencyMax) return Effect.void
    const jobId = this.queue.take()
    return jobId === undefined ? Effect.void : Effect.zipRight(this.begin(jobId), this.fill)
  })

  private claim(jobId: string, mayTakeOver = false): Effect.Effect<Option.Option<JobRecord>, StoreFailed> {
    return Effect.flatMap(
      Clock.currentTimeMillis,
      (now) => this.store.claim({ jobId, owner: this.owner, now, leaseUntil: now + this.options.lease, mayTakeOver })
    )
  }

  private begin(jobId: string): Effect.Effect<void> {
    const taken = Effect.flatMap(
      this.claim(jobId, !this.store.isShared),
      Option.match({ onNone: () => Effect.void, onSome: (record) => this.take(record) })
    )
    return this.whileClaiming(jobId, taken).pipe(
      Effect.catchAll((error) => Effect.logWarning("a job could not be claimed; it is looked for again", error)),
      Effect.uninterruptible
    )
  }

  private whileClaiming<A, E>(jobId: string, effect: Effect.Effect<A, E>): Effect.Effect<A, E> {
    return Effect.acquireUseRelease(
      Effect.sync(() => this.claiming.add(jobId)),
      () => effect,
      () => Effect.sync(() => this.claiming.delete(jobId))
    )
  }

  /** What is to be done with a job that is ours now. */
  private take(record: JobRecord): Effect.Effect<void, AppendError> {
    const handler = this.handlers.get(record.name)
    const end = (entries: ReadonlyArray<JobEvent.Entry>) =>
      Effect.asVoid(this.log.append(record.id, record.generation, entries))
    if (record.cancelRequested) return end([JobEvent.cancelled()])
    const { attempt, status } = record.state
    const isLost = status === "RUNNING"
    const first = isLost ? [] : [JobEvent.started(1, this.owner)]
    if (handler === undefined) return end([...first, JobEvent.error("unknown", `nobody runs "${record.name}"`)])
    if (isLost && (handler.job.onLost === "fail" || attempt >= handler.job.attemptsMax)) {
      return end([JobEvent.error("lost", `whoever ran it is gone, in attempt ${attempt}`)])
    }
    return this.launch(new Running(this.environment, record, handler))
  }

  private launch(running: Running): Effect.Effect<void> {
    const { id } = running.record
    this.running.set(id, running)
    const after = Effect.flatMap(Deferred.await(running.outcome), (outcome) => {
      this.running.delete(id)
      this.bell.unsafeOffer(undefined)
      return outcome._tag === "released"
        ? Effect.ignoreLogged(this.store.release(id, running.generation))
        : Effect.void
    })
    // Its fiber inherits the mask of whoever started it, and what it runs has to be interruptible.
    return Effect.asVoid(Effect.forkDaemon(Effect.interruptible(Effect.zipRight(running.run, after))))
  }

  // ---------------------------------------------------------------------------
  // What happens from time to time
  // ---------------------------------------------------------------------------

  readonly sweeps: Effect.Effect<never> = Effect.suspend(() => {
    const every = this.store.isShared ? this.options.pollInterval : this.options.lease / 3
    return Effect.forever(
      Effect.zipRight(
        Effect.catchAllCause(this.sweep, (cause) => Effect.logWarning("the job store does not answer", cause)),
        Effect.sleep(every)
      )
    )
  })

  private readonly sweep: Effect.Effect<void, StoreFailed> = Effect.gen(this, function*() {
    const now = yield* Clock.currentTimeMillis
    yield* this.renew(now)
    // Of a store that only one process has open, every owner is gone when that process starts.
    const everything = this.isFirstSweep && !this.store.isShared
    const found = yield* this.store.claimable(everything ? Number.MAX_SAFE_INTEGER : now, sweepJobsMax)
    this.isFirstSweep = false
    for (const record of found) {
      if (this.queue.size >= this.options.queuedJobsMax) break
      if (this.handlers.has(record.name) || !this.store.isShared) this.wait(record)
    }
    if (now - this.retainedAt >= this.options.retentionInterval) {
      this.retainedAt = now
      yield* this.retain(now)
    }
  })

  private renew(now: number): Effect.Effect<void, StoreFailed> {
    // One that is claimed meanwhile may be missing in the answer.
    const before = [...this.running]
    return Effect.matchEffect(this.store.renew(this.owner, now + this.options.lease), {
      onFailure: (error) => {
        // Whoever looks now may take the jobs over: they must not run twice.
        if (now - this.renewedAt >= this.options.lease) this.endAll({ _tag: "fenced" })
        return Effect.fail(error)
      },
      onSuccess: (records) => {
        this.renewedAt = now
        const owned = new Map(records.map((record) => [record.id, record]))
        for (const [jobId, running] of before) {
          const record = owned.get(jobId)
          if (record?.cancelRequested === true) running.unsafeEnd({ _tag: "cancel", message: undefined })
          // One that has just ended is owned by nobody; to end it once more changes nothing.
          if (record?.generation !== running.generation) running.unsafeEnd({ _tag: "fenced" })
        }
        // Whose end could not be written: it is given back, and found as lost.
        const left = records.filter(({ id }) => !this.running.has(id) && !this.claiming.has(id))
        return Effect.forEach(left, ({ generation, id }) => this.store.release(id, generation), { discard: true })
      }
    })
  }

  private retain(now: number): Effect.Effect<void, StoreFailed> {
    return Effect.flatMap(
      this.store.retain({
        completedBefore: now - this.options.retentionAge,
        bytesMax: this.options.retentionBytesMax,
        except: this.log.followed
      }),
      (gone) => gone.length === 0 ? Effect.void : Effect.logInfo(`deleted ${gone.length} jobs that ended long ago`)
    )
  }

  private endAll(ending: Ending): void {
    for (const running of this.running.values()) running.unsafeEnd(ending)
  }

  /** Takes no more jobs and waits for those that run, within their grace. */
  close(loops: ReadonlyArray<Fiber.RuntimeFiber<never>>): Effect.Effect<void> {
    const { ackTimeout, shutdownGrace } = this.options
    return Effect.suspend(() => {
      this.isClosing = true
      this.queue.clear()
      for (const loop of loops) loop.unsafeInterruptAsFork(loop.id())
      this.endAll({ _tag: "shutdown" })
      const over = Effect.zipRight(
        Fiber.awaitAll(loops),
        Effect.suspend(() => {
          this.endAll({ _tag: "shutdown" })
          return Effect.forEach(this.running.values(), (running) => Deferred.await(running.outcome), { discard: true })
        })
      )
      return within(over, shutdownGrace + ackTimeout + 1_000)
    })
  }
}

export const make = (
  services: Services,
  options: Required<Options>
): Effect.Effect<JobRunnerShape, InvalidOption, Scope.Scope> =>
  Effect.gen(function*() {
    const resolved = yield* check.resolve<Resolved>("JobRunner", { ...options }, check.runnerRules)
    const bell = yield* Queue.sliding<void>(1)
    const runner = new RunnerImpl(services, resolved, yield* randomId, bell)
    yield* Effect.acquireRelease(
      // A fiber inherits the mask of where it is forked, and these are ended by interruption.
      Effect.all([runner.pump, runner.sweeps].map((loop) => Effect.forkDaemon(Effect.interruptible(loop)))),
      (loops) => runner.close(loops)
    )
    return runner
  })
