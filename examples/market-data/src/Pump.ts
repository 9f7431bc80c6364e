/**
 * The clock of the feed: publishes what is due, a few milliseconds' worth at a time. What a machine cannot keep up with is
 * not made up for later, or the feed would never let the sessions write.
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
const behindMillisMax = 100

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
      if (isPaused) due = 0
      const count = Math.floor(due)
      due -= count
      return count === 0 ? Effect.void : feed.publish(count)
    })
    if (updatesPerSecond > 0) {
      yield* Effect.forkScoped(Effect.repeat(lock.withPermits(1)(step), Schedule.spaced(interval)))
    }
    return {
      pause: (paused) =>
        lock.withPermits(1)(Effect.sync(() => {
          isPaused = paused
        }))
    }
  })
)
