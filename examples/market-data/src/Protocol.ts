/**
 * What goes over the wire, as JSON with `_tag`. The declarations say what a slow client loses: of the prices of a symbol that
 * wait, all but the last (`important`, by key); of its depths the same, and they yield to everything (`bulk`); of the fills
 * nothing (`critical`, numbered without a gap).
 *
 * `at` is the server's time, in milliseconds. With `Ping` a client learns how its own clock differs.
 */
import * as Schema from "effect/Schema"
import * as Message from "spillway/Message"
import type * as Session from "spillway/Session"

const Count = Schema.NonNegativeInt

/** The last price of a symbol. `n` grows with each of its prices, so that a client can tell an older one. */
export const Tick = Message.define("Tick", {
  fields: { symbol: Schema.String, n: Count, cents: Count, at: Schema.Number },
  key: ({ symbol }) => symbol
})

const Levels = Schema.Array(Schema.Tuple(Count, Count))

/** Price and size, best first, around the price with the same `n`. */
export const Depth = Message.define("Depth", {
  fields: { symbol: Schema.String, n: Count, bids: Levels, asks: Levels, at: Schema.Number },
  lane: "bulk",
  key: ({ symbol }) => symbol
})

/** An order that was filled. The numbers have no gap: a client that comes again names the last one that it has. */
export const Fill = Message.define("Fill", {
  fields: { id: Count, symbol: Schema.String, cents: Count, size: Count, at: Schema.Number },
  lane: "critical"
})

/** The first message of a session. The first fill that it will see is the one behind `after`. */
export const Welcome = Message.define("Welcome", {
  fields: {
    session: Schema.String,
    /** Fills are numbered within a feed; another server, or the same one started again, has another. */
    feed: Schema.String,
    after: Count,
    at: Schema.Number
  },
  lane: "control"
})

/** The fills behind `asked` are not all there any more: what is missing has to come from elsewhere. Then the session ends. */
export const FillsGone = Message.define("FillsGone", {
  fields: { feed: Schema.String, asked: Count, first: Count, last: Count },
  lane: "control"
})

/** What the server knows of this session: messages that wait, were sent, and that a later one replaced or that were shed. */
export const Status = Message.define("Status", {
  fields: {
    queued: Count,
    ticks: Schema.Struct({ sent: Count, shed: Count }),
    depths: Schema.Struct({ sent: Count, shed: Count }),
    fills: Schema.Struct({ sent: Count, shed: Count }),
    at: Schema.Number
  },
  lane: "control",
  key: () => "status"
})

/** The heartbeat. */
export const status = ({ lanes, queuedItems }: Session.Stats, now: number): Message.Message => {
  const lane = ({ conflated, evicted, expired, rejected, sent }: Session.Stats["lanes"]["bulk"]) => ({
    sent,
    shed: conflated + evicted + expired + rejected
  })
  return Status({
    queued: queuedItems,
    ticks: lane(lanes.important),
    depths: lane(lanes.bulk),
    fills: lane(lanes.critical),
    at: now
  })
}

export const Pong = Message.define("Pong", { fields: { id: Count, at: Schema.Number }, lane: "control" })

/** The server ends; come again after `afterMs` and a random part of `jitterMs`. */
export const Draining = Message.define("Draining", { fields: { afterMs: Count, jitterMs: Count }, lane: "control" })

/** A frame of the client that is none. */
export const Refused = Message.define("Refused", { fields: { message: Schema.String }, lane: "control" })

/** What a client hears. */
export const Heard = Schema.Union(
  Tick.schema,
  Depth.schema,
  Fill.schema,
  Welcome.schema,
  FillsGone.schema,
  Status.schema,
  Pong.schema,
  Draining.schema,
  Refused.schema
)
export type Heard = typeof Heard.Type

/** All that a client says: to learn the server's time, and how long a message takes there and back. */
export const Ping = Schema.TaggedStruct("Ping", { id: Count })

export const decodePing = Message.decoder(Ping)

const symbolsPerSessionMax = 60

const Names = Schema.compose(
  Schema.split(","),
  Schema.Array(Schema.String.pipe(Schema.pattern(/^[A-Z]{3}$/))).pipe(Schema.maxItems(symbolsPerSessionMax))
)

/**
 * The query of `/ws`: `symbols=AAA,AAB` (all, where there are none), and `feed=…&after=17` of a client that comes again.
 */
export const Query = Schema.Struct({
  symbols: Schema.optional(Names),
  feed: Schema.optional(Schema.String),
  after: Schema.optional(Schema.compose(Schema.NumberFromString, Count))
})
export type Query = typeof Query.Type
