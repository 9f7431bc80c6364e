/** Clients of every speed on real sockets: what they have when the feed pauses. */
import * as Effect from "effect/Effect"
import { assert, describe, it } from "vitest"
import type { FeedShape } from "../src/Feed.js"
import type { Follower } from "../src/Follower.js"
import { connect, run, start, until } from "./support.js"

const last = (feed: FeedShape) =>
  Effect.all({ quotes: feed.quotes, fills: Effect.map(feed.stats, ({ fills }) => fills) })

const isUpToDate = (feed: FeedShape, follower: Follower) => Effect.map(last(feed), (last) => follower.isUpToDate(last))

/** It has the last price of each symbol, never saw an older one after a newer, and has every fill once. */
const assertRight = (feed: FeedShape, { viewer }: Follower) =>
  Effect.gen(function*() {
    const { fills, quotes } = yield* last(feed)
    for (const { cents, n, symbol } of quotes) assert.deepInclude(viewer.prices.get(symbol), { n, cents }, symbol)
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
        yield* until(isUpToDate(feed, mbit))
      }
      yield* until(isUpToDate(feed, kbit))
      assert.isFalse(yield* isUpToDate(feed, stalled))
      yield* stalled.stall(false)
      yield* until(isUpToDate(feed, stalled))
      for (const follower of [mbit, kbit, stalled]) {
        yield* assertRight(feed, follower)
        // Of 6,000: what is published in one go goes out once for each symbol, and so does what a new connection starts with.
        assert.isAtMost(follower.viewer.ticksSeen, 30 * (12 + follower.connections))
      }
    })))

  it("stalled until it is closed: it comes again with its last fill, and then has everything, once", () =>
    run(Effect.gen(function*() {
      const { feed, port } = yield* start({ symbols: 10, fillEvery: 1, fillsQueued: 40, fillsKept: 5_000 })
      const stalled = yield* connect(port)
      yield* feed.publish(30)
      yield* until(isUpToDate(feed, stalled))
      yield* stalled.stall(true)
      yield* until(Effect.zipRight(feed.publish(30), Effect.map(feed.stats, ({ cut }) => cut > 0)))
      yield* stalled.stall(false)
      yield* until(Effect.sync(() => stalled.connections > 1))
      yield* until(isUpToDate(feed, stalled))
      yield* assertRight(feed, stalled)
    })))
})
