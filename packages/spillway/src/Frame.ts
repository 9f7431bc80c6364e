/**
 * A frame: the encoded bytes of one message, made once and shared by every session it goes to.
 *
 * A frame may carry a hole for a sequence number (`sequenced`): the bytes before and after are shared, the number is the
 * message's position in its lane of one session and is filled in when the frame is written.
 *
 * @since 0.1.0
 */
import { FrameImpl } from "./internal/frameImpl.js"
import * as text_ from "./internal/text.js"

/**
 * Encoded bytes of one message. `byteLength` counts encoded payload bytes, without WebSocket framing and without the
 * digits of a sequence number.
 *
 * @since 0.1.0
 * @category models
 */
export interface Frame {
  /** The bytes; for a sequenced frame those before the number. */
  readonly data: Uint8Array
  /** The bytes after the sequence number, or `undefined` when the frame carries none. */
  readonly tail: Uint8Array | undefined
  readonly byteLength: number
  /** Whether the frame is sent as a binary WebSocket message; `false` is text. */
  readonly binary: boolean
}

/**
 * Text frame from a string, encoded as UTF-8 once.
 *
 * @example
 * import { Frame } from "spillway"
 *
 * assert.strictEqual(Frame.text("é").byteLength, 2)
 *
 * @since 0.1.0
 * @category constructors
 */
export const text = (value: string): Frame => {
  const bytes = text_.encode(value)
  return new FrameImpl(bytes, undefined, bytes.byteLength, false)
}

/**
 * Binary frame. The bytes are not copied: do not change them afterwards.
 *
 * @since 0.1.0
 * @category constructors
 */
export const binary = (bytes: Uint8Array): Frame => new FrameImpl(bytes, undefined, bytes.byteLength, true)

/**
 * Frame from bytes that are already encoded, text or binary. The bytes are not copied.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromBytes = (bytes: Uint8Array, options: { readonly binary: boolean }): Frame =>
  new FrameImpl(bytes, undefined, bytes.byteLength, options.binary)

/**
 * Text frame of a value as JSON.
 *
 * @since 0.1.0
 * @category constructors
 */
export const json = (value: unknown): Frame => text(JSON.stringify(value))

/**
 * Text frame with a hole for the sequence number between `head` and `tail`. Each session fills in the message's number
 * in its lane, which grows by one with every offer, so that a receiver sees a gap where messages were shed.
 *
 * @example
 * import { Frame } from "spillway"
 *
 * const frame = Frame.sequenced("{\"seq\":", "}")
 * assert.strictEqual(Frame.toText(frame, 7), "{\"seq\":7}")
 *
 * @since 0.1.0
 * @category constructors
 */
export const sequenced = (head: string, tail: string): Frame => {
  const before = text_.encode(head)
  const after = text_.encode(tail)
  return new FrameImpl(before, after, before.byteLength + after.byteLength, false)
}

/**
 * Bytes of the frame as they go on the wire, with the sequence number filled in. Returns the frame's own bytes, not a
 * copy, when it carries no number.
 *
 * @since 0.1.0
 * @category conversions
 */
export const toBytes = (frame: Frame, seq: number): Uint8Array => {
  if (frame.tail === undefined) return frame.data
  const digits = String(seq)
  const bytes = new Uint8Array(frame.byteLength + digits.length)
  bytes.set(frame.data, 0)
  let at = frame.data.byteLength
  for (let i = 0; i < digits.length; i++) bytes[at++] = digits.charCodeAt(i)
  bytes.set(frame.tail, at)
  return bytes
}

/**
 * Text of the frame, with the sequence number filled in.
 *
 * @since 0.1.0
 * @category conversions
 */
export const toText = (frame: Frame, seq: number): string => text_.decode(toBytes(frame, seq))

/**
 * Bytes that the frame takes with the given sequence number.
 *
 * @since 0.1.0
 * @category conversions
 */
export const byteLengthWith = (frame: Frame, seq: number): number =>
  frame.tail === undefined ? frame.byteLength : frame.byteLength + digitCount(seq)

const digitCount = (n: number): number => {
  let count = 1
  for (let rest = n; rest >= 10; rest = Math.floor(rest / 10)) count++
  return count
}
