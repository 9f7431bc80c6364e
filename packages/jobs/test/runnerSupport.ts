/** Nodes on one store in memory, each of which can be killed, paused and stopped as a process can. */
import { advance, settle } from "@spillway/testing/Settle"
import * as VirtualClock from "@spillway/testing/VirtualClock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as EventLog from "../src/EventLog.js"
import { makeMemory } from "../src/internal/memoryStore.js"
import * as Job from "../src/Job.js"
import { StoreFailed } from "../src/JobError.js"
import * as JobRunner from "../src/JobRunner.js"
import type { JobStoreShape } from "../src/JobStore.js"
import { JobStore } from "../src/JobStore.js"

export const Work = Job.make("work", { input: Schema.String, event: Schema.String, output: Schema.String })

export interface World {
  readonly store: JobStoreShape
  /** What the store fails with, as every node sees it. */
  fails: StoreFailed | undefined
  /** The one operation that fails for every node. */
  failsOn?: string | undefined
  readonly scope: Scope.Scope
}

type Work = (input: string, job: Job.JobContext<string>) => Effect.Effect<string, unknown, Scope.Scope>

/** The store as one node sees it: it can be cut off, and then nothing that it asks for ever happens. */
const view = (world: World) => {
  const control = { isDead: false, paused: undefined as Deferred.Deferred<void> | undefined }
  const through = <A, E>(key: string, effect: Effect.Effect<A, E>): Effect.Effect<A, E | StoreFailed> =>
    Effect.suspend((): Effect.Effect<A, E | StoreFailed> => {
      if (control.isDead) return Effect.never
      if (control.paused !== undefined) return Effect.zipRight(Deferred.await(control.paused), through(key, effect))
      if (world.failsOn === key) return Effect.fail(new StoreFailed({ operation: key, why: "io" }))
      return world.fails === undefined ? effect : Effect.fail(world.fails)
    })
  const store = Object.fromEntries(
    Object.entries(world.store).map(([key, value]) => [
      key,
      typeof value === "function" ? (...args: ReadonlyArray<never>) => through(key, value(...args)) : value
    ])
  )
  // Same keys, same types: every operation may fail with `StoreFailed`.
  return { control, store: store as unknown as JobStoreShape }
}

export const node = (
  world: World,
  work: Work,
  options: JobRunner.Options & { readonly job?: Partial<Job.Any> } = {}
) =>
  Effect.gen(function*() {
    const { job, ...rest } = options
    const { control, store } = view(world)
    const scope = yield* Scope.make()
    const services = JobRunner.layer([Job.handler({ ...Work, ...job }, work)], rest).pipe(
      Layer.provideMerge(EventLog.layer()),
      Layer.provideMerge(Layer.succeed(JobStore, store))
    )
    const context = yield* Effect.orDie(Layer.buildWithScope(services, scope))
    const stop = Effect.suspend(() => control.isDead ? Effect.void : closeInTime(scope))
    yield* Scope.addFinalizer(world.scope, stop)
    yield* settle
    return {
      runner: Context.get(context, JobRunner.JobRunner),
      log: Context.get(context, EventLog.EventLog),
      context,
      stop,
      kill: () => {
        control.isDead = true
      },
      pause: () => {
        control.paused = Deferred.unsafeMake<void>(FiberId.none)
      },
      resume: () => {
        const paused = control.paused
        control.paused = undefined
        if (paused !== undefined) Deferred.unsafeDone(paused, Effect.void)
      }
    }
  })

export const closeInTime = (scope: Scope.CloseableScope): Effect.Effect<void> =>
  Effect.gen(function*() {
    const closing = yield* Effect.forkDaemon(Scope.close(scope, Exit.void))
    yield* settle
    for (let seconds = 0; seconds < 40 && closing.unsafePoll() === null; seconds++) yield* advance("1 second")
    if (closing.unsafePoll() === null) return yield* Effect.dieMessage("a runner took longer than 40 s to stop")
  })

/** Runs a body on a store, with virtual time and a random of its own. */
export const world = <A, E>(
  body: (world: World) => Effect.Effect<A, E, Scope.Scope>,
  store: JobStoreShape = makeMemory()
): Effect.Effect<void, E> =>
  Effect.gen(function*() {
    const scope = yield* Effect.scope
    yield* body({ store, fails: undefined, scope })
  }).pipe(Effect.scoped, Effect.withRandom(Random.make("jobs")), Effect.withClock(VirtualClock.make()), Effect.asVoid)
