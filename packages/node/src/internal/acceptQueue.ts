/**
 * Bounded hand-over of connections from handshakes to whoever accepts them. An interrupted `accept` gives back what it
 * was handed and had not taken yet, which a `Queue` does not.
 */
import * as Effect from "effect/Effect"
import { TransportClosed } from "spillway/SpillwayError"
import type { Connection } from "spillway/Transport"

interface Waiter {
  /** Handed over and not taken yet. */
  connection: Connection | undefined
  readonly resume: (effect: Effect.Effect<Connection, TransportClosed>) => void
}

export class AcceptQueue {
  private queue: Array<Connection> = []
  /** In order of arrival. Never non-empty together with `queue`. */
  private readonly waiters = new Set<Waiter>()
  private closed = false

  constructor(private readonly itemsMax: number) {}

  get isClosed(): boolean {
    return this.closed
  }

  get hasRoom(): boolean {
    return !this.closed && this.queue.length < this.itemsMax
  }

  offer(connection: Connection): void {
    for (const waiter of this.waiters) {
      this.waiters.delete(waiter)
      return this.hand(connection, waiter)
    }
    this.queue.push(connection)
  }

  readonly accept: Effect.Effect<Connection, TransportClosed> = Effect.suspend(() => {
    let waiter: Waiter | undefined = undefined
    const waiting = Effect.async<Connection, TransportClosed>((resume) => {
      if (this.closed) return resume(Effect.fail(new TransportClosed()))
      waiter = { connection: undefined, resume }
      const first = this.queue.shift()
      if (first === undefined) this.waiters.add(waiter)
      else this.hand(first, waiter)
    })
    // Around it, as `Effect.async` is ready to take back only a step after it registered: a connection would be lost there.
    return Effect.onInterrupt(waiting, () => Effect.sync(() => waiter !== undefined && this.cancel(waiter)))
  })

  /** Takes no more and returns what nobody has taken. */
  close(): ReadonlyArray<Connection> {
    this.closed = true
    for (const waiter of this.waiters) waiter.resume(Effect.fail(new TransportClosed()))
    this.waiters.clear()
    const rest = this.queue
    this.queue = []
    return rest
  }

  private hand(connection: Connection, waiter: Waiter): void {
    waiter.connection = connection
    // Taken when the fiber runs, not now: it may have been interrupted in between.
    waiter.resume(Effect.sync(() => {
      waiter.connection = undefined
      return connection
    }))
  }

  private cancel(waiter: Waiter): void {
    this.waiters.delete(waiter)
    const connection = waiter.connection
    if (connection === undefined) return
    waiter.connection = undefined
    if (this.closed) return connection.terminate()
    for (const next of this.waiters) {
      this.waiters.delete(next)
      return this.hand(connection, next)
    }
    this.queue.unshift(connection)
  }
}
