/**
 * Deadlines that one fiber watches: it sleeps until the nearest, and costs nothing while there is none. What ends before its
 * deadline is removed without waking anybody.
 */
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

export interface Deadline {
  /** Milliseconds since the epoch. */
  dueAt: number
  onDue(now: number): void
}

export class DeadlineSet {
  private readonly items = new Set<Deadline>()
  /** When the fiber wakes at the latest; it sleeps only in between. */
  private armedAt = -Infinity
  private wake: (() => void) | undefined = undefined

  constructor(private readonly clock: Clock.Clock) {}

  get size(): number {
    return this.items.size
  }

  add(item: Deadline, dueAt: number): void {
    item.dueAt = dueAt
    this.items.add(item)
    if (dueAt < this.armedAt) this.rearm()
  }

  remove(item: Deadline): void {
    this.items.delete(item)
  }

  /** To be run in a fiber of its own. */
  readonly run: Effect.Effect<never> = Effect.forever(Effect.suspend(() => {
    const now = this.clock.unsafeCurrentTimeMillis()
    const nextAt = this.fire(now)
    // What fired may have added something nearer.
    if (nextAt <= now) return Effect.yieldNow()
    this.armedAt = nextAt
    const rearmed = Effect.async<void>((resume) => {
      if (this.armedAt === -Infinity) return resume(Effect.void)
      this.wake = () => resume(Effect.void)
      return undefined
    })
    return nextAt === Infinity ? rearmed : Effect.raceFirst(Effect.sleep(nextAt - now), rearmed)
  }))

  private rearm(): void {
    this.armedAt = -Infinity
    const { wake } = this
    this.wake = undefined
    wake?.()
  }

  /** Fires what is due; the time of the next. */
  private fire(now: number): number {
    this.armedAt = -Infinity
    this.wake = undefined
    for (const item of [...this.items]) {
      if (item.dueAt > now || !this.items.delete(item)) continue
      item.onDue(now)
    }
    let nextAt = Infinity
    for (const { dueAt } of this.items) if (dueAt < nextAt) nextAt = dueAt
    return nextAt
  }
}
