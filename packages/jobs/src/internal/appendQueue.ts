/**
 * What waits for the store: bounded in items and bytes, taken in batches, in the order of the calls. Synchronous.
 *
 * An entry is queued, then taken, then settled; only a queued one can be withdrawn.
 */
import type * as Effect from "effect/Effect"
import type { AppendError } from "../JobError.js"
import type { Appended, AppendRequest } from "../JobStore.js"

export interface Waiting {
  readonly request: AppendRequest
  readonly byteLength: number
  readonly settle: (outcome: Effect.Effect<Appended, AppendError>) => void
  state: "queued" | "taken" | "withdrawn"
}

export class AppendQueue {
  private queue: Array<Waiting> = []
  private head = 0
  items = 0
  bytes = 0
  private wake: (() => void) | undefined = undefined

  constructor(private readonly itemsMax: number, private readonly bytesMax: number) {}

  /** The limit that one more would go over, if any. A queue that is empty takes an append of any size. */
  refuses(byteLength: number): "items" | "bytes" | undefined {
    if (this.items >= this.itemsMax) return "items"
    return this.items > 0 && this.bytes + byteLength > this.bytesMax ? "bytes" : undefined
  }

  add(waiting: Waiting): void {
    this.queue.push(waiting)
    this.items++
    this.bytes += waiting.byteLength
    this.wake?.()
  }

  withdraw(waiting: Waiting): void {
    if (waiting.state !== "queued") return
    waiting.state = "withdrawn"
    this.leave(waiting)
  }

  /** The next batch: at least one when anything waits. */
  take(itemsMax: number): ReadonlyArray<Waiting> {
    const batch: Array<Waiting> = []
    while (this.head < this.queue.length && batch.length < itemsMax) {
      const waiting = this.queue[this.head++]!
      if (waiting.state !== "queued") continue
      waiting.state = "taken"
      this.leave(waiting)
      batch.push(waiting)
    }
    if (this.head === this.queue.length) {
      this.queue = []
      this.head = 0
    } else if (this.head > 1024) {
      this.queue = this.queue.slice(this.head)
      this.head = 0
    }
    return batch
  }

  /** Calls back once something waits; at once if it does already. Returns how to stop waiting. */
  whenAny(callback: () => void): () => void {
    if (this.items > 0) {
      callback()
      return () => {}
    }
    this.wake = () => {
      this.wake = undefined
      callback()
    }
    return () => {
      this.wake = undefined
    }
  }

  private leave(waiting: Waiting): void {
    this.items--
    this.bytes -= waiting.byteLength
  }
}
