/**
 * Every setting of the server, in one table: key, default, description and check. The configuration, `--help` and the
 * table in the README are made from it, and a default is read by the same reader as a value from the environment, so
 * none of them can say something else than the others.
 */
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Admission from "spillway/Admission"
import type * as SessionOptions from "spillway/SessionOptions"
import {
  duration,
  durationOrOff,
  durationOrZero,
  file,
  host,
  logLevel,
  logLevels,
  oneOf,
  origins,
  orOff,
  positive,
  ratio,
  type Reader,
  whole
} from "./Readers.js"

interface Setting<A> {
  readonly key: string
  readonly fallback: string
  readonly description: string
  readonly read: Reader<A>
}

const setting = <A>(key: string, fallback: string, description: string, read: Reader<A>): Setting<A> => ({
  key,
  fallback,
  description,
  read
})

const MiB = 1024 * 1024

const table = {
  port: setting("PORT", "8080", "TCP port; 0 takes any free one", whole(0, 65535)),
  host: setting("HOST", "127.0.0.1", "address to listen on", host),
  tlsCertificate: setting(
    "GATEWAY_TLS_CERT",
    "",
    "file with the certificate in PEM; with it the server speaks https and wss",
    file
  ),
  tlsKey: setting("GATEWAY_TLS_KEY", "", "file with the key of the certificate in PEM", file),
  payloadBytesMax: setting(
    "GATEWAY_MAX_PAYLOAD",
    "65536",
    "largest inbound message in bytes; a larger one closes with 1009",
    whole(1, 64 * MiB)
  ),
  assemblyTimeout: setting(
    "GATEWAY_ASSEMBLY_TIMEOUT",
    "30 seconds",
    "time from the first byte of a message to its last; one that takes longer closes with 1008",
    duration
  ),
  allowedOrigins: setting(
    "GATEWAY_ALLOWED_ORIGINS",
    "",
    "origins that may connect besides the page's own, separated by commas; * allows all",
    origins
  ),
  sessionsMax: setting(
    "GATEWAY_MAX_SESSIONS",
    "10000",
    "sessions at a time; further upgrades get 503",
    whole(1, 1_000_000)
  ),
  sessionsPerAddressMax: setting(
    "GATEWAY_MAX_SESSIONS_PER_ADDRESS",
    "off",
    "sessions of one client address at a time; further upgrades get 429",
    orOff(whole(1, 1_000_000))
  ),
  acceptsPerSecond: setting(
    "GATEWAY_ACCEPT_RATE",
    "off",
    "new sessions per second; further upgrades get 503",
    orOff(positive)
  ),
  acceptsPerAddressPerSecond: setting(
    "GATEWAY_ACCEPT_RATE_PER_ADDRESS",
    "off",
    "new sessions per second of one client address; further upgrades get 429",
    orOff(positive)
  ),
  trustedProxyHops: setting(
    "GATEWAY_TRUSTED_PROXIES",
    "0",
    "proxies of yours in front, each of which appends to X-Forwarded-For",
    whole(0, 16)
  ),
  inboundMessagesPerSecond: setting(
    "GATEWAY_INBOUND_MESSAGES",
    "off",
    "messages per second that one client may send",
    orOff(positive)
  ),
  inboundBytesPerSecond: setting(
    "GATEWAY_INBOUND_BYTES",
    "off",
    "bytes per second that one client may send",
    orOff(positive)
  ),
  inboundExcess: setting(
    "GATEWAY_INBOUND_EXCESS",
    "pause",
    "a client that sends more is read more slowly (pause) or closed with 4029 (disconnect)",
    oneOf("pause", "disconnect")
  ),
  topicsMax: setting("GATEWAY_MAX_TOPICS", "10000", "topics with a subscriber at a time", whole(1, 1_000_000)),
  outboxBytesMax: setting(
    "GATEWAY_OUTBOX_BYTES",
    "1048576",
    "bytes that may wait for one session; then the lowest lanes are shed",
    whole(1, 1024 * MiB)
  ),
  outboxItemsMax: setting(
    "GATEWAY_OUTBOX_ITEMS",
    "1024",
    "messages that may wait for one session",
    whole(1, 1_000_000)
  ),
  sendTimeout: setting(
    "GATEWAY_SEND_TIMEOUT",
    "5 seconds",
    "no byte could be written for so long: closed with 4009",
    durationOrOff
  ),
  idleTimeout: setting("GATEWAY_IDLE_TIMEOUT", "off", "no traffic at all for so long: closed with 1001", durationOrOff),
  receiveTimeout: setting(
    "GATEWAY_RECEIVE_TIMEOUT",
    "300 seconds",
    "nothing heard for so long: closed with 1011",
    durationOrOff
  ),
  pingInterval: setting("GATEWAY_PING_INTERVAL", "25 seconds", "time between WebSocket pings", durationOrOff),
  pongTimeout: setting(
    "GATEWAY_PONG_TIMEOUT",
    "10 seconds",
    "nothing heard for so long after a ping: closed with 1011",
    durationOrOff
  ),
  heartbeatInterval: setting(
    "GATEWAY_HEARTBEAT_INTERVAL",
    "30 seconds",
    "time between heartbeat messages on /ws",
    durationOrOff
  ),
  slowConsumer: setting(
    "GATEWAY_SLOW_CONSUMER",
    "mark",
    "a session that reads too slowly is only marked (mark) or closed with 4008 (disconnect)",
    oneOf("mark", "disconnect")
  ),
  slowThreshold: setting(
    "GATEWAY_SLOW_THRESHOLD",
    "500 ms",
    "a send that takes longer counts as slow; the sixth within a minute makes the session slow",
    durationOrZero
  ),
  lagAction: setting(
    "GATEWAY_LAG_ACTION",
    "off",
    "a session whose outbox stays 80 % full is told (warn, on /echo too), gets the latest of each key only (conflate), " +
      "has its outbox halved (throttle) or emptied of all below critical (shed to critical), or is closed with 4008 " +
      "(disconnect)",
    oneOf("off", "warn", "conflate", "throttle", "shed to critical", "disconnect")
  ),
  lagTime: setting("GATEWAY_LAG_TIME", "1 second", "how long it has to stay that full", durationOrZero),
  budgetBytes: setting(
    "GATEWAY_BUDGET_BYTES",
    "268435456",
    "bytes that may wait for all sessions together: at 70 % bulk of the largest is shed, at 85 % important, at 92 % they " +
      "are told to go elsewhere, at 95 % upgrades get 503, at 100 % the largest are closed with 4015",
    whole(1, 1024 * 1024 * MiB)
  ),
  budgetDelay: setting(
    "GATEWAY_BUDGET_DELAY",
    "5 seconds",
    "delay of the event loop that counts as a full budget, except that it closes nobody",
    duration
  ),
  drainBudget: setting(
    "GATEWAY_DRAIN_BUDGET",
    "28 seconds",
    "time from SIGTERM to the end of the process",
    duration
  ),
  drainGrace: setting(
    "GATEWAY_DRAIN_GRACE",
    "2 seconds",
    "time between the drain notice and the first close",
    durationOrZero
  ),
  feedInterval: setting("GATEWAY_FEED_INTERVAL", "100 ms", "time between two readings of this machine", duration),
  alertLoad: setting("GATEWAY_ALERT_LOAD", "2", "alert above this load average per core", orOff(positive)),
  alertMemory: setting("GATEWAY_ALERT_MEMORY", "0.95", "alert above this share of memory in use", orOff(ratio)),
  alertEventLoopDelay: setting(
    "GATEWAY_ALERT_EVENT_LOOP_DELAY",
    "250 ms",
    "alert above this delay of the event loop",
    orOff(duration)
  ),
  alertClearRatio: setting(
    "GATEWAY_ALERT_CLEAR",
    "0.8",
    "an alert ends when its value is below this share of the threshold",
    ratio
  ),
  logLevel: setting("LOG_LEVEL", "info", `least level that is logged: ${logLevels.join(", ")}`, logLevel),
  logFormat: setting(
    "LOG_FORMAT",
    "logfmt",
    "form of the log on stderr: logfmt, json, pretty",
    oneOf(
      "logfmt",
      "json",
      "pretty"
    )
  )
}

type Table = typeof table

export type SettingsShape = { readonly [K in keyof Table]: Table[K] extends Setting<infer A> ? A : never }

export class Settings extends Context.Tag("@spillway-examples/gateway/Settings")<Settings, SettingsShape>() {}

/** What the help and the README list. */
export const all: ReadonlyArray<Omit<Setting<unknown>, "read">> = Object.values(table)

const toConfig = <A>(self: Setting<A>): Config.Config<A> =>
  Config.string(self.key).pipe(
    Config.withDefault(self.fallback),
    Config.mapOrFail((text) =>
      Either.mapLeft(
        self.read(text.trim()),
        (expected) => ConfigError.InvalidData([], `expected ${expected}, got ${JSON.stringify(text)}`)
      )
    ),
    Config.withDescription(self.description)
  )

/** Reads the settings one after the other and stops at the first that is wrong, so that there is one line to print. */
const read: Effect.Effect<SettingsShape, ConfigError.ConfigError> = Effect.gen(function*() {
  const values: Record<string, unknown> = {}
  for (const [name, one] of Object.entries(table)) {
    values[name] = yield* Effect.mapError(toConfig<unknown>(one), (error) => prefixed(one.key, error))
  }
  // One value for each key of the table, by the loop above.
  return values as SettingsShape
})

const prefixed = (key: string, error: ConfigError.ConfigError): ConfigError.ConfigError =>
  ConfigError.InvalidData([key], ConfigError.isInvalidData(error) ? error.message : String(error))

/** Settings that only make sense together. */
const related = (settings: SettingsShape): Effect.Effect<SettingsShape, ConfigError.ConfigError> => {
  const { drainBudget, drainGrace, outboxBytesMax, payloadBytesMax, tlsCertificate, tlsKey } = settings
  if ((tlsCertificate === "") !== (tlsKey === "")) {
    const [missing, other] = tlsKey === "" ? [table.tlsKey, table.tlsCertificate] : [table.tlsCertificate, table.tlsKey]
    return Effect.fail(ConfigError.InvalidData([missing.key], `expected a file, since ${other.key} has one`))
  }
  if (Duration.greaterThanOrEqualTo(drainGrace, drainBudget)) {
    const less = `expected less than ${table.drainBudget.key} (${Duration.format(drainBudget)})`
    return Effect.fail(
      ConfigError.InvalidData([table.drainGrace.key], `${less}, got ${Duration.format(drainGrace)}`)
    )
  }
  if (outboxBytesMax < payloadBytesMax) {
    // The echo of the largest message would never fit.
    const least = `expected at least ${table.payloadBytesMax.key} (${payloadBytesMax})`
    return Effect.fail(ConfigError.InvalidData([table.outboxBytesMax.key], `${least}, got ${outboxBytesMax}`))
  }
  return Effect.succeed(settings)
}

export const load: Effect.Effect<SettingsShape, ConfigError.ConfigError> = Effect.flatMap(read, related)

/** The one line that a bad setting ends the start with. */
export const explain = (error: ConfigError.ConfigError): string =>
  ConfigError.isInvalidData(error) ? `${error.path.join(".")}: ${error.message}` : String(error)

/** The settings that concern one session, as Spillway takes them. */
export const toSessionOptions = (settings: SettingsShape): SessionOptions.SessionOptions => ({
  outboxBytesMax: settings.outboxBytesMax,
  outboxItemsMax: settings.outboxItemsMax,
  // Two of the largest messages may wait to be read: a session that works on one need not pause the socket at once.
  inboxBytesMax: Math.max(256 * 1024, 2 * settings.payloadBytesMax),
  inboundMessagesPerSecond: settings.inboundMessagesPerSecond ?? Infinity,
  inboundBytesPerSecond: settings.inboundBytesPerSecond ?? Infinity,
  inboundExcess: settings.inboundExcess,
  sendTimeout: settings.sendTimeout,
  idleTimeout: settings.idleTimeout,
  receiveTimeout: settings.receiveTimeout,
  pingInterval: settings.pingInterval,
  pongTimeout: settings.pongTimeout,
  slowConsumer: settings.slowConsumer,
  slowThreshold: settings.slowThreshold
})

/** Where the server listens, and with which certificate, if any. */
export const toServerOptions = ({ host, port, tlsCertificate, tlsKey }: SettingsShape) => ({
  host,
  port,
  ...(tlsCertificate === "" ? {} : { tls: { cert: tlsCertificate, key: tlsKey } })
})

/** The settings that say who may come in. Nobody has an identity here: authentication comes before the routes. */
export const toAdmissionOptions = (settings: SettingsShape): Admission.Options => ({
  sessionsMax: settings.sessionsMax,
  sessionsPerAddressMax: settings.sessionsPerAddressMax ?? Infinity,
  acceptsPerSecond: settings.acceptsPerSecond ?? Infinity,
  acceptsPerAddressPerSecond: settings.acceptsPerAddressPerSecond ?? Infinity,
  retryAfter: Duration.seconds(1)
})

const displayed = (fallback: string): string => fallback === "" ? "none" : fallback

export const help: string = [
  "Usage: gateway [--help]",
  "",
  "Publishes this machine's load, and whatever clients publish, to WebSocket clients. Settings are environment variables:",
  "",
  ...all.flatMap((
    { description, fallback, key }
  ) => [`  ${key}`, `      ${description} (default: ${displayed(fallback)})`]),
  "",
  "Routes: GET / /health /metrics /stats, POST /publish/{topic}, WS /ws?topics=a,b /echo",
  "SIGTERM or SIGINT drains and exits with 0; a second signal shortens the waiting."
].join("\n")

/** The table of the README, between its markers. */
export const markdown: string = [
  "| key | default | meaning |",
  "| --- | --- | --- |",
  ...all.map(({ description, fallback, key }) => `| \`${key}\` | \`${displayed(fallback)}\` | ${description} |`)
].join("\n")
