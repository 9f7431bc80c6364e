import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { BudgetState, largest } from "../src/internal/budgetState.js"

const marks = { shedBulk: 0.7, shedImportant: 0.85, hint: 0.92, refuse: 0.95, end: 1, margin: 0.05 }
const parameters = {
  seed: Number(process.env["LAWS_SEED"] ?? 20_261_125),
  numRuns: Number(process.env["LAWS_RUNS"] ?? 300)
}

describe("BudgetState", () => {
  it("each level begins at its mark and ends the margin below it", () => {
    const state = new BudgetState(marks)
    const at = (load: number) => {
      state.note(load, 0)
      return state.level
    }
    assert.deepStrictEqual([0.69, 0.7, 0.84, 0.85, 0.92, 0.95, 0.99, 1].map(at), [0, 1, 1, 2, 3, 4, 4, 5])
    assert.deepStrictEqual([0.96, 0.951, 0.94, 0.9, 0.88, 0.86, 0.81, 0.79, 0.66, 0.64].map(at), [
      5,
      5,
      4,
      4,
      3,
      2,
      2,
      1,
      1,
      0
    ])
  })

  it("the delay of the event loop sheds and refuses, and ends no session", () => {
    const state = new BudgetState(marks)
    state.note(0.1, 0.8)
    assert.strictEqual(state.level, 1)
    state.note(0.1, 50)
    assert.strictEqual(state.level, 4)
    state.note(1, 50)
    assert.strictEqual(state.level, 5)
  })

  it("the level is a function of the load and the level before, between the two that the marks allow", () => {
    const all = [marks.shedBulk, marks.shedImportant, marks.hint, marks.refuse, marks.end]
    let hung = 0
    FastCheck.assert(
      FastCheck.property(FastCheck.array(FastCheck.integer({ min: 0, max: 110 }), { maxLength: 50 }), (loads) => {
        const state = new BudgetState(marks)
        let before = 0
        for (const load of loads) {
          const changed = state.note(load / 100, 0)
          const least = all.filter((mark) => load / 100 >= mark).length
          const most = all.filter((mark) => load / 100 >= mark - marks.margin).length
          // Hysteresis: what was reached stays, as far as it may.
          assert.strictEqual(state.level, Math.max(least, Math.min(before, most)))
          assert.strictEqual(changed, state.level !== before)
          if (state.level > least) hung++
          before = state.level
        }
      }),
      parameters
    )
    assert.isAbove(hung, 0)
  })

  it("largest finds the largest, largest first, and none of size 0", () => {
    const sizes = FastCheck.array(FastCheck.oneof(FastCheck.nat({ max: 5 }), FastCheck.nat()), { maxLength: 60 })
    FastCheck.assert(
      FastCheck.property(sizes, FastCheck.nat({ max: 20 }), (all, count) => {
        const expected = all.filter((size) => size > 0).sort((a, b) => b - a).slice(0, count)
        assert.deepStrictEqual(largest(all, (size) => size, count), expected)
      }),
      parameters
    )
  })
})
