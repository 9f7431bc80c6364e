/** UTF-8 without Node or DOM typings: the two classes exist in every runtime Spillway supports. */

declare class TextEncoder {
  encode(input: string): Uint8Array
}
declare class TextDecoder {
  constructor(label?: string, options?: { readonly fatal?: boolean; readonly ignoreBOM?: boolean })
  decode(input: Uint8Array): string
}

const encoder = new TextEncoder()
/** A byte order mark at the start is a character of the message like any other. */
const decoder = new TextDecoder("utf-8", { ignoreBOM: true })

/** Encodes text as UTF-8. */
export const encode = (text: string): Uint8Array => encoder.encode(text)

/** Decodes UTF-8; malformed sequences become U+FFFD. */
export const decode = (bytes: Uint8Array): string => decoder.decode(bytes)

/**
 * Cuts text so that its UTF-8 form has at most `bytesMax` bytes, never inside a character.
 */
export const truncateUtf8 = (text: string, bytesMax: number): string => {
  const bytes = encoder.encode(text)
  if (bytes.byteLength <= bytesMax) return text
  let end = bytesMax
  // Step back over continuation bytes (10xxxxxx) to a character boundary.
  while (end > 0 && (bytes[end]! & 0xc0) === 0x80) end--
  return decoder.decode(bytes.subarray(0, end))
}
