import { assert, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import * as json from "../src/internal/json.js"
import { InvalidMessage } from "../src/SpillwayError.js"

it.prop("parse is JSON.parse for whatever JSON.stringify writes within the depth", [
  FastCheck.jsonValue({ maxDepth: 10 })
], ([value]) => {
  const text = JSON.stringify(value)
  const parsed = json.parse(text)
  if (parsed instanceof InvalidMessage) assert.include(parsed.explanation, "__proto__")
  else assert.deepStrictEqual(parsed, JSON.parse(text))
})

it.prop("parse never throws, whatever the text", [FastCheck.string({ unit: "binary", maxLength: 200 })], ([text]) => {
  json.parse(text)
})

it.prop("parse never throws on broken JSON", [FastCheck.json(), FastCheck.nat(), FastCheck.nat()], ([text, a, b]) => {
  json.parse(text.slice(a % (text.length + 1)))
  json.parse(text.slice(0, b % (text.length + 1)))
})
