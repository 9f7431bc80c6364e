import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fs from "node:fs"
import * as Admission from "spillway/Admission"
import * as SessionOptions from "spillway/SessionOptions"
import * as Settings from "../src/Settings.js"

const load = (environment: Record<string, string>) =>
  Effect.withConfigProvider(Settings.load, ConfigProvider.fromMap(new Map(Object.entries(environment))))

const refusal = (environment: Record<string, string>) => Effect.map(Effect.flip(load(environment)), Settings.explain)

const readme = new URL("../README.md", import.meta.url)

describe("Settings", () => {
  it.effect("an empty environment gives the defaults", () =>
    Effect.gen(function*() {
      const settings = yield* load({})
      assert.strictEqual(settings.port, 8080)
      assert.strictEqual(settings.host, "127.0.0.1")
      assert.strictEqual(settings.payloadBytesMax, 65536)
      assert.deepStrictEqual(settings.allowedOrigins, [])
      assert.strictEqual(Duration.toMillis(settings.drainBudget), 28_000)
      assert.strictEqual(Duration.toMillis(settings.idleTimeout), Infinity)
    }))

  it.effect("the defaults of a session are the library's", () =>
    Effect.gen(function*() {
      const options = SessionOptions.resolve(Settings.toSessionOptions(yield* load({})))
      assert.deepStrictEqual(Either.getOrThrow(options), SessionOptions.defaults)
    }))

  it.effect("unless set, no limit of one client holds, and the number of sessions does", () =>
    Effect.gen(function*() {
      const options = Either.getOrThrow(Admission.resolve(Settings.toAdmissionOptions(yield* load({}))))
      assert.deepInclude(options, { sessionsMax: 10_000, sessionsPerAddressMax: Infinity, acceptsPerSecond: Infinity })
    }))

  it.effect("values are read with their units", () =>
    Effect.gen(function*() {
      const settings = yield* load({
        GATEWAY_SEND_TIMEOUT: "1.5 seconds",
        GATEWAY_PING_INTERVAL: "250ms",
        GATEWAY_IDLE_TIMEOUT: "2 m",
        GATEWAY_ALERT_LOAD: "off",
        GATEWAY_ALLOWED_ORIGINS: "https://a.example, http://b.example:8080"
      })
      assert.strictEqual(Duration.toMillis(settings.sendTimeout), 1_500)
      assert.strictEqual(Duration.toMillis(settings.pingInterval), 250)
      assert.strictEqual(Duration.toMillis(settings.idleTimeout), 120_000)
      assert.isUndefined(settings.alertLoad)
      assert.deepStrictEqual(settings.allowedOrigins, ["https://a.example", "http://b.example:8080"])
    }))

  const wrong: ReadonlyArray<readonly [key: string, values: ReadonlyArray<string>]> = [
    ["PORT", ["", "-1", "65536", "80.5", "http", "1e3", "NaN"]],
    ["HOST", ["", "a b", "http://x"]],
    ["GATEWAY_TLS_CERT", ["/nowhere/cert.pem", "/"]],
    ["GATEWAY_TLS_KEY", ["/nowhere/key.pem"]],
    ["GATEWAY_ASSEMBLY_TIMEOUT", ["0 ms", "off", "30"]],
    ["GATEWAY_MAX_PAYLOAD", ["0", "-5", "NaN", "1 MiB"]],
    ["GATEWAY_OUTBOX_BYTES", ["0", "Infinity", "1000"]],
    ["GATEWAY_OUTBOX_ITEMS", ["0", "-1", "0.5"]],
    ["GATEWAY_MAX_SESSIONS", ["0", "many"]],
    ["GATEWAY_MAX_SESSIONS_PER_ADDRESS", ["0", "-1", "1.5", "none"]],
    ["GATEWAY_ACCEPT_RATE", ["0", "fast"]],
    ["GATEWAY_ACCEPT_RATE_PER_ADDRESS", ["-1"]],
    ["GATEWAY_TRUSTED_PROXIES", ["-1", "17", "yes"]],
    ["GATEWAY_INBOUND_MESSAGES", ["0", "NaN"]],
    ["GATEWAY_INBOUND_BYTES", ["-5"]],
    ["GATEWAY_INBOUND_EXCESS", ["drop"]],
    ["GATEWAY_LAG_ACTION", ["kill", ""]],
    ["GATEWAY_LAG_TIME", ["-1 second", "off"]],
    ["GATEWAY_BUDGET_BYTES", ["0", "off", "256 MiB"]],
    ["GATEWAY_BUDGET_DELAY", ["0 ms", "off"]],
    ["GATEWAY_SEND_TIMEOUT", ["-1 second", "NaN", "0 seconds", "5", "5 parsecs", "Infinity", "five seconds", ""]],
    ["GATEWAY_DRAIN_BUDGET", ["0 ms", "off", "-28 seconds"]],
    ["GATEWAY_DRAIN_GRACE", ["28 seconds", "-1 ms"]],
    ["GATEWAY_ALERT_MEMORY", ["1.01", "-0.1", "NaN", "95%"]],
    ["GATEWAY_ALERT_LOAD", ["0", "-2", "high"]],
    ["GATEWAY_SLOW_CONSUMER", ["kill", "MARK"]],
    ["GATEWAY_ALLOWED_ORIGINS", ["example.org", "https://a.example/path", "https://a.example,nonsense"]],
    ["LOG_LEVEL", ["loud"]],
    ["LOG_FORMAT", ["xml"]]
  ]
  for (const [key, values] of wrong) {
    it.effect(`a bad ${key} is refused with one line that names it`, () =>
      Effect.forEach(values, (value) =>
        Effect.map(refusal({ [key]: value }), (line) => {
          assert.isTrue(line.startsWith(`${key}: expected `), line)
          assert.notInclude(line, "\n")
        })))
  }

  it.effect("the first of several bad settings is named, and only that", () =>
    Effect.map(refusal({ PORT: "x", HOST: "a b" }), (line) => {
      assert.include(line, "PORT")
      assert.notInclude(line, "HOST")
    }))

  it("the help names every setting with its default", () => {
    for (const { description, fallback, key } of Settings.all) {
      assert.include(Settings.help, `  ${key}\n`)
      assert.include(Settings.help, `${description} (default: ${fallback === "" ? "none" : fallback})`)
    }
  })

  it("the README has the table of settings", () => {
    const [before, rest = ""] = Fs.readFileSync(readme, "utf8").split(/(?<=<!-- settings: .*-->\n)/)
    const after = rest.slice(rest.indexOf("<!-- /settings -->"))
    const expected = `${before}${Settings.markdown}\n${after}`
    if (process.env["UPDATE"] === "1") Fs.writeFileSync(readme, expected)
    assert.strictEqual(Fs.readFileSync(readme, "utf8"), expected, "run the test with UPDATE=1 to write the table")
  })
})
