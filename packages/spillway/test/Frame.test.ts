import { assert, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import * as Frame from "../src/Frame.js"

it.prop("toBytes, toText and byteLengthWith agree for any text and number", [
  FastCheck.string({ unit: "grapheme" }),
  FastCheck.string({ unit: "grapheme" }),
  FastCheck.maxSafeNat()
], ([head, tail, seq]) => {
  const frame = Frame.sequenced(head, tail)
  const text = `${head}${seq}${tail}`
  assert.strictEqual(Frame.toText(frame, seq), text)
  assert.strictEqual(Frame.byteLengthWith(frame, seq), Frame.text(text).byteLength)
  assert.deepStrictEqual([...Frame.toBytes(frame, seq)], [...Frame.text(text).data])
})

it("a frame without a number is its own bytes, not a copy", () => {
  const bytes = new Uint8Array([1, 2, 3])
  const frame = Frame.binary(bytes)
  assert.strictEqual(Frame.toBytes(frame, 9), bytes)
  assert.strictEqual(Frame.byteLengthWith(frame, 9), 3)
  assert.deepStrictEqual([frame.binary, Frame.fromBytes(bytes, { binary: false }).binary], [true, false])
})

it("byteLength is bytes, not characters", () => assert.strictEqual(Frame.text("€").byteLength, 3))
