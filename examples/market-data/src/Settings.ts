/** Every setting, in one table: key, default and meaning. The configuration, `--help` and the README are made from it. */
import * as Config from "effect/Config"
import type * as ConfigError from "effect/ConfigError"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Overflow from "spillway/Overflow"
import type { SessionOptions } from "spillway/SessionOptions"
import * as Protocol from "./Protocol.js"

interface Setting<A> {
  readonly key: string
  readonly fallback: string
  readonly description: string
  readonly config: Config.Config<A>
}

const setting = <A>(
  key: string,
  fallback: A,
  description: string,
  read: (key: string) => Config.Config<A>,
  shown = String(fallback)
): Setting<A> => ({ key, fallback: shown, description, config: Config.withDefault(read(key), fallback) })

const positive = (name: string): Config.Config<Duration.Duration> =>
  Config.validate(Config.duration(name), {
    message: "expected a duration that is not 0",
    validation: (value) => Duration.toMillis(value) > 0
  })

const duration = (key: string, fallback: Duration.DurationInput, description: string) =>
  setting(key, Duration.decode(fallback), description, positive, String(fallback))

const whole = (key: string, fallback: number, description: string, least: number, most: number) =>
  setting(key, fallback, description, (name) =>
    Config.validate(Config.integer(name), {
      message: `expected a whole number from ${least} to ${most}`,
      validation: (value) => value >= least && value <= most
    }))

const table = {
  host: setting("HOST", "127.0.0.1", "address to listen on", Config.nonEmptyString),
  port: whole("PORT", 8080, "port to listen on; 0 takes any free one", 0, 65_535),
  symbols: whole("SYMBOLS", 500, "symbols that are traded", 1, 2_000),
  updatesPerSecond: whole("UPDATES_PER_SECOND", 20_000, "prices a second, over all symbols", 0, 1_000_000),
  depthEvery: whole("DEPTH_EVERY", 4, "each so manieth price comes with the depth of its symbol", 1, 1_000_000),
  fillEvery: whole("FILL_EVERY", 2_000, "each so manieth price comes with a fill", 1, 1_000_000),
  fillsQueued: whole("FILLS_QUEUED", 1_000, "fills that may wait for one session; with more it is closed", 2, 10_000),
  fillsKept: whole("FILLS_KEPT", 20_000, "fills that a client which comes again can still get", 1, 1_000_000),
  seed: setting(
    "SEED",
    undefined as number | undefined,
    "seed of the market; without it each run has another",
    (name) => Config.map(Config.option(Config.integer(name)), Option.getOrUndefined),
    "none"
  ),
  deliveryDelay: setting(
    "DELIVERY_DELAY",
    Duration.millis(50),
    "what is under way may delay what is newer by so much, the rest waits where it can be replaced; or off",
    (name) => Config.orElse(Config.map(Config.literal("off")(name), () => Duration.infinity), () => positive(name)),
    "50 millis"
  ),
  sendTimeout: duration("SEND_TIMEOUT", "10 seconds", "nothing has arrived for so long: closed with 4009"),
  sessionsMax: whole("SESSIONS_MAX", 1000, "sessions at a time; further upgrades get 503", 1, 100_000),
  control: setting("CONTROL", true, "whether POST /feed/pause and /feed/resume work", Config.boolean),
  loadFast: whole("LOAD_FAST", 50, "clients of load that read all they can", 0, 10_000),
  loadMbit: whole("LOAD_1M", 5, "clients of load with 1 Mbit/s", 0, 1_000),
  loadKbit: whole("LOAD_64K", 5, "clients of load with 64 kbit/s", 0, 1_000),
  loadStalled: whole("LOAD_STALLED", 5, "clients of load that stop reading until the end", 0, 1_000),
  loadWarmUp: duration("LOAD_WARM_UP", "10 seconds", "how long load goes on before it counts ages and rates"),
  loadTime: duration("LOAD_TIME", "20 seconds", "how long load counts")
}

type Table = typeof table

/** All settings. */
export type SettingsShape = { readonly [K in keyof Table]: Table[K] extends Setting<infer A> ? A : never }

export class Settings extends Context.Tag("@spillway-examples/market-data/Settings")<Settings, SettingsShape>() {}

/** From the environment. A value that cannot be read is a `ConfigError` that names its key. */
export const load: Effect.Effect<SettingsShape, ConfigError.ConfigError> = Effect.suspend(() => {
  const configs = Object.fromEntries(Object.entries(table).map(([name, { config }]) => [name, config]))
  // Built from the table, so it has its types; `Object.fromEntries` forgets them.
  return Config.all(configs) as unknown as Config.Config<SettingsShape>
})

/** More than any message of a symbol or a fill takes. */
const messageBytesMax = 512

/**
 * Room for the last price and depth of every symbol beside the fills that may wait: no price is shed before there are more of
 * those. So a session that is not closed has the last price of each symbol, now or when it has read on.
 */
export const toSessionOptions = (
  { deliveryDelay, fillsQueued, sendTimeout, symbols }: SettingsShape
): SessionOptions => {
  const outboxItemsMax = 2 * symbols + fillsQueued
  return {
    outboxItemsMax,
    outboxBytesMax: outboxItemsMax * messageBytesMax,
    deliveryDelay,
    sendTimeout,
    heartbeatInterval: "1 second",
    heartbeat: Protocol.status
  }
}

/** What a fill does for which even that is too little (it ends the session); a depth has its place as long as a price has. */
export const overflow: Overflow.Options = {
  lanes: { critical: { whenFull: "disconnect" } },
  refuseBulkAbove: 1
}

/** Rows of the tables in `--help` and in the README. */
export const rows: ReadonlyArray<readonly [key: string, fallback: string, description: string]> = Object.values(table)
  .map(({ description, fallback, key }) => [key, fallback, description] as const)

export const help = [
  "Usage: node dist/main.js [serve | load | --help]",
  "",
  "  serve    the server (default); SIGTERM or SIGINT drains and exits with 0",
  "  load     a server of its own, clients of four kinds for a while, and what each kind has seen",
  "",
  "Settings are environment variables:",
  "",
  ...rows.map(([key, fallback, description]) => `  ${key.padEnd(18)} ${description} (${fallback})`)
].join("\n")
