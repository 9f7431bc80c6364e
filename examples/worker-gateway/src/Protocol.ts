/**
 * What goes over the wire, as JSON with `_tag`. Each request of a client has a number of its choice and gets exactly one of
 * `Added`, `Found` and `Failed`. `Progress` is shed first, conflated by number, and overtaken: what waits for a slow reader
 * may come after the end of its request.
 */
import * as Schema from "effect/Schema"
import * as Message from "spillway/Message"

const Id = Schema.NonNegativeInt

/** Texts that have the same name replace each other. */
export const Add = Schema.TaggedStruct("Add", {
  id: Id,
  name: Schema.NonEmptyString.pipe(Schema.maxLength(100)),
  text: Schema.String
})

export const Search = Schema.TaggedStruct("Search", {
  id: Id,
  word: Schema.NonEmptyString.pipe(Schema.maxLength(100))
})

export const Request = Schema.Union(Add, Search)
export type Request = typeof Request.Type

export const decodeRequest = Message.decoder(Request)

export const Opened = Message.define("Opened", { fields: { session: Schema.String } })

export const Progress = Message.define("Progress", {
  fields: { id: Id, done: Schema.Number, of: Schema.Number },
  lane: "bulk",
  key: ({ id }) => `progress ${id}`
})

export const Added = Message.define("Added", {
  fields: {
    id: Id,
    name: Schema.String,
    words: Schema.Number,
    documents: Schema.Number,
    worker: Schema.String,
    /** Whether the gateway still holds all texts of the session, so that it could build the index anew. */
    isRebuildable: Schema.Boolean
  }
})

export const Found = Message.define("Found", {
  fields: {
    id: Id,
    word: Schema.String,
    total: Schema.Number,
    hits: Schema.Array(Schema.Tuple(Schema.String, Schema.Number)),
    documents: Schema.Number,
    worker: Schema.String
  }
})

/** Nothing came of the request. `error` is the tag of the failure; `BadRequest` (with the number 0) is the client's own. */
export const Failed = Message.define("Failed", {
  fields: { id: Id, error: Schema.String, message: Schema.String },
  lane: "critical"
})

/** The session's worker is no more, and another one has built its index anew: nothing is lost. */
export const Rebound = Message.define("Rebound", {
  fields: {
    from: Schema.String,
    to: Schema.String,
    documents: Schema.Number,
    /** From the failure that told the gateway to the end of the rebuilding. */
    millis: Schema.Number
  },
  lane: "critical"
})

/** The session's worker is no more, and the gateway does not hold its texts any more: the index is empty now. */
export const StateLost = Message.define("StateLost", {
  fields: { from: Schema.String, to: Schema.String, documents: Schema.Number },
  lane: "critical"
})

const Counts = Schema.Record({ key: Schema.String, value: Schema.Number })

/** What `/watch` shows, four times a second; of several that wait only the latest is sent. */
export const Reading = Message.define("Reading", {
  fields: {
    sessions: Schema.Number,
    workers: Schema.Array(Schema.Struct({
      id: Schema.String,
      pid: Schema.NullOr(Schema.Number),
      state: Schema.String,
      sessions: Schema.Number,
      operations: Schema.Number
    })),
    waiting: Schema.Number,
    affinity: Schema.Struct({ hits: Schema.Number, misses: Schema.Number, first: Schema.Number, rate: Schema.Number }),
    /** requests = results + failed + abandoned (the client left) + open. */
    requests: Schema.Struct({
      taken: Schema.Number,
      results: Schema.Number,
      failed: Counts,
      abandoned: Schema.Number,
      open: Schema.Number
    }),
    kills: Schema.Number,
    rebinds: Schema.Number,
    statesLost: Schema.Number,
    /** The last ones, newest last: of a place of the pool, without a worker that serves; of a session, without its index. */
    poolRecoveryMillis: Schema.Array(Schema.Number),
    sessionRecoveryMillis: Schema.Array(Schema.Number),
    events: Schema.Array(Schema.Struct({ at: Schema.Number, text: Schema.String }))
  },
  lane: "bulk",
  key: () => "reading"
})
export type Reading = typeof Reading.schema.Type

/** What a client hears on `/ws`. */
export const Reply = Schema.Union(
  Opened.schema,
  Progress.schema,
  Added.schema,
  Found.schema,
  Failed.schema,
  Rebound.schema,
  StateLost.schema
)
export type Reply = typeof Reply.Type
