/**
 * The supervised tasks of a session. A task is a fiber of its own, not a child of any fiber or scope, because a scope
 * waits without bound for what it owns; the session drains its tasks within deadlines and detaches what remains.
 */
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as HashMap from "effect/HashMap"
import * as Scope from "effect/Scope"
import type { TaskKind } from "../Session.js"
import type { SessionImpl } from "./session.js"
import { verdict } from "./tasks.js"

export interface TaskRecord {
  readonly name: string
  readonly kind: TaskKind | "handler"
  fiber: Fiber.RuntimeFiber<unknown, unknown> | undefined
  /** Number of the fiber; those that it forks have higher ones. */
  fiberNumber: number
  done: boolean
}

/** Name of the task that runs the user's handler. */
export const handlerName = "handler"

const onTaskDone = (session: SessionImpl, record: TaskRecord, exit: Exit.Exit<unknown, unknown>): void => {
  record.done = true
  record.fiber = undefined
  if (record.kind !== "handler") session.tasks?.delete(record)
  if (session.onTaskEnd !== undefined) session.onTaskEnd()
  if (session.decided) {
    // It no longer decides anything, but must not go unnoticed.
    if (exit._tag === "Failure" && verdict("finite", exit) === "crash") {
      session.log(Effect.logWarning(`task "${record.name}" failed while the session was ending`, exit.cause))
    }
    return
  }
  const isHandler = record.kind === "handler"
  switch (verdict(record.kind === "handler" ? "completion" : record.kind, exit)) {
    case "ignored":
      // Interrupted by somebody else: not the task's own doing. But a session without its handler has no purpose.
      if (isHandler) session.requestEnd({ _tag: "LifetimeDone", task: record.name })
      return
    case "crash":
      if (exit._tag === "Failure") session.requestEnd({ _tag: "Crashed", task: record.name, cause: exit.cause })
      return
    case "lifetime_done":
      return session.requestEnd({ _tag: "LifetimeDone", task: record.name })
    case "completed":
      return session.requestEnd({ _tag: "Completed", task: record.name })
  }
}

const start = <E, R>(session: SessionImpl, record: TaskRecord, task: Effect.Effect<unknown, E, R>): Effect.Effect<
  void,
  never,
  R
> =>
  Effect.contextWith((context) => {
    const fiber = session.host.fork(
      task,
      context,
      record.kind === "handler"
        ? HashMap.make(["session", session.id])
        : HashMap.make(["session", session.id], ["task", record.name])
    )
    record.fiberNumber = fiber.id().id
    if (!record.done) record.fiber = fiber
    fiber.addObserver((exit) => onTaskDone(session, record, exit))
  })

/** Starts a task with the services of the calling effect. `false`: the session is ending, nothing was started. */
export const forkTask = <E, R>(
  session: SessionImpl,
  name: string,
  kind: TaskKind,
  task: Effect.Effect<unknown, E, R>
): Effect.Effect<boolean, never, R> =>
  Effect.suspend(() => {
    if (session.decided) return Effect.succeed(false)
    const record: TaskRecord = { name, kind, fiber: undefined, fiberNumber: 0, done: false }
    ;(session.tasks ??= new Set()).add(record)
    return Effect.as(start(session, record, task), true)
  })

/** Starts the handler with its own scope. */
export const startHandler = <E, R>(
  session: SessionImpl,
  handler: Effect.Effect<unknown, E, R>
): Effect.Effect<void, never, Exclude<R, Scope.Scope>> => {
  const record: TaskRecord = { name: handlerName, kind: "handler", fiber: undefined, fiberNumber: 0, done: false }
  session.handler = record
  return Effect.provideService(
    start(session, record, handler as Effect.Effect<unknown, E, Exclude<R, Scope.Scope> | Scope.Scope>),
    Scope.Scope,
    session.scope
  ) as Effect.Effect<void, never, Exclude<R, Scope.Scope>>
}

/** Tasks that still run, the handler not included. */
export const runningTasks = (session: SessionImpl): Array<TaskRecord> =>
  session.tasks === undefined ? [] : [...session.tasks].filter((record) => !record.done)

/** Asks a task to stop. Returns at once. */
export const interruptTask = (record: TaskRecord): void => {
  record.fiber?.unsafeInterruptAsFork(FiberId.none)
}
