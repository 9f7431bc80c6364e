/** The set of all sessions: host of each, owner of the sweeper, and the drain. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Effect_Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as FiberRefs from "effect/FiberRefs"
import * as HashMap from "effect/HashMap"
import type * as Random from "effect/Random"
import * as Runtime from "effect/Runtime"
import * as Scheduler from "effect/Scheduler"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import * as CloseReason from "../CloseReason.js"
import type { DrainReport } from "../Exit.js"
import type { Policy } from "../Overflow.js"
import type { Session } from "../Session.js"
import type { Resolved } from "../SessionOptions.js"
import type { DrainPhase, OpenOptions, SessionsShape } from "../Sessions.js"
import type { TelemetryShape } from "../Telemetry.js"
import { belowLaneBytes, type Connection, Transport } from "../Transport.js"
import { suspended, wokenWithin } from "./bounded.js"
import { Deadlines } from "./deadlines.js"
import { drain } from "./drain.js"
import { invariant } from "./invariant.js"
import type { LaneQueueOptions } from "./laneQueue.js"
import { Ledger } from "./ledger.js"
import { outboxRules } from "./outboxRules.js"
import { SessionImpl } from "./session.js"
import { canBoundFinalizers, ending, lastSteps } from "./sessionEnding.js"
import type { Pumped, SessionHost } from "./sessionHost.js"
import { startHandler } from "./sessionTasks.js"
import { type BatchLimits, batchLimits } from "./sharedBatch.js"
import type { SlowOptions } from "./slow.js"
import { Tally } from "./tally.js"
import { TurnScheduler } from "./turnScheduler.js"

/** Most that a single timer can wait; longer waits are taken in steps. */
const timerMillisMax = 2_000_000_000

/** Sessions that are pumped before the clock is asked again: well under a millisecond. */
const pumpsPerReading = 64

/** Sessions that are looked at before they are pumped: what they need stays in the cache until it is their turn. */
const lookedAtOnce = 16

const queueOptionsOf = (options: Resolved, policy: Policy): LaneQueueOptions => ({
  itemsMax: options.outboxItemsMax,
  bytesMax: options.outboxBytesMax,
  reserveItems: options.controlItemsMax,
  reserveBytes: options.controlBytesMax,
  ...outboxRules(policy)
})

export class Registry implements SessionHost {
  readonly sessions = new Set<SessionImpl>()
  readonly tally = new Tally()
  readonly ledger = new Ledger()
  readonly queueOptions: LaneQueueOptions
  readonly marks: Policy
  readonly calmItems: number
  readonly calmBytes: number
  readonly batchLimits: BatchLimits
  readonly slow: SlowOptions
  phase: DrainPhase = "accepting"
  /** New sessions end at once: there is no memory for them. */
  isRefusing = false
  hurried = false
  /** Called when the last session has left, while a drain waits for it. */
  onEmpty: (() => void) | undefined = undefined
  /** Called when a session has left, while a drain counts them. */
  onLeave: ((session: SessionImpl, report: DrainReport) => void) | undefined = undefined
  readonly deadlines = new Deadlines<SessionImpl>()
  private readonly turns: TurnScheduler | undefined
  private dirty: Array<Pumped> = []
  private readyWriters = 0
  private onRearm: (() => void) | undefined = undefined
  private readonly hurryWaiters = new Set<() => void>()

  constructor(
    readonly options: Resolved,
    policy: Policy,
    readonly telemetry: TelemetryShape,
    readonly clock: Clock.Clock,
    private readonly scheduler: Scheduler.Scheduler,
    private readonly random: Random.Random,
    private readonly runtime: Runtime.Runtime<never>,
    private readonly phases: SubscriptionRef.SubscriptionRef<DrainPhase>
  ) {
    // Any other scheduler (a seeded one, say) decides itself when fibers run.
    this.turns = scheduler === Scheduler.defaultScheduler
      ? new TurnScheduler(scheduler, this.flush, (resume) => {
        Effect.runFork(Effect.zipRight(Effect.sleep(0), Effect.sync(resume)))
      })
      : undefined
    this.queueOptions = queueOptionsOf(options, policy)
    this.marks = policy
    this.calmItems = Math.floor(policy.pressureAt * options.outboxItemsMax) - 1
    this.calmBytes = Math.floor(policy.pressureAt * options.outboxBytesMax) - 1
    this.batchLimits = batchLimits(this.queueOptions, this.calmItems, Math.min(this.calmBytes, belowLaneBytes))
    this.slow = {
      slowAfterMs: options.slowThreshold,
      slowEventsMax: options.slowEventsMax,
      windowMs: options.slowWindow,
      recoverAfter: options.slowRecoverAfter
    }
  }

  // ---- host of a session -------------------------------------------------------------------------------------------

  schedule(writer: Pumped): void {
    if (this.dirty.push(writer) !== 1) return
    if (this.turns === undefined) this.scheduler.scheduleTask(this.flush, 0)
    else this.turns.scheduleFlush()
  }

  private readonly flush = (): void => {
    const dirty = this.dirty
    if (dirty.length === 0) return
    this.dirty = []
    let now = 0
    for (let i = 0; i < dirty.length; i++) {
      if (i % pumpsPerReading === 0) now = this.clock.unsafeCurrentTimeMillis()
      if (i % lookedAtOnce === 0) this.lookAt(dirty, i)
      dirty[i]!.pump(now)
    }
  }

  /**
   * With many sessions everything that one of them has is cold, and one after the other each would wait for it in turn. What
   * several of them need is fetched at the same time when they are asked together (group prefetching); that the answers are
   * counted keeps the compiler from leaving out the questions.
   */
  private lookAt(writers: ReadonlyArray<Pumped>, from: number): void {
    const end = Math.min(from + lookedAtOnce, writers.length)
    for (let i = from; i < end; i++) if (writers[i]!.isReady) this.readyWriters++
  }

  arm(session: SessionImpl, dueAt: number): void {
    if (this.deadlines.ensure(session, dueAt) && this.onRearm !== undefined) this.onRearm()
  }

  /** Context and annotations are set in the fiber's references: as effects around it they would cost memory for its life. */
  fork<A, E, R>(
    effect: Effect.Effect<A, E, R>,
    context: Context.Context<R>,
    annotations: HashMap.HashMap<string, unknown> = HashMap.empty()
  ): Fiber.RuntimeFiber<A, E> {
    const { fiberRefs, runtimeFlags } = this.runtime
    const runtime = Runtime.make({ context, fiberRefs, runtimeFlags })
    return Runtime.runFork(runtime)(effect, {
      updateRefs: (refs, fiberId) =>
        FiberRefs.updateManyAs(refs, {
          forkAs: fiberId,
          entries: [
            [FiberRef.currentLogAnnotations, [[fiberId, annotations]]],
            [FiberRef.currentScheduler, [[fiberId, this.turns ?? this.scheduler]]]
          ]
        })
    })
  }

  startEnding(session: SessionImpl): void {
    this.fork(ending(session), Context.empty())
  }

  get awaitHurry(): Effect.Effect<void> {
    return suspended<void>((resume) => this.onHurry(() => resume(Effect.void)))
  }

  onHurry(wake: () => void): () => void {
    if (this.hurried) wake()
    else this.hurryWaiters.add(wake)
    return () => this.hurryWaiters.delete(wake)
  }

  hurry(): void {
    this.hurried = true
    for (const wake of [...this.hurryWaiters]) wake()
    this.hurryWaiters.clear()
  }

  abandon(kind: "task" | "finalizer", name: string, fiber: Fiber.RuntimeFiber<unknown, unknown>): void {
    this.tally.abandoned(kind, name)
    fiber.addObserver(() => this.tally.returned(kind, name))
  }

  // ---- life --------------------------------------------------------------------------------------------------------

  /** A session on the connection, in the set and attached. */
  create(connection: Connection, options?: OpenOptions): Effect.Effect<SessionImpl> {
    return Effect.gen(this, function*() {
      const id = yield* this.makeId
      const jitter = yield* this.jitter
      const scope = yield* Scope.make()
      const now = this.clock.unsafeCurrentTimeMillis()
      const firstPingAt = now + Math.round(this.options.pingInterval * (0.5 + jitter))
      const session = new SessionImpl(this, id, connection, scope, now, firstPingAt, options)
      yield* Scope.addFinalizer(scope, Effect.suspend(() => lastSteps(session)))
      this.sessions.add(session)
      this.tally.opened++
      this.telemetry.sessionStarted()
      connection.attach(session)
      if (this.phase !== "accepting") session.requestEnd({ _tag: "ServerDraining", announced: false })
      else if (this.isRefusing) session.requestEnd({ _tag: "Overloaded" })
      else this.arm(session, session.timers.nextDueAt)
      yield* Effect.annotateCurrentSpan({ session: id, transport: connection.kind, peer: connection.remoteAddress })
      yield* Effect.annotateLogs(Effect.logDebug("session started"), "session", id)
      return session
    }).pipe(Effect.withSpan("spillway.session.start"))
  }

  leave(session: SessionImpl, report: DrainReport): void {
    const now = this.clock.unsafeCurrentTimeMillis()
    this.deadlines.remove(session)
    this.tally.ended(session, report, now)
    this.sessions.delete(session)
    session.ended(report)
    this.telemetry.sessionEnded(report, now - session.openedAt)
    this.onLeave?.(session, report)
    if (this.sessions.size === 0 && this.onEmpty !== undefined) this.onEmpty()
    // Last, as it is the user's.
    session.left()
  }

  enter(phase: DrainPhase): Effect.Effect<void> {
    this.phase = phase
    return SubscriptionRef.set(this.phases, phase)
  }

  /** A random number from 0 to 1. */
  get jitter(): Effect.Effect<number> {
    return this.random.next
  }

  private readonly makeId: Effect.Effect<string> = Effect.suspend(() =>
    Effect.map(
      Effect.all([this.word, this.word, this.word, this.word]),
      (words) => words.map((word) => word.toString(16).padStart(8, "0")).join("")
    )
  )

  private get word(): Effect.Effect<number> {
    return this.random.nextIntBetween(0, 0x100000000)
  }

  /** Sleeps until a deadline is due, or an earlier one was set. */
  private readonly awaitDue: Effect.Effect<number> = Effect.suspend(() => {
    const dueAt = this.deadlines.nextDueAt
    if (dueAt === Infinity) {
      return suspended<number>((resume) => this.onEarlier(dueAt, () => resume(Effect.succeed(dueAt))))
    }
    // Whole milliseconds: a timer that rings a fraction early would be set again and again within one instant.
    const wait = Math.min(Math.ceil(dueAt - this.clock.unsafeCurrentTimeMillis()), timerMillisMax)
    return wait <= 0
      ? Effect.succeed(dueAt)
      : Effect.as(wokenWithin((wake) => this.onEarlier(dueAt, wake), wait), dueAt)
  })

  /** Calls back when a deadline before this one is set. */
  private onEarlier(dueAt: number, wake: () => void): () => void {
    if (this.deadlines.nextDueAt < dueAt) wake()
    else this.onRearm = wake
    return () => {
      this.onRearm = undefined
    }
  }

  /**
   * Serves the deadlines of all sessions. The zero sleep lets the event loop read sockets once before a verdict, so that
   * a pong that is already there counts.
   */
  readonly sweep: Effect.Effect<never> = Effect.forever(
    Effect.flatMap(this.awaitDue, (dueAt) =>
      dueAt > this.clock.unsafeCurrentTimeMillis()
        ? Effect.void
        : Effect.flatMap(
          Effect.sleep(0),
          () => Effect.suspend(() => this.serveDue(this.clock.unsafeCurrentTimeMillis()))
        ))
  )

  /** What one session's deadlines throw (a `heartbeat` of the user's) ends that session and touches no other. */
  private serveDue(now: number): Effect.Effect<void> {
    let due: SessionImpl | undefined = undefined
    const serve = Effect.sync(() => {
      for (due = this.deadlines.popDue(now); due !== undefined; due = this.deadlines.popDue(now)) {
        due.onDue(now, now - due.dueAt)
      }
    })
    return Effect.catchAllCause(serve, (cause) => {
      due?.requestEnd({ _tag: "Crashed", task: "heartbeat", cause })
      return this.serveDue(now)
    })
  }
}

/** Finalizer of a session that belongs to a scope of the user's. */
const endWith = (session: SessionImpl, exit: Effect_Exit.Exit<unknown, unknown>): Effect.Effect<void> =>
  Effect.suspend(() => {
    session.requestEnd(
      exit._tag === "Failure" && !Effect_Exit.isInterrupted(exit)
        ? { _tag: "Crashed", task: "scope", cause: exit.cause }
        : { _tag: "ClosedByServer", reason: exit._tag === "Success" ? CloseReason.normal : CloseReason.goingAway }
    )
    return Effect.asVoid(session.awaitExit)
  })

const open = (registry: Registry): SessionsShape["open"] =>
<E, R>(
  connection: Connection,
  handler: (session: Session) => Effect.Effect<unknown, E, R>,
  options?: OpenOptions
): Effect.Effect<Session, never, Exclude<R, Scope.Scope>> =>
  Effect.uninterruptible(
    Effect.tap(registry.create(connection, options), (session) =>
      registry.phase === "accepting" && !registry.isRefusing
        ? startHandler(session, Effect.suspend(() => handler(session)))
        : Effect.void)
  )

/** What is asked may throw, half way. So it is asked of all first. */
const endAll = (
  registry: Registry,
  of: string | ((session: Session) => boolean),
  reason: CloseReason.CloseReason
): number => {
  const isMeant = typeof of === "string" ? (session: Session) => session.identity === of : of
  const meant = [...registry.sessions].filter((session) => !session.isEnding && isMeant(session))
  for (const session of meant) session.requestEnd({ _tag: "ClosedByServer", reason })
  return meant.length
}

export const make = (
  options: Resolved,
  policy: Policy,
  telemetry: TelemetryShape
): Effect.Effect<SessionsShape, never, Scope.Scope> =>
  Effect.gen(function*() {
    invariant(
      yield* canBoundFinalizers,
      "this version of Effect keeps the finalizers of a scope where they can be bounded"
    )
    const clock = yield* Clock.clockWith(Effect.succeed)
    const scheduler = yield* FiberRef.get(FiberRef.currentScheduler)
    const random = yield* Effect.random
    const runtime = yield* Effect.runtime<never>()
    const phases = yield* SubscriptionRef.make<DrainPhase>("accepting")
    const registry = new Registry(options, policy, telemetry, clock, scheduler, random, runtime, phases)
    yield* Effect.forkScoped(registry.sweep)
    const joinDrain = drain(registry)
    yield* Effect.addFinalizer(() => joinDrain({}))
    const openOn = open(registry)
    return {
      open: openOn,
      serve: (handler) =>
        Effect.flatMap(Transport, (transport) =>
          // The mask protects the window between having taken a connection and having a session on it.
          Effect.forever(Effect.uninterruptibleMask((restore) =>
            Effect.flatMap(restore(transport.accept), (connection) => openOn(connection, handler))
          ))),
      scoped: (connection) =>
        Effect.acquireRelease(registry.create(connection), endWith),
      get size() {
        return registry.sessions.size
      },
      get isAccepting() {
        return registry.phase === "accepting" && !registry.isRefusing
      },
      get memory() {
        const { deadlines, ledger } = registry
        return { chargedBytes: ledger.chargedBytes, heldBytes: ledger.heldBytes, deadlines: deadlines.size }
      },
      unsafeRefuse: (isRefusing) => {
        registry.isRefusing = isRefusing
      },
      unsafeForEach: (f) => {
        for (const session of registry.sessions) if (!session.isEnding) f(session)
      },
      endAll: (of, reason = CloseReason.revoked) => Effect.sync(() => endAll(registry, of, reason)),
      drain: joinDrain,
      hurry: Effect.sync(() => registry.hurry()),
      get phase() {
        return registry.phase
      },
      phases: Stream.takeUntil(phases.changes, (phase) => phase === "done"),
      snapshot: Effect.sync(() => registry.tally.snapshot(registry))
    }
  })
