import { assert, describe, it } from "@effect/vitest"
import * as TestMode from "@spillway/workers/TestMode"
import { WorkerTransport } from "@spillway/workers/WorkerTransport"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import { makeRig } from "./support.js"

const named = (processes: number) => Layer.succeed(WorkerTransport, { ...makeRig().transport, processes })

const layer = TestMode.layer({ mock_adapter: named(1), bridge_mock: named(2), full_integration: named(3) })

/** The number of the layer that is chosen, and what was logged. */
const chosen = (env: ReadonlyArray<readonly [string, string]>) =>
  Effect.gen(function*() {
    const logged: Array<string> = []
    const logger = Logger.make(({ logLevel, message }) => void logged.push(`${logLevel.label} ${message}`))
    const { processes } = yield* WorkerTransport.pipe(
      Effect.provide(layer),
      Effect.withConfigProvider(ConfigProvider.fromMap(new Map(env))),
      Effect.provide(Logger.replace(Logger.defaultLogger, logger))
    )
    return { processes, logged }
  })

describe("TestMode", () => {
  it.effect("A139 each mode selects its layer, and none selects the workers in memory", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* chosen([]), { processes: 1, logged: [] })
      for (const [index, mode] of TestMode.modes.entries()) {
        assert.deepStrictEqual(yield* chosen([["TEST_MODE", mode]]), { processes: index + 1, logged: [] })
      }
    }))

  it.effect("A139 an unknown mode selects the workers in memory, with a warning", () =>
    Effect.gen(function*() {
      const { logged, processes } = yield* chosen([["TEST_MODE", "full"]])
      assert.strictEqual(processes, 1)
      assert.lengthOf(logged, 1)
      assert.match(logged[0]!, /^WARN TEST_MODE is "full"/)
    }))
})
