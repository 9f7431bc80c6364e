/**
 * Fibers that a handler forks itself, beside the tasks of its session: they end with the session, and one that ignores
 * interruption keeps nothing waiting and is counted until it really ends.
 */
import { assert, describe } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import { advance, endOf, settle, test } from "./support.js"

describe("fibers forked by a handler", () => {
  /** A child of the handler's fiber keeps that one from ending: the handler is what is stuck. */
  const ways = [
    ["Effect.forkScoped", Effect.forkScoped, "forkScoped"],
    ["Effect.fork", Effect.fork, "handler"]
  ] as const

  for (const [name, fork, stuckAs] of ways) {
    test(`A109 ${name}: interrupted with the session, and nothing is counted`, {}, (rig) =>
      Effect.gen(function*() {
        const log: Array<string> = []
        const { session } = yield* rig.open(() =>
          Effect.zipRight(
            fork(Effect.onInterrupt(Effect.never, () => Effect.sync(() => log.push("ended")))),
            Effect.never
          )
        )
        const { report, tookMillis } = yield* endOf(session, session.close())
        assert.deepStrictEqual([log, report.stuck, tookMillis], [["ended"], [], 0])
      }))

    test(
      `A109 ${name}: one that ignores interruption is detached and counted until it really ends`,
      {},
      (rig) =>
        Effect.gen(function*() {
          const release = yield* Deferred.make<void>()
          const { session } = yield* rig.open(() =>
            Effect.zipRight(fork(Effect.uninterruptible(Deferred.await(release))), Effect.never)
          )
          const { report, tookMillis } = yield* endOf(session, session.close())
          assert.deepStrictEqual([report.stuck, report.forced, tookMillis], [[stuckAs], 1, 5_000])
          const during = yield* rig.snapshot
          assert.deepStrictEqual([during.sessions, during.stuck, during.totals.stuckTasks], [0, { [stuckAs]: 1 }, 1])
          // Told to end, but not gone: it is counted for as long as it takes.
          yield* advance("1 hour")
          assert.deepStrictEqual((yield* rig.snapshot).stuck, { [stuckAs]: 1 })
          yield* Deferred.succeed(release, undefined)
          yield* settle
          const { stuck, totals } = yield* rig.snapshot
          assert.deepStrictEqual([stuck, totals.stuckTasks, totals.abandonedFinalizers], [{}, 0, 0])
        })
    )
  }

  test(
    "A106 counter: a plain scope waits for the same fiber for as long as it likes",
    {},
    () =>
      Effect.gen(function*() {
        const release = yield* Deferred.make<void>()
        const scope = yield* Scope.make()
        yield* Effect.forkIn(Effect.uninterruptible(Deferred.await(release)), scope)
        const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
        yield* advance("1 hour")
        assert.isNull(closing.unsafePoll())
        yield* Deferred.succeed(release, undefined)
        yield* Fiber.join(closing)
      })
  )

  test(
    "a finalizer that waits for what is older than the session is interrupted, as any other that hangs",
    {},
    (rig) =>
      Effect.gen(function*() {
        const never = yield* Deferred.make<void>()
        const { session } = yield* rig.open(() =>
          Effect.flatMap(
            Effect.scope,
            (scope) => Effect.zipRight(Scope.addFinalizer(scope, Deferred.await(never)), Effect.never)
          )
        )
        const { report } = yield* endOf(session, session.close())
        yield* settle
        assert.deepStrictEqual([report.stuck, report.phases.finalizers], [[], "cut"])
        assert.strictEqual((yield* rig.snapshot).totals.abandonedFinalizers, 0)
      })
  )
})
