/**
 * Limits and deadlines of a session, their defaults and their validation.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type { Message } from "./Message.js"
import type { Stats } from "./Session.js"
import { InvalidOption } from "./SpillwayError.js"

/**
 * What can be set for a session. Every field has a default in `defaults`.
 *
 * @since 0.1.0
 * @category models
 */
export interface SessionOptions {
  /** Messages waiting in the lanes, control not counted. At the bound lanes are shed from the lowest. Default 1024. */
  readonly outboxItemsMax?: number
  /** Encoded bytes waiting in the lanes, control not counted. Default 1 MiB. */
  readonly outboxBytesMax?: number
  /** Messages of `control` waiting, outside the bounds above. Default 100. */
  readonly controlItemsMax?: number
  /** Bytes of `control` waiting, outside the bounds above. Default 64 KiB. */
  readonly controlBytesMax?: number
  /** Received messages that nobody has read; at the bound the socket is paused, at half of it resumed. Default 256. */
  readonly inboxItemsMax?: number
  /** Received bytes that nobody has read; as above. Default 256 KiB. */
  readonly inboxBytesMax?: number
  /**
   * Messages that the peer may send per second on average; a pong counts as one. Default no limit. `inboundBurst` says how
   * many at once, `inboundExcess` what happens beyond.
   */
  readonly inboundMessagesPerSecond?: number
  /** Payload bytes that the peer may send per second on average; as above. Default no limit. */
  readonly inboundBytesPerSecond?: number
  /** How much time's worth of the two limits may come at once, beside one message of any size. Default 1 s. */
  readonly inboundBurst?: Duration.DurationInput
  /**
   * What happens to a peer that sends more: `pause` stops reading until half of the burst is free, so that TCP slows it
   * down and nothing is lost; `disconnect` ends the session (`RateLimited`, 4029). Default `pause`.
   */
  readonly inboundExcess?: "pause" | "disconnect"
  /** No traffic in either direction for so long ends the session (1001); `idleActivity` says what counts. Default off. */
  readonly idleTimeout?: Duration.DurationInput
  /**
   * What restarts the idle timeout: messages in either direction (`control` not counted) and, unless `messages` is set,
   * pongs, with which a quiet but live client never becomes idle. Default `messages and pongs`.
   */
  readonly idleActivity?: "messages and pongs" | "messages"
  /**
   * Nothing heard from the peer for so long: presumed dead (1011). While we ourselves pause reading because the inbox is
   * full, the peer is not to blame: then it is the time in which the handler must read something. Default 300 s.
   */
  readonly receiveTimeout?: Duration.DurationInput
  /**
   * Keeps what is urgent from waiting behind what was written long ago, in the buffers of the kernel and the network: so
   * much more time than the shortest seen may bytes take to arrive, told by pings, at most one each 4 to 16 KiB; the rest
   * waits in the lanes. 50 ms is a good value. A peer that answers no ping is given up after `sendTimeout`; while we pause
   * reading from it, and so see no pong, nothing is held back. Default off.
   */
  readonly deliveryDelay?: Duration.DurationInput
  /** No byte written for so long while bytes wait (4009). Default 5 s. */
  readonly sendTimeout?: Duration.DurationInput
  /** Time between WebSocket pings; the first comes after a random half to one and a half of it. Default 25 s. */
  readonly pingInterval?: Duration.DurationInput
  /** Nothing heard for so long after a ping: presumed dead (1011). Default 10 s. */
  readonly pongTimeout?: Duration.DurationInput
  /** Time between heartbeat messages in `control`. Default off. */
  readonly heartbeatInterval?: Duration.DurationInput
  /** Builds the heartbeat message. Default `Session.heartbeatMessage`. */
  readonly heartbeat?: (stats: Stats, now: number) => Message
  /** A send that took longer is a slow event. Default 500 ms. */
  readonly slowThreshold?: Duration.DurationInput
  /** More slow events than this within `slowWindow` mark the session slow. Default 5. */
  readonly slowEventsMax?: number
  /** Default 60 s. */
  readonly slowWindow?: Duration.DurationInput
  /** So many fast sends in a row clear the mark. Default 10. */
  readonly slowRecoverAfter?: number
  /** What a session that becomes slow does: `mark` only, or end with `SlowConsumer` (4008). Default `mark`. */
  readonly slowConsumer?: "mark" | "disconnect"
  /** At the end of a session, time for the handler to work off what it had received. Default 1 s. */
  readonly handlerGrace?: Duration.DurationInput
  /** At the end of a session, time for tasks to finish. Default 30 s. */
  readonly taskGrace?: Duration.DurationInput
  /** Time for an interrupted task to acknowledge; then it is detached and counted as stuck. Default 5 s. */
  readonly ackTimeout?: Duration.DurationInput
  /** Time for the finalizers that the handler added to its scope, in all. Default 5 s. */
  readonly finalizerTimeout?: Duration.DurationInput
  /** Time to write what the outbox holds, most urgent lane first. Default 3 s. */
  readonly flushTimeout?: Duration.DurationInput
  /** Time for the peer to answer the close frame; then it is terminated. Default 2 s. */
  readonly closeTimeout?: Duration.DurationInput
}

/**
 * Options with every field present; durations are milliseconds and `Infinity` where off.
 *
 * @since 0.1.0
 * @category models
 */
export interface Resolved {
  readonly outboxItemsMax: number
  readonly outboxBytesMax: number
  readonly controlItemsMax: number
  readonly controlBytesMax: number
  readonly inboxItemsMax: number
  readonly inboxBytesMax: number
  readonly inboundMessagesPerSecond: number
  readonly inboundBytesPerSecond: number
  readonly inboundBurst: number
  readonly inboundExcess: "pause" | "disconnect"
  readonly idleTimeout: number
  readonly idleActivity: "messages and pongs" | "messages"
  readonly receiveTimeout: number
  readonly deliveryDelay: number
  readonly sendTimeout: number
  readonly pingInterval: number
  readonly pongTimeout: number
  readonly heartbeatInterval: number
  readonly heartbeat: ((stats: Stats, now: number) => Message) | undefined
  readonly slowThreshold: number
  readonly slowEventsMax: number
  readonly slowWindow: number
  readonly slowRecoverAfter: number
  readonly slowConsumer: "mark" | "disconnect"
  readonly handlerGrace: number
  readonly taskGrace: number
  readonly ackTimeout: number
  readonly finalizerTimeout: number
  readonly flushTimeout: number
  readonly closeTimeout: number
}

/**
 * The defaults. Sources of the numbers: Centrifuge and AnyCable (1 MiB outbox, 25 s / 10 s ping), Foxglove (1024
 * messages), between AnyCable and NATS (5 s send), omi (300 s receive, 30 s grace), Phoenix (5 s finalizers).
 *
 * @since 0.1.0
 * @category configuration
 */
export const defaults: Resolved = Object.freeze({
  outboxItemsMax: 1024,
  outboxBytesMax: 1024 * 1024,
  controlItemsMax: 100,
  controlBytesMax: 64 * 1024,
  inboxItemsMax: 256,
  inboxBytesMax: 256 * 1024,
  inboundMessagesPerSecond: Infinity,
  inboundBytesPerSecond: Infinity,
  inboundBurst: 1_000,
  inboundExcess: "pause",
  idleTimeout: Infinity,
  idleActivity: "messages and pongs",
  receiveTimeout: 300_000,
  deliveryDelay: Infinity,
  sendTimeout: 5_000,
  pingInterval: 25_000,
  pongTimeout: 10_000,
  heartbeatInterval: Infinity,
  heartbeat: undefined,
  slowThreshold: 500,
  slowEventsMax: 5,
  slowWindow: 60_000,
  slowRecoverAfter: 10,
  slowConsumer: "mark",
  handlerGrace: 1_000,
  taskGrace: 30_000,
  ackTimeout: 5_000,
  finalizerTimeout: 5_000,
  flushTimeout: 3_000,
  closeTimeout: 2_000
})

const counts = [
  "outboxItemsMax",
  "outboxBytesMax",
  "controlItemsMax",
  "controlBytesMax",
  "inboxItemsMax",
  "inboxBytesMax",
  "slowRecoverAfter"
] as const

/** Numbers per second: more than zero, and infinite where there is no limit. */
const rates = ["inboundMessagesPerSecond", "inboundBytesPerSecond"] as const

/** Durations that must be positive (a zero would end every session at once) and may be infinite (off). */
const periods = [
  "inboundBurst",
  "idleTimeout",
  "receiveTimeout",
  "deliveryDelay",
  "sendTimeout",
  "pingInterval",
  "pongTimeout",
  "heartbeatInterval",
  "slowWindow"
] as const

/** Budgets: zero means "not at all", infinity would be no bound. */
const budgets = [
  "slowThreshold",
  "handlerGrace",
  "taskGrace",
  "ackTimeout",
  "finalizerTimeout",
  "flushTimeout",
  "closeTimeout"
] as const

const invalid = (key: string, value: unknown, expected: string): InvalidOption =>
  new InvalidOption({ module: "Session", key, value, expected })

/** Milliseconds, or NaN. Effect turns NaN, negative numbers and negative texts into zero; here they are mistakes. */
const toMillis = (value: unknown): number => {
  if (typeof value === "number") return value
  const isNegative = typeof value === "bigint" ? value < 0n : typeof value === "string" && value.trim().startsWith("-")
  return isNegative
    ? NaN
    : Option.match(Duration.decodeUnknown(value), { onNone: () => NaN, onSome: Duration.toMillis })
}

/**
 * Fills in defaults and checks the options: counts at least 1, rates and periods positive, budgets finite and not negative.
 *
 * @since 0.1.0
 * @category constructors
 */
export const resolve = (options: SessionOptions = {}): Either.Either<Resolved, InvalidOption> => {
  const out: Record<string, unknown> = { ...defaults }
  for (const [key, value] of Object.entries(options)) {
    if (value !== undefined) out[key] = value
  }
  for (const key of counts) {
    const value = out[key]
    if (typeof value !== "number" || !Number.isInteger(value) || value < 1) {
      return Either.left(invalid(key, value, "a whole number of at least 1"))
    }
  }
  for (const key of rates) {
    const value = out[key]
    if (typeof value !== "number" || !(value > 0)) return Either.left(invalid(key, value, "a number above zero"))
  }
  for (const key of [...periods, ...budgets]) {
    const value = toMillis(out[key])
    const isPeriod = (periods as ReadonlyArray<string>).includes(key)
    if (Number.isNaN(value) || value < 0 || (isPeriod ? value === 0 : value === Infinity)) {
      return Either.left(
        invalid(key, options[key], isPeriod ? "a positive duration" : "a finite duration, zero or more")
      )
    }
    out[key] = value
  }
  const { idleActivity, inboundExcess, slowConsumer, slowEventsMax } = out
  if (idleActivity !== "messages and pongs" && idleActivity !== "messages") {
    return Either.left(invalid("idleActivity", idleActivity, "\"messages and pongs\" or \"messages\""))
  }
  if (inboundExcess !== "pause" && inboundExcess !== "disconnect") {
    return Either.left(invalid("inboundExcess", inboundExcess, "\"pause\" or \"disconnect\""))
  }
  if (slowConsumer !== "mark" && slowConsumer !== "disconnect") {
    return Either.left(invalid("slowConsumer", slowConsumer, "\"mark\" or \"disconnect\""))
  }
  if (typeof slowEventsMax !== "number" || !Number.isInteger(slowEventsMax) || slowEventsMax < 0) {
    return Either.left(invalid("slowEventsMax", slowEventsMax, "a whole number, zero or more"))
  }
  return Either.right(out as unknown as Resolved)
}

const optional = <A>(config: Config.Config<A>): Config.Config<A | undefined> =>
  Config.map(Config.option(config), Option.getOrUndefined)

const byKeys = <K extends string, A>(keys: ReadonlyArray<K>, f: (key: K) => Config.Config<A>) =>
  Config.all(Object.fromEntries(keys.map((key) => [key, optional(f(key))])) as Record<K, Config.Config<A | undefined>>)

/**
 * The options as configuration. The keys are the names of the options (`outboxBytesMax`, `sendTimeout`, …); what is not
 * configured keeps its default. Use `Config.nested` for a prefix. Values are checked by `resolve`.
 *
 * @since 0.1.0
 * @category configuration
 */
export const config: Config.Config<SessionOptions> = Config.map(
  Config.all([
    byKeys([...counts, "slowEventsMax"], Config.integer),
    byKeys(rates, Config.number),
    byKeys([...periods, ...budgets], Config.duration),
    Config.all({
      idleActivity: optional(Config.literal("messages and pongs", "messages")("idleActivity")),
      inboundExcess: optional(Config.literal("pause", "disconnect")("inboundExcess")),
      slowConsumer: optional(Config.literal("mark", "disconnect")("slowConsumer"))
    })
  ]),
  (parts) => {
    const set = parts.flatMap((part) => Object.entries(part)).filter(([, value]) => value !== undefined)
    return Object.fromEntries(set) as SessionOptions
  }
)
