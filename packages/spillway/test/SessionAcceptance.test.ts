/**
 * Endings with several tasks at once, as the acceptance list words them.
 */
import { assert, describe } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Message from "../src/Message.js"
import { advance, endOf, important, settle, test } from "./support.js"

/** Writes down when something happened, in milliseconds since the cause. */
const stopwatch = () => {
  const log: Array<string> = []
  let startedAt = 0
  return {
    log,
    start: Effect.map(Clock.currentTimeMillis, (now) => void (startedAt = now)),
    note: (what: string) => Effect.map(Clock.currentTimeMillis, (now) => void log.push(`${what} +${now - startedAt}`))
  }
}

describe("the acceptance list", () => {
  test(
    "A108 a background crash in an active session ends it within the same instant, and the client gets 1011",
    {},
    (rig) =>
      Effect.gen(function*() {
        const { client, session } = yield* rig.open((session) =>
          Effect.zipRight(
            session.fork("feed", "lifetime", Effect.delay(Effect.die(new Error("no")), "10 seconds")),
            session.runForEach((inbound) => session.send(Message.text(inbound.text)))
          )
        )
        // Active: something is said and answered every second, also at the very end.
        for (let second = 0; second < 10; second++) {
          yield* client.send(`${second}`)
          if (second < 9) yield* advance("1 second")
        }
        assert.strictEqual(session.stats.state, "open")
        const { report, tookMillis } = yield* endOf(session, advance("1 second"))
        assert.deepInclude(report.exit, { _tag: "Crashed", task: "feed" })
        assert.strictEqual(tookMillis, 1_000)
        assert.strictEqual((yield* client.ended)?.code, 1011)
        assert.strictEqual((yield* client.received).length, 10)
      })
  )

  test(
    "A109 at a disconnect pollers are gone at +0, healthy work ends by itself, hung work is forced at 30 s and all is released by 35 s",
    {},
    (rig) =>
      Effect.gen(function*() {
        const { log, note, start } = stopwatch()
        const { client, session } = yield* rig.open((session) =>
          Effect.all([
            session.fork(
              "poller",
              "lifetime",
              Effect.zipRight(session.sleepUntilShutdown("60 seconds"), note("poller"))
            ),
            session.fork(
              "healthy",
              "finite",
              Effect.zipRight(session.awaitShutdown, Effect.delay(note("healthy"), "29 seconds"))
            ),
            session.fork("hung", "lifetime", Effect.onInterrupt(Effect.never, () => note("hung"))),
            session.runForEach(() => Effect.void)
          ])
        )
        yield* advance("7 seconds")
        const { report, tookMillis } = yield* endOf(session, Effect.zipRight(start, client.reset))
        assert.deepStrictEqual(log, ["poller +0", "healthy +29000", "hung +30000"])
        assert.deepStrictEqual([report.forced, report.stuck, tookMillis], [1, [], 30_000])
        assert.strictEqual(rig.fibersOf(session), 0)
        assert.strictEqual((yield* rig.snapshot).sessions, 0)
      })
  )

  test(
    "A109 what ignores even that is given up at 35 s",
    { stuckFibers: 1 },
    (rig) =>
      Effect.gen(function*() {
        const { client, session } = yield* rig.open((session) =>
          Effect.zipRight(session.fork("hung", "lifetime", Effect.uninterruptible(Effect.never)), Effect.never)
        )
        const { report, tookMillis } = yield* endOf(session, client.reset)
        assert.deepStrictEqual([report.forced, report.stuck, tookMillis], [1, ["hung"], 35_000])
        assert.deepStrictEqual((yield* rig.snapshot).stuck, { hung: 1 })
      })
  )

  test(
    "A110 what remains at the deadline is logged with the depth of the queues, and counted",
    {},
    (rig) =>
      Effect.gen(function*() {
        const { client, session } = yield* rig.open((session) =>
          Effect.zipRight(session.fork("uploader", "finite", Effect.never), Effect.never)
        )
        for (const text of ["a", "b", "c"]) yield* client.send(text)
        yield* settle
        yield* client.stall
        yield* session.send(important("x".repeat(600_000)))
        yield* settle
        for (const text of ["d", "e"]) session.unsafeOffer(important(text))
        const { report } = yield* endOf(session, session.close())
        assert.include(
          rig.logged,
          "grace is over, tasks are interrupted: uploader (3 messages unread, 2 unsent)"
        )
        assert.deepStrictEqual([report.unread, report.forced, report.undelivered.important], [3, 1, 3])
        assert.strictEqual((yield* rig.snapshot).totals.lanes.important.undelivered, 3)
        yield* client.unstall
      })
  )
})
