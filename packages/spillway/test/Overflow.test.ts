import { assert, describe, it } from "@effect/vitest"
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Overflow from "../src/Overflow.js"
import { InvalidOption } from "../src/SpillwayError.js"

const service = Effect.map(Overflow.Overflow, (policy) => policy)

const keyOf = (options: Overflow.Options) =>
  Effect.map(Effect.flip(Overflow.make(options)), (error) => {
    assert.instanceOf(error, InvalidOption)
    assert.strictEqual(error.module, "Overflow")
    return error.key
  })

describe("Overflow", () => {
  it.effect("make without options is the default policy", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* Overflow.make(), Overflow.defaults)
      assert.deepStrictEqual(yield* Effect.provide(service, Overflow.layerDefault), Overflow.defaults)
      assert.deepStrictEqual(yield* Effect.provide(service, Overflow.layer()), Overflow.defaults)
    }))

  it.effect("what is left out stays as in defaults", () =>
    Effect.gen(function*() {
      const policy = yield* Overflow.make({ lanes: { bulk: { maxAge: "5 seconds" } }, pressureAt: 0.8 })
      assert.strictEqual(policy.lanes.bulk.whenFull, "evictLower")
      assert.isTrue(Duration.equals(policy.lanes.bulk.maxAge, Duration.seconds(5)))
      assert.strictEqual(policy.pressureAt, 0.8)
      assert.strictEqual(policy.pressureEnd, 0.5)
      assert.isTrue(Object.isFrozen(policy))
    }))

  it("the default marks are in order: pressure ends below where it begins, before bulk is refused", () => {
    const { pressureAt, pressureEnd, refuseBulkAbove } = Overflow.defaults
    assert.isTrue(pressureEnd < pressureAt && pressureAt < refuseBulkAbove && refuseBulkAbove < 1)
  })

  it.effect("layerRejectNewest drops the newest of bulk and important only", () =>
    Effect.gen(function*() {
      const { lanes } = yield* Effect.provide(service, Overflow.layerRejectNewest)
      const whenFull = [lanes.control, lanes.critical, lanes.important, lanes.bulk].map((lane) => lane.whenFull)
      assert.deepStrictEqual(whenFull, ["evictLower", "evictLower", "dropNewest", "dropNewest"])
    }))

  it.effect("ratios outside 0 to 1, and NaN, are refused by name", () =>
    Effect.gen(function*() {
      for (const value of [-0.1, 1.1, NaN, Infinity]) {
        assert.strictEqual(yield* keyOf({ refuseBulkAbove: value }), "refuseBulkAbove")
        assert.strictEqual(yield* keyOf({ pressureAt: value }), "pressureAt")
        assert.strictEqual(yield* keyOf({ pressureEnd: value }), "pressureEnd")
      }
    }))

  it.effect("an end of pressure that is not below its beginning is refused", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* keyOf({ pressureAt: 0.6, pressureEnd: 0.6 }), "pressureEnd")
      assert.strictEqual(yield* keyOf({ pressureAt: 0.4 }), "pressureEnd")
    }))

  it.effect("dropOldest and conflate are refused for lanes that are never evicted", () =>
    Effect.gen(function*() {
      for (const whenFull of ["dropOldest", "conflate"] as const) {
        assert.strictEqual(yield* keyOf({ lanes: { critical: { whenFull } } }), "lanes.critical.whenFull")
        assert.strictEqual(yield* keyOf({ lanes: { control: { whenFull } } }), "lanes.control.whenFull")
        yield* Overflow.make({ lanes: { important: { whenFull }, bulk: { whenFull } } })
      }
    }))

  it.effect("an age that is not above zero is refused", () =>
    Effect.gen(function*() {
      for (const maxAge of [-1, 0, NaN, "-1 seconds", "0 millis"] as const) {
        assert.strictEqual(yield* keyOf({ lanes: { bulk: { maxAge } } }), "lanes.bulk.maxAge")
      }
      yield* Overflow.make({ lanes: { bulk: { maxAge: Duration.infinity } } })
    }))

  it.effect("a target or an interval that is not above zero is refused, and a target for what is never shed", () =>
    Effect.gen(function*() {
      for (const value of [-1, 0, NaN] as const) {
        assert.strictEqual(yield* keyOf({ lanes: { bulk: { target: value } } }), "lanes.bulk.target")
        assert.strictEqual(yield* keyOf({ interval: value }), "interval")
      }
      assert.strictEqual(yield* keyOf({ lanes: { critical: { target: "1 second" } } }), "lanes.critical.target")
      yield* Overflow.make({ lanes: { important: { target: "1 second" } }, interval: "100 millis" })
    }))

  it.effect("layerAdaptive differs from the default in the targets of important and bulk", () =>
    Effect.gen(function*() {
      const { lanes, ...others } = yield* Effect.provide(service, Overflow.layerAdaptive)
      const { lanes: defaults, ...otherDefaults } = Overflow.defaults
      assert.deepStrictEqual(others, otherDefaults)
      const targets = [lanes.control, lanes.critical, lanes.important, lanes.bulk].map(({ target }) =>
        Duration.toMillis(target)
      )
      assert.deepStrictEqual(targets, [Infinity, Infinity, 1_000, 250])
      for (const lane of ["important", "bulk"] as const) {
        assert.deepStrictEqual({ ...lanes[lane], target: Duration.infinity }, defaults[lane])
      }
    }))

  it.effect("a share that is no whole number is refused", () =>
    Effect.gen(function*() {
      for (const value of [-1, 1.5, NaN, Infinity]) {
        assert.strictEqual(yield* keyOf({ importantPerBulk: value }), "importantPerBulk")
      }
    }))

  it.effect("the error says what was expected and given", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Overflow.make({ pressureAt: 2 }))
      assert.strictEqual(error.message, "Overflow: option \"pressureAt\" must be a ratio between 0 and 1, got 2")
    }))

  const provide = (entries: ReadonlyArray<readonly [string, string]>) =>
    Effect.withConfigProvider(ConfigProvider.fromMap(new Map(entries)))

  it.effect("layerConfig reads configuration without a prefix, all of it optional", () =>
    Effect.gen(function*() {
      const read = Effect.provide(service, Overflow.layerConfig())
      assert.deepStrictEqual(yield* read.pipe(provide([])), Overflow.defaults)
      const policy = yield* read.pipe(
        provide([["bulk.whenFull", "dropOldest"], ["bulk.maxAge", "3 seconds"], ["importantPerBulk", "4"], [
          "important.target",
          "2 seconds"
        ], ["interval", "300 millis"]])
      )
      assert.strictEqual(Duration.toMillis(policy.lanes.important.target), 2000)
      assert.strictEqual(Duration.toMillis(policy.interval), 300)
      assert.strictEqual(policy.lanes.bulk.whenFull, "dropOldest")
      assert.strictEqual(Duration.toMillis(policy.lanes.bulk.maxAge), 3000)
      assert.strictEqual(policy.importantPerBulk, 4)
    }))

  it.effect("layerConfig fails with InvalidOption for values that are refused, with ConfigError for what it cannot read", () =>
    Effect.gen(function*() {
      const read = Effect.provide(service, Overflow.layerConfig(Config.nested(Overflow.config, "outbox")))
      const refused = yield* Effect.flip(read.pipe(provide([["outbox.pressureAt", "7"]])))
      assert.instanceOf(refused, InvalidOption)
      const unreadable = yield* Effect.flip(read.pipe(provide([["outbox.bulk.whenFull", "explode"]])))
      assert.notInstanceOf(unreadable, InvalidOption)
    }))
})
