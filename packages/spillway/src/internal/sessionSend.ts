/** Sending as effects: waiting for room, and for the fate of a message. */
import * as Effect from "effect/Effect"
import * as Lane from "../Lane.js"
import type { Message } from "../Message.js"
import type { Delivery, Outcome } from "../Outcome.js"
import * as Outcomes from "../Outcome.js"
import { WOULD_WAIT } from "./laneQueue.js"
import { type Item, Tracked } from "./sessionItem.js"
import type { SessionWriter } from "./sessionWriter.js"

/** The outcome of nearly every offer, made once. */
const succeedQueued: Effect.Effect<Outcome> = Effect.succeed(Outcomes.queued)

const toEffect = (outcome: Outcome): Effect.Effect<Outcome> =>
  outcome === Outcomes.queued ? succeedQueued : Effect.succeed(outcome)

/** Offers, waiting for room if the policy says so. Interruption takes the waiting offer back. */
const offerWaiting = (writer: SessionWriter, item: Item, message: Message): Effect.Effect<Outcome> =>
  // The mask protects the window between joining the waiters and having the cleanup in place.
  Effect.uninterruptibleMask((restore) => {
    let settled: Outcome | undefined = undefined
    let wake: ((outcome: Outcome) => void) | undefined = undefined
    const onCode = (code: number): void => {
      settled = writer.offered(code, message.frame, lane, writer.now)
      wake?.(settled)
    }
    const lane = Lane.toIndex(message.lane)
    const { key, maxAgeMillis } = message
    const bytes = writer.bytesOf(message, lane)
    const waiter = writer.outbox.offerOrWait(item, bytes, lane, key, maxAgeMillis, writer.now, onCode)
    if (typeof waiter === "number") return Effect.succeed(writer.offered(waiter, message.frame, lane, writer.now))
    const suspended = Effect.async<Outcome>((resume) => {
      wake = (outcome) => resume(Effect.succeed(outcome))
      if (settled !== undefined) wake(settled)
    })
    return Effect.onInterrupt(restore(suspended), () => Effect.sync(() => writer.outbox.cancel(waiter, writer.now)))
  })

/** Offers a message, waiting for room where the policy says so. */
export const send = (writer: SessionWriter, message: Message): Effect.Effect<Outcome> =>
  Effect.suspend(() => {
    if (writer.sealed) return Effect.succeed(Outcomes.rejected("Closed"))
    const now = writer.now
    const lane = Lane.toIndex(message.lane)
    const bytes = writer.bytesOf(message, lane)
    const code = writer.outbox.attempt(message.frame, bytes, lane, message.key, message.maxAgeMillis, now)
    return code === WOULD_WAIT
      ? offerWaiting(writer, message.frame, message)
      : toEffect(writer.offered(code, message.frame, lane, now))
  })

/** Offers a message and waits for its fate: sent, or in which way it was not. */
export const deliver = (writer: SessionWriter, message: Message): Effect.Effect<Delivery> =>
  Effect.suspend(() => {
    let settled: Delivery | undefined = undefined
    let wake: ((delivery: Delivery) => void) | undefined = undefined
    const item = new Tracked(message.frame, (delivery) => {
      settled = delivery
      wake?.(delivery)
    })
    const awaitFate = Effect.async<Delivery>((resume) => {
      if (settled !== undefined) return resume(Effect.succeed(settled))
      wake = (delivery) => resume(Effect.succeed(delivery))
    })
    if (writer.sealed) return Effect.succeed(Outcomes.rejected("Closed"))
    return Effect.flatMap(
      offerWaiting(writer, item, message),
      (outcome): Effect.Effect<Delivery> => outcome._tag === "Rejected" ? Effect.succeed(outcome) : awaitFate
    )
  })
