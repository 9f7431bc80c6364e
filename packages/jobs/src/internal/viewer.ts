/** What runs in the session of a viewer. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as CloseReason from "spillway/CloseReason"
import type * as Exit from "spillway/Exit"
import * as Frame from "spillway/Frame"
import type { Lane } from "spillway/Lane"
import * as Message from "spillway/Message"
import type { Session } from "spillway/Session"
import { EventLog, type Reader } from "../EventLog.js"
import type { ReadError } from "../JobError.js"
import * as JobEvent from "../JobEvent.js"
import { JobRunner } from "../JobRunner.js"
import * as JobState from "../JobState.js"
import { type JobRecord, JobStore } from "../JobStore.js"
import type { Options } from "../JobViewer.js"
import * as JobWire from "../JobWire.js"

const frameOf = (frame: JobWire.Frame): Frame.Frame => Frame.json(frame)

const laneOf = (kind: JobEvent.Kind): Lane =>
  JobEvent.isTerminal(kind) ? "critical" : kind === "LOG" ? "bulk" : "important"

/**
 * What a viewer sends of one event, made by the first one that needs it: viewers of a job share the events of its tail, and
 * so their frames. The state after an event is the same for whoever has seen all that came before.
 */
class Sent {
  private readonly important: Message.Message
  private other: Message.Message | undefined = undefined
  private stateAfter: JobState.JobState | undefined = undefined
  private stateMessage: Message.Message | undefined = undefined

  constructor(private readonly event: JobEvent.JobEvent) {
    this.important = Message.fromFrame(frameOf({ type: "event", data: JobWire.fromEvent(event) }))
  }

  /** An event has but one lane besides `important`. */
  in(lane: Lane): Message.Message {
    if (lane === "important") return this.important
    return this.other ??= Message.fromFrame(this.important.frame, { lane })
  }

  after(state: JobState.JobState): JobState.JobState {
    return this.stateAfter ??= JobState.step(state, this.event) ?? state
  }

  telling(state: JobState.JobState): Message.Message {
    return this.stateMessage ??= stateMessage(this.event.jobId, state)
  }
}

const shared = new WeakMap<JobEvent.JobEvent, Sent>()

const sentOf = (event: JobEvent.JobEvent): Sent => {
  let sent = shared.get(event)
  if (sent === undefined) {
    sent = new Sent(event)
    shared.set(event, sent)
  }
  return sent
}

const critical = (frame: JobWire.Frame): Message.Message => Message.fromFrame(frameOf(frame), { lane: "critical" })

interface Settings {
  readonly finalGraceMillis: number
  readonly behindEventsMax: number
}

class View {
  private state: JobState.JobState
  private shown: JobState.JobState

  constructor(
    private readonly session: Session,
    private readonly record: JobRecord,
    private readonly reader: Reader,
    private readonly settings: Settings
  ) {
    this.state = record.state
    this.shown = record.state
  }

  /** Until the terminal event was read and everything was offered. */
  readonly follow: Effect.Effect<void, ReadError> = Effect.suspend(() =>
    Effect.flatMap(
      this.reader.next,
      Option.match({
        onNone: () => this.end,
        onSome: (page) => Effect.zipRight(Effect.zipRight(this.send(this.wanted(page)), this.live), this.follow)
      })
    )
  )

  /**
   * As long as its client takes everything at once, a viewer costs no step of a fiber: what is appended is offered where
   * it is appended. It takes nothing while anything waits, so no more than a page is queued. All of it is `important`, since
   * lanes overtake each other and nobody waits here; and the end is a matter of its fiber, which does.
   */
  private readonly live: Effect.Effect<void> = Effect.suspend(() =>
    this.reader.live((events) => {
      if (this.session.queuedItems > 0) return 0
      let taken = 0
      for (const event of events) {
        if (JobEvent.isTerminal(event.kind) || this.session.pressure) break
        if (this.session.unsafeOffer(sentOf(event).in("important"))._tag === "Rejected") break
        taken++
        const told = this.show(event)
        if (told !== undefined) this.session.unsafeOffer(told)
      }
      return taken
    })
  )

  /** Without the lines of text of a client that is far behind what happens now. What was there when it came, it gets. */
  private wanted(page: ReadonlyArray<JobEvent.JobEvent>): ReadonlyArray<JobEvent.JobEvent> {
    const replayed = this.record.state.seq
    if (this.reader.behind <= this.settings.behindEventsMax) return page
    return page.filter(({ kind, seq }) => kind !== "LOG" || seq <= replayed)
  }

  /**
   * Sends a page in its order. Messages of one lane stay in order by themselves; where the lane changes, and at the end of
   * the page, it waits until the last one has left: so at most a page is queued, and no event overtakes another. It waits
   * as well where the outbox is nearly full, which would otherwise make room at the cost of events.
   */
  private send(page: ReadonlyArray<JobEvent.JobEvent>): Effect.Effect<void> {
    return Effect.forEach(page, (event, index) =>
      Effect.suspend(() => {
        const next = page[index + 1]
        // Behind what was offered live the first one waits in the same lane.
        const isBehind = index === 0 && this.session.queuedItems > 0
        const lane = isBehind ? "important" : this.lane(event)
        const isLast = isBehind || next === undefined || this.lane(next) !== lane || this.session.pressure
        const sent = this.offer(event, sentOf(event).in(lane), isLast, next)
        return Effect.flatMap(sent, () => {
          const told = this.show(event)
          return told === undefined ? Effect.void : this.session.send(told)
        })
      }), { discard: true })
  }

  /** Offers an event, and waits until the last one of a run has left; the grace is for all that is left together. */
  private offer(
    event: JobEvent.JobEvent,
    message: Message.Message,
    isLast: boolean,
    next: JobEvent.JobEvent | undefined
  ): Effect.Effect<unknown> {
    const { finalGraceMillis } = this.settings
    if (!isLast) return this.session.send(message)
    const left = this.session.deliver(message)
    if (JobEvent.isTerminal(event.kind)) return Effect.timeoutOption(left, finalGraceMillis)
    const isNearlyOver = next !== undefined && JobEvent.isTerminal(next.kind)
    return isNearlyOver ? Effect.timeoutOption(left, finalGraceMillis / 2) : left
  }

  /** What is replayed needs no order of urgency, so that it takes no waiting but that for each page. */
  private lane({ kind, seq }: JobEvent.JobEvent): Lane {
    return seq <= this.record.state.seq && !JobEvent.isTerminal(kind) ? "important" : laneOf(kind)
  }

  /** The state after an event, if the client is to be told of it now. */
  private show(event: JobEvent.JobEvent): Message.Message | undefined {
    if (event.seq <= this.state.seq) return undefined
    this.state = sentOf(event).after(this.state)
    const isTerminal = JobState.isTerminal(this.state.status)
    if (isTerminal || !JobState.isVisibleChange(this.shown, this.state)) return undefined
    this.shown = this.state
    return sentOf(event).telling(this.state)
  }

  private readonly end: Effect.Effect<void> = Effect.suspend(() =>
    Effect.asVoid(this.session.send(critical({ type: "state", data: JobWire.fromState(this.record.id, this.state) })))
  )
}

const stateMessage = (jobId: string, state: JobState.JobState): Message.Message =>
  Message.fromFrame(frameOf({ type: "state", data: JobWire.fromState(jobId, state) }), {
    lane: "important",
    key: "state"
  })

/** Says why, and closes with a code. */
const refuse = (session: Session, message: string, reason: CloseReason.CloseReason): Effect.Effect<void> =>
  Effect.gen(function*() {
    yield* Effect.logWarning(`viewer refused: ${message}`)
    yield* session.send(critical({ type: "error", data: { message } }))
    yield* session.close(reason)
    yield* session.awaitShutdown
  })

const failed = (session: Session, message: string): Effect.Effect<void> =>
  refuse(session, message, CloseReason.withReason(CloseReason.internalError, message))

const notFound = (session: Session, jobId: string): Effect.Effect<void> =>
  refuse(session, `job ${jobId} not found`, CloseReason.withReason(CloseReason.policyViolation, "job not found"))

const endings: { readonly [T in Exit.ExitTag]?: string } = {
  Completed: "viewer saw the end of the job",
  IdleTimeout: "viewer was idle for too long",
  Disconnected: "viewer disconnected"
}

/** One line when the viewer has gone, in a fiber that nobody waits for. */
const logEnd = (session: Session): Effect.Effect<void> =>
  Effect.asVoid(Effect.forkDaemon(
    Effect.flatMap(session.awaitExit, ({ exit }) => Effect.logInfo(endings[exit._tag] ?? `viewer ended: ${exit._tag}`))
  ))

const started = "Task started and connected to event stream"
const existing = "Connected to existing task stream"

const start = (record: JobRecord, autoStart: Options["autoStart"]) =>
  Effect.gen(function*() {
    if (record.state.status !== "PENDING" || record.queuedAt !== undefined || autoStart === "never") return existing
    const runner = yield* JobRunner
    const outcome = yield* Effect.catchTag(
      runner.start(record.id),
      "JobOver",
      () => Effect.succeed("existing" as const)
    )
    return outcome === "started" ? started : existing
  })

const view = (session: Session, record: JobRecord, message: string, reader: Reader, settings: Settings) =>
  Effect.gen(function*() {
    yield* session.send(critical({ type: "connected", data: { task_id: record.id, message } }))
    // Of a job that has ended the one terminal state comes last.
    if (!JobState.isTerminal(record.state.status)) yield* session.send(stateMessage(record.id, record.state))
    yield* new View(session, record, reader, settings).follow
  })

export const make = (
  jobId: string,
  options: Options,
  defaults: { readonly finalGrace: number; readonly behindEventsMax: number }
) =>
(session: Session): Effect.Effect<void, never, EventLog | JobRunner | JobStore | Scope.Scope> =>
  Effect.gen(function*() {
    yield* logEnd(session)
    // What a client says means nothing here, but it has to be read.
    yield* session.fork("inbound", "finite", session.runForEach(() => {}))
    const log = yield* EventLog
    const store = yield* JobStore
    // Before the record is read, so that retention leaves alone what was found.
    const reader = yield* log.reader(jobId, options.since ?? 0)
    const found = yield* Effect.either(store.get(jobId))
    if (found._tag === "Left") return yield* failed(session, "the job store does not answer")
    if (Option.isNone(found.right)) return yield* notFound(session, jobId)
    const record = found.right.value
    const message = yield* Effect.either(start(record, options.autoStart))
    if (message._tag === "Left") return yield* failed(session, `failed to start: ${message.left.message}`)
    yield* Effect.logInfo(`viewer connected after event ${options.since ?? 0}`)
    const settings = {
      finalGraceMillis: Duration.toMillis(options.finalGrace ?? defaults.finalGrace),
      behindEventsMax: options.behindEventsMax ?? defaults.behindEventsMax
    }
    // A session that ends waits for its handler, and this one has nothing to finish.
    const viewed = Effect.raceFirst(view(session, record, message.right, reader, settings), session.awaitShutdown)
    yield* Effect.catchTags(
      viewed,
      {
        JobNotFound: () => notFound(session, jobId),
        StoreFailed: () => failed(session, "the event log cannot be read")
      }
    )
  }).pipe(Effect.annotateLogs("jobId", jobId))
