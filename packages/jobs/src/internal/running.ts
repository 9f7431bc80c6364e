/** One attempt at one job: its handler in a fiber of its own, and the supervision that ends it with one terminal event. */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as Label from "spillway/Label"
import * as Tasks from "spillway/Tasks"
import type { EventLogShape } from "../EventLog.js"
import type { Handler, JobContext } from "../Job.js"
import type { AppendError, HandlerFailed } from "../JobError.js"
import { JobOver } from "../JobError.js"
import * as JobEvent from "../JobEvent.js"
import * as JobState from "../JobState.js"
import type { Appended, JobRecord } from "../JobStore.js"
import * as metrics from "./jobMetrics.js"

/** Why an attempt is ended from outside. */
export type Ending =
  | { readonly _tag: "cancel"; readonly message: string | undefined }
  | { readonly _tag: "shutdown" }
  | { readonly _tag: "fenced" }

/** How an attempt went: the record after its terminal event, or why it left none. */
export type Outcome =
  | { readonly _tag: "ended"; readonly record: JobRecord }
  | { readonly _tag: "released" }
  | { readonly _tag: "fenced" }
  | { readonly _tag: "unwritten" }

const label = Label.make("jobs")

const textBytesMax = 4_096

const cut = (text: string): string => text.length <= textBytesMax ? text : `${text.slice(0, textBytesMax)} ...`

/** Terminal entry for how a handler ended by itself. */
const entryOf = (exit: Exit.Exit<unknown, HandlerFailed>): JobEvent.Entry => {
  if (Exit.isSuccess(exit)) return JobEvent.result(exit.value)
  const failure = Cause.failureOption(exit.cause)
  return Option.isSome(failure)
    ? JobEvent.error("failed", cut(failure.value.message))
    : JobEvent.error("died", cut(Cause.isInterruptedOnly(exit.cause) ? "interrupted" : Cause.pretty(exit.cause)))
}

/** What may be gone in a moment is tried again for a minute. */
const patience = Schedule.exponential(100).pipe(Schedule.union(Schedule.spaced(5_000)), Schedule.upTo(60_000))

const mayPass = (error: AppendError): boolean => error._tag === "StoreFailed" || error._tag === "AppendQueueFull"

const measure = ({ state }: JobRecord, seconds: number): void => {
  // Narrower than `JobState.isTerminal`, which an outcome has by what it is.
  const status = state.status === "SUCCEEDED" || state.status === "CANCELLED" ? state.status : "FAILED"
  metrics.jobs[status].unsafeUpdate(1, [])
  metrics.duration[status].unsafeUpdate(seconds, [])
}

export interface Environment {
  readonly log: EventLogShape
  readonly owner: string
  readonly ackTimeout: number
  readonly shutdownGrace: number
  readonly onStuck: () => void
}

export class Running {
  private ending: Ending | undefined = undefined
  private readonly end = Deferred.unsafeMake<void>(FiberId.none)
  readonly outcome = Deferred.unsafeMake<Outcome>(FiberId.none)
  private isOpen = true
  private progress: JobState.JobState

  constructor(
    private readonly environment: Environment,
    readonly record: JobRecord,
    private readonly handler: Handler
  ) {
    this.progress = record.state
  }

  get generation(): number {
    return this.record.generation
  }

  /** Ends the attempt; the first reason counts. */
  unsafeEnd(ending: Ending): void {
    this.ending ??= ending
    Deferred.unsafeDone(this.end, Effect.void)
  }

  private append(entries: ReadonlyArray<JobEvent.Entry>): Effect.Effect<Appended, AppendError> {
    return this.environment.log.append(this.record.id, this.record.generation, entries)
  }

  /** As `append`, for the handler: refused once the attempt is over, and noticed when somebody else has the job. */
  private appendOpen(entry: JobEvent.Entry): Effect.Effect<Appended, AppendError> {
    return Effect.suspend(() => {
      if (!this.isOpen) return Effect.fail(new JobOver({ jobId: this.record.id, status: "over" }))
      return Effect.tapError(this.append([entry]), (error) =>
        Effect.sync(() => {
          if (error._tag === "Fenced" || error._tag === "JobNotFound") this.unsafeEnd({ _tag: "fenced" })
        }))
    })
  }

  private context(attempt: number, before: number): JobContext<unknown> {
    const { log } = this.environment
    const { id } = this.record
    const readAfter = (after: number) =>
      Effect.map(log.read(id, after), (page) => {
        const mine = page.filter(({ seq }) => seq <= before)
        const last = mine.at(-1)
        return [mine, last === undefined || last.seq === before ? Option.none() : Option.some(last.seq)] as const
      })
    return {
      jobId: id,
      attempt,
      emit: (data, options) =>
        Effect.map(this.appendOpen(JobEvent.message(data, options?.id)), ({ events }) => events[0]!.seq),
      log: (line, level) => Effect.asVoid(this.appendOpen(JobEvent.log(line, level))),
      progress: (value, about) => this.move(value, about),
      history: Stream.flattenIterables(Stream.paginateEffect(0, readAfter))
    }
  }

  private move(value: number, about: { readonly stage?: string; readonly message?: string } = {}) {
    return Effect.suspend(() => {
      const entry = JobEvent.progress(value, about.stage, about.message)
      const next = JobState.step({ ...this.progress, status: "RUNNING" }, { ...entry, seq: 0, at: 0 })!
      const isWorthIt = JobState.isVisibleChange({ ...this.progress, status: "RUNNING" }, next) ||
        (next.progress === 1 && this.progress.progress < 1)
      if (!isWorthIt) return Effect.void
      return Effect.map(this.appendOpen(entry), () => {
        this.progress = next
      })
    })
  }

  /** The whole attempt. Never fails; what it leaves is its outcome. */
  readonly run: Effect.Effect<void> = Effect.suspend(() => {
    metrics.active.unsafeModify(1, [])
    return this.attempt.pipe(
      Effect.annotateLogs({ jobId: this.record.id, job: this.record.name }),
      Effect.catchAllCause((cause) => Effect.as(Effect.logError("a job could not be supervised", cause), unwritten)),
      Effect.flatMap((outcome) => {
        metrics.active.unsafeModify(-1, [])
        return Deferred.succeed(this.outcome, outcome)
      })
    )
  })

  private readonly attempt: Effect.Effect<Outcome> = Effect.gen(this, function*() {
    const number = this.record.state.attempt + 1
    const started = yield* Effect.either(this.persist([JobEvent.started(number, this.environment.owner)]))
    if (started._tag === "Left") return yield* this.refused(started.left)
    const begunAt = yield* Clock.currentTimeMillis
    const work = Effect.scoped(this.handler.run(
      this.record.input,
      this.context(number, this.record.state.seq)
    ))
    const fiber = yield* Effect.forkDaemon(Effect.interruptible(work))
    const { maxDurationMillis } = this.handler.job
    const first = yield* Effect.raceFirst(
      Effect.as(Fiber.await(fiber), "by itself" as const),
      Effect.as(Deferred.await(this.end), "told" as const)
    ).pipe(Effect.timeoutTo({
      duration: maxDurationMillis,
      onTimeout: () => "late" as const,
      onSuccess: (value) => value
    }))
    if (first !== "by itself") yield* this.stop(fiber, first === "told" && this.ending?._tag === "shutdown")
    this.isOpen = false
    const outcome = yield* this.conclude(first, fiber.unsafePoll())
    const seconds = ((yield* Clock.currentTimeMillis) - begunAt) / 1000
    const status = outcome._tag === "ended" ? outcome.record.state.status : outcome._tag
    if (outcome._tag === "ended") measure(outcome.record, seconds)
    yield* Effect.logInfo(`job ended: ${status} after ${seconds} s`)
    return outcome
  })

  /** Interrupts the handler, after a grace when the runner shuts down; gives it up when it ignores that. */
  private stop(fiber: Fiber.RuntimeFiber<unknown, unknown>, withGrace: boolean): Effect.Effect<void> {
    const { ackTimeout, onStuck, shutdownGrace } = this.environment
    return Effect.map(
      Tasks.drainTasks([fiber], {
        label,
        mode: withGrace ? "grace" : "cancel",
        // In mode `cancel` this is the time to acknowledge.
        timeout: withGrace ? shutdownGrace : ackTimeout,
        ackTimeout: withGrace ? ackTimeout : 0
      }),
      ({ stuck }) => {
        if (stuck.length === 0) return
        metrics.stuck.unsafeUpdate(1, [])
        onStuck()
      }
    )
  }

  private conclude(
    first: "by itself" | "told" | "late",
    exit: Exit.Exit<unknown, HandlerFailed> | null
  ): Effect.Effect<Outcome> {
    const ending = this.ending
    if (first === "late") {
      const seconds = this.handler.job.maxDurationMillis / 1000
      return this.finish(JobEvent.error("timeout", `the job exceeded its maximum duration of ${seconds} seconds`))
    }
    if (first === "by itself" || ending === undefined) return this.finish(entryOf(exit!))
    if (ending._tag === "fenced") return Effect.succeed(fenced)
    if (ending._tag === "cancel") return this.finish(JobEvent.cancelled(ending.message))
    // Within the grace it may have ended by itself.
    if (exit !== null && (Exit.isSuccess(exit) || !Cause.isInterrupted(exit.cause))) return this.finish(entryOf(exit))
    return this.handler.job.onLost === "resume"
      ? Effect.succeed(released)
      : this.finish(JobEvent.error("lost", "the server stopped"))
  }

  private finish(entry: JobEvent.Entry): Effect.Effect<Outcome> {
    return Effect.matchEffect(this.persist([entry]), {
      onSuccess: ({ record }) => Effect.succeed<Outcome>({ _tag: "ended", record }),
      onFailure: (error) =>
        error._tag === "EventTooLarge"
          ? this.finish(JobEvent.error("failed", `the output is too large: ${error.message}`))
          : this.refused(error)
    })
  }

  private persist(entries: ReadonlyArray<JobEvent.Entry>): Effect.Effect<Appended, AppendError> {
    return Effect.retry(this.append(entries), { schedule: patience, while: mayPass })
  }

  private refused(error: AppendError): Effect.Effect<Outcome> {
    if (error._tag === "Fenced" || error._tag === "JobNotFound") return Effect.succeed(fenced)
    return Effect.as(
      Effect.logError("the end of a job could not be written; it will be found as lost", error),
      unwritten
    )
  }
}

const fenced: Outcome = { _tag: "fenced" }
const released: Outcome = { _tag: "released" }
const unwritten: Outcome = { _tag: "unwritten" }
