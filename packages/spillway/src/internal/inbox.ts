/**
 * The inbound buffer of one session: a ring bounded by items and bytes, with a single waiting reader.
 *
 * At the bound the connection is paused, at half of it resumed. What a socket read had already delivered when the pause
 * took effect is kept, so the buffer may exceed its bound by at most one read (64 KiB).
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as Frame from "../Frame.js"
import { runAtOnce } from "./atOnce.js"
import * as text from "./text.js"

/** One inbound message. */
export class Inbound {
  constructor(readonly data: Uint8Array, readonly binary: boolean) {}

  /** The payload as text (UTF-8). */
  get text(): string {
    return text.decode(this.data)
  }

  get frame(): Frame.Frame {
    return Frame.fromBytes(this.data, this)
  }
}

/** What a reader does with a message: at once, or with an effect that its fiber runs. */
export type OnMessage = (message: Inbound) => Effect.Effect<unknown, any, any> | void

/**
 * A fiber that waits for inbound messages. Nothing is undone when it is interrupted (that would cost more per message
 * than everything else): waking it then has no effect, and its place is taken by the next reader.
 *
 * A reader with a function is handed a message while it waits, without being woken: only when the function returns an
 * effect that is not done at once is the fiber resumed, with what is left of it.
 */
export class Reader {
  private resume: ((effect: Effect.Effect<void>) => void) | undefined = undefined
  /** Suspends until woken. */
  readonly suspend: Effect.Effect<void>

  constructor(
    private readonly fiber: Fiber.RuntimeFiber<unknown, unknown>,
    inbox: Inbox,
    readonly onMessage?: OnMessage
  ) {
    this.suspend = Effect.async<void>((resume) => {
      if (inbox.items > 0 || inbox.closed) return resume(Effect.void)
      this.resume = resume
      inbox.wait(this)
    })
  }

  /** It ended, or will not come back to wait: an interruption is on its way through it. */
  get isGone(): boolean {
    return this.fiber.unsafePoll() !== null || !Cause.isEmpty(this.fiber.getFiberRef(FiberRef.interruptedCause))
  }

  /** Handles a message in the place of the fiber, which waits. Returns what is left for the fiber. */
  handle(message: Inbound): Effect.Effect<unknown> | undefined {
    const effect = this.onMessage!(message) as Effect.Effect<unknown> | void
    return effect === undefined ? undefined : runAtOnce(effect, this.fiber)
  }

  wake(effect: Effect.Effect<unknown> = Effect.void): void {
    this.resume?.(effect as Effect.Effect<void>)
  }
}

export class Inbox {
  private ring: Array<Inbound | undefined> = []
  private head = 0
  private count = 0
  bytes = 0
  received = 0
  receivedBytes = 0
  /** Messages that arrived after `close`. */
  dropped = 0
  closed = false
  paused = false
  /** The reader that waits; more than one is legal but rare. */
  private waiter: Reader | undefined = undefined
  private moreWaiters: Array<Reader> | undefined = undefined
  /** A reader's function is running: what arrives meanwhile is queued. */
  private handingOver = false

  get items(): number {
    return this.count
  }

  push(message: Inbound): void {
    this.received++
    this.receivedBytes += message.data.byteLength
    if (this.handOver(message)) return
    const capacity = this.ring.length
    if (this.count === capacity) this.grow()
    this.ring[(this.head + this.count) & (this.ring.length - 1)] = message
    this.count++
    this.bytes += message.data.byteLength
    if (!this.handingOver) this.wake()
  }

  /** Gives the message to the one reader that waits with a function. `false`: there is none, or it is at work. */
  private handOver(message: Inbound): boolean {
    const reader = this.waiter
    if (reader?.onMessage === undefined || this.count > 0 || this.moreWaiters !== undefined || this.handingOver) {
      return false
    }
    if (reader.isGone) return false
    this.handingOver = true
    let effect: Effect.Effect<unknown> | undefined
    try {
      effect = reader.handle(message)
    } catch (defect) {
      effect = Effect.die(defect)
    }
    this.handingOver = false
    if (effect !== undefined) {
      this.waiter = undefined
      reader.wake(effect)
    } else if (this.count > 0 || this.closed) this.wake()
    return true
  }

  poll(): Inbound | undefined {
    if (this.count === 0) return undefined
    const message = this.ring[this.head]!
    this.ring[this.head] = undefined
    this.head = (this.head + 1) & (this.ring.length - 1)
    this.count--
    this.bytes -= message.data.byteLength
    // A burst must not pin its ring for the life of an idle session.
    if (this.count === 0 && this.ring.length > 64) this.ring = []
    if (this.count === 0) this.head = 0
    return message
  }

  /** No more messages will come: readers get what is left, then the end. */
  close(): void {
    this.closed = true
    this.wake()
  }

  /** Drops what is left. */
  clear(): void {
    this.ring = []
    this.head = 0
    this.count = 0
    this.bytes = 0
  }

  /** Registers a reader. It is woken once, with all others, and looks again. */
  wait(reader: Reader): void {
    if (this.waiter === undefined || this.waiter.isGone) this.waiter = reader
    else this.moreWaiters = [...(this.moreWaiters ?? []).filter((other) => !other.isGone), reader]
  }

  private wake(): void {
    const waiter = this.waiter
    if (waiter === undefined) return
    const more = this.moreWaiters
    this.waiter = undefined
    this.moreWaiters = undefined
    waiter.wake()
    if (more !== undefined) { for (const other of more) other.wake() }
  }

  private grow(): void {
    const capacity = this.ring.length
    const next: Array<Inbound | undefined> = new Array(capacity === 0 ? 4 : capacity * 2).fill(undefined)
    for (let i = 0; i < this.count; i++) next[i] = this.ring[(this.head + i) & (capacity - 1)]
    this.ring = next
    this.head = 0
  }
}
