import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { settle, test, watch } from "./support.js"

describe("runForEach", () => {
  test(
    "messages are handled once and in order, whether at once or by an effect that suspends",
    {},
    (rig) =>
      Effect.gen(function*() {
        const seen: Array<string> = []
        const { client } = yield* rig.open((session) =>
          session.runForEach(({ text }) => {
            if (Number(text) % 3 !== 0) return void seen.push(text)
            return Effect.zipRight(Effect.yieldNow(), Effect.sync(() => seen.push(text)))
          })
        )
        const sent = Array.from({ length: 60 }, (_, n) => String(n))
        for (const text of sent) {
          yield* client.send(text)
          if (Number(text) % 7 === 0) yield* settle
        }
        yield* settle
        assert.deepStrictEqual(seen, sent)
      })
  )

  test(
    "a function that throws while the loop waits crashes the session with 1011",
    {},
    (rig) =>
      Effect.gen(function*() {
        const { client, session } = yield* rig.open((session) =>
          session.runForEach(() => {
            throw new Error("boom")
          })
        )
        const awaitEnding = yield* watch(session)
        yield* client.send("x")
        const { report } = yield* awaitEnding
        assert.strictEqual(report.exit._tag, "Crashed")
        assert.strictEqual((yield* client.awaitEnd).code, 1011)
      })
  )

  test(
    "after an interruption the function is not called, and the message is there for the next reader",
    {},
    (rig) =>
      Effect.gen(function*() {
        const seen: Array<string> = []
        const { client, session } = yield* rig.open()
        const fiber = yield* Effect.fork(session.runForEach(({ text }) => void seen.push(text)))
        yield* settle
        yield* client.send("first")
        yield* settle
        yield* Fiber.interrupt(fiber)
        yield* client.send("second")
        yield* settle
        assert.deepStrictEqual(seen, ["first"])
        const next = yield* session.receive
        assert.strictEqual(next._tag === "Some" ? next.value.text : "none", "second")
      })
  )

  test(
    "A116 a function that returns nothing gets what came before it started, first",
    {},
    (rig) =>
      Effect.gen(function*() {
        const seen: Array<string> = []
        const { client, session } = yield* rig.open()
        yield* client.send("early")
        yield* settle
        const fiber = yield* Effect.fork(session.runForEach(({ text }) => void seen.push(text)))
        yield* settle
        yield* client.send("late")
        yield* settle
        assert.deepStrictEqual(seen, ["early", "late"])
        yield* Fiber.interrupt(fiber)
      })
  )
})
