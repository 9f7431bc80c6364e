/** Sessions that keep what is on its way to the peer short (`deliveryDelay`), on a link of 8 Mbit/s with a deep buffer. */
import { assert, describe } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { SessionImpl } from "../src/internal/session.js"
import type { SessionOptions } from "../src/SessionOptions.js"
import { advance, bulk, clog, critical, endOf, payload, type Rig, settle, test, watch } from "./support.js"

/** A link as PERF.md measured it: 8 Mbit/s, and a socket that holds half a megabyte. */
const link = { toClient: { bytesPerSecond: 1_000_000, capacityBytes: 524_288, latency: 5 }, toServer: { latency: 5 } }

const chunk = payload(16_000)

/** Bulk as fast as it is taken for ten seconds, and an urgent word each half second: how long each was on its way. */
const urgentDelays = (rig: Rig) =>
  Effect.gen(function*() {
    const { client, session } = yield* rig.open(undefined, link)
    const flood = yield* Effect.fork(
      Effect.forever(Effect.suspend(() => session.stats.queuedItems < 32 ? session.send(bulk(chunk)) : Effect.sleep(1)))
    )
    for (let i = 0; i < 20; i++) {
      for (let step = 0; step < 50; step++) yield* advance(10)
      yield* session.send(critical(`${yield* Clock.currentTimeMillis}`))
    }
    yield* advance("1 second")
    yield* Fiber.interrupt(flood)
    const received = yield* client.received
    const urgent = received.filter(({ text }) => text.length < 100)
    const bytes = received.reduce((sum, { text }) => sum + text.length, 0)
    const seconds = (received.at(-1)!.at - received[0]!.at) / 1_000
    const delays = urgent.map(({ at, text }) => at - Number(text)).sort((a, b) => a - b)
    return { count: urgent.length, median: delays[10]!, max: delays.at(-1)!, bytesPerSecond: bytes / seconds }
  })

const window: SessionOptions = { deliveryDelay: "50 millis" }

/** A session whose inbox is full of the one message that it may hold: nothing more is read, no pong either. */
const openUnread = (rig: Rig) =>
  Effect.gen(function*() {
    const pair = yield* rig.open()
    yield* pair.client.send("not read")
    yield* settle
    return pair
  })

describe("deliveryDelay", () => {
  test(
    "an urgent message is behind what arrives in about 50 ms, and the link stays busy",
    { session: window },
    (rig) =>
      Effect.gen(function*() {
        const seen = yield* urgentDelays(rig)
        assert.strictEqual(seen.count, 20)
        assert.isAtMost(seen.median, 80)
        assert.isAtMost(seen.max, 130)
        assert.isAtLeast(seen.bytesPerSecond, 950_000)
      })
  )

  test(
    "counter-test: without it an urgent message waits behind the buffer of the socket",
    {},
    (rig) =>
      Effect.gen(function*() {
        const seen = yield* urgentDelays(rig)
        assert.strictEqual(seen.count, 20)
        assert.isAbove(seen.median, 400)
      })
  )

  test(
    "a peer that answers no ping is given up after the send timeout",
    { session: window },
    (rig) =>
      Effect.gen(function*() {
        const { session } = yield* rig.open(undefined, { noPong: true })
        const { report, tookMillis } = yield* endOf(
          session,
          Effect.forEach(Array.from({ length: 10 }), () => session.send(bulk(chunk)))
        )
        assert.deepStrictEqual([report.exit._tag, tookMillis >= 5_000, tookMillis <= 10_000], [
          "SendTimeout",
          true,
          true
        ])
      })
  )

  test(
    "a peer that answers only slowly, but does, is kept",
    { session: { ...window, sendTimeout: "2 seconds" } },
    (rig) =>
      Effect.gen(function*() {
        const { client, session } = yield* rig.open(undefined, {
          toClient: { bytesPerSecond: 8_000, capacityBytes: 4_096 }
        })
        for (let i = 0; i < 20; i++) yield* session.send(bulk(chunk))
        for (let i = 0; i < 60; i++) yield* advance("1 second")
        assert.strictEqual((yield* client.received).length, 20)
        assert.strictEqual(session.state, "open")
      })
  )

  test(
    "while the inbox is full no pong is seen, and none is waited for",
    { session: { ...window, inboxItemsMax: 1 } },
    (rig) =>
      Effect.gen(function*() {
        const { client, session } = yield* openUnread(rig)
        for (let i = 0; i < 50; i++) yield* session.send(bulk(chunk))
        yield* advance("10 seconds")
        assert.strictEqual((yield* client.received).length, 50)
        assert.strictEqual(session.state, "open")
      })
  )

  test(
    "what was sent while no pong was seen is confirmed afterwards, however much it was",
    { session: { ...window, inboxItemsMax: 1 } },
    (rig) =>
      Effect.gen(function*() {
        const { client, session } = yield* openUnread(rig)
        for (let i = 0; i < 400; i++) {
          yield* session.send(bulk(chunk))
          yield* advance(1)
        }
        yield* session.receive
        yield* advance(100)
        yield* session.send(bulk("after"))
        yield* advance("10 seconds")
        assert.strictEqual((yield* client.received).length, 401)
        assert.strictEqual(session.state, "open")
      })
  )

  test(
    "a peer is not given up for a pong when what waited for it was shed",
    { session: window },
    (rig) =>
      Effect.gen(function*() {
        const { session } = yield* rig.open(undefined, { noPong: true })
        for (let i = 0; i < 4; i++) yield* session.send(bulk(chunk))
        yield* settle
        assert.isAbove(session.stats.queuedItems, 0)
        assert.isAbove((session as unknown as SessionImpl).writer.shed(3), 0)
        yield* advance("9 seconds")
        assert.strictEqual(session.state, "open")
      })
  )

  test("answers to these pings are no messages of the peer's, which may send one a second", {
    session: { ...window, inboundMessagesPerSecond: 1, inboundExcess: "disconnect" }
  }, (rig) =>
    Effect.gen(function*() {
      const { client, session } = yield* rig.open(undefined, link)
      for (let i = 0; i < 40; i++) yield* session.send(bulk(chunk))
      for (let i = 0; i < 20; i++) yield* advance(100)
      assert.strictEqual((yield* client.received).length, 40)
      assert.strictEqual(session.state, "open")
    }))

  test(
    "the flush at the end keeps to its time when the peer confirms nothing",
    { session: window },
    (rig) =>
      Effect.gen(function*() {
        const pair = yield* rig.open()
        yield* clog(pair)
        const awaitEnding = yield* watch(pair.session)
        for (let i = 0; i < 10; i++) yield* pair.session.send(bulk(chunk))
        yield* pair.session.close()
        const { report, tookMillis } = yield* awaitEnding
        assert.isAtMost(tookMillis, 10_000)
        assert.strictEqual(report.undelivered.bulk, 10)
      })
  )

  test(
    "the flush at the end does not wait for pongs beyond its time: the peer reads, and the window stays full",
    { session: { ...window, sendTimeout: "1 hour", pingInterval: "1 hour" } },
    (rig) =>
      Effect.gen(function*() {
        const { client, session } = yield* rig.open(undefined, { noPong: true })
        const awaitEnding = yield* watch(session)
        for (let i = 0; i < 10; i++) yield* session.send(bulk(chunk))
        yield* settle
        yield* session.close()
        const { report, tookMillis } = yield* awaitEnding
        const received = (yield* client.received).length
        assert.isAtMost(tookMillis, 10_000)
        assert.isBelow(received, 10)
        assert.strictEqual(received + report.undelivered.bulk, 10)
      })
  )
})
