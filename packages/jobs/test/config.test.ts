import { assert, describe, it } from "@effect/vitest"
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as EventLog from "../src/EventLog.js"
import * as Job from "../src/Job.js"
import * as JobRunner from "../src/JobRunner.js"
import * as JobStore from "../src/JobStore.js"
import * as JobViewer from "../src/JobViewer.js"
import * as PostgresStore from "../src/PostgresStore.js"
import * as SqliteStore from "../src/SqliteStore.js"

type Entries = Readonly<Record<string, string>>

const from = (entries: Entries) => ConfigProvider.fromMap(new Map(Object.entries(entries)))

const read = <A>(config: Config.Config<A>, entries: Entries) => Effect.withConfigProvider(config, from(entries))

const Count = Job.make("count", { input: Schema.Int, event: Schema.Int, output: Schema.Int })

const url = "postgres://someone:secret@127.0.0.1:5432/jobs"

/** Each module, something that is not usable for each kind of its keys, and what is needed besides. */
const configs: ReadonlyArray<readonly [string, Config.Config<object>, Entries, Entries]> = [
  ["EventLog", EventLog.config, { queueItemsMax: "0", batchItemsMax: "1.5", commitTimeout: "0 millis" }, {}],
  ["JobRunner", JobRunner.config, { concurrencyMax: "many", retentionBytesMax: "-1", lease: "soon" }, {}],
  ["Job", Job.config(Count), { maxDuration: "0 seconds", onLost: "retry", attemptsMax: "0" }, {}],
  ["JobViewer", JobViewer.config, { autoStart: "always", finalGrace: "-1 seconds", behindEventsMax: "0" }, {}],
  ["SqliteStore", SqliteStore.config, { synchronous: "off", driver: "wasm", lockTimeout: "0" }, {
    path: "f"
  }],
  ["PostgresStore", PostgresStore.config, { url: "mysql://x", idleTransactionTimeout: "0 millis" }, { url }]
]

describe("jobs from configuration", () => {
  it.effect("what is not configured is not there, so that it keeps its default", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* read(EventLog.config, {}), {})
      assert.deepStrictEqual(yield* read(JobRunner.config, {}), {})
      assert.deepStrictEqual(yield* read(JobViewer.config, {}), {})
      assert.deepStrictEqual(yield* read(Job.config(Count), {}), Count)
      assert.deepStrictEqual(yield* read(SqliteStore.config, { path: "jobs.db" }), { path: "jobs.db" })
    }))

  it.effect("every option that is a value can be configured, as what its default is", () =>
    Effect.gen(function*() {
      const modules = [
        [EventLog.config, EventLog.defaults],
        [JobRunner.config, JobRunner.defaults],
        [JobViewer.config, JobViewer.defaults]
      ] as const
      for (const [config, defaults] of modules) {
        const entries = Object.entries(defaults)
        const isPeriod = (key: string) => /(Timeout|Interval|Grace|lease|Age)$/.test(key)
        const texts = entries.map(([key, value]) => [key, isPeriod(key) ? `${value} millis` : String(value)] as const)
        const options: Readonly<Record<string, unknown>> = {
          ...(yield* read<object>(config, Object.fromEntries(texts)))
        }
        for (const [key, value] of entries) {
          const found = options[key]
          assert.strictEqual(Duration.isDuration(found) ? Duration.toMillis(found) : found, value, key)
        }
      }
      assert.deepStrictEqual(yield* read(JobViewer.config, { behindEventsMax: "Infinity", autoStart: "never" }), {
        behindEventsMax: Infinity,
        autoStart: "never"
      })
    }))

  it.effect("the longest duration of a job can be configured, under a prefix (A067)", () =>
    Effect.gen(function*() {
      const config = Config.nested(Job.config(Count), "count")
      const job = yield* read(config, {
        "count.maxDuration": "2 minutes",
        "count.onLost": "fail",
        "count.attemptsMax": "7"
      })
      assert.deepInclude(job, { name: "count", maxDurationMillis: 120_000, onLost: "fail", attemptsMax: 7 })
    }))

  for (const [name, config, wrong, needed] of configs) {
    it.effect(`${name}: what cannot be read or is not usable is a ConfigError that names the key`, () =>
      Effect.gen(function*() {
        for (const [key, value] of Object.entries(wrong)) {
          const result = yield* Effect.either(read(config, { ...needed, [key]: value }))
          assert.isTrue(Either.isLeft(result), `${key} = ${value}`)
          const error = Either.getOrThrow(Either.flip(result))
          assert.deepInclude(error, { _op: "InvalidData", path: [key] })
        }
      }))
  }

  it.effect("what has to be there is missing by name, and the URL of a database is never printed", () =>
    Effect.gen(function*() {
      const path = yield* Effect.flip(read(SqliteStore.config, {}))
      assert.deepInclude(path, { _op: "MissingData", path: ["path"] })
      assert.deepInclude(yield* Effect.flip(read(SqliteStore.config, { path: "" })), { path: ["path"] })
      const { idleTransactionTimeout, url: given } = yield* read(PostgresStore.config, {
        url,
        idleTransactionTimeout: "2 seconds"
      })
      assert.strictEqual(Redacted.value(given), url)
      assert.notInclude(`${String(given)} ${JSON.stringify(given)}`, "secret")
      assert.deepStrictEqual(idleTransactionTimeout, Duration.seconds(2))
      const wrong = yield* Effect.flip(read(PostgresStore.config, { url: "postgres//someone:secret@host" }))
      assert.notInclude(`${String(wrong)} ${JSON.stringify(wrong)}`, "secret")
    }))

  it.effect("the layers take it, and what is not usable fails them before anything is opened", () =>
    Effect.gen(function*() {
      const handlers = [Job.handler(Count, (n) => Effect.succeed(n))]
      const live = JobRunner.layerConfig(handlers, Config.nested(JobRunner.config, "runner")).pipe(
        Layer.provideMerge(EventLog.layerConfig(Config.nested(EventLog.config, "log"))),
        Layer.provideMerge(JobStore.layerMemory)
      )
      const run = Effect.gen(function*() {
        const runner = yield* JobRunner.JobRunner
        const { id } = yield* runner.create(Count, 5)
        return (yield* runner.awaitEnd(id)).state.result
      })
      const withEntries = (entries: Entries) => Effect.withConfigProvider(Effect.provide(run, live), from(entries))
      assert.strictEqual(yield* withEntries({ "runner.concurrencyMax": "2", "log.tailItemsMax": "9" }), 5)
      assert.deepInclude(yield* Effect.flip(withEntries({ "log.tailItemsMax": "none" })), {
        path: ["log", "tailItemsMax"]
      })
      const postgres = PostgresStore.layerConfig(() => Effect.die("no client is made"))
      const failed = yield* Effect.flip(Effect.scoped(Layer.build(postgres))).pipe(
        Effect.withConfigProvider(from({ url, idleTransactionTimeout: "never" }))
      )
      assert.deepInclude(failed, { _op: "InvalidData", path: ["idleTransactionTimeout"] })
      const sqlite = yield* Effect.flip(Effect.scoped(Layer.build(SqliteStore.layerConfig()))).pipe(
        Effect.withConfigProvider(from({ path: "never", synchronous: "maybe" }))
      )
      assert.deepInclude(sqlite, { _op: "InvalidData", path: ["synchronous"] })
    }))
})
