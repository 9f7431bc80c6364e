import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Hub from "../src/Hub.js"
import * as Inspector from "../src/Inspector.js"
import { Sessions } from "../src/Sessions.js"
import { advance, bulk, clog, critical, important, type Rig, settle, test } from "./support.js"

const inspect = (rig: Rig) => Effect.provideService(Inspector.inspect, Sessions, rig.sessions)

describe("Inspector", () => {
  test("A048 the manager's metrics and the list of streams; stopping closes all streams at once within one deadline", {
    session: { outboxItemsMax: 10 }
  }, (rig) =>
    Effect.gen(function*() {
      const pairs = yield* Effect.all(Effect.replicate(rig.open(), 5))
      for (const pair of pairs.slice(0, 2)) yield* clog(pair)
      // Twelve in one turn: two of them are shed, whether the peer reads or not.
      for (const { session } of pairs) {
        for (let i = 0; i < 8; i++) yield* session.send(bulk("12345"))
        for (let i = 0; i < 4; i++) yield* session.send(important("12345"))
      }
      yield* settle
      yield* pairs[4]!.session.close()
      yield* settle
      const { metrics, sessions } = yield* inspect(rig)
      assert.deepStrictEqual(metrics, {
        managerStatus: "running",
        totalConnections: 5,
        activeStreams: 4,
        totalQueueSize: 20,
        totalMessagesSent: 30,
        totalMessagesDropped: 10,
        totalBytesSent: 150,
        broadcastBacklog: 2,
        streamStatusDistribution: { connected: 2, backpressure: 2, slow_consumer: 0, draining: 0, disconnected: 0 },
        memory: rig.sessions.memory
      })
      assert.deepStrictEqual(sessions.map(({ stats }) => stats.id), pairs.slice(0, 4).map(({ session }) => session.id))
      for (const { session } of pairs.slice(0, 4)) {
        yield* session.fork("stubborn", "finite", Effect.sleep("1 hour"))
      }
      const stopping = yield* Effect.fork(Effect.timed(rig.sessions.drain({ total: "3 seconds" })))
      yield* settle
      assert.deepInclude((yield* inspect(rig)).metrics, { managerStatus: "draining", activeStreams: 4 })
      assert.strictEqual((yield* inspect(rig)).metrics.streamStatusDistribution.draining, 4)
      yield* advance("3 seconds")
      const [took] = yield* Effect.orDie(stopping.await.pipe(Effect.flatten))
      assert.isAtMost(Number(took.value._tag === "Millis" ? took.value.millis : 0), 3_000)
      assert.deepInclude((yield* inspect(rig)).metrics, { activeStreams: 0, totalConnections: 5, totalQueueSize: 0 })
    }))

  test("a session's view has its lanes, the age of the oldest message, the last shed, and its tasks by name", {
    session: { outboxItemsMax: 4, sendTimeout: "1 minute" }
  }, (rig) =>
    Effect.gen(function*() {
      const pair = yield* rig.open((session) =>
        Effect.zipRight(session.fork("poller", "finite", Effect.never), Effect.never)
      )
      assert.isUndefined((yield* inspect(rig)).sessions[0]!.lastShed)
      yield* clog(pair)
      yield* pair.session.send(bulk("old"))
      yield* advance("3 seconds")
      for (let i = 0; i < 4; i++) yield* pair.session.send(critical("new"))
      yield* advance("2 seconds")
      const { closed, sessions, stuck, tasks } = yield* inspect(rig)
      const [one] = sessions
      assert.deepInclude(one!.lanes.critical, { queued: 4, queuedBytes: 12, oldestMillis: 2_000, shed: 0 })
      assert.deepInclude(one!.lanes.bulk, { queued: 0, shed: 1 })
      assert.deepInclude(one!.lastShed, { lane: "bulk", reason: "evicted" })
      assert.deepStrictEqual([one!.oldestMillis, one!.stalledMillis, one!.status], [2_000, 5_000, "backpressure"])
      assert.deepStrictEqual([{ ...tasks }, { ...stuck }, closed], [{ handler: 1, poller: 1 }, {}, []])
    }))

  test(
    "topics are named with their members where there is a hub, also those called like a method",
    {},
    (rig) =>
      Effect.gen(function*() {
        const hub = yield* Effect.orDie(Effect.provideService(Hub.make(), Sessions, rig.sessions))
        const pairs = yield* Effect.all(Effect.replicate(rig.open(), 2))
        for (const { session } of pairs) yield* hub.join(session)
        yield* Effect.orDie(hub.subscribe(pairs[0]!.session, ["a", "constructor"]))
        yield* Effect.orDie(hub.subscribe(pairs[1]!.session, ["a", Hub.prefix("b")]))
        assert.deepStrictEqual(Object.entries((yield* inspect(rig)).topics), [])
        const { topics } = yield* Effect.provideService(inspect(rig), Hub.Hub, hub)
        assert.deepStrictEqual(Object.entries(topics), [["a", 2], ["constructor", 1]])
      })
  )

  test(
    "changes tells first all sessions, then only what changed, and nothing when nothing did",
    {},
    (rig) =>
      Effect.gen(function*() {
        const [a, b] = [yield* rig.open(), yield* rig.open()]
        const seen: Array<readonly [opened: number, changed: ReadonlyArray<string>, gone: ReadonlyArray<string>]> = []
        yield* Effect.forkScoped(
          Stream.runForEach(Inspector.changes(), ({ changed, gone, opened }) =>
            Effect.sync(() =>
              seen.push([opened.length, changed.map(({ stats }) => stats.id), gone])
            )).pipe(
              Effect.provideService(Sessions, rig.sessions)
            )
        )
        yield* settle
        assert.deepStrictEqual(seen.splice(0), [[2, [], []]])
        yield* advance("5 seconds")
        assert.deepStrictEqual(seen, [])
        yield* b.session.send(important("x"))
        yield* advance("1 second")
        assert.deepStrictEqual(seen.splice(0), [[0, [b.session.id], []]])
        yield* a.session.close()
        const c = yield* rig.open()
        yield* advance("1 second")
        assert.deepStrictEqual(seen.splice(0), [[1, [], [a.session.id]]])
        assert.strictEqual(c.session.state, "open")
      })
  )
})
