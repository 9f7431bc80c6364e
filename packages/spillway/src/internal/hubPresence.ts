/**
 * Readers of presence: each has a bounded list of changes. One that lags too far gets all members anew, so that what it
 * knows is right again, whatever it missed.
 */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import type { PresenceEvent } from "../Hub.js"

export class Watcher {
  private events: Array<PresenceEvent> = []
  /** The next thing to read is all members: at the start, and after too many events. */
  private isStale = true
  private wake: (() => void) | undefined = undefined

  constructor(private readonly eventsMax: number, private readonly present: () => PresenceEvent) {}

  push(event: PresenceEvent): void {
    if (this.isStale) return
    if (this.events.length < this.eventsMax) this.events.push(event)
    else {
      this.events = []
      this.isStale = true
    }
    this.wake?.()
  }

  /** What happened since the last call; suspends until something has. One reader. */
  readonly take: Effect.Effect<Chunk.Chunk<PresenceEvent>> = Effect.suspend(() => {
    if (this.isStale) {
      this.isStale = false
      return Effect.succeed(Chunk.of(this.present()))
    }
    if (this.events.length > 0) {
      const events = this.events
      this.events = []
      return Effect.succeed(Chunk.unsafeFromArray(events))
    }
    return Effect.zipRight(this.changed, this.take)
  })

  private readonly changed: Effect.Effect<void> = Effect.async<void>((resume) => {
    this.wake = () => {
      this.wake = undefined
      resume(Effect.void)
    }
    return Effect.sync(() => {
      this.wake = undefined
    })
  })
}
