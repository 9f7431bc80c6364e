import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Session from "../src/Session.js"
import { assertConserved, critical, openFull, settle, test, texts } from "./support.js"

const small = { outboxItemsMax: 10 }

describe("interruption", () => {
  test(
    "a send that is interrupted while it waits was never offered, and leaves no waiter",
    { session: small },
    (rig) =>
      Effect.gen(function*() {
        const pair = yield* openFull(rig)
        const waits: ReadonlyArray<Effect.Effect<unknown>> = [
          pair.session.send(critical("no")),
          pair.session.deliver(critical("no"))
        ]
        for (const effect of waits) {
          const fiber = yield* Effect.fork(effect)
          yield* settle
          yield* Fiber.interrupt(fiber)
        }
        yield* pair.client.unstall
        yield* settle
        assert.notInclude(yield* texts(pair.client), "no")
        assert.strictEqual(pair.session.stats.lanes.critical.offered, 10)
      })
  )

  test(
    "S13 a send interrupted at any of its steps is offered entirely or not at all",
    { session: small },
    (rig) =>
      Effect.gen(function*() {
        const pair = yield* openFull(rig)
        for (let step = 0; step < 40; step++) {
          yield* interruptAt(step, pair.session.send(critical("no")))
          yield* interruptAt(step, pair.session.deliver(critical("no")))
        }
        yield* pair.client.unstall
        yield* settle
        assert.notInclude(yield* texts(pair.client), "no")
        assertConserved(pair.session.stats.lanes)
      })
  )

  test("S13 a receive interrupted at any of its steps loses no message", {}, (rig) =>
    Effect.gen(function*() {
      const { client, session } = yield* rig.open()
      const seen: Array<string> = []
      // Not `map`, which has a step of its own between the value and its function.
      const receive = Effect.flatMap(session.receive, (inbound) => {
        seen.push(Option.getOrThrow(inbound).text)
        return Effect.void
      })
      for (let step = 0; step < 80; step++) {
        if (step % 2 === 0) yield* client.send(`${step}`)
        yield* settle
        yield* interruptAt(step >> 1, receive)
        yield* settle
      }
      while (session.stats.unreadMessages > 0) yield* receive
      assert.deepStrictEqual(seen, Array.from({ length: 40 }, (_, i) => `${2 * i}`))
    }))

  test("interrupted waits of every kind leave the session as it was", {}, (rig) =>
    Effect.gen(function*() {
      const { client, session } = yield* rig.open()
      const before = rig.fibers().length
      const waits = [session.receive, session.awaitExit, session.awaitShutdown, session.sleepUntilShutdown("1 hour")]
      for (const wait of [...waits, Stream.runDrain(session.messages), session.runForEach(() => Effect.void)]) {
        const fiber = yield* Effect.fork(wait)
        yield* settle
        yield* Fiber.interrupt(fiber)
      }
      yield* client.send("still here")
      assert.strictEqual(Option.getOrThrow(yield* session.receive).text, "still here")
      assert.strictEqual(rig.fibers().length, before)
    }))
})

/** An effect that takes so many steps more. */
const spin = (steps: number, effect: Effect.Effect<unknown>): Effect.Effect<unknown> =>
  Effect.suspend(() => steps === 0 ? effect : spin(steps - 1, effect))

/** Interrupts an effect after so many of its steps: there the scheduler takes its fiber off, after 2,048 in a row. */
const interruptAt = (step: number, effect: Effect.Effect<unknown>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(spin(2_048 - step, effect))
    yield* Effect.yieldNow()
    yield* Fiber.interrupt(fiber)
  })

it("statusOf: slow wins over pressure, ending over both", () => {
  const stats = { state: "open", slow: true, pressure: true } as Session.Stats
  assert.strictEqual(Session.statusOf(stats), "slow_consumer")
  assert.strictEqual(Session.statusOf({ ...stats, state: "draining" }), "draining")
  assert.strictEqual(Session.statusOf({ ...stats, slow: false, pressure: false }), "connected")
})
