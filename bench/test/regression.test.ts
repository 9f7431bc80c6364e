import { assert, describe, it } from "vitest"
import { regressions } from "../src/workers/regression.js"

const base = { p95Millis: 10, operationsPerSecond: 1000, successRatio: 1 }

describe("regressions", () => {
  it("A149 flags p95 +20 %, throughput -20 % and success -10 %, each by itself", () => {
    assert.deepStrictEqual(regressions(base, { ...base, p95Millis: 12 }), ["p95 rose by 20 %"])
    assert.deepStrictEqual(regressions(base, { ...base, operationsPerSecond: 800 }), ["throughput fell by 20 %"])
    assert.deepStrictEqual(regressions(base, { ...base, successRatio: 0.9 }), ["success fell by 10 %"])
  })

  it("A149 is silent at p95 +10 %, throughput -5 % and success -1 %, also together, and when all became better", () => {
    assert.deepStrictEqual(regressions(base, { p95Millis: 11, operationsPerSecond: 950, successRatio: 0.99 }), [])
    assert.deepStrictEqual(regressions(base, { p95Millis: 1, operationsPerSecond: 9000, successRatio: 1 }), [])
  })
})
