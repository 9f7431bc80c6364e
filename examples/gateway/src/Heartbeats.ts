/**
 * Heartbeats for the sessions of `/ws`: one fiber for all of them. Spillway can send heartbeats itself, but then to every
 * session, and `/echo` must not say anything that it was not told.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Protocol from "./Protocol.js"
import { Settings } from "./Settings.js"
import { Topics } from "./Topics.js"

const make = Effect.gen(function*() {
  const { heartbeatInterval } = yield* Settings
  const topics = yield* Topics
  if (!Duration.isFinite(heartbeatInterval)) return
  const beat = Effect.flatMap(
    Clock.currentTimeMillis,
    (now) => topics.forEachMember((session) => void session.unsafeOffer(Protocol.heartbeat(session.stats, now)))
  )
  yield* Effect.forkScoped(Effect.delay(Effect.repeat(beat, Schedule.fixed(heartbeatInterval)), heartbeatInterval))
})

export const layer: Layer.Layer<never, never, Settings | Topics> = Layer.scopedDiscard(make)
