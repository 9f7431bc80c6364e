import * as Either from "effect/Either"
import * as Frame from "spillway/Frame"
import * as Message from "spillway/Message"
import { assert, describe, it } from "vitest"
import { FillLog, FillsGone } from "../src/FillLog.js"
import { Market } from "../src/Market.js"
import { Ages, Viewer } from "../src/Viewer.js"

const changes = (seed: number, count = 2_000) => {
  const market = new Market({ seed, symbols: 50, depthEvery: 4, tradeEvery: 10 })
  return { market, changes: Array.from({ length: count }, () => market.next()) }
}

describe("the market", () => {
  it("is the same for the same seed, and another for another", () => {
    assert.deepStrictEqual(changes(7).changes, changes(7).changes)
    assert.notDeepEqual(changes(7).changes, changes(8).changes)
  })

  it("numbers the prices of a symbol without a gap, and knows the last one", () => {
    const { changes: all, market } = changes(7)
    const last = new Map(market.symbols.map((symbol) => [symbol, 0]))
    for (const { index, quote } of all) {
      assert.strictEqual(quote.symbol, market.symbols[index])
      assert.strictEqual(quote.n, last.get(quote.symbol)! + 1)
      assert.isTrue(Number.isInteger(quote.cents) && quote.cents > 0)
      last.set(quote.symbol, quote.n)
    }
    assert.deepStrictEqual(new Map(market.quotes.map(({ n, symbol }) => [symbol, n])), last)
  })

  it("has depth around the price, best first, and trades at the price", () => {
    const { changes: all } = changes(7)
    for (const { depth, quote, trade } of all) {
      if (trade !== undefined) assert.deepInclude(trade, { symbol: quote.symbol, cents: quote.cents })
      if (depth === undefined) continue
      assert.strictEqual(depth.n, quote.n)
      const [bids, asks] = [depth.bids.map(([cents]) => cents), depth.asks.map(([cents]) => cents)]
      assert.deepStrictEqual(bids, [...bids].sort((a, b) => b - a))
      assert.deepStrictEqual(asks, [...asks].sort((a, b) => a - b))
      assert.isTrue(bids[0]! < quote.cents && quote.cents < asks[0]! && bids.at(-1)! > 0)
    }
    assert.strictEqual(all.filter(({ depth }) => depth !== undefined).length, 500)
    assert.strictEqual(all.filter(({ trade }) => trade !== undefined).length, 200)
  })

  it("a symbol has a name of its own", () => {
    const { symbols } = new Market({ seed: 1, symbols: 2_000, depthEvery: 1, tradeEvery: 1 })
    assert.strictEqual(new Set(symbols).size, 2_000)
  })
})

const idsOf = (found: Either.Either<ReadonlyArray<Message.Message>, FillsGone>) =>
  Either.getOrThrow(found).map(({ frame }) => Number(Frame.toText(frame, 0)))

const logOf = (fills: number, kept: number) => {
  const log = new FillLog("a", kept)
  for (let i = 0; i < fills; i++) log.push((id) => Message.text(String(id)))
  return log
}

describe("the log of fills", () => {
  it("has every fill behind a position that it keeps, in order", () => {
    for (const fills of [0, 1, 4, 5, 12]) {
      const log = logOf(fills, 5)
      for (let after = log.first - 1; after <= fills; after++) {
        assert.deepStrictEqual(
          idsOf(log.behind({ feed: "a", after })),
          Array.from({ length: fills - after }, (_, i) => after + 1 + i)
        )
      }
    }
  })

  it("refuses a position that is too old, too new or of another feed, and says what there is", () => {
    const log = logOf(12, 5)
    for (const asked of [{ feed: "a", after: 6 }, { feed: "a", after: 13 }, { feed: "b", after: 12 }]) {
      const gone = Either.getOrThrow(Either.flip(log.behind(asked)))
      assert.instanceOf(gone, FillsGone)
      assert.deepInclude(gone, { asked, feed: "a", first: 8, last: 12 })
    }
  })
})

describe("a viewer", () => {
  const heard = (...messages: ReadonlyArray<object>) => {
    const viewer = new Viewer()
    for (const message of messages) viewer.heard(JSON.stringify(message), 100)
    return viewer
  }
  const welcome = (after: number) => ({ _tag: "Welcome", feed: "a", after, at: 10 })
  const fills = (...ids: ReadonlyArray<number>) => ids.map((id) => ({ _tag: "Fill", id }))

  it("counts the fills that were left out and that came twice, over connections", () => {
    assert.deepInclude(heard(welcome(4), ...fills(5, 6), welcome(6), ...fills(7)), {
      fillsSeen: 3,
      fillsMissed: 0,
      fillsTwice: 0,
      after: 7,
      query: "?feed=a&after=7"
    })
    assert.deepInclude(heard(welcome(4), ...fills(5, 8)), { fillsMissed: 2, fillsTwice: 0 })
    assert.deepInclude(heard(welcome(4), ...fills(5, 6, 6)), { fillsMissed: 0, fillsTwice: 1 })
  })

  it("counts prices that are older than one before, and the age of those that are new", () => {
    const tick = (n: number, at: number) => ({ _tag: "Tick", symbol: "AAA", n, cents: 1, at })
    const viewer = heard(welcome(0), tick(1, 9), tick(3, 60), tick(2, 70))
    assert.deepInclude(viewer, { ticksSeen: 3, ticksBack: 1 })
    assert.deepStrictEqual([viewer.ages.quantile(0.5), viewer.ages.quantile(1)], [30, 40])
  })

  it("percentiles of many are those of all of them", () => {
    const [a, b] = [new Ages(), new Ages()]
    for (let millis = 1; millis <= 100; millis++) (millis % 2 === 0 ? a : b).add(millis)
    a.addAll(b)
    assert.deepStrictEqual([0.5, 0.95, 0.99, 1].map((share) => a.quantile(share)), [50, 95, 99, 100])
    assert.isNaN(new Ages().quantile(0.5))
  })
})
