/** What may stand in a close frame, and what `ws` puts into its own. */

/** The close code that `ws` sends for an error of its receiver; the code itself is behind a private symbol. */
export const toldCode = (error: Error & { readonly code?: unknown }): number => {
  switch (error.code) {
    case "WS_ERR_INVALID_UTF8":
      return 1007
    case "WS_ERR_TOO_MANY_BUFFERED_PARTS":
      return 1008
    case "WS_ERR_UNSUPPORTED_DATA_PAYLOAD_LENGTH":
    case "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH":
      return 1009
    default:
      // Everything else of `ws` breaks the framing; an error of zlib means that the compressed data is invalid.
      return String(error.code).startsWith("WS_ERR_") ? 1002 : 1007
  }
}

/** RFC 6455, 7.4: 1005, 1006 and 1015 are never sent. A caller's mistake becomes 1011 rather than an exception. */
export const sendableCode = (code: number): number =>
  (code >= 1000 && code <= 1014 && code !== 1004 && code !== 1005 && code !== 1006) || (code >= 3000 && code <= 4999)
    ? code
    : 1011

/** A reason is at most 123 bytes of UTF-8; cut between code points. */
export const truncateReason = (reason: string): string => {
  if (Buffer.byteLength(reason) <= 123) return reason
  let end = 0
  let byteLength = 0
  for (const char of reason) {
    byteLength += Buffer.byteLength(char)
    if (byteLength > 123) break
    end += char.length
  }
  return reason.slice(0, end)
}
