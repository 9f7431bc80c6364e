/** Every setting, in one table: key, default and meaning. The configuration, `--help` and the README are made from it. */
import * as Config from "effect/Config"
import type * as ConfigError from "effect/ConfigError"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

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

const duration = (key: string, fallback: Duration.DurationInput, description: string) =>
  setting(
    key,
    Duration.decode(fallback),
    description,
    (name) =>
      Config.validate(Config.duration(name), {
        message: "expected a duration that is not 0",
        validation: (value) => Duration.toMillis(value) > 0
      }),
    String(fallback)
  )

const whole = (key: string, fallback: number, description: string, least: number, most: number) =>
  setting(key, fallback, description, (name) =>
    Config.validate(Config.integer(name), {
      message: `expected a whole number from ${least} to ${most}`,
      validation: (value) => value >= least && value <= most
    }))

const MiB = 1024 * 1024

const table = {
  host: setting("HOST", "127.0.0.1", "address to listen on", Config.nonEmptyString),
  port: whole("PORT", 8080, "port to listen on, and of the server for load, watch and kill", 0, 65_535),
  worker: setting(
    "WORKER",
    "node" as "node" | "python",
    "language of the workers: node, python",
    Config.literal("node", "python")
  ),
  python: setting("PYTHON", "python3", "the interpreter", Config.nonEmptyString),
  workers: whole("WORKERS", 4, "worker processes", 1, 64),
  pace: whole(
    "PACE_MILLIS",
    5,
    "how long a worker pauses after each 100 words, so that there is something to see",
    0,
    1000
  ),
  operationTimeout: duration("OPERATION_TIMEOUT", "10 seconds", "time for an operation; then its worker is replaced"),
  checkoutTimeout: duration("CHECKOUT_TIMEOUT", "5 seconds", "how long an operation waits for its session's worker"),
  attempts: whole("ATTEMPTS", 5, "how often a request is tried whose worker ended", 1, 100),
  rebuildBytes: whole(
    "REBUILD_BYTES",
    MiB,
    "characters of a session that the gateway keeps to build its index anew; beyond them it would be lost",
    0,
    MiB
  ),
  sessionBytes: whole("SESSION_BYTES", 8 * MiB, "characters that a session may upload", 1, 1024 * MiB),
  sessionsMax: whole("SESSIONS_MAX", 1000, "sessions at a time; further upgrades get 503", 1, 100_000),
  chaos: setting("CHAOS", true, "whether POST /chaos/kill kills workers", Config.boolean),
  loadClients: whole("LOAD_CLIENTS", 16, "clients of load", 1, 10_000),
  loadTime: duration("LOAD_TIME", "10 seconds", "how long load goes on"),
  loadKills: whole("LOAD_KILLS", 3, "workers that load has killed, one after the other", 0, 1000)
}

type Table = typeof table

/** All settings. */
export type SettingsShape = { readonly [K in keyof Table]: Table[K] extends Setting<infer A> ? A : never }

export class Settings extends Context.Tag("@spillway-examples/worker-gateway/Settings")<Settings, SettingsShape>() {}

/** From the environment. A value that cannot be read is a `ConfigError` that names its key. */
export const load: Effect.Effect<SettingsShape, ConfigError.ConfigError> = Effect.suspend(() => {
  const configs = Object.fromEntries(Object.entries(table).map(([name, { config }]) => [name, config]))
  // Built from the table, so it has its types; `Object.fromEntries` forgets them.
  return Config.all(configs) as unknown as Config.Config<SettingsShape>
})

/** Rows of the tables in `--help` and in the README. */
export const rows: ReadonlyArray<readonly [key: string, fallback: string, description: string]> = Object.values(table)
  .map(({ description, fallback, key }) => [key, fallback, description] as const)

export const help = [
  "Usage: node dist/main.js [serve | load | watch | kill [COUNT] | --help]",
  "",
  "  serve    the gateway (default); SIGTERM or SIGINT drains and exits with 0",
  "  load     clients that upload and search for a while, workers that are killed meanwhile, and what became of it",
  "  watch    affinity, rebinds and recovery times of a running gateway, a line each second",
  "  kill     kills workers of a running gateway, the busy ones first",
  "",
  "Settings are environment variables:",
  "",
  ...rows.map(([key, fallback, description]) => `  ${key.padEnd(18)} ${description} (${fallback})`)
].join("\n")
