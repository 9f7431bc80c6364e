/**
 * A user's handler under rules: tasks that are killed and finalizers that fail.
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import type { Session, TaskKind } from "spillway/Session"
import type * as Faults from "../Faults.js"
import type { Entry, FaultEngine } from "./faultEngine.js"

type Handler<E, R> = (session: Session) => Effect.Effect<unknown, E, R>

/** The defect that a rule planted, to tell it from those of the program. */
class InjectedFault extends Data.TaggedError("InjectedFault")<{ readonly what: string }> {
  override get message(): string {
    return `injected: ${this.what}`
  }
}

interface Subject {
  readonly connection: number
  readonly remoteAddress: string
}

/** The effect, which the rule ends when its time has come. What ends earlier by itself was not killed. */
const killed = <A, E, R>(
  engine: FaultEngine,
  entry: Entry,
  name: string,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> => {
  const act = entry.rule.act as Faults.KillTask
  const kill = Effect.sleep(act.afterMillis ?? 0).pipe(
    Effect.zipRight(Effect.suspend(() => {
      engine.fire(entry)
      return act.by === "interruption"
        ? Effect.interrupt
        : Effect.die(new InjectedFault({ what: `task "${name}" is killed` }))
    }))
  )
  return Effect.ensuring(Effect.raceFirst(effect, kill), Effect.sync(() => entry.promised--))
}

const task = <A, E, R>(
  engine: FaultEngine,
  subject: Subject,
  name: string,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    const entry = engine.onTask(subject, name)
    return entry === undefined ? effect : killed(engine, entry, name, effect)
  })

/** The object with one of its members replaced. The others run on the real one. */
const replacing = <A extends object, K extends keyof A>(self: A, member: K, value: A[K]): A =>
  new Proxy(self, {
    get(target, key) {
      if (key === member) return value
      const found: unknown = Reflect.get(target, key, target)
      return typeof found === "function" ? found.bind(target) : found
    }
  })

/** The session with a `fork` that the rules see. */
const watchedSession = (engine: FaultEngine, subject: Subject, session: Session): Session => {
  const fork = <E, R>(name: string, kind: TaskKind, effect: Effect.Effect<unknown, E, R>) =>
    session.fork(name, kind, task(engine, subject, name, effect))
  return replacing(session, "fork", fork)
}

/** What makes a scope one; the published type leaves it out. */
interface ScopeShape extends Scope.Scope {
  readonly addFinalizer: (finalizer: Scope.Scope.Finalizer) => Effect.Effect<void>
}

/** The scope with an `addFinalizer` that the rules see. */
const watchedScope = (engine: FaultEngine, subject: Subject, scope: Scope.Scope): Scope.Scope => {
  const fail = Effect.suspend(() =>
    engine.onFinalizer(subject) ? Effect.die(new InjectedFault({ what: "a finalizer fails" })) : Effect.void
  )
  return replacing(
    scope as ScopeShape,
    "addFinalizer",
    (finalizer) => Scope.addFinalizerExit(scope, (exit) => Effect.ensuring(finalizer(exit), fail))
  )
}

export const wrap = <E, R>(engine: FaultEngine, handler: Handler<E, R>): Handler<E, R> => (session) =>
  Effect.suspend(() => {
    const subject: Subject = { connection: engine.nextHandler(), remoteAddress: session.remoteAddress }
    const body = task(
      engine,
      subject,
      "handler",
      Effect.suspend(() => handler(watchedSession(engine, subject, session)))
    )
    return Effect.contextWithEffect((context: Context.Context<R>) =>
      Option.match(Context.getOption(context, Scope.Scope), {
        onNone: () => body,
        onSome: (scope) => Effect.provide(body, Context.make(Scope.Scope, watchedScope(engine, subject, scope)))
      })
    )
  })
