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
import type * as Clock from "effect/Clock"
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
import { type Depth, Market, type Quote, type Trade } from "./Market.js"
import * as Protocol from "./Protocol.js"
import { Settings } from "./Settings.js"

/** What a session wants: these symbols, or all; and all fills behind the position, or those from now on. */
export interface Wanted {
  readonly symbols?: ReadonlyArray<string> | undefined
  readonly position?: Position | undefined
}

export interface FeedStats {
  /** Prices of the market, whether they were published or a later one in their place. */
  readonly ticks: number
  /** Depths that were published. */
  readonly depths: number
  readonly fills: number
  /** Sessions that were behind by more fills than an outbox holds. */
  readonly cut: number
}

export interface FeedShape {
  /** Fills are numbered within it. */
  readonly id: string
  readonly symbols: ReadonlyArray<string>
  /**
   * So many changes of the market, of which the last price and depth of each symbol go out: nobody could see those before,
   * as nobody writes meanwhile. With a limit of offers the rest waits for the next time, where a later price takes its place.
   */
  readonly publish: (count: number, offersMax?: number) => Effect.Effect<void>
  /**
   * Makes the session a member until the scope closes: welcomed, with the last price and depth of each symbol, every fill
   * that it missed, and from there on all that is published. Suspends while it is being sent more missed fills than may wait.
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
  /** By symbol, what is not published yet. A symbol that has a depth here has a price here. */
  private readonly quotes = new Map<number, { readonly quote: Quote; readonly at: number }>()
  private readonly depths = new Map<number, { readonly depth: Depth; readonly at: number }>()
  private readonly topics: ReadonlyArray<{ readonly tick: string; readonly depth: string }>

  constructor(
    readonly market: Market,
    readonly log: FillLog,
    readonly hub: Hub.HubShape,
    readonly clock: Clock.Clock,
    /** Nothing may be published between the fills that a session gets from the log and the first that it is sent. */
    readonly lock: Effect.Semaphore,
    private readonly makeTick: MakeTick
  ) {
    this.topics = market.symbols.map((symbol) => ({ tick: tickTopic(symbol), depth: depthTopic(symbol) }))
    market.quotes.forEach((quote, index) => this.publishQuote(index, quote, this.now))
  }

  get now(): number {
    return this.clock.unsafeCurrentTimeMillis()
  }

  /** Steps of the market: fills go out, prices and depths wait for `flush`, where a later one takes their place. */
  advance(count: number): void {
    const at = this.now
    for (let i = 0; i < count; i++) {
      const { depth, index, quote, trade } = this.market.next()
      this.quotes.set(index, { quote, at })
      if (depth !== undefined) this.depths.set(index, { depth, at })
      if (trade !== undefined) this.fill(trade, at)
    }
    this.counts.ticks += count
  }

  /** Publishes what waits, what has waited longest first, until so many offers are made. */
  flush(offersMax: number): void {
    let left = offersMax
    for (const [index, { at, quote }] of this.quotes) {
      if (left <= 0) return
      this.quotes.delete(index)
      left -= this.publishQuote(index, quote, at)
      const waiting = this.depths.get(index)
      if (waiting === undefined) continue
      this.depths.delete(index)
      const message = Protocol.Depth({ ...waiting.depth, at: waiting.at })
      left -= this.hub.unsafePublish(this.topics[index]!.depth, message).sessions
      this.counts.depths++
    }
  }

  private publishQuote(index: number, quote: Quote, at: number): number {
    const message = this.makeTick({ _tag: "Tick", ...quote, at })
    return this.hub.unsafePublish(this.topics[index]!.tick, message).sessions
  }

  private fill(trade: Trade, at: number): void {
    const fill = this.log.push((id) => Protocol.Fill({ id, ...trade, at }))
    this.hub.unsafePublish(fillsTopic, fill, { each: this.noteBehind })
    this.counts.fills++
  }

  private readonly noteBehind = (session: Session.Session, outcome: Outcome.Outcome): void => {
    if (outcome._tag === "QueuedEvicting" && session.state === "open") this.behind.add(session)
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

const publish = (publisher: Publisher, count: number, offersMax: number): Effect.Effect<void> =>
  publisher.lock.withPermits(1)(Effect.suspend(() => {
    publisher.advance(count)
    publisher.flush(offersMax)
    return cut(publisher)
  }))

/**
 * Offers fills behind the position, so many at most. When that is all of them the session gets the next ones as well;
 * otherwise the last of them is returned, still to be sent.
 */
const catchUp = (publisher: Publisher, session: Session.Session, position: Position, itemsMax: number) =>
  publisher.lock.withPermits(1)(Effect.gen(function*() {
    const missed = yield* publisher.log.behind(position)
    const isAll = missed.length <= itemsMax
    const now = isAll ? missed : missed.slice(0, itemsMax - 1)
    for (const fill of now) session.unsafeOffer(fill)
    if (!isAll) return { last: missed[itemsMax - 1]!, after: position.after + itemsMax }
    yield* publisher.hub.subscribe(session, [fillsTopic])
  }))

/** Outside of the lock it waits until the session has written what it got: the next ones may not have room before. */
const replay = (
  publisher: Publisher,
  session: Session.Session,
  position: Position,
  itemsMax: number
): Effect.Effect<void, FillsGone | TooManyTopics> =>
  Effect.flatMap(catchUp(publisher, session, position, itemsMax), (more) =>
    more === undefined
      ? Effect.void
      : Effect.flatMap(session.deliver(more.last), ({ _tag }) =>
        _tag === "Sent"
          ? replay(publisher, session, { feed: position.feed, after: more.after }, itemsMax)
          : Effect.void))

const join = (publisher: Publisher, session: Session.Session, wanted: Wanted, itemsMax: number) =>
  Effect.gen(function*() {
    const { hub, log, now } = publisher
    const position = wanted.position ?? { feed: log.feed, after: log.last }
    yield* log.behind(position)
    yield* session.send(Protocol.Welcome({ session: session.id, feed: log.feed, after: position.after, at: now }))
    yield* hub.join(session)
    yield* hub.subscribe(session, selectors(wanted.symbols))
    yield* replay(publisher, session, position, itemsMax)
  })

export const make = (
  makeTick: MakeTick = Protocol.Tick
): Effect.Effect<FeedShape, InvalidOption, Settings | Sessions> =>
  Effect.gen(function*() {
    const { depthEvery, fillEvery, fillsKept, fillsQueued, seed, symbols } = yield* Settings
    const market = new Market({
      seed: seed ?? (yield* Random.nextIntBetween(0, 2 ** 31)),
      symbols,
      depthEvery,
      tradeEvery: fillEvery
    })
    const id = (yield* Random.nextIntBetween(0, 36 ** 6)).toString(36)
    const publisher = new Publisher(
      market,
      new FillLog(id, fillsKept),
      yield* Hub.make({ policies }),
      yield* Effect.clock,
      yield* Effect.makeSemaphore(1),
      makeTick
    )
    return {
      id,
      symbols: market.symbols,
      publish: (count, offersMax = Infinity) => publish(publisher, count, offersMax),
      // Half of what may wait, so that a session that has caught up is not at its bound.
      join: (session, wanted) => join(publisher, session, wanted, Math.ceil(fillsQueued / 2)),
      quotes: Effect.sync(() => [...market.quotes]),
      stats: Effect.sync(() => ({ ...publisher.counts }))
    }
  })

export const layer = (makeTick?: MakeTick): Layer.Layer<Feed, InvalidOption, Settings | Sessions> =>
  Layer.effect(Feed, make(makeTick))
