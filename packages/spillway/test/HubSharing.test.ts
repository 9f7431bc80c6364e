/**
 * What the hub gives to idle sessions is kept once for all of them. Nobody can tell: these are the places where somebody
 * looks, or something happens, between the publication and the write.
 */
import { assert, describe } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Hub from "../src/Hub.js"
import type { SessionImpl } from "../src/internal/session.js"
import type * as Overflow from "../src/Overflow.js"
import { layer as policy } from "../src/Overflow.js"
import type { Session } from "../src/Session.js"
import { Sessions } from "../src/Sessions.js"
import * as Telemetry from "../src/Telemetry.js"
import {
  advance,
  bulk,
  clog,
  critical,
  important,
  type Pair,
  payload,
  type Rig,
  settle,
  test,
  texts
} from "./support.js"

const isIdle = (session: Session): boolean => (session as SessionImpl).writer.outbox.isIdle

/** Sessions of a topic that have had a first message, and rest since. */
const members = (rig: Rig, count: number) =>
  Effect.gen(function*() {
    const hub = yield* Effect.orDie(Effect.provideService(Hub.make(), Sessions, rig.sessions))
    const pairs = yield* Effect.all(Effect.replicate(rig.open(), count))
    for (const { session } of pairs) {
      yield* hub.join(session)
      yield* Effect.orDie(hub.subscribe(session, ["x"]))
    }
    hub.unsafePublish("x", important("first"))
    yield* settle
    assert.isTrue(pairs.every(({ session }) => isIdle(session)), "they share from now on")
    return { hub, pairs }
  })

const rest = (client: Pair["client"]) => Effect.map(texts(client), (all) => all.slice(1))

describe("Hub", () => {
  test(
    "A046 what idle sessions share is charged to each, held once, and seen by whoever looks",
    {},
    (rig) =>
      Effect.gen(function*() {
        const { hub, pairs } = yield* members(rig, 20)
        const published = hub.unsafePublish("x", important(payload(50)))
        assert.deepInclude({ ...published }, { sessions: 20, queued: 20 })
        assert.deepInclude(rig.sessions.memory, { chargedBytes: 1_000, heldBytes: 50 })
        hub.unsafePublish("x", bulk(payload(7)))
        assert.deepInclude(rig.sessions.memory, { chargedBytes: 1_140, heldBytes: 57 })
        assert.isTrue(pairs.every(({ session }) => isIdle(session)), "nobody has looked")
        const [one] = pairs
        assert.deepInclude(one!.session.stats, { queuedItems: 2, queuedBytes: 57 })
        assert.isFalse(isIdle(one!.session))
        assert.deepInclude(rig.sessions.memory, { chargedBytes: 1_140, heldBytes: 57 }, "a look changes nothing")
        yield* settle
        assert.deepInclude(rig.sessions.memory, { chargedBytes: 0, heldBytes: 0 })
        for (const { client, session } of pairs) {
          assert.deepStrictEqual((yield* rest(client)).map((text) => text.length), [50, 7])
          assert.deepInclude(session.stats, { sentMessages: 3, sentBytes: 62 })
          assert.deepInclude(session.stats.lanes.bulk, { offered: 1, sent: 1 })
        }
      })
  )

  test(
    "the lanes decide the order of what is shared, and a session's own message has its place in it",
    {},
    (rig) =>
      Effect.gen(function*() {
        const { hub, pairs } = yield* members(rig, 6)
        hub.unsafePublish("x", bulk("bulk 1"))
        hub.unsafePublish("x", important("important 1"))
        for (const { session } of pairs.slice(0, 3)) session.unsafeOffer(important("own"))
        hub.unsafePublish("x", important("important 2"))
        hub.unsafePublish("x", critical("critical"))
        yield* settle
        const shared = ["critical", "important 1", "important 2", "bulk 1"]
        for (const [i, { client }] of pairs.entries()) {
          assert.deepStrictEqual(
            yield* rest(client),
            i < 3 ? ["critical", "important 1", "own", "important 2", "bulk 1"] : shared
          )
        }
      })
  )

  test(
    "a session that goes in the turn of a publication has its messages among the undelivered",
    {},
    (rig) =>
      Effect.gen(function*() {
        const { hub, pairs } = yield* members(rig, 3)
        const [lost, closed, stays] = pairs as [Pair, Pair, Pair]
        hub.unsafePublish("x", critical("c"))
        hub.unsafePublish("x", bulk("b"))
        const impl = lost.session as SessionImpl
        impl.onClose({ _tag: "PeerReset", message: "gone" })
        assert.deepInclude(rig.sessions.memory, { chargedBytes: 4, heldBytes: 2 }, "the others hold them as before")
        yield* closed.session.close()
        yield* advance("10 seconds")
        const report = yield* lost.session.awaitExit
        assert.deepStrictEqual(report.undelivered, { control: 0, critical: 1, important: 0, bulk: 1 })
        assert.deepStrictEqual(yield* rest(closed.client), ["c", "b"], "an orderly end flushes it")
        assert.deepStrictEqual(yield* rest(stays.client), ["c", "b"])
      })
  )

  test(
    "what the kernel does not take at once is in flight, and the next waits in the lanes",
    {},
    (rig) =>
      Effect.gen(function*() {
        const { hub, pairs } = yield* members(rig, 3)
        const [stalled, ...others] = pairs as [Pair, ...Array<Pair>]
        yield* stalled.client.stall
        for (let i = 0; i < 40; i++) {
          hub.unsafePublish("x", important(payload(30_000)))
          yield* settle
        }
        assert.isFalse(isIdle(stalled.session))
        const { inFlight, queued, sent } = stalled.session.stats.lanes.important
        assert.deepStrictEqual([inFlight, queued > 0, inFlight + queued + sent], [1, true, 41])
        assert.strictEqual(rig.sessions.memory.chargedBytes, (inFlight + queued) * 30_000)
        for (const { client, session } of others) {
          assert.isTrue(isIdle(session))
          assert.strictEqual(yield* client.receivedCount, 41)
        }
        yield* stalled.client.unstall
        yield* advance("10 seconds")
        assert.strictEqual(yield* stalled.client.receivedCount, 41)
        assert.isTrue(isIdle(stalled.session), "it rests again")
      })
  )

  const aged: Overflow.Options = { lanes: { bulk: { maxAge: "1 second" } } }
  test("a shared message that is too old is not delivered", { policy: policy(aged) }, (rig) =>
    Effect.gen(function*() {
      const { hub, pairs } = yield* members(rig, 2)
      hub.unsafePublish("x", bulk("old"))
      hub.unsafePublish("x", important("good"))
      // No turn has passed; only the time that the writers are told.
      const now = (pairs[0]!.session as SessionImpl).writer.now
      for (const { session } of pairs) (session as SessionImpl).writer.pump(now + 1_000)
      yield* settle
      for (const { client, session } of pairs) {
        assert.deepStrictEqual(yield* rest(client), ["good"])
        assert.deepInclude(session.stats.lanes.bulk, { offered: 1, expired: 1 })
      }
    }))

  const sojourns: Array<string> = []
  const telemetry = Layer.map(Telemetry.layerNoop, (context) =>
    Context.add(context, Telemetry.Telemetry, {
      ...Context.get(context, Telemetry.Telemetry),
      sojourn: (lane, millis) => sojourns.push(`${lane}: ${millis} ms`)
    }))
  test(
    "how long a shared message waited is told of its lane, for each session that wrote it",
    { telemetry },
    (rig) =>
      Effect.gen(function*() {
        const { hub } = yield* members(rig, 3)
        sojourns.length = 0
        hub.unsafePublish("x", bulk("b"))
        hub.unsafePublish("x", important("i"))
        yield* settle
        assert.deepStrictEqual(sojourns, ["2: 0 ms", "2: 0 ms", "2: 0 ms"])
      })
  )

  test("what is shared is traffic: it puts off the idle timeout, looked at or not", {
    session: { idleTimeout: "10 seconds", pingInterval: "1 hour", receiveTimeout: "1 hour" }
  }, (rig) =>
    Effect.gen(function*() {
      const { hub, pairs } = yield* members(rig, 2)
      for (let i = 0; i < 5; i++) {
        yield* advance("9 seconds")
        hub.unsafePublish("x", important("i"))
        if (i % 2 === 0) assert.strictEqual(pairs[0]!.session.stats.queuedItems, 1)
      }
      yield* advance("9 seconds")
      assert.isTrue(pairs.every(({ session }) => session.state === "open"))
      yield* advance("2 seconds")
      assert.isTrue(pairs.every(({ session }) => session.state !== "open"))
    }))

  test(
    "throttled, slow and conflating sessions, and those with a backlog, share nothing",
    {},
    (rig) =>
      Effect.gen(function*() {
        const { hub, pairs } = yield* members(rig, 4)
        const writers = pairs.map(({ session }) => (session as SessionImpl).writer)
        writers[0]!.throttle(true)
        writers[1]!.conflate(true)
        writers[2]!.slow.mark()
        yield* clog(pairs[3]!)
        for (let i = 0; i < 2; i++) {
          hub.unsafePublish("x", important(`m${i}`))
          // The mark of a slow session is set where it waits, which ends its rest; here it was set by hand.
          if (i === 0) writers[2]!.outbox.stir()
          yield* settle
          if (i === 1) assert.deepStrictEqual(pairs.map(({ session }) => isIdle(session)), [false, false, false, false])
        }
        writers[0]!.throttle(false)
        writers[1]!.conflate(false)
        hub.unsafePublish("x", important("m2"))
        yield* settle
        assert.deepStrictEqual(pairs.map(({ session }) => isIdle(session)), [true, true, false, false])
        for (const { client } of pairs.slice(0, 3)) assert.deepStrictEqual(yield* rest(client), ["m0", "m1", "m2"])
      })
  )
})
