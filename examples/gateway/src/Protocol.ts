/**
 * The wire protocol of `/ws` and `POST /publish/{topic}`: what clients may say, as schemas, and what the server says, as
 * messages.
 *
 * Everything but topic messages travels in the `control` lane and carries no number. So `seq` of a topic message counts
 * topic messages of its session and lane and nothing else: a step of more than one means that some were shed.
 */
import * as Schema from "effect/Schema"
import * as Frame from "spillway/Frame"
import type * as Lane from "spillway/Lane"
import * as Message from "spillway/Message"
import * as Session from "spillway/Session"
import type * as Sessions from "spillway/Sessions"

/** Topics that one session may subscribe to. */
export const topicsPerSessionMax = 128

/** Longest text of an `error` frame; an explanation of a large frame may be as large as the frame. */
const errorCharsMax = 500

/** The largest key, in UTF-16 units. */
const keyCharsMax = 128

export const Topic = Schema.String.pipe(
  Schema.pattern(/^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/, {
    description: "a topic: 1 to 128 of A-Z a-z 0-9 . _ : - and a letter or digit first",
    message: () => "a topic is 1 to 128 of A-Z a-z 0-9 . _ : - and starts with a letter or digit"
  })
)

const Topics = Schema.Array(Topic).pipe(Schema.minItems(1), Schema.maxItems(topicsPerSessionMax))

const Key = Schema.String.pipe(Schema.minLength(1), Schema.maxLength(keyCharsMax))

/** Any JSON value. A field of this type must be there: `null` is a value, absence is not. */
const Data = Schema.Unknown.pipe(
  Schema.filter((value) => value !== undefined || "data is missing", { identifier: "any JSON value" })
)

/** Lanes that a client may use; urgency is the server's to give. */
const ClientLane = Schema.Literal("important", "bulk")

/** Lanes of topic messages. `control` is the runtime's own. */
const TopicLane = Schema.Literal("critical", "important", "bulk")

export type TopicLane = typeof TopicLane.Type

/** The default lane of a published message. */
export const defaultLane = "important"

export const Subscribe = Schema.Struct({ type: Schema.Literal("subscribe"), topics: Topics }).annotations({
  identifier: "subscribe"
})

export const Unsubscribe = Schema.Struct({ type: Schema.Literal("unsubscribe"), topics: Topics }).annotations({
  identifier: "unsubscribe"
})

export const Publish = Schema.Struct({
  type: Schema.Literal("publish"),
  topic: Topic,
  lane: Schema.optional(ClientLane),
  key: Schema.optional(Key),
  data: Data
}).annotations({ identifier: "publish" })

export const Ping = Schema.Struct({ type: Schema.Literal("ping") }).annotations({ identifier: "ping" })

/** Everything that a client of `/ws` may say. */
export const ClientFrame = Schema.Union(Subscribe, Unsubscribe, Publish, Ping).annotations({
  identifier: "client frame"
})

export type ClientFrame = typeof ClientFrame.Type

export const decodeClientFrame = Message.decoder(ClientFrame)

/** The body of `POST /publish/{topic}`. */
export const PublishBody = Schema.Struct({
  lane: Schema.optional(TopicLane),
  key: Schema.optional(Key),
  data: Data
}).annotations({ identifier: "body" })

/** The value of `?topics=a,b`. Absent or empty means none. */
export const TopicsParameter = Schema.compose(
  Schema.transform(Schema.String, Schema.Array(Schema.String), {
    strict: true,
    decode: (text) => [...new Set(text.split(",").filter((topic) => topic !== ""))],
    encode: (topics) => topics.join(",")
  }),
  Schema.Array(Topic).pipe(Schema.maxItems(topicsPerSessionMax))
)

/**
 * A message of a topic, encoded once for all its receivers; each session fills in its own `seq`. With a `key` the latest
 * one takes the place of one that still waits; the topic is part of the key, since a session may have several.
 */
export const topicMessage = (
  topic: string,
  options: { readonly lane: TopicLane; readonly key?: string | undefined; readonly data: unknown }
): Message.Message =>
  Message.fromFrame(
    Frame.sequenced(
      `{"type":"message","topic":${JSON.stringify(topic)},"lane":"${options.lane}","seq":`,
      `,"data":${JSON.stringify(options.data)}}`
    ),
    { lane: options.lane, key: options.key === undefined ? undefined : `${topic}\n${options.key}` }
  )

const control = (value: { readonly type: string; readonly [field: string]: unknown }, key?: string): Message.Message =>
  Message.jsonOf(value, { lane: "control", key })

/** The first frame of every session. */
export const welcome = (options: {
  readonly session: string
  readonly topics: ReadonlyArray<string>
  readonly payloadBytesMax: number
  readonly now: number
}): Message.Message =>
  control({
    type: "welcome",
    session: options.session,
    topics: options.topics,
    lanes: ClientLane.literals,
    maxPayload: options.payloadBytesMax,
    timestamp: options.now
  })

export const pong: Message.Message = control({ type: "pong" })

/**
 * A heartbeat: of several that wait only the latest is sent. `lanes` says how many messages wait in each lane and how
 * many were shed, so that a client can show what the server sees.
 */
export const heartbeat = (stats: Session.Stats, now: number): Message.Message => {
  const lane = (name: Lane.Lane) => {
    const counts = stats.lanes[name]
    return {
      queued: counts.queued,
      sent: counts.sent,
      shed: counts.evicted + counts.rejected + counts.conflated + counts.expired
    }
  }
  return control({
    type: "heartbeat",
    timestamp: now,
    streamId: stats.id,
    queueSize: stats.queuedItems,
    status: Session.statusOf(stats),
    lanes: { critical: lane("critical"), important: lane("important"), bulk: lane("bulk") }
  }, "heartbeat")
}

/** Tells a client to reconnect after `afterMs` and a random part of `jitterMs`. */
export const draining = (info: Sessions.Announcement): Message.Message =>
  control({ type: "draining", afterMs: Math.round(info.afterMillis), jitterMs: Math.round(info.jitterMillis) })

/** What an `error` frame may be about. */
export type ErrorCode = "bad_frame" | "too_many_topics" | "topic_reserved" | "slow_consumer" | "overloaded"

export const error = (code: ErrorCode, message: string): Message.Message =>
  control({
    type: "error",
    code,
    message: message.length <= errorCharsMax ? message : `${message.slice(0, errorCharsMax)} ...`
  })
