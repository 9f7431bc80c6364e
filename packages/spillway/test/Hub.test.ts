import { assert, describe, it } from "@effect/vitest"

import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as Frame from "../src/Frame.js"
import * as Hub from "../src/Hub.js"
import * as Lane from "../src/Lane.js"
import * as Message from "../src/Message.js"
import type * as Outcome from "../src/Outcome.js"
import type { Session } from "../src/Session.js"
import { Sessions } from "../src/Sessions.js"
import { advance, bulk, clog, critical, important, payload, type Rig, settle, test, texts } from "./support.js"

const hubOf = (rig: Rig, options?: Hub.Options) =>
  Effect.orDie(Effect.provideService(Hub.make(options), Sessions, rig.sessions))

/** Numbers of a session's messages from the wire: `lane:seq`. */
const numbered = (lane: Lane.Lane) => Message.fromFrame(Frame.sequenced(`${lane}:`, ""), { lane })

describe("Hub", () => {
  test(
    "A041 joining counts one member, leaving none; the managed form leaves on success, failure and interruption",
    {},
    (rig) =>
      Effect.gen(function*() {
        const hub = yield* hubOf(rig)
        const { session } = yield* rig.open()
        assert.deepInclude(hub.stats, { members: 0, topics: 0 })
        const member = Effect.tap(hub.join(session), () => hub.subscribe(session, ["x"]))
        const within = (body: Effect.Effect<unknown, string>) =>
          Effect.exit(Effect.scoped(Effect.zipRight(
            member,
            Effect.zipRight(Effect.sync(() => assert.deepInclude(hub.stats, { members: 1, topics: 1 })), body)
          )))
        assert.isTrue(Exit.isSuccess(yield* within(Effect.void)))
        assert.deepInclude(hub.stats, { members: 0, topics: 0, subscriptions: 0 })
        assert.isTrue(Exit.isFailure(yield* within(Effect.fail("oh"))))
        assert.deepInclude(hub.stats, { members: 0, topics: 0, subscriptions: 0 })
        const hanging = yield* Effect.fork(within(Effect.never))
        yield* settle
        assert.strictEqual(hub.stats.members, 1)
        yield* Fiber.interrupt(hanging)
        assert.deepInclude(hub.stats, { members: 0, topics: 0, subscriptions: 0 })
      })
  )

  test(
    "A041 a membership of the handler ends with its session, however that ends",
    {},
    (rig) =>
      Effect.gen(function*() {
        const hub = yield* hubOf(rig)
        const handler = (session: Session) =>
          Effect.gen(function*() {
            yield* hub.join(session)
            yield* hub.subscribe(session, ["x", Hub.prefix("y.")])
            yield* session.runForEach((message) => message.text === "fail" ? Effect.fail("oh") : Effect.void)
          })
        const pairs = yield* Effect.all(Effect.replicate(rig.open(handler), 5))
        assert.deepInclude(hub.stats, { members: 5, topics: 1, prefixes: 1, subscriptions: 10 })
        yield* Effect.all([
          pairs[0]!.client.close(1000),
          pairs[1]!.client.reset,
          Effect.orDie(pairs[2]!.client.send("fail")),
          pairs[3]!.session.close(),
          pairs[4]!.client.eof
        ])
        yield* advance("10 seconds")
        assert.deepInclude(hub.stats, { members: 0, topics: 0, prefixes: 0, subscriptions: 0 })
      })
  )

  test(
    "joining interrupted at any of its steps has joined entirely, or not at all",
    {},
    (rig) =>
      Effect.gen(function*() {
        const hub = yield* hubOf(rig)
        const { session } = yield* rig.open()
        let joined = 0
        for (let steps = 0; steps < 30; steps++) {
          const fiber = yield* Effect.fork(Effect.scoped(Effect.gen(function*() {
            yield* hub.join(session)
            yield* Effect.yieldNow()
            yield* hub.subscribeScoped(session, ["x", Hub.prefix("x")])
            yield* Effect.never
          })))
          for (let i = 0; i < steps; i++) yield* Effect.yieldNow()
          if (hub.stats.members === 1) joined++
          yield* Fiber.interrupt(fiber)
          assert.deepInclude(
            hub.stats,
            { members: 0, topics: 0, prefixes: 0, subscriptions: 0 },
            `after ${steps} steps`
          )
        }
        assert.isAbove(joined, 0)
        assert.isBelow(joined, 30)
      })
  )

  test(
    "A042 a broadcast reaches all sessions exactly once, in its lane, and returns the outcome of each",
    {},
    (rig) =>
      Effect.gen(function*() {
        const hub = yield* hubOf(rig)
        const pairs = yield* Effect.all(Effect.replicate(rig.open(), 20))
        const outcomes = new Map<string, Outcome.Outcome["_tag"]>()
        const published = yield* hub.broadcast(numbered("critical"), {
          each: (session, outcome) => outcomes.set(session.id, outcome._tag)
        })
        assert.deepStrictEqual({ ...published }, {
          sessions: 20,
          queued: 20,
          evicting: 0,
          conflated: 0,
          rejected: 0,
          evicted: 0
        })
        assert.deepStrictEqual([...outcomes], pairs.map(({ session }) => [session.id, "Queued"]))
        yield* settle
        for (const { client, session } of pairs) {
          assert.deepStrictEqual(yield* texts(client), ["critical:1"])
          assert.deepInclude(session.stats.lanes.critical, { offered: 1, sent: 1 })
        }
      })
  )

  test(
    "A043 a session whose sends take 600 ms delays no other, and is marked slow after its sixth",
    {},
    (rig) =>
      Effect.gen(function*() {
        const hub = yield* hubOf(rig)
        const fast = yield* rig.open()
        // What is below the lanes takes 600 ms to leave: each write is larger than all buffers together.
        const slow = yield* rig.open(undefined, { capacityBytes: 1_000 })
        yield* slow.client.setRead(10_000)
        const slowAt: Array<boolean> = []
        for (let i = 0; i < 10; i++) {
          yield* hub.broadcast(important(payload(7_000)))
          yield* settle
          assert.strictEqual(yield* fast.client.receivedCount, i + 1, "at virtual time 0 of this round")
          slowAt.push(slow.session.slow)
          yield* advance("700 millis")
        }
        assert.isFalse(fast.session.slow)
        // Looked at before the send of the round has ended: the sixth ends in round five.
        assert.strictEqual(slowAt.indexOf(true), 6)
        assert.isAbove(slow.session.stats.slowEvents, 5)
      })
  )

  test("A044 five sessions and a hundred concurrent offers: all 500 are accounted for", {
    session: { outboxItemsMax: 30 }
  }, (rig) =>
    Effect.gen(function*() {
      const hub = yield* hubOf(rig)
      const pairs = yield* Effect.all(Effect.replicate(rig.open(), 5))
      for (const pair of pairs.slice(0, 3)) yield* clog(pair)
      const before = pairs.map(({ session }) => session.stats.lanes.important.offered)
      const results = yield* Effect.forEach(
        Array.from({ length: 100 }),
        () => hub.broadcast(important("x")),
        { concurrency: "unbounded" }
      )
      const sum = (f: (published: Hub.Published) => number) => results.reduce((total, one) => total + f(one), 0)
      assert.strictEqual(sum(({ sessions }) => sessions), 500)
      assert.strictEqual(
        sum(({ conflated, evicting, queued, rejected }) => queued + evicting + conflated + rejected),
        500
      )
      yield* settle
      let accounted = 0
      pairs.forEach(({ session }, i) => {
        const { conflated, evicted, inFlight, offered, queued, rejected, sent } = session.stats.lanes.important
        accounted += sent + evicted + rejected + conflated + queued + inFlight - before[i]!
        assert.strictEqual(offered - before[i]!, 100)
      })
      assert.strictEqual(accounted, 500)
      assert.isAbove(sum(({ evicted }) => evicted), 0, "the clogged ones shed")
      assert.isTrue(rig.sessions.isAccepting)
    }))

  test("A045 a full queue of 20 refuses a new bulk, and takes begin with both criticals", {
    session: { outboxItemsMax: 20 }
  }, (rig) =>
    Effect.gen(function*() {
      const hub = yield* hubOf(rig)
      const pair = yield* rig.open()
      yield* clog(pair)
      for (let i = 0; i < 16; i++) yield* hub.broadcast(bulk(`bulk ${i}`))
      for (let i = 0; i < 2; i++) yield* hub.broadcast(critical(`critical ${i}`))
      for (let i = 0; i < 2; i++) yield* hub.broadcast(important(`important ${i}`))
      assert.strictEqual(pair.session.stats.queuedItems, 20)
      assert.strictEqual((yield* hub.broadcast(bulk("one more"))).rejected, 1)
      yield* pair.client.unstall
      yield* advance("10 seconds")
      const received = (yield* texts(pair.client)).slice(1)
      assert.deepStrictEqual(received.slice(0, 2), ["critical 0", "critical 1"])
      assert.strictEqual(received.length, 20)
    }))

  test(
    "a message goes to the members of its topic and of prefixes that match, once, and the frame is the same",
    {},
    (rig) =>
      Effect.gen(function*() {
        const hub = yield* hubOf(rig)
        const pairs = yield* Effect.all(Effect.replicate(rig.open(), 4))
        const [a, b, c, d] = pairs.map(({ session }) => session) as [Session, Session, Session, Session]
        for (const session of [a, b, c]) yield* hub.join(session)
        yield* hub.subscribe(a, ["price.ACME", Hub.prefix("price."), Hub.prefix("")])
        yield* hub.subscribe(b, [Hub.prefix("price.")])
        yield* hub.subscribe(c, ["price"])
        assert.strictEqual(yield* hub.subscribe(d, ["price.ACME"]), false)
        assert.strictEqual((yield* hub.publish("price.ACME", important("1"))).sessions, 2)
        assert.strictEqual((yield* hub.publish("price", important("2"))).sessions, 2)
        yield* hub.unsubscribe(a, ["price.ACME", Hub.prefix("")])
        assert.strictEqual((yield* hub.publish("price.ACME", important("3"))).sessions, 2)
        assert.strictEqual((yield* hub.publish("other", important("4"))).sessions, 0)
        yield* settle
        const received = yield* Effect.forEach(pairs, ({ client }) => texts(client))
        assert.deepStrictEqual(received, [["1", "2", "3"], ["1", "3"], ["2"], []])
      })
  )

  test(
    "a session has at most topicsPerSessionMax topics and prefixes, the hub topicsMax; beyond, nothing is subscribed",
    {},
    (rig) =>
      Effect.gen(function*() {
        const hub = yield* hubOf(rig, { topicsPerSessionMax: 3, topicsMax: 4 })
        const [a, b] = (yield* Effect.all(Effect.replicate(rig.open(), 2))).map(({ session }) => session) as [
          Session,
          Session
        ]
        yield* hub.join(a)
        yield* hub.join(b)
        const tooMany = yield* Effect.flip(hub.subscribe(a, ["1", "2", Hub.prefix("3"), "4"]))
        assert.deepInclude(tooMany, { _tag: "TooManyTopics", limit: "session", topicsMax: 3 })
        assert.strictEqual(hub.stats.subscriptions, 0)
        yield* hub.subscribe(a, ["1", "2", "2", Hub.prefix("3")])
        yield* hub.subscribe(a, ["1", Hub.prefix("3")])
        const full = yield* Effect.flip(hub.subscribe(b, ["5", "6"]))
        assert.deepInclude(full, { limit: "server", topicsMax: 4 })
        yield* hub.subscribe(b, ["1", "2", "5"])
        assert.deepInclude(hub.stats, { topics: 3, prefixes: 1, subscriptions: 6 })
      })
  )

  test(
    "a policy gives a topic its lane, age and conflation, and retains for later subscribers",
    {},
    (rig) =>
      Effect.gen(function*() {
        const hub = yield* hubOf(rig, {
          policies: [
            { topics: "price.log", policy: {} },
            {
              topics: Hub.prefix("price."),
              policy: { lane: "bulk", maxAge: "1 minute", conflate: "topic", retain: "last" }
            },
            { topics: Hub.prefix("host"), policy: { retain: "last by key" } }
          ]
        })
        const pair = yield* rig.open()
        yield* hub.join(pair.session)
        yield* hub.subscribe(pair.session, [Hub.prefix("price.")])
        yield* clog(pair)
        for (let i = 0; i < 5; i++) {
          for (const symbol of ["A", "B"]) yield* hub.publish(`price.${symbol}`, critical(`${symbol}${i}`))
        }
        assert.deepInclude(pair.session.stats.lanes.bulk, { offered: 10, queued: 2, conflated: 8 })
        assert.strictEqual(pair.session.stats.lanes.critical.offered, 0)
        for (const key of ["cpu", "load", "cpu"]) yield* hub.publish("host", important(`${key}`, { key }))
        yield* hub.publish("price.log", critical("not retained"))
        const late = yield* rig.open()
        yield* hub.join(late.session)
        yield* hub.subscribe(late.session, [Hub.prefix(""), "price.A", "host"])
        yield* settle
        assert.deepStrictEqual([...yield* texts(late.client)].sort(), ["A4", "B4", "cpu", "load"])
        yield* hub.forget("host", "cpu")
        yield* hub.forget("price.A")
        assert.strictEqual(hub.stats.retainedItems, 2)
        yield* advance("2 minutes")
        assert.strictEqual(pair.session.stats.lanes.bulk.queued, 0)
      })
  )

  test(
    "what is retained is bounded in items and bytes: the one not renewed for longest goes",
    {},
    (rig) =>
      Effect.gen(function*() {
        const hub = yield* hubOf(rig, { retainedItemsMax: 3, retainedBytesMax: 10 })
        const retain = (topic: string, text: string) => hub.publish(topic, important(text), { retainAs: "it" })
        for (const topic of ["a", "b", "c", "a", "d"]) yield* retain(topic, topic)
        const pair = yield* rig.open()
        yield* hub.join(pair.session)
        yield* hub.subscribe(pair.session, [Hub.prefix("")])
        yield* settle
        assert.deepStrictEqual([...yield* texts(pair.client)].sort(), ["a", "c", "d"])
        yield* retain("e", payload(9))
        assert.deepInclude(hub.stats, { retainedItems: 2, retainedBytes: 10 })
        yield* retain("f", payload(11))
        assert.deepInclude(hub.stats, { retainedItems: 2, retainedBytes: 10 })
      })
  )

  test(
    "presence tells first who is there, then who joins and leaves; a reader that lags gets all of them anew",
    {},
    (rig) =>
      Effect.gen(function*() {
        const hub = yield* hubOf(rig, { presenceEventsMax: 3 })
        const sessions = (yield* Effect.all(Effect.replicate(rig.open(), 6))).map(({ session }) => session)
        for (const session of sessions) yield* hub.join(session)
        yield* hub.subscribe(sessions[0]!, ["x"])
        const events: Array<string> = []
        const nameOf = (session: Session) => String(sessions.indexOf(session))
        let gate = Effect.void
        const reader = yield* Effect.fork(
          hub.presence("x").pipe(
            Stream.runForEach((event) =>
              Effect.zipRight(
                Effect.sync(() =>
                  events.push(
                    event._tag === "Present"
                      ? `present ${event.sessions.map(nameOf).join()}`
                      : event._tag + nameOf(event.session)
                  )
                ),
                Effect.suspend(() => gate)
              )
            )
          )
        )
        yield* settle
        yield* hub.subscribe(sessions[1]!, ["x", Hub.prefix("x")])
        yield* hub.subscribe(sessions[2]!, [Hub.prefix("x")])
        yield* hub.unsubscribe(sessions[0]!, ["x"])
        yield* settle
        assert.deepStrictEqual(events.splice(0), ["present 0", "Joined1", "Left0"])
        const latch = yield* Effect.makeLatch()
        gate = latch.await
        for (const session of sessions) yield* hub.subscribe(session, ["x"])
        yield* settle
        for (const session of sessions.slice(3)) yield* hub.unsubscribe(session, ["x"])
        for (const session of sessions.slice(3)) yield* hub.subscribe(session, ["x"])
        yield* latch.open
        yield* settle
        assert.deepStrictEqual(
          new Set(events.at(-1)!.split(" ")[1]!.split(",")),
          new Set(["0", "1", "2", "3", "4", "5"])
        )
        assert.isTrue(events.at(-1)!.startsWith("present"), "missed events are replaced, not lost")
        yield* Fiber.interrupt(reader)
        for (const session of sessions) yield* hub.unsubscribe(session, ["x"])
        assert.strictEqual(hub.stats.topics, 0)
      })
  )

  test(
    "publishing never waits: a thousand messages to a session that reads nothing return at once, and it stays bounded",
    {
      session: { outboxItemsMax: 50 }
    },
    (rig) =>
      Effect.gen(function*() {
        const hub = yield* hubOf(rig)
        const pair = yield* rig.open()
        yield* hub.join(pair.session)
        yield* hub.subscribe(pair.session, ["x"])
        yield* clog(pair)
        for (let i = 0; i < 1_000; i++) yield* hub.publish("x", critical(String(i)))
        const { critical: lane } = pair.session.stats.lanes
        assert.deepInclude(lane, { offered: 1_000, queued: 50, rejected: 950 })
      })
  )

  it.effect("options that are no whole number of at least 1 are refused by name (A008)", () =>
    Effect.gen(function*() {
      for (
        const key of ["topicsPerSessionMax", "topicsMax", "retainedItemsMax", "retainedBytesMax", "presenceEventsMax"]
      ) {
        for (const value of [0, -1, 1.5, NaN, Infinity, "7" as unknown as number]) {
          const made = Hub.make({ [key]: value })
          const error = yield* Effect.flip(Effect.provideService(made, Sessions, {} as never))
          assert.deepStrictEqual([error.module, error.key], ["Hub", key])
        }
      }
    }))
})
