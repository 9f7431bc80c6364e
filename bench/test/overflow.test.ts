/** What the adaptive policy is for, and what it costs, in the worlds of the bench `overflow`. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Overflow from "spillway/Overflow"
import { loads, run } from "../src/overflow/world.js"

const seconds = 20

const both = (name: string) =>
  Effect.gen(function*() {
    const load = loads.find((load) => load.name === name)!
    const fixed = yield* run(load, Overflow.layerDefault, seconds, 7)
    const adaptive = yield* run(load, Overflow.layerAdaptive, seconds, 7)
    assert.strictEqual(adaptive.critical.delivered, adaptive.critical.offered, "critical is never shed")
    return { fixed, adaptive }
  }).pipe(Effect.provide(Logger.remove(Logger.defaultLogger)))

describe("Overflow.layerAdaptive", () => {
  for (const name of ["half of what the link carries", "bursts that are over in a second"]) {
    it.effect(`${name}: sheds nothing that the default does not`, () =>
      Effect.gen(function*() {
        const { adaptive, fixed } = yield* both(name)
        assert.deepStrictEqual(adaptive, fixed)
        assert.strictEqual(adaptive.bulk.delivered, adaptive.bulk.offered)
      }))
  }

  for (const name of ["1.5 times", "3 times"]) {
    it.effect(`${name}: what arrives is young, where the default delivers what has waited for seconds`, () =>
      Effect.gen(function*() {
        const { adaptive, fixed } = yield* both(name)
        // 64 KiB below the lanes take 1.3 s on this link, whatever the policy.
        assert.isBelow(adaptive.bulk.p50, 1_700)
        assert.isAbove(fixed.bulk.p50, 5_000, "the counter-test")
        assert.isAtMost(adaptive.critical.p50, fixed.critical.p50)
        // What the default delivers more is what it delivers late: its backlog, when nothing is offered any more.
        assert.isAbove(adaptive.bytesDelivered, loads[0]!.bytesPerSecond * seconds * 0.95)
      }))
  }

  it.effect("stalls of three seconds: what waited is shed, the newest of each lane is not", () =>
    Effect.gen(function*() {
      const { adaptive, fixed } = yield* both("stalls of three seconds")
      assert.isBelow(adaptive.bulk.p99, 500)
      assert.isAbove(fixed.bulk.p99, 2_000, "the counter-test")
      assert.isBelow(adaptive.bulk.delivered, fixed.bulk.delivered, "the price")
    }))
})
