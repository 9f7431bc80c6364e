import { assert, describe, it } from "@effect/vitest"
import { Pressure } from "../src/internal/pressure.js"

const make = () => new Pressure({ pressureAt: 0.7, pressureEnd: 0.5 })

describe("pressure", () => {
  it("A026 begins above 0.7 and not at exactly 0.7", () => {
    const pressure = make()
    assert.isFalse(pressure.update(0.7))
    assert.isFalse(pressure.isPressed)
    assert.isTrue(pressure.update(0.71))
    assert.isTrue(pressure.isPressed)
  })

  it("A026 counts one event for each offer that crosses, not for each that stays above", () => {
    const pressure = make()
    for (const fill of [0.6, 0.8, 0.9, 1, 0.4, 0.8]) pressure.update(fill)
    assert.strictEqual(pressure.crossings, 2)
  })

  it("A028 ends at 0.5", () => {
    const pressure = make()
    pressure.update(1)
    assert.isFalse(pressure.update(0.51))
    assert.isTrue(pressure.update(0.5))
    assert.isFalse(pressure.isPressed)
  })

  it("A028 oscillation between the marks changes nothing, from either side", () => {
    const pressure = make()
    for (let i = 0; i < 100; i++) assert.isFalse(pressure.update(i % 2 === 0 ? 0.55 : 0.7))
    pressure.update(0.9)
    for (let i = 0; i < 100; i++) assert.isFalse(pressure.update(i % 2 === 0 ? 0.55 : 0.95))
    assert.strictEqual(pressure.crossings, 1)
  })

  it("counter-test: one mark for both directions flaps", () => {
    const pressure = new Pressure({ pressureAt: 0.7, pressureEnd: 0.7 })
    for (let i = 0; i < 100; i++) pressure.update(i % 2 === 0 ? 0.71 : 0.69)
    assert.strictEqual(pressure.crossings, 50)
  })
})
