import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { TokenBucket } from "../src/internal/tokenBucket.js"

/** Tokens as one would write them down: a balance that fills up with time. */
class Balance {
  private owed = 0
  private at = 0
  constructor(private readonly perSecond: number, private readonly burstMillis: number) {}
  take(now: number, tokens: number): boolean {
    this.owed = Math.max(0, this.owed - Math.max(0, now - this.at) * this.perSecond / 1000)
    this.at = now
    const conforms = this.owed <= this.burstMillis * this.perSecond / 1000 + 1e-6
    this.owed += tokens
    return conforms
  }
}

const step = FastCheck.record({ wait: FastCheck.nat(3000), tokens: FastCheck.integer({ min: 1, max: 20 }) })

describe("a token bucket", () => {
  it.prop(
    "agrees with a balance that fills up, whatever is taken when",
    [
      FastCheck.array(step, { maxLength: 100 }),
      FastCheck.constantFrom(1, 2, 10, 250),
      FastCheck.constantFrom(1, 500, 4000)
    ],
    ([steps, perSecond, burstMillis]) => {
      const bucket = new TokenBucket(perSecond, burstMillis)
      const balance = new Balance(perSecond, burstMillis)
      let now = 0
      for (const { tokens, wait } of steps) {
        now += wait
        const free = bucket.millisUntilConforming(now)
        const conforms = bucket.take(now, tokens)
        assert.strictEqual(conforms, balance.take(now, tokens))
        assert.strictEqual(conforms, free === 0)
      }
    }
  )

  it.prop(
    "lets through at most burst and rate, in any stretch of time, of those who respect it",
    [FastCheck.array(FastCheck.nat(200), { maxLength: 300 })],
    ([waits]) => {
      const bucket = new TokenBucket(10, 1000)
      const passed: Array<number> = []
      let now = 0
      for (const wait of waits) {
        now += wait
        if (bucket.millisUntilConforming(now) > 0) continue
        bucket.take(now, 1)
        passed.push(now)
      }
      for (let from = 0; from < passed.length; from++) {
        for (let to = from; to < passed.length; to++) {
          assert.isAtMost(to - from + 1, 10 + 1 + (passed[to]! - passed[from]!) / 100 + 1e-6)
        }
      }
    }
  )

  it("is full again after the time that it says", () => {
    const bucket = new TokenBucket(10, 1000)
    for (let i = 0; i < 11; i++) assert.isTrue(bucket.take(0, 1))
    assert.strictEqual(bucket.millisUntilConforming(0), 100)
    assert.strictEqual(bucket.millisUntilHalf(0), 600)
    assert.isFalse(bucket.isFull(1099))
    assert.isTrue(bucket.isFull(1100))
  })

  it("lets one thing of any size through, and nothing until that is paid for", () => {
    const bucket = new TokenBucket(1000, 1000)
    assert.isTrue(bucket.take(0, 60_000))
    assert.strictEqual(bucket.millisUntilConforming(0), 59_000)
  })

  it("does not turn a clock that is set back by an hour into an hour of waiting", () => {
    const bucket = new TokenBucket(1, 1)
    const hour = 3_600_000
    bucket.take(hour, 1)
    assert.isAtMost(bucket.millisUntilConforming(0), 1000)
  })

  it("without a rate lets everything through", () => {
    const bucket = new TokenBucket(Infinity, 1)
    for (let i = 0; i < 1000; i++) assert.isTrue(bucket.take(0, 1e9))
  })
})
