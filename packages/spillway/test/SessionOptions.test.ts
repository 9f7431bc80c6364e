import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Overflow from "../src/Overflow.js"
import * as SessionOptions from "../src/SessionOptions.js"
import * as Sessions from "../src/Sessions.js"
import * as Telemetry from "../src/Telemetry.js"
import { advance, test, watch } from "./support.js"

const configured = (entries: ReadonlyArray<readonly [string, string]>) =>
  Effect.withConfigProvider(SessionOptions.config, ConfigProvider.fromMap(new Map(entries)))

const build = (entries: ReadonlyArray<readonly [string, string]>) =>
  Effect.exit(Effect.scoped(Effect.withConfigProvider(
    Layer.build(Sessions.layerConfig().pipe(Layer.provide([Overflow.layerDefault, Telemetry.layerNoop]))),
    ConfigProvider.fromMap(new Map(entries))
  )))

describe("options from configuration (A008)", () => {
  it.effect("A008 without any key the options are the defaults", () =>
    Effect.gen(function*() {
      const options = yield* configured([])
      assert.deepStrictEqual(yield* SessionOptions.resolve(options), SessionOptions.defaults)
    }))

  it.effect("A008 every option but the heartbeat message can be configured", () =>
    Effect.gen(function*() {
      const options = yield* configured([
        ["outboxItemsMax", "7"],
        ["slowEventsMax", "3"],
        ["sendTimeout", "3 seconds"],
        ["taskGrace", "1 minute"],
        ["slowConsumer", "disconnect"],
        ["idleActivity", "messages"]
      ])
      const { idleActivity, outboxItemsMax, sendTimeout, slowConsumer, slowEventsMax, taskGrace } =
        yield* SessionOptions.resolve(options)
      assert.deepStrictEqual(
        { idleActivity, outboxItemsMax, sendTimeout, slowConsumer, slowEventsMax, taskGrace },
        {
          idleActivity: "messages",
          outboxItemsMax: 7,
          sendTimeout: 3000,
          slowConsumer: "disconnect",
          slowEventsMax: 3,
          taskGrace: 60_000
        }
      )
    }))

  it.effect("A008 a value that cannot be read or used fails the layer and names its key", () =>
    Effect.gen(function*() {
      for (
        const [key, value] of [["outboxItemsMax", "0"], ["sendTimeout", "soon"], ["slowConsumer", "maybe"]] as const
      ) {
        const exit = yield* build([[key, value]])
        assert.isTrue(Exit.isFailure(exit) && String(exit.cause).includes(key), `${key}: ${String(exit)}`)
      }
    }))
})

describe("what restarts the idle timeout", () => {
  test(
    "A066 with idleActivity messages a quiet client that answers pings is closed at 30 s with 1001",
    { session: { idleTimeout: "30 seconds", idleActivity: "messages" } },
    (rig) =>
      Effect.gen(function*() {
        const { session } = yield* rig.open()
        const { report, tookMillis } = yield* yield* watch(session)
        assert.deepStrictEqual([report.exit._tag, tookMillis], ["IdleTimeout", 30_000])
      })
  )

  test(
    "A066 by default pongs count, and the same client stays",
    { session: { idleTimeout: "30 seconds", pingInterval: "15 seconds" } },
    (rig) =>
      Effect.gen(function*() {
        const { session } = yield* rig.open()
        yield* advance("10 minutes")
        assert.strictEqual(session.state, "open")
      })
  )
})
