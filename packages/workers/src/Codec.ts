/**
 * How values become the bytes of a frame between a pool and its workers. `docs/WORKER_PROTOCOL.md` is the whole protocol.
 *
 * @since 0.1.0
 */
import * as MsgPackSchema from "@effect/platform/MsgPack"
import * as Schema from "effect/Schema"

/**
 * A codec. Both functions throw when they cannot; nothing but the link that uses them sees that.
 *
 * @since 0.1.0
 * @category models
 */
export interface Codec {
  readonly name: string
  readonly encode: (value: unknown) => Uint8Array
  readonly decode: (bytes: Uint8Array) => unknown
}

const encoder = new TextEncoder()
const decoder = new TextDecoder("utf-8", { fatal: true })

/**
 * JSON in UTF-8, which every language can read and write.
 *
 * @since 0.1.0
 * @category constructors
 */
export const json: Codec = {
  name: "json",
  encode: (value) => encoder.encode(JSON.stringify(value)),
  decode: (bytes) => JSON.parse(decoder.decode(bytes))
}

const packed = MsgPackSchema.schema(Schema.Unknown)
const pack = Schema.encodeSync(packed)
const unpack = Schema.decodeSync(packed)

/**
 * MessagePack, for payloads with bytes in them.
 *
 * @since 0.1.0
 * @category constructors
 */
export const msgPack: Codec = { name: "msgpack", encode: pack, decode: unpack }
