import { assert, describe, it } from "@effect/vitest"
import * as MemoryWorkers from "@spillway/workers/MemoryWorkers"
import * as PoolConfig from "@spillway/workers/PoolConfig"
import * as WorkerPool from "@spillway/workers/WorkerPool"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import { reference } from "./support.js"

const configured = (entries: Readonly<Record<string, string>>) =>
  Effect.withConfigProvider(PoolConfig.config, ConfigProvider.fromMap(new Map(Object.entries(entries))))

describe("options of a pool from configuration", () => {
  it.effect("A008 what is not configured is not there, so that it keeps its default", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* configured({}), { affinity: {}, recycle: {} })
    }))

  it.effect("A008 every option that is a value can be configured", () =>
    Effect.gen(function*() {
      const entries = Object.fromEntries(
        Object.entries(WorkerPool.defaults).map(([key, value]) => [key, String(value === 0 ? "0 millis" : value)])
      )
      const options = yield* configured({
        ...entries,
        overflow: "2",
        "affinity.mode": "strictQueue",
        "affinity.ttl": "1 minute",
        "affinity.sweepInterval": "1 second",
        "affinity.wait": "5 millis",
        "recycle.age": "1 hour",
        "recycle.operationsMax": "1000",
        "recycle.memoryBytesMax": "1048576"
      })
      assert.sameMembers(Object.keys(options), [...Object.keys(WorkerPool.defaults), "affinity", "recycle"])
      for (const [key, value] of Object.entries(WorkerPool.defaults)) {
        const read = options[key as keyof typeof WorkerPool.defaults]
        if (Duration.isDuration(read)) {
          assert.strictEqual(Duration.toMillis(read), Duration.toMillis(value as "1 second"))
        } else assert.strictEqual(read, key === "overflow" ? 2 : value)
      }
      assert.deepStrictEqual(options.affinity, {
        mode: "strictQueue",
        ttl: Duration.minutes(1),
        sweepInterval: Duration.seconds(1),
        wait: Duration.millis(5)
      })
      assert.deepStrictEqual(options.recycle, {
        age: Duration.hours(1),
        operationsMax: 1000,
        memoryBytesMax: 1_048_576
      })
    }))

  it.effect("A133 affinity can be configured away", () =>
    Effect.gen(function*() {
      const options = yield* configured({ "affinity.mode": "none" })
      const pool = yield* Effect.provide(WorkerPool.WorkerPool, PoolConfig.layer(options)).pipe(
        Effect.provide(MemoryWorkers.layer({ worker: reference }))
      )
      assert.isUndefined((yield* pool.status).affinity)
    }))

  it.effect("A008 what cannot be read is a ConfigError, and what is not usable an InvalidOption, both with the key", () =>
    Effect.gen(function*() {
      assert.include(String(yield* Effect.flip(configured({ size: "many" }))), "size")
      assert.include(String(yield* Effect.flip(configured({ "affinity.mode": "loose" }))), "mode")
      const layer = Layer.provide(PoolConfig.layer(), MemoryWorkers.layer({ worker: reference }))
      const result = yield* Effect.either(Effect.scoped(Layer.build(layer))).pipe(
        Effect.withConfigProvider(ConfigProvider.fromMap(new Map([["size", "0"]])))
      )
      assert.isTrue(Either.isLeft(result) && result.left._tag === "InvalidOption" && result.left.key === "size")
    }))

  it.effect("what is given goes before what is configured", () =>
    Effect.gen(function*() {
      const layer = Layer.provide(PoolConfig.layer({ size: 3 }), MemoryWorkers.layer({ worker: reference }))
      const status = yield* Effect.flatMap(WorkerPool.WorkerPool, (pool) => pool.status).pipe(
        Effect.provide(layer),
        Effect.withConfigProvider(ConfigProvider.fromMap(new Map([["size", "1"], ["overflow", "2"]])))
      )
      assert.strictEqual(status.size, 3)
    }))
})
