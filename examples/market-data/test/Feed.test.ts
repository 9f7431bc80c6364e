import { assert, describe, it } from "@effect/vitest"
import { Settle } from "@spillway/testing"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Message from "spillway/Message"
import { Feed, type FeedShape, type MakeTick } from "../src/Feed.js"
import * as Pump from "../src/Pump.js"
import { Settings } from "../src/Settings.js"
import type { Viewer } from "../src/Viewer.js"
import { type Options, run, settings, type World } from "./virtual.js"

/** Symbols of which it does not have the last price. */
const stale = (feed: FeedShape, viewer: Viewer) =>
  Effect.map(feed.quotes, (quotes) => {
    const isRight = ({ cents, n, symbol }: (typeof quotes)[number]) =>
      viewer.prices.get(symbol)?.n === n && viewer.prices.get(symbol)?.cents === cents
    return quotes.filter((quote) => !isRight(quote)).map(({ symbol }) => symbol)
  })

/** It has the last price of each symbol, never saw an older one after a newer, and has every fill once. */
const assertRight = (feed: FeedShape, viewer: Viewer) =>
  Effect.gen(function*() {
    assert.deepStrictEqual(yield* stale(feed, viewer), [])
    assert.deepInclude(viewer, { ticksBack: 0, fillsMissed: 0, fillsTwice: 0, after: (yield* feed.stats).fills })
  })

describe("who joins", () => {
  it.effect("gets the last price and depth of each symbol before anything new, and no fill of before", () =>
    run({}, (world) =>
      Effect.gen(function*() {
        yield* world.publish(5_000)
        const viewer = yield* (yield* world.connect()).look
        assert.deepInclude(viewer, { ticksSeen: 50, fillsSeen: 0, after: 100 })
        assert.strictEqual(viewer.depths.size, 50)
        yield* assertRight(world.feed, viewer)
      })))

  it.effect("for some symbols gets those, and all fills", () =>
    run({}, (world) =>
      Effect.gen(function*() {
        const peer = yield* world.connect({ symbols: ["AAB", "AAC"] })
        yield* world.publish(5_000)
        const viewer = yield* peer.look
        assert.deepStrictEqual([...viewer.prices.keys()].sort(), ["AAB", "AAC"])
        assert.strictEqual(viewer.fillsSeen, 100)
      })))

  it.effect("leaves when its connection ends, and is not published to any more", () =>
    run({}, (world) =>
      Effect.gen(function*() {
        const peer = yield* world.connect()
        yield* peer.client.close()
        yield* Settle.advance("5 seconds")
        assert.strictEqual(world.sessions.size, 0)
        yield* world.publish(100)
        assert.strictEqual((yield* world.feed.stats).cut, 0)
      })))
})

describe("who is slow", () => {
  /** A client that stalls while prices move; what it has when it has read on. */
  const stalledWhile = (options: Options, rounds: number, count: number) =>
    run(options, (world) =>
      Effect.gen(function*() {
        const peer = yield* world.connect()
        yield* peer.client.stall
        for (let i = 0; i < rounds; i++) yield* world.publish(count, "10 millis")
        yield* peer.client.unstall
        yield* Settle.advance("10 seconds")
        const viewer = yield* peer.look
        const { cut } = yield* world.feed.stats
        return { viewer, cut, stale: yield* stale(world.feed, viewer) }
      }))

  it.effect("has the last price of each symbol, and every fill once, when it has read on", () =>
    Effect.gen(function*() {
      const { cut, stale, viewer } = yield* stalledWhile({}, 20, 400)
      assert.deepStrictEqual([cut, stale], [0, []])
      assert.deepInclude(viewer, { ticksBack: 0, fillsSeen: 160, fillsMissed: 0, fillsTwice: 0 })
    }))

  it.effect("counter-test: without a key the last prices of quiet symbols are shed for old ones of busy symbols", () =>
    Effect.gen(function*() {
      // Prices alone, a few at a time, and room for one of each symbol.
      const settings = { depthEvery: 1_000_000, fillEvery: 1_000_000, fillsQueued: 2 }
      const makeTick: MakeTick = ({ _tag, ...fields }) => Message.jsonOf({ _tag, ...fields })
      const keyed = yield* stalledWhile({ settings }, 200, 10)
      const naive = yield* stalledWhile({ settings, makeTick }, 200, 10)
      assert.deepStrictEqual([keyed.cut, naive.cut], [0, 0])
      assert.deepStrictEqual(keyed.stale, [])
      assert.isAbove(naive.stale.length, 3)
      // And what it gets is mostly what nobody wants any more.
      assert.isAbove(naive.viewer.ticksSeen, keyed.viewer.ticksSeen)
    }))
})

describe("fills", () => {
  const many = { fillEvery: 1, fillsQueued: 40, symbols: 10 }

  it.effect("a client that is too many behind is closed with 4008, comes again and has every one, once", () =>
    run({ settings: many }, (world) =>
      Effect.gen(function*() {
        const [slow, quick] = [yield* world.connect(), yield* world.connect()]
        yield* world.publish(30, "1 second")
        yield* slow.client.stall
        // Less at a time than may wait, so that who reads is not behind.
        for (let i = 0; i < 40; i++) yield* world.publish(30, "10 millis")
        assert.strictEqual((yield* world.feed.stats).cut, 1)
        yield* slow.client.unstall
        assert.strictEqual((yield* slow.client.awaitEnd).code, 4008)
        const { after, welcome } = yield* slow.look
        assert.isBelow(after!, 1_000)
        const again = yield* world.connect({ position: { feed: welcome!.feed, after: after! } })
        for (const { text, at } of yield* again.client.received) slow.viewer.heard(text, at)
        yield* assertRight(world.feed, slow.viewer)
        yield* assertRight(world.feed, yield* quick.look)
      })))

  it.effect("a client that missed more than may wait gets them in pieces, also while there are new ones", () =>
    run({ settings: many }, (world) =>
      Effect.gen(function*() {
        yield* world.publish(500)
        const peer = yield* world.connect({ position: { feed: world.feed.id, after: 7 } }, {
          toClient: { bytesPerSecond: 300_000 }
        })
        for (let i = 0; i < 20; i++) yield* world.publish(1, "2 millis")
        assert.isBelow((yield* peer.look).fillsSeen, 500)
        yield* Settle.advance("300 millis")
        const viewer = yield* peer.look
        assert.strictEqual(viewer.fillsSeen, 513)
        yield* assertRight(world.feed, viewer)
        assert.strictEqual((yield* world.feed.stats).cut, 0)
      })))

  it.effect("a position that is too old, or of another feed, is refused by name with what there is, and 4600", () =>
    run({ settings: { ...many, fillsKept: 100 } }, (world) =>
      Effect.gen(function*() {
        yield* world.publish(300)
        const { id } = world.feed
        for (const position of [{ feed: id, after: 7 }, { feed: "another", after: 299 }, { feed: id, after: 301 }]) {
          const peer = yield* world.connect({ position })
          assert.strictEqual((yield* peer.client.awaitEnd).code, 4600)
          const { gone, welcome } = yield* peer.look
          assert.deepStrictEqual({ ...gone }, {
            _tag: "FillsGone",
            feed: id,
            asked: position.after,
            first: 201,
            last: 300
          })
          assert.isUndefined(welcome)
        }
      })))
})

describe("a limit of offers", () => {
  it.effect("what is left goes with the next ones, what has waited longest first, with a later price in its place", () =>
    run({ settings: { depthEvery: 1_000_000 } }, (world) =>
      Effect.gen(function*() {
        const [a, b] = [yield* world.connect(), yield* world.connect()]
        yield* world.feed.publish(1_000, 20)
        yield* Settle.settle
        const before = yield* stale(world.feed, yield* a.look)
        assert.lengthOf(before, 40)
        yield* world.feed.publish(1_000, 40)
        yield* Settle.settle
        const viewer = yield* a.look
        // Ten more were published of those that waited, and none of those that did not.
        assert.strictEqual(before.filter((symbol) => viewer.prices.get(symbol)!.n > 0).length, 20)
        yield* world.publish(0)
        for (const peer of [a, b]) {
          yield* assertRight(world.feed, yield* peer.look)
          // The openings, two limited turns, and in the end the 20 that still waited and the 10 that did again.
          assert.strictEqual(peer.viewer.ticksSeen, 50 + 10 + 20 + 30)
        }
      })))
})

describe("the pump", () => {
  const pumped = (body: (world: World, pump: Pump.PumpShape) => Effect.Effect<void>) =>
    run({}, (world) =>
      Effect.scoped(Effect.gen(function*() {
        const context = yield* Layer.build(Pump.layer.pipe(
          Layer.provide(Layer.succeed(Feed, world.feed)),
          Layer.provide(Layer.succeed(Settings, { ...settings, updatesPerSecond: 20_000 }))
        ))
        yield* Effect.flatMap(Pump.Pump, (pump) => body(world, pump)).pipe(Effect.provide(context))
      })))

  const ticks = (world: World) => Effect.map(world.feed.stats, (stats) => stats.ticks)

  it.effect("publishes at its rate", () =>
    pumped((world) =>
      Effect.gen(function*() {
        yield* Settle.advance("300 millis")
        assert.strictEqual(yield* ticks(world), 6_000)
      })
    ))

  it.effect("does not publish while it pauses and leaves nothing unpublished, and does not make up for it", () =>
    pumped((world, pump) =>
      Effect.gen(function*() {
        const peer = yield* world.connect()
        yield* Settle.advance("100 millis")
        yield* pump.pause(true)
        yield* Settle.advance("500 millis")
        assert.strictEqual(yield* ticks(world), 2_000)
        yield* assertRight(world.feed, yield* peer.look)
        yield* pump.pause(false)
        yield* Settle.advance("100 millis")
        assert.strictEqual(yield* ticks(world), 4_000)
      })
    ))
})
