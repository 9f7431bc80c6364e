import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Supervisor from "effect/Supervisor"
import * as Message from "../src/Message.js"
import type { Inbound } from "../src/Session.js"
import { settle, test, watch } from "./support.js"

describe("runForEach", () => {
  test(
    "messages are handled once and in order, by a function, an effect that is done at once, or one that suspends",
    {},
    (rig) =>
      Effect.gen(function*() {
        const seen: Array<string> = []
        const { client } = yield* rig.open((session) =>
          session.runForEach(({ text }) => {
            const note = Effect.sync(() => seen.push(text))
            switch (Number(text) % 5) {
              case 0:
                return Effect.zipRight(Effect.yieldNow(), note)
              case 1:
                return note
              case 2:
                return Effect.gen(function*() {
                  yield* note
                  yield* Effect.yieldNow()
                })
              default:
                return void seen.push(text)
            }
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
    "a fiber is not resumed for effects that are done at once, and is for others",
    {},
    (rig) =>
      Effect.gen(function*() {
        let resumed = 0
        const counter = new (class extends Supervisor.AbstractSupervisor<void> {
          override get value() {
            return Effect.void
          }
          override onResume() {
            resumed++
          }
        })()
        const { client, session } = yield* rig.open()
        const handle = ({ text }: Inbound) =>
          text === "wait" ? Effect.yieldNow() : Effect.asVoid(session.send(Message.text(text)))
        const fiber = yield* Effect.fork(Effect.supervised(session.runForEach(handle), counter))
        yield* settle
        resumed = 0
        for (const text of ["a", "b", "c"]) {
          yield* client.send(text)
          yield* settle
        }
        assert.strictEqual(resumed, 0)
        yield* client.send("wait")
        yield* settle
        assert.isAbove(resumed, 0)
        const echoed = [yield* client.take, yield* client.take, yield* client.take]
        assert.deepStrictEqual(echoed.map((message) => message.text), ["a", "b", "c"])
        yield* Fiber.interrupt(fiber)
      })
  )

  test(
    "an effect that fails or dies while the loop waits crashes the session with 1011",
    {},
    (rig) =>
      Effect.gen(function*() {
        for (const effect of [Effect.fail("no"), Effect.sync(() => assert.fail("boom")), Effect.die("boom")]) {
          const { client, session } = yield* rig.open((session) =>
            session.runForEach(() => Effect.zipRight(Effect.void, effect))
          )
          const awaitEnding = yield* watch(session)
          yield* client.send("x")
          assert.strictEqual((yield* awaitEnding).report.exit._tag, "Crashed")
          assert.strictEqual((yield* client.awaitEnd).code, 1011)
        }
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
