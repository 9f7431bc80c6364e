/**
 * The clock of the feed: a few milliseconds' worth of prices at a time, then the sessions write.
 *
 * With many sessions there are more offers to make than a machine can: 20,000 prices for 200 sessions are 4 million a second. So
 * one step makes a limited number, and a symbol whose turn comes later has a later price by then. The delay of the event
 * loop stays small, which the delivery window would take for a slow link.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { Feed } from "./Feed.js"
import { Settings } from "./Settings.js"

export interface PumpShape {
  /** Stops the feed, or lets it go on. Who waits for it knows that nothing more is published. */
  readonly pause: (isPaused: boolean) => Effect.Effect<void>
}

export class Pump extends Context.Tag("@spillway-examples/market-data/Pump")<Pump, PumpShape>() {}

const interval = Duration.millis(5)

/** The most that one step makes up for. */
const behindMillisMax = 1_000

/** About 10 ms of work. */
const offersMax = 10_000

export const layer: Layer.Layer<Pump, never, Feed | Settings> = Layer.scoped(
  Pump,
  Effect.gen(function*() {
    const { updatesPerSecond } = yield* Settings
    const feed = yield* Feed
    const clock = yield* Effect.clock
    // A pause waits for the step that is being published.
    const lock = yield* Effect.makeSemaphore(1)
    let isPaused = false
    let lastAt = clock.unsafeCurrentTimeMillis()
    let due = 0
    const step = Effect.suspend(() => {
      const now = clock.unsafeCurrentTimeMillis()
      due += Math.min(now - lastAt, behindMillisMax) * updatesPerSecond / 1_000
      lastAt = now
      if (isPaused) {
        due = 0
        return Effect.void
      }
      const count = Math.floor(due)
      due -= count
      return feed.publish(count, offersMax)
    })
    if (updatesPerSecond > 0) {
      yield* Effect.forkScoped(Effect.repeat(lock.withPermits(1)(step), Schedule.spaced(interval)))
    }
    return {
      pause: (paused) =>
        lock.withPermits(1)(Effect.suspend(() => {
          isPaused = paused
          // What had to wait, all of it.
          return feed.publish(0)
        }))
    }
  })
)
