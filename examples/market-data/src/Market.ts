/**
 * The market: a random walk of each symbol, from one seed. The same seed gives the same prices, depths and trades, in the
 * same order; nothing here knows of time, of sessions or of the wire.
 *
 * Activity is skewed, as it is on an exchange: of 500 symbols the busiest changes 45 times as often as the quietest.
 */
import { PCGRandom } from "effect/Utils"

/** A price. `n` counts those of the symbol: 0 is the opening, and a greater number is always the later price. */
export interface Quote {
  readonly symbol: string
  readonly n: number
  readonly cents: number
}

/** A price and how many shares are offered or wanted at it. */
export type Level = readonly [cents: number, size: number]

/** What stands in the book around the price with the same `n`, best first. */
export interface Depth {
  readonly symbol: string
  readonly n: number
  readonly bids: ReadonlyArray<Level>
  readonly asks: ReadonlyArray<Level>
}

/** An order that was filled, at the price of its symbol at that moment. */
export interface Trade {
  readonly symbol: string
  readonly cents: number
  readonly size: number
}

/** One step of the market. `index` is the symbol's. */
export interface Change {
  readonly index: number
  readonly quote: Quote
  readonly depth: Depth | undefined
  readonly trade: Trade | undefined
}

export interface Options {
  readonly seed: number
  readonly symbols: number
  /** Each so manieth step has a depth, and a trade. */
  readonly depthEvery: number
  readonly tradeEvery: number
}

const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

/** `AAA`, `AAB` and so on: 17,576 names. */
const nameOf = (index: number): string =>
  [676, 26, 1].map((place) => letters[Math.floor(index / place) % letters.length]).join("")

const levels = 5

/** A price never falls so low that its best bid would be nothing. */
const centsMin = 10 * levels

export class Market {
  readonly symbols: ReadonlyArray<string>
  private readonly random: PCGRandom
  private readonly last: Array<Quote>
  private steps = 0

  constructor(private readonly options: Options) {
    this.random = new PCGRandom(options.seed)
    this.symbols = Array.from({ length: options.symbols }, (_, index) => nameOf(index))
    this.last = this.symbols.map((symbol) => ({ symbol, n: 0, cents: 1_000 + this.random.integer(99_000) }))
  }

  /** The last price of each symbol. */
  get quotes(): ReadonlyArray<Quote> {
    return this.last
  }

  next(): Change {
    const { depthEvery, tradeEvery } = this.options
    const index = Math.floor(this.random.number() ** 2 * this.symbols.length)
    const before = this.last[index]!
    const cents = Math.max(centsMin, before.cents + this.random.integer(21) - 10)
    const quote = { symbol: before.symbol, n: before.n + 1, cents }
    this.last[index] = quote
    this.steps++
    return {
      index,
      quote,
      depth: this.steps % depthEvery === 0 ? this.depthAround(quote) : undefined,
      trade: this.steps % tradeEvery === 0 ? { symbol: quote.symbol, cents, size: this.size() } : undefined
    }
  }

  private size(): number {
    return 10 * (1 + this.random.integer(100))
  }

  private depthAround({ cents, n, symbol }: Quote): Depth {
    const side = (sign: 1 | -1) =>
      Array.from({ length: levels }, (_, level): Level => [cents + sign * (1 + level), this.size()])
    return { symbol, n, bids: side(-1), asks: side(1) }
  }
}
