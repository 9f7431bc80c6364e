import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { LaneQueue, type LaneQueueOptions, type LaneRule } from "../src/internal/laneQueue.js"
import type { LaneIndex } from "../src/Lane.js"

const seed = Number(process.env["LAWS_SEED"] ?? 20_261_125)
const numRuns = Number(process.env["LAWS_RUNS"] ?? 200)

const rule: LaneRule = { whenFull: "evictLower", maxAgeMs: Infinity }

const options: LaneQueueOptions = {
  itemsMax: 20,
  bytesMax: 200,
  reserveItems: 5,
  reserveBytes: 50,
  rules: [rule, rule, rule, rule],
  importantPerBulk: 8,
  refuseBulkAbove: 0.9
}

const step = FastCheck.oneof(
  {
    weight: 6,
    arbitrary: FastCheck.record({
      does: FastCheck.constant("offer" as const),
      lane: FastCheck.integer({ min: 0, max: 3 }),
      bytes: FastCheck.integer({ min: 0, max: 30 }),
      key: FastCheck.constantFrom(undefined, undefined, "k")
    })
  },
  { weight: 2, arbitrary: FastCheck.record({ does: FastCheck.constant("take" as const) }) },
  {
    weight: 1,
    arbitrary: FastCheck.record({
      does: FastCheck.constant("resize" as const),
      items: FastCheck.integer({ min: 1, max: 30 }),
      bytes: FastCheck.integer({ min: 1, max: 300 })
    })
  },
  {
    weight: 1,
    arbitrary: FastCheck.record({
      does: FastCheck.constant("shed" as const),
      from: FastCheck.constantFrom(2 as const, 3 as const)
    })
  }
)

describe("a bound that changes", () => {
  it("I1 I2 I4 I5 hold through any list of offers, takes, changes of the bound and sheddings", () => {
    let shrunk = 0
    let kept = 0
    FastCheck.assert(
      FastCheck.property(FastCheck.array(step, { maxLength: 80, size: "max" }), (steps) => {
        const shed: Array<{ readonly lane: LaneIndex; readonly lower: number }> = []
        const queue: LaneQueue<number> = new LaneQueue<number>(options, {
          onShed: (_, lane, reason) => {
            if (reason !== "evicted") return
            const lower = [3, 2].filter((other) => other > lane)
              .reduce((sum, other) => sum + queue.counters(other as LaneIndex).queuedItems, 0)
            shed.push({ lane, lower })
          }
        })
        let now = 0
        for (const one of steps) {
          now++
          if (one.does === "offer") queue.offer(now, one.bytes, one.lane as LaneIndex, one.key, Infinity, now)
          else if (one.does === "take") queue.take(now)
          else if (one.does === "shed") {
            const below = [2, 3].filter((lane) => lane >= one.from)
            const expected = below.reduce((sum, lane) => sum + queue.counters(lane as LaneIndex).queuedItems, 0)
            shed.length = 0
            assert.strictEqual(queue.shedFrom(one.from), expected)
            shed.length = 0
          } else {
            const critical = queue.counters(1)
            const before = shed.length
            queue.resize(one.items, one.bytes)
            if (shed.length > before) shrunk++
            assert.strictEqual(queue.counters(1).queuedItems, critical.queuedItems)
            if (queue.options.itemsMax > one.items || queue.options.bytesMax > one.bytes) {
              kept++
              assert.strictEqual(queue.counters(2).queuedItems + queue.counters(3).queuedItems, 0)
            }
          }
          queue.check()
          assert.isTrue(shed.every(({ lower }) => lower === 0), "I4: nothing goes while a lower lane holds anything")
        }
      }),
      { seed, numRuns }
    )
    assert.isAbove(Math.min(shrunk, kept), 0)
  })
})
