import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import * as Frame from "spillway/Frame"
import * as Protocol from "../src/Protocol.js"

const decode = (text: string) => Effect.runSync(Effect.either(Protocol.decodeClientFrame(text)))

const parameter = (text: string) => Schema.decodeEither(Protocol.TopicsParameter)(text)

const jsonOf = (message: { readonly frame: Frame.Frame }, seq = 0) => JSON.parse(Frame.toText(message.frame, seq))

describe("Protocol", () => {
  const good: ReadonlyArray<unknown> = [
    { type: "ping" },
    { type: "subscribe", topics: ["a"] },
    { type: "unsubscribe", topics: ["a", "b.c:d-e_f"] },
    { type: "publish", topic: "a", data: null },
    { type: "publish", topic: "a", lane: "bulk", key: "k", data: { deep: [1, "two", false] } },
    { type: "publish", topic: "a", lane: "important", data: "text" }
  ]
  it("every client frame of the contract decodes to itself", () => {
    for (const frame of good) assert.deepStrictEqual(Either.getOrThrow(decode(JSON.stringify(frame))) as unknown, frame)
  })

  const bad: ReadonlyArray<readonly [string, string]> = [
    ["not JSON", "hello"],
    ["nothing", ""],
    ["JSON that is no object", "42"],
    ["an unknown type", `{"type":"shout"}`],
    ["no topics", `{"type":"subscribe"}`],
    ["an empty list of topics", `{"type":"subscribe","topics":[]}`],
    ["topics that are no list", `{"type":"subscribe","topics":"a"}`],
    ["more topics than a session may have", JSON.stringify({ type: "subscribe", topics: Array(129).fill("a") })],
    ["a topic with a blank", `{"type":"subscribe","topics":["a b"]}`],
    ["an empty topic", `{"type":"subscribe","topics":[""]}`],
    ["a topic that is too long", JSON.stringify({ type: "subscribe", topics: ["a".repeat(129)] })],
    ["a publication without data", `{"type":"publish","topic":"a"}`],
    ["a publication without topic", `{"type":"publish","data":1}`],
    ["the lane critical", `{"type":"publish","topic":"a","lane":"critical","data":1}`],
    ["the lane control", `{"type":"publish","topic":"a","lane":"control","data":1}`],
    ["a key that is no text", `{"type":"publish","topic":"a","key":1,"data":1}`],
    ["the key __proto__", `{"type":"publish","topic":"a","data":{"__proto__":1}}`],
    ["nesting without end", `{"type":"publish","topic":"a","data":${"[".repeat(10_000)}${"]".repeat(10_000)}}`]
  ]
  for (const [name, text] of bad) {
    it(`${name} is refused from a client`, () => {
      assert.isTrue(Either.isLeft(decode(text)))
    })
  }

  it("a topic message has its fields in the order of the contract, with its number filled in", () => {
    const message = Protocol.topicMessage("a", { lane: "bulk", data: { x: "é" } })
    assert.strictEqual(
      Frame.toText(message.frame, 12),
      `{"type":"message","topic":"a","lane":"bulk","seq":12,"data":{"x":"é"}}`
    )
    assert.strictEqual(message.lane, "bulk")
  })

  it("equal keys of different topics do not conflate", () => {
    const key = (topic: string) => Protocol.topicMessage(topic, { lane: "bulk", key: "k", data: 1 }).key
    assert.notStrictEqual(key("a"), key("b"))
    assert.isUndefined(Protocol.topicMessage("a", { lane: "bulk", data: 1 }).key)
  })

  it("everything but topic messages travels in control and consumes no number", () => {
    const messages = [
      Protocol.pong,
      Protocol.error("bad_frame", "why"),
      Protocol.draining({ afterMillis: 1, jitterMillis: 2 }),
      Protocol.welcome({ session: "s", topics: [], payloadBytesMax: 1, now: 0 })
    ]
    for (const message of messages) {
      assert.strictEqual(message.lane, "control")
      assert.isUndefined(message.frame.tail)
    }
  })

  it("the drain notice says after how many whole milliseconds and with what jitter", () => {
    assert.deepStrictEqual(jsonOf(Protocol.draining({ afterMillis: 1.4, jitterMillis: 5000 })), {
      type: "draining",
      afterMs: 1,
      jitterMs: 5000
    })
  })

  it("an error is cut when its explanation is very long", () => {
    assert.isBelow(jsonOf(Protocol.error("bad_frame", "x".repeat(100_000))).message.length, 600)
  })

  it("the topics of the handshake are a list without repeats, and may be none", () => {
    assert.deepStrictEqual(Either.getOrThrow(parameter("a,b,a,")), ["a", "b"])
    assert.deepStrictEqual(Either.getOrThrow(parameter("")), [])
    assert.isTrue(Either.isLeft(parameter("a,b c")))
    assert.isTrue(Either.isLeft(parameter(Array.from({ length: 129 }, (_, i) => `t${i}`).join(","))))
  })
})
