import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import type { Session } from "../src/Session.js"
import { advance, bulk, clog, endOf, type Rig, settle, test, texts, withRig } from "./support.js"

describe("A088 precedence", () => {
  const crash = Effect.fail("no")
  const order = (effects: ReadonlyArray<Effect.Effect<unknown>>) => [effects, [...effects].reverse()]

  for (const [index, name] of ["first come", "last come"].entries()) {
    test(`a disconnect wins over a crash and a close, ${name}`, {}, (rig) =>
      Effect.gen(function*() {
        const go = yield* Deferred.make<void>()
        const { client, session } = yield* rig.open((session) =>
          Effect.zipRight(session.fork("worker", "finite", Effect.zipRight(Deferred.await(go), crash)), Effect.never)
        )
        const effects = order([client.reset, Deferred.succeed(go, undefined), session.close()])[index]!
        const { report } = yield* endOf(session, Effect.all(effects))
        assert.strictEqual(report.exit._tag, "Disconnected")
      }))

    test(`a crash wins over a completion and a close, ${name}`, {}, (rig) =>
      Effect.gen(function*() {
        const go = yield* Deferred.make<void>()
        const { session } = yield* rig.open((session) =>
          Effect.zipRight(session.fork("worker", "finite", Effect.zipRight(Deferred.await(go), crash)), Effect.never)
        )
        const effects = order([Deferred.succeed(go, undefined), session.close()])[index]!
        const { report } = yield* endOf(session, Effect.all(effects))
        assert.strictEqual(report.exit._tag, "Crashed")
      }))
  }

  test(
    "what comes after the decision changes nothing, and closing twice is harmless",
    {},
    (rig) =>
      Effect.gen(function*() {
        const { client, session } = yield* rig.open((session) =>
          Effect.zipRight(session.fork("worker", "lifetime", Effect.never), Effect.never)
        )
        const cause = Effect.all([session.close(), settle, client.reset, session.close({ code: 4100, reason: "" })])
        const { report } = yield* endOf(session, cause)
        assert.strictEqual(report.exit._tag, "ClosedByServer")
        assert.strictEqual((yield* rig.snapshot).exits.ClosedByServer, 1)
      })
  )

  test("a task that somebody else interrupts does not end the session", {}, (rig) =>
    Effect.gen(function*() {
      const { session } = yield* rig.open((session) =>
        Effect.zipRight(session.fork("worker", "lifetime", Effect.interrupt), Effect.never)
      )
      assert.strictEqual(session.state, "open")
      yield* session.close()
    }))
})

describe("a session in a scope of the user's", () => {
  const scoped = (rig: Rig, exit: Exit.Exit<unknown, unknown>) =>
    Effect.gen(function*() {
      const { client, connection } = yield* rig.connect()
      const scope = yield* Scope.make()
      const session = yield* Scope.extend(rig.sessions.scoped(connection), scope)
      session.unsafeOffer(bulk("queued"))
      const { report } = yield* endOf(session, Effect.forkDaemon(Scope.close(scope, exit)))
      assert.deepStrictEqual(yield* texts(client), ["queued"])
      return [report.exit._tag, (yield* client.ended)?.code] as const
    })

  test("success closes with 1000, interruption with 1001, failure with 1011", {}, (rig) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* scoped(rig, Exit.void), ["ClosedByServer", 1000])
      assert.deepStrictEqual(yield* scoped(rig, Exit.interrupt(yield* Effect.fiberId)), ["ClosedByServer", 1001])
      assert.deepStrictEqual(yield* scoped(rig, Exit.fail("no")), ["Crashed", 1011])
    }))
})

describe("counter-tests", () => {
  it.effect("A106 the naive handler, which waits for all tasks and then decrements the gauge, leaks under a hung task", () =>
    Effect.gen(function*() {
      let gauge = 1
      const naive = Effect.ensuring(
        Effect.all([Effect.void, Effect.never], { concurrency: 2 }),
        Effect.sync(() => gauge--)
      )
      const fiber = yield* Effect.forkDaemon(naive)
      yield* advance("1 hour")
      assert.strictEqual(gauge, 1)
      yield* Fiber.interrupt(fiber)
    }))

  it.effect("A106 under the same hung task a session leaves the gauge after 30 s", () =>
    withRig({}, (rig) =>
      Effect.gen(function*() {
        const { client } = yield* rig.open((session) =>
          Effect.zipRight(session.fork("hung", "finite", Effect.never), Effect.never)
        )
        yield* client.reset
        yield* advance(29_999)
        assert.strictEqual(rig.sessions.size, 1)
        yield* advance(1)
        assert.strictEqual(rig.sessions.size, 0)
      })))

  it.effect("a finalizer with a plain timeout is not bounded", () =>
    Effect.gen(function*() {
      const naive = Effect.addFinalizer(() => Effect.ignore(Effect.timeout(Effect.never, "1 second")))
      const closing = yield* Effect.forkDaemon(Effect.scoped(naive))
      yield* advance("1 hour")
      assert.isNull(closing.unsafePoll())
    }))
})

describe("drain of all sessions", () => {
  test(
    "A drain joins: a second call waits for the first, and interrupting a call stops nothing",
    {},
    (rig) =>
      Effect.gen(function*() {
        yield* rig.open((session) => Effect.zipRight(session.fork("hung", "finite", Effect.never), Effect.never))
        const first = yield* Effect.fork(rig.sessions.drain({ total: "10 seconds" }))
        yield* settle
        const second = yield* Effect.fork(rig.sessions.drain({ total: "1 hour" }))
        yield* Fiber.interruptFork(first)
        yield* advance("10 seconds")
        const summary = yield* Fiber.join(second)
        assert.isAtMost(summary.durationMillis, 10_000)
        assert.strictEqual((yield* rig.snapshot).sessions, 0)
      })
  )

  test(
    "a drain is over within its total whatever the sessions do",
    { stuckFibers: 60 },
    (rig) =>
      Effect.gen(function*() {
        const bad = (session: Session) =>
          Effect.all([
            Effect.addFinalizer(() => Effect.never),
            session.fork("ignores", "finite", Effect.uninterruptible(Effect.never)),
            Effect.uninterruptible(Effect.never)
          ])
        for (let i = 0; i < 20; i++) {
          const pair = yield* rig.open(bad, { neverCloses: true })
          if (i % 2 === 0) yield* clog(pair)
        }
        const drain = yield* Effect.fork(rig.sessions.drain())
        yield* advance("28 seconds")
        const summary = yield* Fiber.join(drain)
        assert.deepStrictEqual([summary.sessions, summary.terminated], [20, 0])
        assert.strictEqual(rig.sessions.size, 0)
      })
  )

  test(
    "a session that was already ending when the drain began is hurried, and terminated at the total",
    {},
    (rig) =>
      Effect.gen(function*() {
        const { session } = yield* rig.open((session) =>
          Effect.zipRight(session.fork("hung", "finite", Effect.never), Effect.never)
        )
        yield* session.close()
        yield* settle
        const drain = yield* Effect.fork(rig.sessions.drain({ total: "10 seconds" }))
        yield* advance(9_249)
        assert.strictEqual(rig.sessions.size, 1)
        yield* advance(1)
        assert.strictEqual(rig.sessions.size, 0)
        assert.strictEqual((yield* Fiber.join(drain)).durationMillis, 9_250)
      })
  )

  test(
    "connections that come while draining are told to go away, and their handler is not started",
    {},
    (rig) =>
      Effect.gen(function*() {
        const { session: old } = yield* rig.open((session) =>
          Effect.zipRight(session.fork("hung", "finite", Effect.never), Effect.never)
        )
        const drain = yield* Effect.fork(rig.sessions.drain({ total: "10 seconds" }))
        yield* settle
        assert.isFalse(rig.sessions.isAccepting)
        const { client } = yield* rig.open(() => Effect.die("never run"))
        assert.strictEqual((yield* client.ended)?.code, 1001)
        yield* endOf(old, Effect.void)
        yield* Fiber.join(drain)
      })
  )

  test(
    "healthy tasks are not counted as stuck when the total leaves them no grace",
    {},
    (rig) =>
      Effect.gen(function*() {
        const { session } = yield* rig.open((session) =>
          Effect.zipRight(session.fork("poller", "finite", Effect.never), Effect.never)
        )
        const { report } = yield* endOf(session, Effect.forkDaemon(rig.sessions.drain({ total: "3 seconds" })))
        assert.deepInclude(report, { stuck: [], forced: 1 })
      })
  )
})
