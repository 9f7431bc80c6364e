import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { config, provider } from "../src/Settings.js"

const read = (entries: Readonly<Record<string, string>>) =>
  Effect.withConfigProvider(config, provider(Object.entries(entries)))

describe("settings from the environment", () => {
  it.effect("of an empty one are those of the README, with the jobs in a file", () =>
    Effect.gen(function*() {
      const { port, runner, store } = yield* read({})
      assert.deepStrictEqual([port, runner], [8080, {}])
      assert.match("path" in store ? store.path : "", /jobs\.db$/)
    }))

  it.effect("reach every part of the server", () =>
    Effect.gen(function*() {
      const settings = yield* read({
        PORT: "0",
        JOBS_PATH: "/tmp/a.db",
        JOBS_SYNCHRONOUS: "full",
        ANALYSE_MAX_DURATION: "2 minutes",
        RUNNER_CONCURRENCY_MAX: "3",
        LOG_TAIL_ITEMS_MAX: "9",
        VIEWER_FINAL_GRACE: "1 second"
      })
      assert.deepStrictEqual(settings.store, { path: "/tmp/a.db", synchronous: "full" })
      assert.strictEqual(settings.analyse?.maxDurationMillis, 120_000)
      assert.deepStrictEqual([settings.runner, settings.log], [{ concurrencyMax: 3 }, { tailItemsMax: 9 }])
      assert.deepStrictEqual(settings.viewer, { finalGrace: Duration.seconds(1) })
    }))

  it.effect("name a database instead of the file, and one that is none is an error and not the file", () =>
    Effect.gen(function*() {
      const url = "postgres://jobs@127.0.0.1/jobs"
      const { store } = yield* read({ DATABASE_URL: url, DATABASE_IDLE_TRANSACTION_TIMEOUT: "3 seconds" })
      assert.strictEqual("url" in store ? Redacted.value(store.url) : "", url)
      for (const entries of [{ DATABASE_URL: "jobs" }, { RUNNER_LEASE: "soon" }, { PORT: "70000" }]) {
        const error = yield* Effect.flip(read(entries))
        assert.deepInclude(error, { _op: "InvalidData" }, Object.keys(entries)[0]!)
      }
    }))
})
