import { assert, describe } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Overflow from "../src/Overflow.js"
import type { Connection } from "../src/Transport.js"
import * as sessionWays from "./sessionWays.js"
import {
  advance,
  bulk,
  clog,
  control,
  critical,
  type Ending,
  endOf,
  important,
  type Rig,
  settle,
  test,
  texts
} from "./support.js"

const stuckFibers = (way: sessionWays.Way) =>
  (way.stuck?.length ?? 0) + (way.abandonedFinalizers ?? 0) + (way.strayFibers ?? 0)

const assertReport = (way: sessionWays.Way, { report, tookMillis }: Ending): void => {
  assert.strictEqual(report.exit._tag, way.tag)
  assert.strictEqual(tookMillis, way.tookMillis ?? 0)
  assert.deepStrictEqual(report.stuck, way.stuck ?? [])
  assert.strictEqual(report.forced, way.forced ?? 0)
  assert.strictEqual(report.phases.finalizers, way.finalizers ?? "done")
  if (way.tasks !== undefined) assert.strictEqual(report.phases.tasks, way.tasks)
  if (way.close !== undefined) assert.strictEqual(report.phases.close, way.close)
}

const assertOver = (way: sessionWays.Way, rig: Rig) =>
  Effect.gen(function*() {
    const snapshot = yield* rig.snapshot
    assert.strictEqual(snapshot.sessions, 0)
    assert.deepStrictEqual(snapshot.tasks, {})
    assert.strictEqual(Object.values(snapshot.exits).reduce((sum, count) => sum + count, 0), 1, "exactly one exit")
    assert.strictEqual(snapshot.exits[way.tag], 1)
    assert.strictEqual(snapshot.totals.stuckTasks, way.stuck?.length ?? 0)
    assert.strictEqual(snapshot.totals.abandonedFinalizers, way.abandonedFinalizers ?? 0)
  })

describe("the exit matrix: one exit, its code, its budget to the millisecond, nothing left", () => {
  for (const way of sessionWays.all) {
    const policy = way.policy === undefined ? undefined : Overflow.layer(way.policy)
    test(
      `A105 A114: ${way.name}`,
      { session: way.options, policy, stuckFibers: stuckFibers(way) },
      (rig) =>
        Effect.gen(function*() {
          const pair = yield* rig.open(way.handler, way.connect)
          const ending = yield* endOf(pair.session, way.cause(pair, rig))
          // The client hears of it a moment later.
          yield* advance(1)
          assertReport(way, ending)
          yield* assertOver(way, rig)
          assert.strictEqual(pair.session.state, "closed")
          assert.strictEqual(rig.fibersOf(pair.session), stuckFibers(way))
          if (way.code !== undefined) assert.strictEqual((yield* pair.client.ended)?.code, way.code)
          else yield* pair.client.unstall
        })
    )
  }
})

/** A connection that tells what is asked of it. */
const spied = (connection: Connection, log: Array<string>): Connection =>
  new Proxy(connection, {
    get: (target, key) => {
      const value: unknown = Reflect.get(target, key)
      if (typeof value !== "function") return value
      return (...args: ReadonlyArray<unknown>): unknown => {
        if (key === "write" || key === "close" || key === "terminate") log.push(key)
        return Reflect.apply(value, target, args)
      }
    }
  })

describe("order of ending", () => {
  test(
    "A113 signal, tasks, finalizers, flush, close, terminate, report, and the gauge falls last",
    {},
    (rig) =>
      Effect.gen(function*() {
        const log: Array<string> = []
        const note = (what: string) => Effect.sync(() => void log.push(`${what} ${rig.sessions.size}`))
        const { connection } = yield* rig.connect({ neverCloses: true })
        const session = yield* rig.sessions.open(spied(connection, log), (session) =>
          Effect.gen(function*() {
            yield* Effect.addFinalizer(() =>
              Effect.zipRight(note("finalizer"), session.send(critical("from a finalizer")))
            )
            yield* session.fork(
              "worker",
              "lifetime",
              Effect.zipRight(session.awaitShutdown, Effect.zipRight(note("signal"), note("task ends")))
            )
            yield* Effect.never
          }))
        yield* settle
        yield* Effect.forkDaemon(Effect.zipRight(session.awaitExit, note("report")))
        yield* endOf(session, session.close())
        assert.deepStrictEqual(log, [
          "signal 1",
          "task ends 1",
          "finalizer 1",
          "write",
          "close",
          "terminate",
          "report 0"
        ])
      })
  )

  test(
    "finalizers run in reverse order, also behind one that hangs, dies or throws",
    { stuckFibers: 1 },
    (rig) =>
      Effect.gen(function*() {
        const log: Array<string> = []
        const add = (name: string, then: Effect.Effect<unknown>) =>
          Effect.addFinalizer(() => Effect.zipRight(Effect.sync(() => log.push(name)), then))
        const { session } = yield* rig.open(() =>
          Effect.all([
            add("first", Effect.void),
            add("hangs", Effect.never),
            add("dies", Effect.die("no")),
            add("last", Effect.void),
            Effect.never
          ])
        )
        const { tookMillis } = yield* endOf(session, session.close())
        assert.deepStrictEqual(log, ["last", "dies", "hangs", "first"])
        assert.strictEqual(tookMillis, 5_000)
      })
  )

  test(
    "ten finalizers that hang share one budget, with a floor of 50 ms each",
    { stuckFibers: 10 },
    (rig) =>
      Effect.gen(function*() {
        const { session } = yield* rig.open(() =>
          Effect.zipRight(Effect.replicateEffect(Effect.addFinalizer(() => Effect.never), 10), Effect.never)
        )
        const { report, tookMillis } = yield* endOf(session, session.close())
        assert.strictEqual(tookMillis, 5_000 + 9 * 50)
        assert.strictEqual(report.phases.finalizers, "cut")
        assert.strictEqual((yield* rig.snapshot).totals.abandonedFinalizers, 10)
      })
  )

  test(
    "a stuck task and an abandoned finalizer are counted until they really end",
    {},
    (rig) =>
      Effect.gen(function*() {
        const release = yield* Deferred.make<void>()
        const stuck = Effect.uninterruptible(Deferred.await(release))
        const { session } = yield* rig.open((session) =>
          Effect.all([Effect.addFinalizer(() => stuck), session.fork("upload", "finite", stuck), Effect.never])
        )
        const { report } = yield* endOf(session, session.close())
        assert.deepStrictEqual(report.stuck, ["upload"])
        assert.deepStrictEqual((yield* rig.snapshot).stuck, { upload: 1 })
        yield* Deferred.succeed(release, undefined)
        yield* settle
        const { stuck: left, totals } = yield* rig.snapshot
        assert.deepStrictEqual([left, totals.stuckTasks, totals.abandonedFinalizers], [{}, 0, 0])
      })
  )

  test(
    "a resource acquired by a task after the finalizers ran is released at once",
    {},
    (rig) =>
      Effect.gen(function*() {
        const late = yield* Deferred.make<boolean>()
        const { session } = yield* rig.open((session) =>
          Effect.flatMap(Effect.scope, (scope) =>
            Effect.zipRight(
              session.fork(
                "late",
                "finite",
                Effect.uninterruptible(
                  Effect.zipRight(Effect.sleep("50 seconds"), Scope.addFinalizer(scope, Deferred.succeed(late, true)))
                )
              ),
              Effect.never
            ))
        )
        yield* endOf(session, session.close())
        yield* advance("50 seconds")
        assert.isTrue(Option.isSome(yield* Deferred.poll(late)))
      })
  )

  test("a task that fails while the session ends is logged and changes nothing", {}, (rig) =>
    Effect.gen(function*() {
      const { session } = yield* rig.open((session) =>
        Effect.zipRight(
          session.fork("worker", "lifetime", Effect.zipRight(session.awaitShutdown, Effect.fail("no"))),
          Effect.never
        )
      )
      const { report } = yield* endOf(session, session.close())
      assert.strictEqual(report.exit._tag, "ClosedByServer")
      assert.include(rig.logged.join(), "task \"worker\" failed while the session was ending")
    }))

  test("on a session that ends no task is started", {}, (rig) =>
    Effect.gen(function*() {
      const { session } = yield* rig.open()
      yield* endOf(session, session.close())
      assert.isFalse(yield* session.fork("late", "finite", Effect.die("never run")))
    }))
})

describe("flush", () => {
  test(
    "A111 what is queued is on the wire before the close frame, most urgent first",
    {},
    (rig) =>
      Effect.gen(function*() {
        const { client, session } = yield* rig.open()
        yield* clog({ client, session })
        for (const message of [bulk("bulk"), important("important"), critical("critical"), control("control")]) {
          session.unsafeOffer(message)
        }
        const { report } = yield* endOf(session, Effect.all([session.close(), settle, client.unstall]))
        assert.deepStrictEqual((yield* texts(client)).slice(1), ["control", "critical", "important", "bulk"])
        assert.deepInclude(report, { flushed: 5, undelivered: { control: 0, critical: 0, important: 0, bulk: 0 } })
        assert.strictEqual((yield* client.ended)?.code, 1000)
      })
  )

  test(
    "A034 A112 what cannot be flushed in 3 s is listed by lane, and nothing hangs",
    {},
    (rig) =>
      Effect.gen(function*() {
        const { client, session } = yield* rig.open()
        yield* clog({ client, session })
        session.unsafeOffer(critical("a"))
        session.unsafeOffer(bulk("b"))
        const { report, tookMillis } = yield* endOf(session, session.close())
        assert.deepStrictEqual(report.undelivered, { control: 0, critical: 1, important: 1, bulk: 1 })
        assert.deepInclude(report.phases, { flush: "cut", close: "cut" })
        assert.strictEqual(tookMillis, 3_000 + 2_000)
        yield* client.unstall
      })
  )

  test(
    "a link that breaks during the flush cuts it, and what was in flight is undelivered",
    {},
    (rig) =>
      Effect.gen(function*() {
        const pair = yield* rig.open()
        yield* clog(pair)
        const cause = Effect.all([pair.session.close(), advance(10), pair.client.reset])
        const { report, tookMillis } = yield* endOf(pair.session, cause)
        assert.strictEqual(report.exit._tag, "ClosedByServer")
        assert.strictEqual(report.undelivered.important, 1)
        assert.deepInclude(report.phases, { flush: "cut", close: "skipped" })
        assert.strictEqual(tookMillis, 10)
      })
  )

  test(
    "messages sent in the grace are flushed; after the flush began offers are rejected as closed",
    {},
    (rig) =>
      Effect.gen(function*() {
        const { client, session } = yield* rig.open((session) =>
          Effect.zipRight(
            session.fork("worker", "lifetime", Effect.zipRight(session.awaitShutdown, session.send(critical("bye")))),
            Effect.never
          )
        )
        yield* endOf(session, session.close())
        assert.deepStrictEqual(yield* texts(client), ["bye"])
        assert.deepStrictEqual(yield* session.send(critical("late")), { _tag: "Rejected", reason: "Closed" })
        assert.deepStrictEqual(session.unsafeOffer(control("late")), { _tag: "Rejected", reason: "Closed" })
        assert.deepStrictEqual(yield* session.deliver(bulk("late")), { _tag: "Rejected", reason: "Closed" })
      })
  )
})
