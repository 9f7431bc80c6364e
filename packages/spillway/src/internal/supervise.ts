/** The decision of `Tasks.superviseTasks`: which task ended first, by precedence, and what that means. */
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import type { Label } from "../Label.js"
import type { SuperviseOptions, SupervisorExit, Task } from "../Tasks.js"
import { type ExitReason, TaskMetrics } from "./taskMetrics.js"
import { type AnyFiber, makeScoped, type ResolvedDrain, type TaskSetImpl, verdict } from "./tasks.js"

interface Candidate<E> {
  readonly rank: number
  /** Order of registration, which decides among equals. */
  readonly index: number
  readonly exit: SupervisorExit<E>
}

const isBefore = (a: Candidate<unknown>, b: Candidate<unknown>): boolean =>
  a.rank !== b.rank ? a.rank < b.rank : a.index < b.index

/** Collects what has ended, and keeps what comes first by precedence. */
class Decision<E> {
  private best: Candidate<E> | undefined = undefined
  private running = 0
  private onChange: (() => void) | undefined = undefined

  /** Watches a fiber; the observer is told even if it has ended already. */
  watch(fiber: AnyFiber, decide: (exit: Exit.Exit<unknown, unknown>) => Candidate<E> | undefined): void {
    this.running++
    fiber.addObserver((exit) => {
      this.running--
      const candidate = decide(exit)
      if (candidate !== undefined && (this.best === undefined || isBefore(candidate, this.best))) this.best = candidate
      if (this.onChange !== undefined) this.onChange()
    })
  }

  private get isMade(): boolean {
    return this.best !== undefined || this.running === 0
  }

  get outcome(): SupervisorExit<E> {
    return this.best?.exit ?? { _tag: "AllDone" }
  }

  /** Suspends until something has ended that ends the supervision. */
  readonly made: Effect.Effect<void> = Effect.async<void>((resume) => {
    if (this.isMade) return resume(Effect.void)
    this.onChange = () => {
      if (!this.isMade) return
      this.onChange = undefined
      resume(Effect.void)
    }
    return Effect.sync(() => {
      this.onChange = undefined
    })
  })
}

const ofReceive = <E>(task: string, exit: Exit.Exit<unknown, E>): Candidate<E> => ({
  rank: 0,
  index: -1,
  exit: { _tag: "Disconnect", task, cause: exit._tag === "Failure" ? exit.cause : undefined }
})

const ofBackground = (
  { kind, name }: Task<unknown, unknown>,
  index: number,
  exit: Exit.Exit<unknown, unknown>
): Candidate<never> | undefined => {
  switch (verdict(kind, exit)) {
    case "ignored":
      return undefined
    case "crash":
      // A crash is a failure by definition; the compiler cannot see it.
      return exit._tag === "Failure"
        ? { rank: 1, index, exit: { _tag: "Crash", task: name, cause: exit.cause } }
        : undefined
    case "lifetime_done":
      return { rank: 2, index, exit: { _tag: "LifetimeDone", task: name } }
    case "completed":
      return { rank: 2, index, exit: { _tag: "Completed", task: name } }
  }
}

/** No metric: nothing was cut short. */
const reasons: { readonly [T in SupervisorExit<unknown>["_tag"]]: ExitReason | undefined } = {
  Disconnect: "disconnect",
  Crash: "crash",
  LifetimeDone: "lifetime_done",
  Completed: "completed",
  AllDone: undefined,
  Empty: undefined
}

const record = (exit: SupervisorExit<unknown>, label: Label): Effect.Effect<void> =>
  Effect.suspend(() => {
    const reason = reasons[exit._tag]
    if (reason !== undefined) TaskMetrics.of(label).supervisorExit[reason].unsafeUpdate(1, [])
    return exit._tag === "Crash"
      ? Effect.annotateLogs(Effect.logError(`background task "${exit.task}" crashed`, exit.cause), {
        label: label.name,
        task: exit.task
      })
      : Effect.void
  })

const begin = <E, R>(set: TaskSetImpl, { name, run }: Task<E, R>) => set.start(run, name)

/** Starts the tasks in the set. The returned effect waits for the decision; `receiver` is the fiber of `receive`. */
const start = <E, R>(set: TaskSetImpl, { background = [], receive }: SuperviseOptions<E, R>): Effect.Effect<
  { readonly decided: Effect.Effect<SupervisorExit<E>>; readonly receiver: AnyFiber | undefined },
  never,
  R
> =>
  Effect.gen(function*() {
    if (receive === undefined && background.length === 0) {
      return { decided: Effect.succeed<SupervisorExit<E>>({ _tag: "Empty" }), receiver: undefined }
    }
    const decision = new Decision<E>()
    let receiver: AnyFiber | undefined = undefined
    if (receive !== undefined) {
      const { name, run } = receive
      const fiber = yield* set.start(run, name)
      // The fiber is that of `run`, so its failure is of type E; observers of any fiber get `unknown`.
      decision.watch(fiber, (exit) => ofReceive(name, exit as Exit.Exit<unknown, E>))
      receiver = fiber
    }
    for (const [index, task] of background.entries()) {
      const fiber = yield* begin(set, task)
      decision.watch(fiber, (exit) => ofBackground(task, index, exit))
    }
    // Two turns, so that what happens at once is decided by precedence and not by who came first.
    const decided = decision.made.pipe(
      Effect.zipRight(Effect.yieldNow()),
      Effect.zipRight(Effect.yieldNow()),
      Effect.flatMap(() => Effect.tap(Effect.succeed(decision.outcome), (exit) => record(exit, set.label)))
    )
    return { decided, receiver }
  })

/** The mask protects the windows between the set's finalizer, the start of each task, and the wait. */
export const supervise = <E, R>(
  options: SuperviseOptions<E, R>,
  resolved: ResolvedDrain
): Effect.Effect<SupervisorExit<E>, never, R | Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      let receiver: AnyFiber | undefined = undefined
      const set = yield* makeScoped(options, resolved, () => receiver === undefined ? [] : [receiver])
      const started = yield* start(set, options)
      receiver = started.receiver
      return yield* restore(started.decided)
    })
  )
