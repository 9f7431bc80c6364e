/**
 * The laws of the outbox can fail: each of these is wrong in one way, and its law says so.
 */
import { assert, describe, it } from "@effect/vitest"
import * as OutboxLaws from "@spillway/testing/OutboxLaws"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Outbox from "spillway/Outbox"
import * as Outcome from "spillway/Outcome"
import * as Overflow from "spillway/Overflow"

type Box = Outbox.Outbox<number>

const broken = (change: (inner: Box) => Partial<Box>): OutboxLaws.MakeOutbox => (bounds) =>
  Effect.map(Outbox.make<number>(bounds), (inner) => ({ ...inner, ...change(inner) }))

const caught = (name: string, law: keyof typeof OutboxLaws.all, change: (inner: Box) => Partial<Box>, by: RegExp) =>
  it.scoped(`${name} (${law})`, () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(OutboxLaws.all[law].check({ make: broken(change) }))
      assert.match(error.message, by)
    }).pipe(Effect.provide(Overflow.layerDefault)))

const loses = (inner: Box) => {
  let count = 0
  return (message: Outbox.Offer<number>) => ++count % 7 === 0 ? Outcome.queued : inner.unsafeOffer(message)
}

describe("an outbox is caught that", () => {
  caught(
    "loses a message and says it is queued",
    "model",
    (inner) => ({ unsafeOffer: loses(inner) }),
    /outcome of offer|offered|I2/
  )
  caught("forgets keys", "model", (inner) => ({
    unsafeOffer: (message) => inner.unsafeOffer({ ...message, key: undefined })
  }), /outcome of offer/)
  caught("never expires", "model", (inner) => ({
    unsafeOffer: (message) => inner.unsafeOffer({ ...message, maxAge: undefined })
  }), /what is taken|expired|outcome/)
  caught("takes bulk for important", "model", (inner) => ({
    unsafeOffer: (message) => inner.unsafeOffer(message.lane === "bulk" ? { ...message, lane: "important" } : message)
  }), /important|bulk/)
  caught("gives nothing", "model", () => ({ unsafePoll: () => Option.none() }), /what is taken|taken|expired/)
  caught("does not let offers wait", "inOrder", (inner) => ({
    offer: (message) => Effect.sync(() => inner.unsafeOffer(message))
  }), /offers that wait/)
  caught("keeps what was interrupted", "interruptedOffer", (inner) => ({
    offer: (message) => Effect.disconnect(Effect.uninterruptible(inner.offer(message)))
  }), /waiters after one was interrupted/)
  caught("loses what an interrupted take had", "interruptedTake", (inner) => ({
    take: Effect.zipLeft(Effect.uninterruptible(inner.take), Effect.yieldNow())
  }), /takers that got the message/)
  caught("returns everything twice", "shutdown", (inner) => {
    const first = Effect.runSync(Effect.cached(inner.shutdown))
    return { shutdown: first }
  }, /second time/)
})
