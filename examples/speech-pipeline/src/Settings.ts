/** Every setting, in one table: key, default and meaning. The configuration, `--help` and the README are made from it. */
import * as Config from "effect/Config"
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
  shown: string,
  description: string,
  read: (key: string) => Config.Config<A>
): Setting<A> => ({ key, fallback: shown, description, config: Config.withDefault(read(key), fallback) })

const duration = (key: string, fallback: Duration.DurationInput, description: string) =>
  setting(key, Duration.decode(fallback), String(fallback), description, Config.duration)

const table = {
  host: setting("HOST", "127.0.0.1", "127.0.0.1", "address to listen on", Config.nonEmptyString),
  listenerPort: setting("LISTENER_PORT", 8081, "8081", "port of the listener", Config.port),
  pusherPort: setting("PUSHER_PORT", 8082, "8082", "port of the pusher", Config.port),
  webhookPort: setting("WEBHOOK_PORT", 8083, "8083", "port of the webhook", Config.port),
  store: setting("STORE", "speech-store", "speech-store", "folder of the pusher's files", Config.nonEmptyString),
  sessionsMax: setting("SESSIONS_MAX", 1_000, "1000", "sessions of a server; further upgrades get 503", Config.integer),
  chunkFrames: setting("CHUNK_FRAMES", 50, "50", "frames of 20 ms in one stored chunk", Config.integer),
  sampleAge: duration("SAMPLE_AGE", "120 seconds", "a speaker sample is held for so long, but not at shutdown"),
  sampleInterval: duration("SAMPLE_INTERVAL", "15 seconds", "time between looks at the held samples"),
  usageInterval: duration("USAGE_INTERVAL", "60 seconds", "time between two records of usage"),
  heartbeatInterval: duration("HEARTBEAT_INTERVAL", "10 seconds", "time between heartbeats to client and pusher"),
  receiveTimeout: duration("RECEIVE_TIMEOUT", "300 seconds", "no audio for so long: closed with 1011"),
  taskGrace: duration("TASK_GRACE", "30 seconds", "time for uploads and webhooks after the end of a session"),
  linkBackoff: duration("LINK_BACKOFF", "1 second", "delay before the first attempt to reach the pusher again"),
  linkDegradedFor: duration("LINK_DEGRADED_FOR", "60 seconds", "time between probes after six failed attempts"),
  webhookTimeout: duration("WEBHOOK_TIMEOUT", "10 seconds", "time for the webhook to answer")
}

type Table = typeof table

/** All settings. */
export type SettingsShape = { readonly [K in keyof Table]: Table[K] extends Setting<infer A> ? A : never }

export class Settings extends Context.Tag("@spillway-examples/speech-pipeline/Settings")<Settings, SettingsShape>() {}

/** From the environment. A value that cannot be read is a `ConfigError` that names its key. */
export const load = Effect.suspend(() => {
  const configs = Object.fromEntries(Object.entries(table).map(([name, { config }]) => [name, config]))
  // Built from the table, so it has its types; `Object.fromEntries` forgets them.
  return Config.all(configs) as unknown as Config.Config<SettingsShape>
})

/** Rows of the tables in `--help` and in the README. */
export const rows: ReadonlyArray<readonly [key: string, fallback: string, description: string]> = Object.values(table)
  .map(({ description, fallback, key }) => [key, fallback, description] as const)

export const help = [
  "node dist/main.js listener | pusher | webhook | replay [FILE.wav]",
  "",
  ...rows.map(([key, fallback, description]) => `  ${key.padEnd(20)} ${description} (${fallback})`)
].join("\n")
