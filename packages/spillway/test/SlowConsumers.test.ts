import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Hub from "../src/Hub.js"
import { Sessions } from "../src/Sessions.js"
import * as SlowConsumers from "../src/SlowConsumers.js"
import { advance, bulk, clog, critical, endOf, important, payload, type Rig, settle, test, texts } from "./support.js"

const on = (rig: Rig, options?: SlowConsumers.Options) =>
  Effect.gen(function*() {
    const consumers = yield* Effect.orDie(
      Effect.provideService(SlowConsumers.make(options), Sessions, rig.sessions)
    )
    const events: Array<SlowConsumers.Event> = []
    yield* Effect.forkScoped(Stream.runForEach(consumers.events, (event) => Effect.sync(() => events.push(event))))
    yield* settle
    return { consumers, events }
  })

const told = (events: ReadonlyArray<SlowConsumers.Event>) =>
  events.map((event) => event._tag === "Lagging" ? `${event.reason}: ${event.action}` : event._tag)

describe("SlowConsumers", () => {
  test("A046 slowSessions returns exactly the ids whose fill is above the threshold, 0.8 by default", {
    session: { outboxItemsMax: 10 }
  }, (rig) =>
    Effect.gen(function*() {
      const { consumers } = yield* on(rig, { rules: [] })
      const pairs = yield* Effect.all(Effect.replicate(rig.open(), 4))
      const fills = [0, 7, 8, 9]
      for (let i = 0; i < 4; i++) {
        yield* clog(pairs[i]!)
        for (let n = 0; n < fills[i]!; n++) yield* pairs[i]!.session.send(important("x"))
      }
      const ids = pairs.map(({ session }) => session.id)
      assert.deepStrictEqual(yield* consumers.slowSessions(), [ids[3]!])
      assert.deepStrictEqual(yield* consumers.slowSessions(0.7), [ids[2]!, ids[3]!])
      assert.deepStrictEqual(yield* consumers.slowSessions(0), ids.slice(1))
    }))

  test(
    "A047 warn tells the client in control; of several warnings that wait one is sent",
    {},
    (rig) =>
      Effect.gen(function*() {
        const { consumers } = yield* on(rig, { rules: [] })
        const pair = yield* rig.open()
        yield* consumers.apply(pair.session, "warn")
        yield* settle
        const warning = JSON.parse((yield* texts(pair.client))[0]!) as Record<string, unknown>
        assert.deepInclude(warning, { type: "warning", streamId: pair.session.id })
        assert.deepInclude(pair.session.stats.lanes.control, { offered: 1, sent: 1 })
        yield* clog(pair)
        yield* consumers.apply(pair.session, "warn")
        yield* consumers.apply(pair.session, "warn")
        assert.deepInclude(pair.session.stats.lanes.control, { offered: 3, queued: 1, conflated: 1 })
      })
  )

  test("A047 throttle halves the outbox and doubles the send timeout of the running session, and restore undoes it", {
    session: { outboxItemsMax: 10, sendTimeout: "4 seconds" }
  }, (rig) =>
    Effect.gen(function*() {
      const { consumers } = yield* on(rig, { rules: [] })
      const [pair, other, restored] = [yield* rig.open(), yield* rig.open(), yield* rig.open()]
      yield* clog(pair)
      for (let i = 0; i < 3; i++) yield* pair.session.send(critical(`c${i}`))
      for (let i = 0; i < 6; i++) yield* pair.session.send(bulk(`b${i}`))
      yield* consumers.apply(pair.session, "throttle")
      assert.deepInclude(pair.session.stats, { queuedItems: 5, fillRatio: 1 })
      assert.deepInclude(pair.session.stats.lanes.bulk, { queued: 2, evicted: 4 })
      assert.strictEqual(pair.session.stats.lanes.critical.queued, 3)
      assert.strictEqual(pair.session.unsafeOffer(bulk("more"))._tag, "Rejected")
      yield* clog(restored)
      yield* consumers.apply(restored.session, "throttle")
      yield* consumers.restore(restored.session)
      yield* clog(other)
      yield* advance("6 seconds")
      assert.deepStrictEqual([pair, other, restored].map(({ session }) => session.state === "open"), [
        true,
        false,
        false
      ])
      yield* advance("4 seconds")
      assert.notStrictEqual(pair.session.state, "open")
    }))

  test("A047 disconnect ends the session with 4008 and the reason, and no other", {}, (rig) =>
    Effect.gen(function*() {
      const { events } = yield* on(rig, { rules: [{ reason: "age", above: "2 seconds", action: "disconnect" }] })
      const pair = yield* rig.open()
      const fine = yield* rig.open()
      yield* clog(pair)
      yield* pair.session.send(important("old"))
      yield* fine.session.send(important("new"))
      yield* advance("2 seconds")
      assert.strictEqual(pair.session.state, "open")
      const { report } = yield* endOf(pair.session, Effect.void)
      assert.deepStrictEqual(report.exit, { _tag: "SlowConsumer", why: "age" })
      assert.deepStrictEqual(told(events), ["age: disconnect"])
      assert.strictEqual(fine.session.state, "open")
      const { closed } = yield* rig.snapshot
      assert.deepStrictEqual(closed.map(({ report }) => report.exit), [{ _tag: "SlowConsumer", why: "age" }])
    }))

  test("rules come into force by gravity, each after its time, and end with one Recovered event", {
    session: { outboxItemsMax: 10, sendTimeout: "1 minute" }
  }, (rig) =>
    Effect.gen(function*() {
      const { consumers, events } = yield* on(rig, {
        rules: [
          { reason: "items", above: 0.5, action: "warn" },
          { reason: "no progress", above: "2 seconds", action: "throttle" },
          { reason: "items", above: 0.5, for: "4 seconds", action: "shed to critical" }
        ],
        recoverAfter: "5 seconds"
      })
      const pair = yield* rig.open()
      yield* clog(pair)
      yield* pair.session.send(critical("kept"))
      for (let i = 0; i < 8; i++) yield* pair.session.send(important(`i${i}`))
      yield* advance("250 millis")
      assert.deepStrictEqual(told(events), ["items: warn"])
      yield* advance("3 seconds")
      assert.deepStrictEqual(told(events), ["items: warn", "no progress: throttle"])
      yield* advance("2 seconds")
      assert.deepStrictEqual(told(events), ["items: warn", "no progress: throttle", "items: shed to critical"])
      assert.deepStrictEqual((yield* consumers.lagging).map(({ session }) => session), [pair.session.id])
      yield* pair.session.send(important("shed at the next look"))
      yield* advance("250 millis")
      assert.deepInclude(pair.session.stats.lanes.important, { queued: 0, evicted: 9 })
      assert.strictEqual(pair.session.stats.lanes.critical.queued, 1)
      yield* pair.client.unstall
      yield* advance("6 seconds")
      assert.strictEqual(told(events).at(-1), "Recovered")
      assert.strictEqual(events.length, 4)
      assert.deepStrictEqual(yield* consumers.lagging, [])
      assert.isTrue((yield* texts(pair.client)).includes("kept"))
      yield* clog(pair)
      for (let i = 0; i < 10; i++) yield* pair.session.send(important("x"))
      assert.strictEqual(pair.session.stats.queuedItems, 10, "throttle is undone")
    }))

  test("a session that conflates gets the latest of each topic, others every message", {
    session: { sendTimeout: "1 minute" }
  }, (rig) =>
    Effect.gen(function*() {
      const { consumers } = yield* on(rig, { rules: [{ reason: "ack lag", above: "1 second", action: "conflate" }] })
      const hub = yield* Effect.orDie(Effect.provideService(Hub.make(), Sessions, rig.sessions))
      const pairs = yield* Effect.all(Effect.replicate(rig.open(), 2))
      for (const { session } of pairs) {
        yield* hub.join(session)
        yield* Effect.orDie(hub.subscribe(session, [Hub.prefix("")]))
      }
      for (const pair of pairs) yield* clog(pair)
      yield* consumers.reportAckLag(pairs[0]!.session, "2 seconds")
      yield* advance("250 millis")
      for (let i = 0; i < 3; i++) {
        for (const topic of ["a", "b"]) yield* hub.publish(topic, important(`${topic}${i}`))
      }
      const queued = () => pairs.map(({ session }) => session.stats.lanes.important.queued)
      assert.deepStrictEqual(queued(), [2, 6])
      yield* consumers.reportAckLag(pairs[0]!.session, 0)
      yield* advance("11 seconds")
      for (const topic of ["a", "b"]) yield* hub.publish(topic, important(`${topic}3`))
      assert.deepStrictEqual(queued(), [4, 8])
    }))

  test(
    "top ranks by how long the oldest message has waited; those with nothing waiting are not in it",
    {},
    (rig) =>
      Effect.gen(function*() {
        const { consumers } = yield* on(rig, { rules: [] })
        const pairs = yield* Effect.all(Effect.replicate(rig.open(), 4))
        for (const pair of pairs.slice(0, 3)) {
          yield* clog(pair)
          yield* pair.session.send(important(payload(10)))
          yield* advance("1 second")
        }
        const ranked = yield* consumers.top(2)
        assert.deepStrictEqual(ranked.map(({ oldestMillis, session }) => [session, oldestMillis]), [
          [pairs[0]!.session.id, 3_000],
          [pairs[1]!.session.id, 2_000]
        ])
        assert.strictEqual(ranked[0]!.stalledMillis, 3_000)
        assert.strictEqual((yield* consumers.top(10)).length, 3)
      })
  )

  it.effect("options that are not usable are refused by name (A008)", () =>
    Effect.gen(function*() {
      const bad: ReadonlyArray<readonly [SlowConsumers.Options, string]> = [
        [{ interval: 0 }, "interval"],
        [{ eventsMax: 0 }, "eventsMax"],
        [{ recoverAfter: "soon" as "1 second" }, "recoverAfter"],
        [{ rules: [{ reason: "bytes", above: 1, action: "warn" }] }, "rules.above"],
        [{ rules: [{ reason: "age", above: "old" as "1 second", action: "warn" }] }, "rules.above"]
      ]
      for (const [options, key] of bad) {
        const made = Effect.scoped(Effect.provideService(SlowConsumers.make(options), Sessions, {} as never))
        assert.strictEqual((yield* Effect.flip(made)).key, key)
      }
    }))
})
