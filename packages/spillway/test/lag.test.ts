import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { Lag, type LagRule, type Readings } from "../src/internal/lag.js"

const calm: Readings = { bytes: 0, items: 0, age: 0, "no progress": 0, "ack lag": 0 }
const rules: ReadonlyArray<LagRule> = [
  { reason: "items", above: 0.5, forMillis: 0 },
  { reason: "bytes", above: 0.8, forMillis: 1_000 },
  { reason: "age", above: 2_000, forMillis: 0 }
]

describe("Lag", () => {
  it("a rule comes into force when its reading was above the mark for its time, not at the mark", () => {
    const lag = new Lag(rules, 5_000)
    assert.isFalse(lag.note({ ...calm, items: 0.5, bytes: 0.81 }, 0))
    assert.isFalse(lag.note({ ...calm, bytes: 0.81 }, 999))
    assert.isTrue(lag.note({ ...calm, bytes: 0.81 }, 1_000))
    assert.deepStrictEqual([lag.level, lag.since], [1, 1_000])
  })

  it("a break starts the time again", () => {
    const lag = new Lag(rules, 5_000)
    lag.note({ ...calm, bytes: 0.9 }, 0)
    lag.note(calm, 500)
    lag.note({ ...calm, bytes: 0.9 }, 600)
    assert.isFalse(lag.note({ ...calm, bytes: 0.9 }, 1_500))
    assert.isTrue(lag.note({ ...calm, bytes: 0.9 }, 1_600))
  })

  it("it goes up rule by rule and comes down as a whole, after a time of calm", () => {
    const lag = new Lag(rules, 5_000)
    assert.isTrue(lag.note({ ...calm, items: 0.6 }, 0))
    assert.isTrue(lag.note({ ...calm, items: 0.6, age: 3_000 }, 1))
    assert.isFalse(lag.note({ ...calm, items: 0.6 }, 2), "a lesser rule changes nothing")
    assert.isFalse(lag.note(calm, 4_000))
    assert.isFalse(lag.note({ ...calm, items: 0.6 }, 4_500), "the calm was too short")
    assert.isFalse(lag.note(calm, 9_499))
    assert.isTrue(lag.note(calm, 9_500))
    assert.deepStrictEqual([lag.level, lag.since], [-1, 0])
  })

  it("is what a naive look at the whole history says", () => {
    const reading = FastCheck.record({
      items: FastCheck.constantFrom(0, 0, 0.5, 0.6),
      bytes: FastCheck.constantFrom(0, 0, 0.9),
      age: FastCheck.constantFrom(0, 0, 0, 3_000),
      step: FastCheck.constantFrom(100, 600, 2_500)
    })
    let recovered = 0
    FastCheck.assert(
      FastCheck.property(FastCheck.array(reading, { maxLength: 30 }), (list) => {
        const lag = new Lag(rules, 3_000)
        const history: Array<{ readonly at: number; readonly readings: Readings }> = []
        let now = 0
        let level = -1
        for (const { age, bytes, items, step } of list) {
          now += step
          history.push({ at: now, readings: { ...calm, items, bytes, age } })
          // For each rule the start of the unbroken run of readings above its mark that ends now.
          const since = rules.map(({ above, reason }) => {
            const run = [...history].reverse().findIndex(({ readings }) => !(readings[reason] > above))
            return history.slice(run < 0 ? 0 : history.length - run)[0]?.at
          })
          const inForce = rules.map(({ forMillis }, i) => since[i] !== undefined && now - since[i] >= forMillis)
          const lastAbove = history.filter(({ readings }) => rules.some((rule) => readings[rule.reason] > rule.above))
          const calmFor = now - (lastAbove.at(-1)?.at ?? 0)
          const before = level
          level = Math.max(level, inForce.lastIndexOf(true))
          if (level >= 0 && since.every((at) => at === undefined) && calmFor >= 3_000) {
            level = -1
            recovered++
          }
          assert.strictEqual(lag.note(history.at(-1)!.readings, now), level !== before)
          assert.strictEqual(lag.level, level)
        }
      }),
      { seed: Number(process.env["LAWS_SEED"] ?? 20_261_125), numRuns: Number(process.env["LAWS_RUNS"] ?? 300) }
    )
    assert.isAbove(recovered, 0)
  })
})
