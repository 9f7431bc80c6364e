import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fs from "node:fs"
import { fileURLToPath } from "node:url"
import * as SessionOptions from "spillway/SessionOptions"
import { assert, describe, it } from "vitest"
import * as Settings from "../src/Settings.js"

const load = (...entries: ReadonlyArray<readonly [string, string]>) =>
  Effect.runSync(
    Effect.either(Effect.withConfigProvider(Settings.load, ConfigProvider.fromMap(new Map(entries))))
  )

describe("settings", () => {
  it("every setting is in the help and in the README", () => {
    const readme = Fs.readFileSync(fileURLToPath(new URL("../README.md", import.meta.url)), "utf8")
    for (const [key, fallback, description] of Settings.rows) {
      assert.include(Settings.help, `${description} (${fallback})`)
      assert.include(readme, `| \`${key}\` | \`${fallback}\` | ${description} |`)
    }
  })

  it("relations: what is kept for a client that was closed is more than what may wait for it", () => {
    const { fillsKept, fillsQueued } = Either.getOrThrow(load())
    assert.isAbove(fillsKept, 2 * fillsQueued)
  })

  it("a value that does not fit is refused by the name of its key", () => {
    const wrong = { SYMBOLS: "0", SEED: "lucky", DELIVERY_DELAY: "0 seconds", CONTROL: "perhaps" }
    for (const [key, value] of Object.entries(wrong)) {
      const result = load([key, value])
      assert.isTrue(Either.isLeft(result))
      assert.include(String(Either.merge(result)), key)
    }
  })

  it("the delivery window can be switched off", () => {
    const settings = Either.getOrThrow(load(["DELIVERY_DELAY", "off"]))
    const options = Either.getOrThrow(SessionOptions.resolve(Settings.toSessionOptions(settings)))
    assert.strictEqual(options.deliveryDelay, Infinity)
  })

  it("a session has room for the last price and depth of every symbol and for the fills that may wait", () => {
    for (const symbols of [1, 500, 2_000]) {
      const settings = Either.getOrThrow(load(["SYMBOLS", String(symbols)]))
      const { deliveryDelay, outboxItemsMax } = Either.getOrThrow(
        SessionOptions.resolve(Settings.toSessionOptions(settings))
      )
      assert.strictEqual(outboxItemsMax, 2 * symbols + settings.fillsQueued)
      assert.strictEqual(deliveryDelay, 50)
    }
  })
})
