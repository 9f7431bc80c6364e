import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Frame from "../src/Frame.js"
import * as Message from "../src/Message.js"
import { InvalidMessage } from "../src/SpillwayError.js"

const Tick = Message.define("Tick", {
  fields: { symbol: Schema.String, at: Schema.DateFromString },
  lane: "bulk",
  key: ({ symbol }) => symbol,
  maxAge: "1 second"
})

const refused = (text: string, schema: Schema.Schema<any, any> = Schema.Unknown) =>
  Effect.map(Effect.flip(Message.decoder(schema)(text)), (error) => {
    assert.instanceOf(error, InvalidMessage)
    return error.explanation
  })

const nested = (levels: number) => "[".repeat(levels) + "]".repeat(levels)

describe("Message", () => {
  it("a declared message carries its lane, key and age, and its encoded form", () => {
    const message = Tick({ symbol: "A", at: new Date(0) })
    assert.deepInclude({ ...message }, { lane: "bulk", key: "A", maxAgeMillis: 1_000 })
    assert.deepStrictEqual(JSON.parse(Frame.toText(message.frame, 0)), {
      _tag: "Tick",
      symbol: "A",
      at: "1970-01-01T00:00:00.000Z"
    })
    assert.isTrue(Message.isMessage(message))
  })

  it("fields that do not fit throw where the message is made", () => {
    assert.throws(() => Tick({ symbol: 1 as unknown as string, at: new Date(0) }))
  })

  it("without options a message is important, has no key and does not age", () => {
    assert.deepInclude({ ...Message.text("x") }, { lane: "important", key: undefined, maxAgeMillis: Infinity })
    assert.isTrue(Message.binary(new Uint8Array(1)).frame.binary)
    assert.strictEqual(Frame.toText(Message.jsonOf({ a: 1 }).frame, 0), "{\"a\":1}")
  })

  it.effect("a declared message is decoded by its own schema", () =>
    Effect.gen(function*() {
      const text = Frame.toText(Tick({ symbol: "A", at: new Date(5) }).frame, 0)
      assert.strictEqual((yield* Message.decoder(Tick.schema)(text)).at.getTime(), 5)
    }))

  it.effect("what is not JSON, or not of the schema, is an InvalidMessage and never a throw", () =>
    Effect.gen(function*() {
      for (const text of ["", "{", "nul", "{\"a\":1}}", "\u0000", "[1,]"]) {
        assert.include(yield* refused(text), "not JSON")
      }
      assert.include(yield* refused("{\"_tag\":\"Tick\",\"symbol\":1}", Tick.schema), "symbol")
      assert.include(yield* refused("null", Tick.schema), "Tick")
    }))

  it.effect("a depth bomb is refused before it is parsed, brackets in strings are not depth", () =>
    Effect.gen(function*() {
      for (const levels of [65, 3_000, 1_000_000]) assert.include(yield* refused(nested(levels)), "64 levels")
      assert.include(yield* refused("{\"a\":".repeat(3_000)), "64 levels")
      yield* Message.decoder(Schema.Unknown)(nested(64))
      yield* Message.decoder(Schema.Unknown)(JSON.stringify(`${nested(3_000)}\\"${nested(3_000)}`))
    }))

  it.effect("the key __proto__ is refused, also escaped and deep inside; as a value it is fine", () =>
    Effect.gen(function*() {
      const record = Schema.Record({ key: Schema.String, value: Schema.Unknown })
      for (const key of ["__proto__", "\\u005f_proto__", "\\u005F\\u005Fproto\\u005f_", "__pr\\u006fto__"]) {
        assert.include(yield* refused(`{"${key}":{"admin":true}}`, record), "__proto__")
        assert.include(yield* refused(`[{"a":{"${key}":null}}]`), "__proto__")
      }
      assert.deepStrictEqual(yield* Message.decoder(record)("{\"a\":\"__proto__ \\u0041\"}"), { a: "__proto__ A" })
      assert.isUndefined(({} as { admin?: boolean }).admin)
    }))

  it.effect("a recursive schema decodes what is as deep as is allowed", () =>
    Effect.gen(function*() {
      interface Tree {
        readonly kids: ReadonlyArray<Tree>
      }
      const Tree: Schema.Schema<Tree> = Schema.Struct({
        kids: Schema.Array(Schema.suspend((): Schema.Schema<Tree> => Tree))
      })
      const tree = (levels: number): string => "{\"kids\":[".repeat(levels) + "]}".repeat(levels)
      yield* Message.decoder(Tree)(tree(32))
      assert.include(yield* refused(tree(3_000), Tree), "64 levels")
    }))
})
