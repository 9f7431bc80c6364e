import { assert, describe, it } from "@effect/vitest"
import { Pressure } from "../src/internal/pressure.js"
import { defaults, Slow } from "../src/internal/slow.js"

const times = (count: number, f: (i: number) => void) => Array.from({ length: count }, (_, i) => f(i))

describe("slow", () => {
  it("A029 a send of 500 ms is not slow, one of 501 ms is", () => {
    const slow = new Slow()
    slow.note(500, 0)
    assert.strictEqual(slow.slowEvents, 0)
    slow.note(501, 0)
    assert.strictEqual(slow.slowEvents, 1)
  })

  it("A029 five slow sends leave the flag unset, the sixth sets it, once", () => {
    const slow = new Slow()
    times(5, (i) => assert.isFalse(slow.note(501, i * 1000)))
    assert.isFalse(slow.isSlow)
    assert.isTrue(slow.note(501, 5000))
    assert.isTrue(slow.isSlow)
    assert.isFalse(slow.note(501, 6000))
  })

  it("six slow sends count together when the first and the last are exactly one window apart, not more", () => {
    const spread = (last: number) => {
      const slow = new Slow()
      times(5, () => slow.note(501, 0))
      slow.note(501, last)
      return slow.isSlow
    }
    assert.isTrue(spread(60_000))
    assert.isFalse(spread(60_001))
  })

  it("fast sends in between do not take slow ones back", () => {
    const slow = new Slow()
    times(6, (i) => {
      times(20, () => slow.note(1, i * 100))
      slow.note(600, i * 100)
    })
    assert.isTrue(slow.isSlow)
  })

  it("A030 ten fast sends in a row clear it, nine and a slow one do not", () => {
    const slow = new Slow()
    times(6, () => slow.note(501, 0))
    times(9, () => slow.note(1, 1))
    slow.note(501, 2)
    times(9, () => assert.isFalse(slow.note(1, 3)))
    assert.isTrue(slow.note(500, 3))
    assert.isFalse(slow.isSlow)
  })

  it("after it was cleared it takes six slow sends again", () => {
    const slow = new Slow()
    times(6, () => slow.note(501, 0))
    times(10, () => slow.note(1, 1))
    times(5, () => assert.isFalse(slow.note(501, 2)))
    assert.isTrue(slow.note(501, 2))
  })

  it("A030 one slow send an hour for a day never sets it", () => {
    const slow = new Slow()
    times(24, (hour) => {
      slow.note(5000, hour * 3_600_000)
      times(100, () => slow.note(1, hour * 3_600_000 + 1))
      assert.isFalse(slow.isSlow)
    })
    assert.strictEqual(slow.slowEvents, 24)
  })

  it("A031 it neither knows nor changes pressure", () => {
    const slow = new Slow()
    const pressure = new Pressure({ pressureAt: 0.7, pressureEnd: 0.5 })
    pressure.update(0.9)
    times(6, () => slow.note(501, 0))
    assert.isTrue(pressure.isPressed)
    pressure.update(0.1)
    assert.isTrue(slow.isSlow)
  })

  it("mark sets it at once, and a run of fast sends clears it", () => {
    const slow = new Slow()
    assert.isTrue(slow.mark())
    assert.isFalse(slow.mark())
    times(10, () => slow.note(1, 0))
    assert.isFalse(slow.isSlow)
  })

  it("with no slow send allowed the first one sets it", () => {
    const slow = new Slow({ ...defaults, slowEventsMax: 0 })
    assert.isTrue(slow.note(501, 0))
  })
})
