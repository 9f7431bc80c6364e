/**
 * Suspension for the ends of a memory connection: waiters that are looked at again whenever something changed.
 */
import * as Effect from "effect/Effect"

export class Signal {
  private readonly waiters = new Set<() => void>()

  /** Number of suspended waiters. */
  get waiting(): number {
    return this.waiters.size
  }

  /** Suspends until `ready`, which is asked at once and at each `notify`. It must not change anything. */
  wait(ready: () => boolean): Effect.Effect<void> {
    return Effect.suspend(() => {
      let waiter: (() => void) | undefined = undefined
      const waiting = Effect.async<void>((resume) => {
        if (ready()) return resume(Effect.void)
        waiter = () => {
          if (!ready()) return
          this.waiters.delete(waiter!)
          resume(Effect.void)
        }
        this.waiters.add(waiter)
      })
      // Around it, as `Effect.async` is ready to take back only a step after it registered.
      return Effect.onInterrupt(waiting, () => Effect.sync(() => waiter !== undefined && this.waiters.delete(waiter)))
    })
  }

  notify(): void {
    if (this.waiters.size === 0) return
    for (const waiter of [...this.waiters]) waiter()
  }
}
