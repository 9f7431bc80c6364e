import { assert, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { type DeadlineEntry, Deadlines } from "../src/internal/deadlines.js"

it.prop(
  "whichever entries are removed, the others come up in order",
  [FastCheck.array(FastCheck.tuple(FastCheck.nat(1_000), FastCheck.boolean()), { minLength: 8, maxLength: 40 })],
  ([specs]) => {
    const deadlines = new Deadlines<DeadlineEntry>()
    const entries = specs.map((): DeadlineEntry => ({ dueAt: Infinity, heapIndex: -1 }))
    for (const [i, [dueAt]] of specs.entries()) deadlines.ensure(entries[i]!, dueAt)
    for (const [i, [, isRemoved]] of specs.entries()) if (isRemoved) deadlines.remove(entries[i]!)
    const left = specs.filter(([, isRemoved]) => !isRemoved).map(([dueAt]) => dueAt).sort((a, b) => a - b)
    assert.deepStrictEqual(left.map(() => deadlines.popDue(1_000)?.dueAt), left)
  }
)

const command = FastCheck.record({
  does: FastCheck.constantFrom("ensure", "ensure", "ensure", "remove", "pop"),
  entry: FastCheck.nat(15),
  at: FastCheck.oneof(FastCheck.nat(100), FastCheck.constant(Infinity))
})

it.prop(
  "the heap agrees with a naive table after every command",
  [FastCheck.array(command, { maxLength: 200 })],
  ([commands]) => {
    const deadlines = new Deadlines<DeadlineEntry>()
    const entries = Array.from({ length: 16 }, (): DeadlineEntry => ({ dueAt: Infinity, heapIndex: -1 }))
    const model = new Map<DeadlineEntry, number>()
    const earliest = () => Math.min(Infinity, ...model.values())
    for (const { at, does, entry: index } of commands) {
      const entry = entries[index]!
      if (does === "ensure") {
        const before = earliest()
        const isFirst = deadlines.ensure(entry, at)
        if (at < (model.get(entry) ?? Infinity)) model.set(entry, at)
        if (at < before) assert.isTrue(isFirst)
      } else if (does === "remove") {
        deadlines.remove(entry)
        model.delete(entry)
      } else {
        const popped = deadlines.popDue(at)
        assert.strictEqual(popped === undefined, earliest() > at || model.size === 0)
        if (popped !== undefined) {
          assert.strictEqual(model.get(popped), earliest())
          model.delete(popped)
        }
      }
      assert.deepStrictEqual([deadlines.size, deadlines.nextDueAt], [model.size, earliest()])
      for (const each of entries) assert.strictEqual(each.heapIndex >= 0, model.has(each))
    }
  }
)
