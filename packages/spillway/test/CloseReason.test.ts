import { assert, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as CloseReason from "../src/CloseReason.js"
import * as Frame from "../src/Frame.js"

const bytesOf = (text: string) => Frame.text(text).byteLength

it("the registry: unique names and codes, sendable, reasons of at most 123 bytes, in order", () => {
  const codes = CloseReason.registry.map(({ code }) => code)
  assert.strictEqual(new Set(codes).size, codes.length)
  assert.strictEqual(new Set(CloseReason.registry.map(({ name }) => name)).size, codes.length)
  assert.deepStrictEqual(codes, [...codes].sort((a, b) => a - b))
  for (const { code, description, reason } of CloseReason.registry) {
    assert.isTrue(CloseReason.isSendable(code), String(code))
    assert.isAtMost(bytesOf(reason), CloseReason.reasonBytesMax)
    assert.isNotEmpty(description)
  }
})

it("codes of the library's own: 4000 to 4099 mean reconnect, 4500 to 4599 stop", () => {
  for (const { code, reconnect } of CloseReason.registry.filter(({ code }) => code >= 4000)) {
    assert.isTrue(reconnect ? code < 4100 : code >= 4500 && code < 4600, String(code))
  }
})

it("1004, 1005, 1006, 1015, and what is outside the ranges, may not be sent", () => {
  for (const code of [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, -1, 1000.5, NaN, Infinity]) {
    assert.isFalse(CloseReason.isSendable(code), String(code))
    assert.strictEqual(Either.getLeft(CloseReason.make(code))._tag, "Some")
  }
  for (const code of [1000, 1003, 1007, 1014, 3000, 4999]) assert.isTrue(CloseReason.isSendable(code), String(code))
})

it.prop("a reason is cut to 123 bytes at a character, and what fits is kept", [
  FastCheck.string({ unit: "grapheme", maxLength: 150 })
], ([text]) => {
  const { reason } = CloseReason.withReason(CloseReason.normal, text)
  assert.isAtMost(bytesOf(reason), 123)
  assert.isTrue(text.startsWith(reason))
  if (bytesOf(text) <= 123) assert.strictEqual(reason, text)
  else assert.isAtLeast(bytesOf(reason), 120)
})
