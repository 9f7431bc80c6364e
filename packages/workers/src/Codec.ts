/**
 * How values become the bytes of a frame between a pool and its workers. `docs/WORKER_PROTOCOL.md` is the whole protocol.
 *
 * @since 0.1.0
 */
import * as MessagePack from "@msgpack/msgpack"

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

/**
 * MessagePack, for payloads with bytes in them, which arrive as `Uint8Array`. Nothing of it is beyond the standard, so that
 * every language reads it: `undefined` is nil, numbers of 64 bits are numbers, and a `bigint` cannot be encoded.
 *
 * @since 0.1.0
 * @category constructors
 */
export const msgPack: Codec = {
  name: "msgpack",
  encode: (value) => MessagePack.encode(value),
  decode: (bytes) => MessagePack.decode(bytes)
}
