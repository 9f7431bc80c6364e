import { assert, describe, it } from "@effect/vitest"
import * as Leaks from "@spillway/testing/Leaks"
import * as Effect from "effect/Effect"

/** The process of a test run grows by itself by up to 7 KiB a cycle while all cores are busy: these tests stay far from that. */
const options = { bytesPerCycleMax: 32_768 }

describe("assertNoGrowth", () => {
  it.live("passes what leaves nothing on the heap", () =>
    Leaks.assertNoGrowth(Effect.sync(() => new Array<number>(10_000).fill(1)), options))

  it.live("counter-test: what is kept is found", () =>
    Effect.gen(function*() {
      const kept: Array<Uint8Array> = []
      const grew = yield* Effect.flip(Leaks.assertNoGrowth(Effect.sync(() => kept.push(new Uint8Array(10_000)))))
      assert.isAbove(grew.bytesPerCycle, 9_000)
      assert.strictEqual(kept.length, 5 + 3 * 5 * 20, "it was looked at three times")
    }))

  it.live("what grows once and not again is no leak", () =>
    Effect.gen(function*() {
      const kept: Array<Uint8Array> = []
      let cycles = 0
      yield* Leaks.assertNoGrowth(
        Effect.sync(() => {
          if (++cycles === 20) kept.push(new Uint8Array(10_000_000))
        }),
        options
      )
      assert.strictEqual(kept.length, 1)
      assert.strictEqual((cycles - 5) % (5 * 20), 0, "a whole number of looks")
    }))

  it.live("what grows for a while, as a process does that has just begun, is no leak", () =>
    Effect.gen(function*() {
      const kept: Array<Uint8Array> = []
      let cycles = 0
      // All rounds of the first look, and most of the second.
      yield* Leaks.assertNoGrowth(
        Effect.sync(() => {
          if (++cycles <= 5 + 180) kept.push(new Uint8Array(100_000))
        }),
        options
      )
      assert.strictEqual(cycles, 5 + 3 * 5 * 20)
      assert.strictEqual(kept.length, 185)
    }))
})
