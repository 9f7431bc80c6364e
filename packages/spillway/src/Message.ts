/**
 * Messages: a frame together with its lane, and optionally a conflation key and a maximum age.
 *
 * A message is made once and may be sent to any number of sessions: its frame is encoded at most once. Messages can be
 * declared with a `Schema`; the declaration then carries lane, key and age, so that sending needs no options.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as Frame from "./Frame.js"
import * as json from "./internal/json.js"
import * as Lane from "./Lane.js"
import { InvalidMessage } from "./SpillwayError.js"

/**
 * Type id of a message.
 *
 * @since 0.1.0
 * @category type ids
 */
export const TypeId: unique symbol = Symbol.for("spillway/Message")

/**
 * Type id of a message.
 *
 * @since 0.1.0
 * @category type ids
 */
export type TypeId = typeof TypeId

/**
 * A frame with its lane. `key` conflates: of several queued messages of one lane with one key only the latest is kept,
 * in the place of the first. `maxAgeMillis` bounds the time in the outbox; `Infinity` is no bound.
 *
 * @since 0.1.0
 * @category models
 */
export interface Message {
  readonly [TypeId]: TypeId
  readonly frame: Frame.Frame
  readonly lane: Lane.Lane
  readonly key: string | undefined
  readonly maxAgeMillis: number
}

/**
 * How a message is treated in the outbox. `lane` is `important` by default.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  readonly lane?: Lane.Lane | undefined
  readonly key?: string | undefined
  readonly maxAge?: Duration.DurationInput | undefined
}

class MessageImpl implements Message {
  readonly [TypeId]: TypeId = TypeId
  constructor(
    readonly frame: Frame.Frame,
    readonly lane: Lane.Lane,
    readonly key: string | undefined,
    readonly maxAgeMillis: number
  ) {}
}

/**
 * Whether a value is a message.
 *
 * @since 0.1.0
 * @category guards
 */
export const isMessage = (u: unknown): u is Message => typeof u === "object" && u !== null && TypeId in u

/**
 * Message from a ready frame.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromFrame = (frame: Frame.Frame, options?: Options): Message =>
  new MessageImpl(
    frame,
    options?.lane ?? "important",
    options?.key,
    options?.maxAge === undefined ? Infinity : Duration.toMillis(options.maxAge)
  )

/**
 * Text message.
 *
 * @example
 * import { Message } from "spillway"
 *
 * assert.strictEqual(Message.text("hello", { lane: "critical" }).lane, "critical")
 *
 * @since 0.1.0
 * @category constructors
 */
export const text = (value: string, options?: Options): Message => fromFrame(Frame.text(value), options)

/**
 * Binary message. The bytes are not copied.
 *
 * @since 0.1.0
 * @category constructors
 */
export const binary = (bytes: Uint8Array, options?: Options): Message => fromFrame(Frame.binary(bytes), options)

/**
 * Text message that carries a value as JSON.
 *
 * @since 0.1.0
 * @category constructors
 */
export const jsonOf = (value: unknown, options?: Options): Message => fromFrame(Frame.json(value), options)

/**
 * A declared kind of message: a function from fields to messages, and the schema of its wire form
 * (`{"_tag": tag, ...fields}`).
 *
 * @since 0.1.0
 * @category models
 */
export interface Definition<Tag extends string, Fields extends Schema.Struct.Fields> {
  (fields: Schema.Struct.Constructor<Fields>): Message
  readonly tag: Tag
  readonly lane: Lane.Lane
  readonly schema: Schema.TaggedStruct<Tag, Fields>
}

/**
 * Declares a kind of message with its schema, lane, key and maximum age. Calling the declaration validates the fields
 * (throws a `ParseError` like every schema constructor when they do not fit) and encodes the frame once.
 *
 * @example
 * import { Frame, Message } from "spillway"
 * import * as Schema from "effect/Schema"
 *
 * const Tick = Message.define("Tick", {
 *   fields: { symbol: Schema.String, price: Schema.Number },
 *   lane: "bulk",
 *   key: (tick) => tick.symbol,
 *   maxAge: "1 second"
 * })
 * const tick = Tick({ symbol: "ACME", price: 12 })
 * assert.strictEqual(tick.lane, "bulk")
 * assert.strictEqual(tick.key, "ACME")
 * assert.strictEqual(Frame.toText(tick.frame, 0), "{\"_tag\":\"Tick\",\"symbol\":\"ACME\",\"price\":12}")
 *
 * @since 0.1.0
 * @category constructors
 */
export const define = <const Tag extends string, Fields extends Schema.Struct.Fields>(
  tag: Tag,
  options: {
    readonly fields: Fields
    readonly lane?: Lane.Lane
    readonly key?: (value: Schema.Struct.Type<Fields>) => string
    readonly maxAge?: Duration.DurationInput
  }
): Definition<Tag, Fields> => {
  const schema = Schema.TaggedStruct(tag, options.fields)
  // A schema of one definition needs no services; the erased type keeps the encoder usable for any field set.
  const encode = Schema.encodeSync(schema as unknown as Schema.Schema<unknown, unknown>)
  const lane = options.lane ?? "important"
  const maxAgeMillis = options.maxAge === undefined ? Infinity : Duration.toMillis(options.maxAge)
  const keyOf = options.key
  const make = (fields: Schema.Struct.Constructor<Fields>): Message => {
    const value = schema.make(fields as never)
    const key = keyOf === undefined ? undefined : keyOf(value as unknown as Schema.Struct.Type<Fields>)
    return new MessageImpl(Frame.json(encode(value)), lane, key, maxAgeMillis)
  }
  return Object.assign(make, { tag, lane, schema })
}

/**
 * Decoder from text to the schema's type. Refuses text that is not JSON, is nested deeper than 64 levels (a recursive
 * schema would overflow the stack) or sets `__proto__`, with the schema's own explanation otherwise.
 *
 * @since 0.1.0
 * @category conversions
 */
export const decoder = <A, I, R>(
  schema: Schema.Schema<A, I, R>
): (text: string) => Effect.Effect<A, InvalidMessage, R> => {
  const decode = Schema.decodeUnknown(schema)
  return (text) => {
    const parsed = json.parse(text)
    return typeof parsed === "object" && parsed instanceof InvalidMessage
      ? Effect.fail(parsed)
      : Effect.mapError(
        decode(parsed),
        (error) => new InvalidMessage({ explanation: ParseResult.TreeFormatter.formatErrorSync(error) })
      )
  }
}
