/**
 * The feed: the market's changes as messages, published to the sessions that want them, and what a session gets that joins.
 *
 * ```
 * Market ── change ──▶ tick/AAA   important, by symbol ──┐
 *                      depth/AAA  bulk, by symbol        ├──▶ outbox of each session
 *                      fills      critical ── FillLog ───┘
 * ```
 *
 * Publishing is a loop of synchronous offers and waits for nobody. So what is bounded has an end: a client that is behind by
 * more fills than its outbox has room for loses its session, not a fill. It comes again with the number of its last one.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import * as CloseReason from "spillway/CloseReason"
import * as Hub from "spillway/Hub"
import type * as Message from "spillway/Message"
import type * as Outcome from "spillway/Outcome"
import type * as Session from "spillway/Session"
import type { Sessions } from "spillway/Sessions"
import type { InvalidOption, TooManyTopics } from "spillway/SpillwayError"
import { FillLog, type FillsGone, type Position } from "./FillLog.js"
import { Market, type Quote } from "./Market.js"
import * as Protocol from "./Protocol.js"
import { Settings } from "./Settings.js"

/** What a session wants: these symbols, or all; and all fills behind the position, or those from now on. */
export interface Wanted {
  readonly symbols?: ReadonlyArray<string> | undefined
  readonly position?: Position | undefined
}

export interface FeedStats {
  readonly ticks: number
  readonly depths: number
  readonly fills: number
  /** Sessions that were behind by more fills than an outbox holds. */
  readonly cut: number
}

export interface FeedShape {
  /** Fills are numbered within it. */
  readonly id: string
  readonly symbols: ReadonlyArray<string>
  /** So many changes of the market, at once. */
  readonly publish: (count: number) => Effect.Effect<void>
  /**
   * Makes the session a member until the scope closes: welcomed, with every fill that it missed and the last price and depth
   * of each symbol, and from there on with all that is published.
   */
  readonly join: (
    session: Session.Session,
    wanted: Wanted
  ) => Effect.Effect<void, FillsGone | TooManyTopics, Scope.Scope>
  /** The last price of each symbol. */
  readonly quotes: Effect.Effect<ReadonlyArray<Quote>>
  readonly stats: Effect.Effect<FeedStats>
}

export class Feed extends Context.Tag("@spillway-examples/market-data/Feed")<Feed, FeedShape>() {}

/** How a price becomes a message. For a test that shows what happens without a key. */
export type MakeTick = (fields: typeof Protocol.Tick.schema.Type) => Message.Message

const fillsTopic = "fills"
const tickTopic = (symbol: string) => `tick/${symbol}`
const depthTopic = (symbol: string) => `depth/${symbol}`

/** The last values for those who join later. Fills have a log of their own, since the last one is not enough. */
const policies: NonNullable<Hub.Options["policies"]> = [
  { topics: Hub.prefix(tickTopic("")), policy: { retain: "last" } },
  { topics: Hub.prefix(depthTopic("")), policy: { retain: "last" } }
]

const selectors = (symbols: ReadonlyArray<string> | undefined): ReadonlyArray<Hub.Selector> =>
  symbols === undefined
    ? [Hub.prefix(tickTopic("")), Hub.prefix(depthTopic(""))]
    : symbols.flatMap((symbol) => [tickTopic(symbol), depthTopic(symbol)])

const tooFarBehind = CloseReason.withReason(CloseReason.slowConsumer, "too many fills behind")

/** Everything that is published, and the log of it. Synchronous, so that nobody sees half of a change. */
class Publisher {
  readonly counts = { ticks: 0, depths: 0, fills: 0, cut: 0 }
  /** Sessions whose outbox is full of fills; prices went for the last one. */
  behind = new Set<Session.Session>()
  private readonly topics: ReadonlyArray<{ readonly tick: string; readonly depth: string }>

  constructor(
    readonly market: Market,
    readonly log: FillLog,
    private readonly hub: Hub.HubShape,
    private readonly makeTick: MakeTick
  ) {
    this.topics = market.symbols.map((symbol) => ({ tick: tickTopic(symbol), depth: depthTopic(symbol) }))
  }

  quote(index: number, quote: Quote, at: number): void {
    this.hub.unsafePublish(this.topics[index]!.tick, this.makeTick({ _tag: "Tick", ...quote, at }))
    this.counts.ticks++
  }

  change(at: number): void {
    const { depth, index, quote, trade } = this.market.next()
    this.quote(index, quote, at)
    if (depth !== undefined) {
      this.hub.unsafePublish(this.topics[index]!.depth, Protocol.Depth({ ...depth, at }))
      this.counts.depths++
    }
    if (trade !== undefined) {
      const fill = this.log.push((id) => Protocol.Fill({ id, ...trade, at }))
      this.hub.unsafePublish(fillsTopic, fill, { each: this.noteBehind })
      this.counts.fills++
    }
  }

  private readonly noteBehind = (session: Session.Session, outcome: Outcome.Outcome): void => {
    if (outcome._tag === "QueuedEvicting") this.behind.add(session)
  }
}

/** Ends the sessions whose last prices were shed: with the next one they get all of them again. */
const cut = (publisher: Publisher): Effect.Effect<void> =>
  Effect.suspend(() => {
    const behind = publisher.behind
    if (behind.size === 0) return Effect.void
    publisher.behind = new Set()
    publisher.counts.cut += behind.size
    return Effect.forEach(behind, (session) => session.close(tooFarBehind), { discard: true })
  })

export const make = (makeTick: MakeTick = Protocol.Tick): Effect.Effect<
  FeedShape,
  InvalidOption,
  Settings | Sessions
> =>
  Effect.gen(function*() {
    const { depthEvery, fillEvery, fillsKept, seed, symbols } = yield* Settings
    const clock = yield* Effect.clock
    const hub = yield* Hub.make({ policies })
    const id = (yield* Random.nextIntBetween(0, 36 ** 6)).toString(36)
    const market = new Market({
      seed: seed ?? (yield* Random.nextIntBetween(0, 2 ** 31)),
      symbols,
      depthEvery,
      tradeEvery: fillEvery
    })
    const publisher = new Publisher(market, new FillLog(id, fillsKept), hub, makeTick)
    const openedAt = clock.unsafeCurrentTimeMillis()
    market.quotes.forEach((quote, index) => publisher.quote(index, quote, openedAt))
    // Between the fills that a session gets from the log and those that are published to it nothing may be published.
    const lock = yield* Effect.makeSemaphore(1)

    const join: FeedShape["join"] = (session, wanted) =>
      Effect.gen(function*() {
        const position = wanted.position ?? { feed: id, after: publisher.log.last }
        const missed = yield* publisher.log.behind(position)
        yield* hub.join(session)
        const at = clock.unsafeCurrentTimeMillis()
        session.unsafeOffer(
          Protocol.Welcome({ session: session.id, feed: id, after: position.after, symbols: market.symbols, at })
        )
        for (const fill of missed) session.unsafeOffer(fill)
        yield* hub.subscribe(session, [fillsTopic, ...selectors(wanted.symbols)])
      })

    return {
      id,
      symbols: market.symbols,
      publish: (count) =>
        lock.withPermits(1)(Effect.suspend(() => {
          const at = clock.unsafeCurrentTimeMillis()
          for (let i = 0; i < count; i++) publisher.change(at)
          return cut(publisher)
        })),
      join: (session, wanted) => lock.withPermits(1)(join(session, wanted)),
      quotes: Effect.sync(() => [...market.quotes]),
      stats: Effect.sync(() => ({ ...publisher.counts }))
    }
  })

export const layer = (makeTick?: MakeTick): Layer.Layer<Feed, InvalidOption, Settings | Sessions> =>
  Layer.effect(Feed, make(makeTick))
