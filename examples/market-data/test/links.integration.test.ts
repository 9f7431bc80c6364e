/** Clients of every speed on real sockets: what they have when the feed pauses. */
import * as Effect from "effect/Effect"
import { assert, describe, it } from "vitest"
import type { FeedShape } from "../src/Feed.js"
import type { Viewer } from "../src/Viewer.js"
import { connect, run, start, until } from "./support.js"

/** Whether it has the last price of each symbol, and has come to the last fill. */
const isUpToDate = (feed: FeedShape, viewer: Viewer) =>
  Effect.gen(function*() {
    const quotes = yield* feed.quotes
    const { fills } = yield* feed.stats
    return viewer.after === fills && quotes.every(({ n, symbol }) => viewer.prices.get(symbol)?.n === n)
  })

const assertRight = (feed: FeedShape, { viewer }: { readonly viewer: Viewer }) =>
  Effect.gen(function*() {
    for (const { cents, n, symbol } of yield* feed.quotes) {
      assert.deepInclude(viewer.prices.get(symbol), { n, cents }, symbol)
    }
    const { fills } = yield* feed.stats
    assert.deepInclude(viewer, { fillsSeen: fills, fillsMissed: 0, fillsTwice: 0, ticksBack: 0 })
  })

describe("links of every speed", () => {
  it("1 Mbit/s, 64 kbit/s and stalled: once the feed pauses each has the right last prices and every fill once", () =>
    run(Effect.gen(function*() {
      const { feed, port } = yield* start({ symbols: 30, fillEvery: 100 })
      const mbit = yield* connect(port, 125_000)
      const kbit = yield* connect(port, 8_000)
      const stalled = yield* connect(port)
      yield* stalled.stall(true)
      for (let round = 0; round < 12; round++) {
        yield* feed.publish(500)
        yield* until(isUpToDate(feed, mbit.viewer))
      }
      yield* until(isUpToDate(feed, kbit.viewer))
      assert.isFalse(yield* isUpToDate(feed, stalled.viewer))
      yield* stalled.stall(false)
      yield* until(isUpToDate(feed, stalled.viewer))
      for (const client of [mbit, kbit, stalled]) {
        yield* assertRight(feed, client)
        // Of 6,000: what is published in one go is conflated for everybody.
        assert.isAtMost(client.viewer.ticksSeen, 30 * 13)
      }
      assert.strictEqual((yield* feed.stats).cut, 0)
    })))

  it("stalled until it is closed: it comes again with its last fill, and then has everything, once", () =>
    run(Effect.gen(function*() {
      const { feed, port } = yield* start({ symbols: 10, fillEvery: 1, fillsQueued: 40 })
      const stalled = yield* connect(port)
      yield* feed.publish(30)
      yield* until(isUpToDate(feed, stalled.viewer))
      yield* stalled.stall(true)
      const rounds = Effect.zipRight(feed.publish(30), Effect.map(feed.stats, ({ cut }) => cut > 0))
      yield* until(rounds)
      yield* stalled.stall(false)
      yield* stalled.closed
      yield* feed.publish(30)
      assert.isFalse(yield* isUpToDate(feed, stalled.viewer))
      yield* connect(port, undefined, stalled.viewer)
      yield* until(isUpToDate(feed, stalled.viewer))
      yield* assertRight(feed, stalled)
    })))
})
