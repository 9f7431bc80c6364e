/**
 * How a session ends: the finalizer of its scope. Every step has a deadline of its own that holds under interruption and
 * against fibers that ignore it, and the last step runs whatever the others did.
 *
 * A finalizer runs uninterruptible, so a plain timeout in it bounds nothing; each wait here is re-opened with
 * `interruptible` first (measured: SPEC.md 5). User finalizers run in a fiber of their own, which is left behind and
 * counted when its time is over.
 */
import * as Effect from "effect/Effect"
import * as Effect_Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as FiberStatus from "effect/FiberStatus"
import * as Scope from "effect/Scope"
import * as CloseReason from "../CloseReason.js"
import { type DrainReport, type Exit, type PhaseResult, toCloseReason } from "../Exit.js"
import { perLane } from "../Lane.js"
import { wokenWithin } from "./bounded.js"
import type { SessionImpl } from "./session.js"
import { sentMessages, undeliveredOf } from "./sessionStats.js"
import { interruptTask, runningTasks, type TaskRecord } from "./sessionTasks.js"

/** Time for a step that was asked to hurry. */
const hurriedMillis = 250

/** Time that is always left for a finalizer or for acknowledging an interruption, however little the budget is. */
const floorMillis = 50

const now = (session: SessionImpl): number => session.host.clock.unsafeCurrentTimeMillis()

/** The step's own budget, cut so that the session's deadline leaves room for the later steps: at most half of what is left. */
const budget = (session: SessionImpl, millis: number, reserve: number): number => {
  const left = Math.max(0, session.deadlineAt - now(session))
  return Math.min(millis, left - Math.min(reserve, left / 2))
}

/** Something that may have come true; `watch` stores a callback that is called whenever that may be the case. */
interface Condition {
  readonly holds: () => boolean
  readonly watch: (check: (() => void) | undefined) => void
}

/** Waits for the condition at most so long, less when asked to hurry: whether it holds. Bounded also in a finalizer. */
const waitAtMost = (session: SessionImpl, { holds, watch }: Condition, millis: number): Effect.Effect<boolean> =>
  Effect.suspend(() => {
    if (millis <= 0) return Effect.succeed(false)
    if (holds()) return Effect.succeed(true)
    return wokenWithin(
      (wake) => {
        watch(() => holds() && wake())
        return () => watch(undefined)
      },
      millis,
      (cutTo) => session.host.onHurry(() => cutTo(hurriedMillis))
    )
  })

const tasksThat = (session: SessionImpl, holds: () => boolean): Condition => ({
  holds,
  watch: (check) => {
    session.onTaskEnd = check
  }
})

interface TasksReport {
  readonly result: PhaseResult
  readonly forced: number
  readonly stuck: ReadonlyArray<string>
}

/** What the grace was too short for: the tasks by name, and how much was still queued in either direction. */
const logCut = (session: SessionImpl): Effect.Effect<void> => {
  const names = runningTasks(session).map((record) => record.name).join(", ")
  const { queuedItems } = session.writer.outbox.queue
  return Effect.logWarning(
    `grace is over, tasks are interrupted: ${names} (${session.inbox.items} messages unread, ${queuedItems} unsent)`
  )
}

/**
 * Handler and tasks: the handler may work off what was received, then is interrupted; tasks get their grace, then are
 * interrupted; whoever does not acknowledge in time is detached and counted until it really ends.
 */
const endTasks = (session: SessionImpl): Effect.Effect<TasksReport> =>
  Effect.gen(function*() {
    const { ackTimeout, closeTimeout, flushTimeout, handlerGrace, taskGrace } = session.host.options
    const reserve = flushTimeout + closeTimeout
    const handler = session.handler
    const handlerDone = (): boolean => handler === undefined || handler.done
    const startedAt = now(session)
    if (session.tasks === undefined && handlerDone()) return { result: "skipped", forced: 0, stuck: [] }
    const forced = new Set<TaskRecord>()
    if (session.reads) {
      yield* waitAtMost(session, tasksThat(session, handlerDone), budget(session, handlerGrace, reserve))
    }
    if (handler !== undefined && !handler.done) {
      // A handler is interrupted as a matter of course; only one that ignores it counts as forced.
      interruptTask(handler)
    }
    const left = taskGrace - (now(session) - startedAt)
    const tasksDone = (): boolean => runningTasks(session).length === 0
    const inTime = tasksDone() ||
      (yield* waitAtMost(session, tasksThat(session, tasksDone), budget(session, left, reserve)))
    if (!inTime) yield* logCut(session)
    for (const record of runningTasks(session)) {
      forced.add(record)
      interruptTask(record)
    }
    const allDone = (): boolean => handlerDone() && tasksDone()
    const ack = Math.max(floorMillis, budget(session, ackTimeout, reserve))
    yield* waitAtMost(session, tasksThat(session, allDone), ack)
    const stuck: Array<TaskRecord> = runningTasks(session)
    if (handler !== undefined && !handler.done) stuck.push(handler)
    for (const record of stuck) {
      forced.add(record)
      if (record.fiber !== undefined) session.host.abandon("task", record.name, record.fiber)
    }
    return {
      result: inTime && stuck.length === 0 ? "done" : "cut",
      forced: forced.size,
      stuck: stuck.map((r) => r.name)
    }
  })

/** What a scope of Effect is inside, as far as its own `forkScoped` relies on it too. */
interface ScopeInside {
  readonly state: { readonly _tag: string; readonly finalizers?: Map<unknown, Scope.Scope.Finalizer> }
}

/**
 * Whether the field is there. Checked when an owner of sessions is made: without it finalizers would silently lose their
 * bound, and no session shall be opened then.
 */
export const canBoundFinalizers: Effect.Effect<boolean> = Effect.gen(function*() {
  const scope = yield* Scope.make()
  yield* Scope.addFinalizer(scope, Effect.void)
  const { state } = scope as unknown as Partial<ScopeInside>
  return state?.finalizers instanceof Map && state.finalizers.size === 1
})

/**
 * Bounds every finalizer of a scope, so that one that hangs does not keep the others from running. It is done when the
 * scope is about to close and on what it holds: `forkScoped` and child scopes do not pass through `addFinalizer`.
 */
const boundFinalizers = (session: SessionImpl): void => {
  const { finalizers } = (session.scope as unknown as ScopeInside).state
  let isOwn = true
  for (const [key, finalizer] of finalizers ?? []) {
    // The first is the session's own (`lastSteps`): it bounds itself, and runs after all others.
    if (!isOwn) finalizers!.set(key, (exit) => runFinalizer(session, finalizer(exit)))
    isOwn = false
  }
}

const runFinalizer = (session: SessionImpl, finalizer: Effect.Effect<unknown>): Effect.Effect<void> =>
  Effect.gen(function*() {
    const left = Math.max(floorMillis, session.finalizersEndAt - now(session))
    const fiber = yield* Effect.forkDaemon(Effect.interruptible(finalizer))
    const ended: Condition = {
      holds: () => fiber.unsafePoll() !== null,
      watch: (check) => {
        if (check !== undefined) fiber.addObserver(check)
      }
    }
    yield* waitAtMost(session, ended, left)
    const exit = fiber.unsafePoll()
    if (exit !== null) {
      // A finalizer that throws must not keep the others from running, nor go unnoticed.
      if (exit._tag === "Failure") yield* Effect.logError("a finalizer of the session failed", exit.cause)
      return
    }
    session.finalizersCut = true
    if (waitsForFork(session, yield* fiber.status)) {
      // The fork was told to end and this one waits for it: it is left to wait, and counted for as long.
      session.stuckForks++
      return session.host.abandon("task", forkName, fiber)
    }
    fiber.unsafeInterruptAsFork(FiberId.none)
    session.host.abandon("finalizer", session.id, fiber)
  })

/** Name under which a fiber counts that the handler put into the session's scope and that ignores interruption. */
const forkName = "forkScoped"

/**
 * Whether a finalizer waits for a fiber that is younger than the handler, which is what those of `forkScoped` do. (A
 * `Deferred` looks the same, if a younger fiber made it; then it is the finalizer that is left to wait.)
 */
const waitsForFork = (session: SessionImpl, status: FiberStatus.FiberStatus): boolean =>
  session.handler !== undefined && FiberStatus.isSuspended(status) && status.blockingOn._tag === "Runtime" &&
  status.blockingOn.id > session.handler.fiberNumber

/** A peer that is presumed dead gets no flush: nothing could be written for seconds already. */
const isPresumedDead = (exit: Exit): boolean => exit._tag === "SendTimeout" || exit._tag === "ReceiveTimeout"

const flush = (session: SessionImpl, exit: Exit): Effect.Effect<PhaseResult> =>
  Effect.suspend(() => {
    const { closeTimeout, flushTimeout } = session.host.options
    const { writer } = session
    writer.seal()
    if (!session.linkAlive || isPresumedDead(exit) || writer.isDrained) return Effect.succeed<PhaseResult>("skipped")
    const drained: Condition = {
      holds: () => writer.isDrained || !session.linkAlive,
      watch: (check) => {
        writer.onDrained = check
      }
    }
    writer.pump()
    return Effect.map(
      waitAtMost(session, drained, budget(session, flushTimeout, closeTimeout)),
      (inTime) => inTime && session.linkAlive && writer.isDrained ? "done" : "cut"
    )
  })

const closeLink = (session: SessionImpl, exit: Exit): Effect.Effect<PhaseResult> =>
  Effect.suspend(() => {
    session.state = "closing"
    if (!session.linkAlive) return Effect.succeed<PhaseResult>("skipped")
    const reason = toCloseReason(exit)
    session.writer.stop()
    session.connection.close(reason.code, reason.reason)
    const down: Condition = {
      holds: () => !session.linkAlive,
      watch: (check) => {
        session.onLinkDown = check
      }
    }
    return Effect.map(
      waitAtMost(session, down, budget(session, session.host.options.closeTimeout, 0)),
      (inTime) => inTime ? "done" : "cut"
    )
  })

const logEnd = (report: DrainReport): Effect.Effect<void> =>
  report.exit._tag === "Crashed"
    ? Effect.logError(`task "${report.exit.task}" crashed, session ended`, report.exit.cause)
    : report.stuck.length > 0
    ? Effect.logWarning(`session ended (${report.exit._tag}), tasks ignore interruption: ${report.stuck.join(", ")}`)
    : Effect.logDebug(`session ended (${report.exit._tag})`)

/** What is known of an ending so far; every step is `cut` until it is over. */
export class Ending {
  exit: Exit = { _tag: "ClosedByServer", reason: CloseReason.goingAway }
  tasks: TasksReport = { result: "cut", forced: 0, stuck: [] }
  flush: PhaseResult = "cut"
  close: PhaseResult = "cut"
  sentBefore = 0

  constructor(readonly startedAt: number) {}
}

const report = (session: SessionImpl, ending: Ending): DrainReport => {
  const { exit, tasks } = ending
  return {
    exit,
    phases: {
      tasks: tasks.result,
      finalizers: session.finalizersCut ? "cut" : "done",
      flush: ending.flush,
      close: ending.close
    },
    flushed: sentMessages(session.writer) - ending.sentBefore,
    undelivered: perLane((_, index) => undeliveredOf(session.writer, index)),
    unread: session.inbox.items + session.inbox.dropped,
    forced: tasks.forced + session.stuckForks,
    stuck: session.stuckForks === 0 ? tasks.stuck : [...tasks.stuck, ...Array(session.stuckForks).fill(forkName)],
    durationMillis: now(session) - ending.startedAt
  }
}

/**
 * The session's own finalizer, the last of its scope: flush, close frame, terminate, report, gauge. The terminate and
 * what follows happen whatever the steps before them did.
 */
export const lastSteps = (session: SessionImpl): Effect.Effect<void> => {
  const ending = session.endingSoFar ?? new Ending(now(session))
  ending.sentBefore = sentMessages(session.writer)
  const steps = Effect.gen(function*() {
    ending.flush = yield* flush(session, ending.exit)
    ending.close = yield* closeLink(session, ending.exit)
  })
  const terminate = Effect.sync(() => session.connection.terminate())
  const finish = Effect.suspend(() => {
    session.writer.giveUp()
    const done = report(session, ending)
    session.host.leave(session, done)
    return logEnd(done)
  })
  return Effect.ensuring(steps, Effect.ensuring(terminate, finish))
}

/** The whole ending: tasks first, while everything they use is still there, then the scope of the session. */
export const ending = (session: SessionImpl): Effect.Effect<void> => {
  const soFar = new Ending(now(session))
  session.endingSoFar = soFar
  const first = Effect.gen(function*() {
    // Two turns, so that what happens at once is decided by precedence and not by who came first.
    yield* Effect.yieldNow()
    yield* Effect.yieldNow()
    soFar.exit = session.shutDown()
    soFar.tasks = yield* endTasks(session)
    const { closeTimeout, finalizerTimeout, flushTimeout } = session.host.options
    session.finalizersEndAt = now(session) + budget(session, finalizerTimeout, flushTimeout + closeTimeout)
    boundFinalizers(session)
  })
  return Effect.ensuring(first, Effect.suspend(() => Scope.close(session.scope, Effect_Exit.void))).pipe(
    Effect.uninterruptible,
    Effect.annotateLogs("session", session.id),
    Effect.withSpan("spillway.session.end", { root: true, attributes: { session: session.id } })
  )
}
