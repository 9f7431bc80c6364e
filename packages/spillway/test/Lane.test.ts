import { assert, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import * as Lane from "../src/Lane.js"

it("lanes are ordered, and index and lane are inverse", () => {
  assert.deepStrictEqual(Lane.all.map(Lane.toIndex), [0, 1, 2, 3])
  assert.deepStrictEqual(([0, 1, 2, 3] as const).map(Lane.fromIndex), [...Lane.all])
  assert.deepStrictEqual(Object.keys(Lane.perLane((lane) => lane)), [...Lane.all])
})

it("only lanes are lanes", () => {
  for (const lane of Lane.all) assert.isTrue(Lane.isLane(lane) && Schema.is(Lane.LaneSchema)(lane))
  for (const other of ["", "Control", "urgent", 0, null, undefined, {}]) {
    assert.isFalse(Lane.isLane(other) || Schema.is(Lane.LaneSchema)(other))
  }
})
