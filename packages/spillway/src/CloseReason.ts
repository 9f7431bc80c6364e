/**
 * Registry of close codes: every code that Spillway sends, what it means, and whether a client should reconnect.
 *
 * Library codes 4000 to 4099 mean "reconnect", 4500 to 4599 "stop". Applications own 4100 to 4499 (reconnect) and 4600 to
 * 4999 (stop), so a client can act on a code it has never seen. `docs/CLOSE_CODES.md` is generated from `registry`.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import * as text from "./internal/text.js"
import { InvalidOption } from "./SpillwayError.js"

/**
 * A close code with the reason text that goes on the wire. `reason` has at most 123 bytes of UTF-8 (RFC 6455, 5.5).
 *
 * @since 0.1.0
 * @category models
 */
export interface CloseReason {
  readonly code: number
  readonly reason: string
}

/**
 * One line of the registry.
 *
 * @since 0.1.0
 * @category models
 */
export interface RegistryEntry extends CloseReason {
  readonly name: string
  readonly reconnect: boolean
  readonly description: string
}

const entry = (
  name: string,
  code: number,
  reason: string,
  reconnect: boolean,
  description: string
): RegistryEntry => Object.freeze({ name, code, reason, reconnect, description })

/**
 * The session's work is done.
 *
 * @since 0.1.0
 * @category constructors
 */
export const normal: RegistryEntry = entry("Normal", 1000, "completed", false, "The session's work is done.")

/**
 * The server goes away, the session was idle, or a lifetime task ended.
 *
 * @since 0.1.0
 * @category constructors
 */
export const goingAway: RegistryEntry = entry(
  "GoingAway",
  1001,
  "going away",
  true,
  "The session was idle, a lifetime task ended, or the server stops without having announced it."
)

/**
 * The peer broke the WebSocket protocol.
 *
 * @since 0.1.0
 * @category constructors
 */
export const protocolError: RegistryEntry = entry(
  "ProtocolError",
  1002,
  "protocol error",
  false,
  "The peer broke the WebSocket protocol."
)

/**
 * A frame of a kind that this endpoint does not take.
 *
 * @since 0.1.0
 * @category constructors
 */
export const unsupportedData: RegistryEntry = entry(
  "UnsupportedData",
  1003,
  "unsupported data",
  false,
  "A frame of a kind that this endpoint does not take, for example binary where text is spoken."
)

/**
 * A text frame that is not UTF-8.
 *
 * @since 0.1.0
 * @category constructors
 */
export const invalidPayload: RegistryEntry = entry(
  "InvalidPayload",
  1007,
  "invalid payload",
  false,
  "A text frame that is not UTF-8."
)

/**
 * Not allowed, not found, or a bad parameter.
 *
 * @since 0.1.0
 * @category constructors
 */
export const policyViolation: RegistryEntry = entry(
  "PolicyViolation",
  1008,
  "policy violation",
  false,
  "Not allowed, not found, a bad parameter, too many fragments, or a message that was not finished in time."
)

/**
 * A message larger than the payload limit.
 *
 * @since 0.1.0
 * @category constructors
 */
export const messageTooBig: RegistryEntry = entry(
  "MessageTooBig",
  1009,
  "message too big",
  false,
  "A message larger than the payload limit."
)

/**
 * A task of the session crashed, or the peer is presumed dead.
 *
 * @since 0.1.0
 * @category constructors
 */
export const internalError: RegistryEntry = entry(
  "InternalError",
  1011,
  "internal error",
  true,
  "A task of the session crashed, a store failed, or nothing was heard from the peer for too long."
)

/**
 * The server restarts.
 *
 * @since 0.1.0
 * @category constructors
 */
export const serviceRestart: RegistryEntry = entry(
  "ServiceRestart",
  1012,
  "service restart",
  true,
  "The server restarts."
)

/**
 * The server cannot take the session now.
 *
 * @since 0.1.0
 * @category constructors
 */
export const tryAgainLater: RegistryEntry = entry(
  "TryAgainLater",
  1013,
  "try again later",
  true,
  "The server cannot take the session now."
)

/**
 * The server drains; the client was told before.
 *
 * @since 0.1.0
 * @category constructors
 */
export const draining: RegistryEntry = entry(
  "Draining",
  4001,
  "draining",
  true,
  "The server drains and has said so before; reconnect after the announced delay."
)

/**
 * The client reads too slowly for what it is sent.
 *
 * @since 0.1.0
 * @category constructors
 */
export const slowConsumer: RegistryEntry = entry(
  "SlowConsumer",
  4008,
  "slow consumer",
  true,
  "The client reads too slowly for what it is sent; expect a gap."
)

/**
 * No byte could be sent for longer than the send timeout.
 *
 * @since 0.1.0
 * @category constructors
 */
export const sendTimeout: RegistryEntry = entry(
  "SendTimeout",
  4009,
  "send timeout",
  true,
  "No byte could be sent for longer than the send timeout; expect a gap."
)

/**
 * What the session was allowed with has expired.
 *
 * @since 0.1.0
 * @category constructors
 */
export const expired: RegistryEntry = entry(
  "Expired",
  4010,
  "expired",
  true,
  "What the session was allowed with (a token, say) has expired; reconnect with a new one."
)

/**
 * The server sheds sessions to save the others.
 *
 * @since 0.1.0
 * @category constructors
 */
export const overloaded: RegistryEntry = entry(
  "Overloaded",
  4015,
  "overloaded",
  true,
  "The server is overloaded and sheds sessions; reconnect with backoff."
)

/**
 * The client sends more than it may.
 *
 * @since 0.1.0
 * @category constructors
 */
export const rateLimited: RegistryEntry = entry(
  "RateLimited",
  4029,
  "rate limited",
  true,
  "The client sends more than it may; reconnect with backoff, and send less."
)

/**
 * Whoever the session belongs to may no longer have one.
 *
 * @since 0.1.0
 * @category constructors
 */
export const revoked: RegistryEntry = entry(
  "Revoked",
  4503,
  "revoked",
  false,
  "Whoever the session belongs to may no longer have one."
)

/**
 * All codes that Spillway sends, by code.
 *
 * @since 0.1.0
 * @category constructors
 */
export const registry: ReadonlyArray<RegistryEntry> = Object.freeze([
  normal,
  goingAway,
  protocolError,
  unsupportedData,
  invalidPayload,
  policyViolation,
  messageTooBig,
  internalError,
  serviceRestart,
  tryAgainLater,
  draining,
  slowConsumer,
  sendTimeout,
  expired,
  overloaded,
  rateLimited,
  revoked
])

/**
 * Largest close reason in bytes of UTF-8. Source: RFC 6455, 5.5 (a control frame carries 125 bytes, two are the code).
 *
 * @since 0.1.0
 * @category configuration
 */
export const reasonBytesMax = 123

/**
 * Whether an endpoint may send the code: 1000 to 1014 but for the reserved 1004, 1005 and 1006, and 3000 to 4999.
 *
 * @example
 * import { CloseReason } from "spillway"
 *
 * assert.strictEqual(CloseReason.isSendable(4001), true)
 * assert.strictEqual(CloseReason.isSendable(1006), false)
 *
 * @since 0.1.0
 * @category guards
 */
export const isSendable = (code: number): boolean =>
  Number.isInteger(code) &&
  ((code >= 1000 && code <= 1014 && code !== 1004 && code !== 1005 && code !== 1006) || (code >= 3000 && code <= 4999))

/**
 * A close reason of the application's own. Reasons longer than 123 bytes are cut at a character. Fails with
 * `InvalidOption` when the code may not be sent.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (code: number, reason = ""): Either.Either<CloseReason, InvalidOption> =>
  isSendable(code)
    ? Either.right({ code, reason: text.truncateUtf8(reason, reasonBytesMax) })
    : Either.left(
      new InvalidOption({
        module: "CloseReason",
        key: "code",
        value: code,
        expected: "1000 to 1014 except 1004, 1005 and 1006, or 3000 to 4999"
      })
    )

/**
 * The same code with another reason text, cut to 123 bytes of UTF-8 at a character.
 *
 * @since 0.1.0
 * @category conversions
 */
export const withReason = (self: CloseReason, reason: string): CloseReason => ({
  code: self.code,
  reason: text.truncateUtf8(reason, reasonBytesMax)
})
