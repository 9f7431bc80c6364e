/**
 * The Effect shell of the outbox: it turns "would wait" and "nothing there" into suspension, and nothing else.
 *
 * Takers are woken, never handed a message: a woken taker polls in its own step. So a taker that is interrupted between
 * the two has lost nothing, and since all are woken, none misses what another one left.
 */
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Lane from "../Lane.js"
import type { Outcome } from "../Outcome.js"
import { OutboxClosed } from "../SpillwayError.js"
import { invariant } from "./invariant.js"
import * as Queue from "./laneQueue.js"
import { OutboxCore, type OutboxHooks, outcomeOf } from "./outbox.js"

const closed = Effect.fail(new OutboxClosed())

// The shapes of `Offer` and `Taken` in Outbox.ts, written again because no module imports back down, not even types.

interface Offer<A> {
  readonly item: A
  readonly bytes: number
  readonly lane: Lane.Lane
  readonly key?: unknown
  readonly maxAge?: Duration.DurationInput | undefined
}

interface Taken<A> {
  readonly item: A
  readonly lane: Lane.Lane
  readonly bytes: number
  readonly seq: number
}

/** Thrown and caught below, never seen outside: nothing to take. */
const nothingToTake = Symbol("spillway/nothingToTake")
const isNothingToTake = (cause: Cause.Cause<never>): boolean => Cause.isDieType(cause) && cause.defect === nothingToTake

/** Those who wait for something to happen; all of them are woken when it does. */
class Signal {
  private readonly waiting = new Set<() => void>()

  get isAwaited(): boolean {
    return this.waiting.size !== 0
  }

  wake(): void {
    if (this.waiting.size === 0) return
    const waiting = [...this.waiting]
    this.waiting.clear()
    for (const wake of waiting) wake()
  }

  /**
   * Suspends until the next `wake`, unless `isDone` holds already. The mask protects the window between entering the set
   * and having the cleanup in place: an interruption that fell into it would leave an entry for ever.
   */
  wait(isDone: () => boolean): Effect.Effect<void> {
    return Effect.uninterruptibleMask((restore) => {
      if (isDone()) return Effect.void
      let resume: (() => void) | undefined
      let woken = false
      const wake = () => {
        woken = true
        if (resume !== undefined) resume()
      }
      this.waiting.add(wake)
      const suspended = Effect.async<void>((register) => {
        resume = () => register(Effect.void)
        if (woken) resume()
      })
      return Effect.onInterrupt(restore(suspended), () => Effect.sync(() => this.waiting.delete(wake)))
    })
  }
}

export class OutboxImpl<A> implements OutboxHooks<A> {
  private readonly core: OutboxCore<A>
  private readonly offered = new Signal()
  private readonly emptied = new Signal()

  constructor(private readonly clock: Clock.Clock, waitersMax: number, options: Queue.LaneQueueOptions) {
    this.core = new OutboxCore(options, this, waitersMax)
  }

  onOffered(): void {
    this.offered.wake()
  }

  onShed(): void {}

  onDisconnect(): void {}

  readonly offer = (message: Offer<A>): Effect.Effect<Outcome, OutboxClosed> =>
    Effect.suspend(() => {
      const { bytes, item, key, lane, maxAge } = checked(message)
      const code = this.core.attempt(item, bytes, Lane.toIndex(lane), key, toMillis(maxAge), this.now())
      return code === Queue.WOULD_WAIT ? this.offerWaiting(message) : toEffect(code)
    })

  readonly unsafeOffer = (message: Offer<A>): Outcome => {
    const { bytes, item, key, lane, maxAge } = checked(message)
    return outcomeOf(this.core.offer(item, bytes, Lane.toIndex(lane), key, toMillis(maxAge), this.now()))
  }

  readonly take: Effect.Effect<Taken<A>, OutboxClosed> = this.orWait(() => this.takeNow(this.now()))

  readonly takeBatch = (options: { readonly itemsMax: number; readonly bytesMax: number }) =>
    this.orWait<readonly [Taken<A>, ...Array<Taken<A>>]>(() => {
      const now = this.now()
      const head = this.takeNow(now)
      if (head === undefined) return undefined
      const batch: [Taken<A>, ...Array<Taken<A>>] = [head]
      let bytes = head.bytes
      while (batch.length < options.itemsMax) {
        const next = this.core.peekBytes(now)
        if (next === -1 || bytes + next > options.bytesMax) break
        bytes += next
        batch.push(this.takeNow(now)!)
      }
      return batch
    })

  readonly unsafePoll = (): Option.Option<Taken<A>> => Option.fromNullable(this.takeNow(this.now()))

  readonly awaitEmpty: Effect.Effect<void> = Effect.suspend(() => this.emptied.wait(() => this.isEmpty())).pipe(
    Effect.repeat({ until: () => this.isEmpty() })
  )

  readonly shutdown: Effect.Effect<ReadonlyArray<Taken<A>>> = Effect.sync(() => {
    const rest = this.core.close()
    this.offered.wake()
    this.emptied.wake()
    return rest.map(({ bytes, item, lane, seq }) => ({ item, lane: Lane.fromIndex(lane), bytes, seq }))
  })

  readonly stats = Effect.sync(() => {
    const { queue, waiterCount } = this.core
    return Object.freeze({
      lanes: Object.freeze(Lane.perLane((_, index) => Object.freeze(queue.counters(index)))),
      queuedItems: queue.queuedItems,
      queuedBytes: queue.queuedBytes,
      peakItems: queue.peakItems,
      peakBytes: queue.peakBytes,
      fillRatio: queue.fillRatio,
      waiters: waiterCount
    })
  })

  private now(): number {
    return this.clock.unsafeCurrentTimeMillis()
  }

  private isEmpty(): boolean {
    return this.core.queue.queuedItems === 0
  }

  private offerWaiting({ bytes, item, key, lane, maxAge }: Offer<A>): Effect.Effect<Outcome, OutboxClosed> {
    // The mask protects the window between joining the waiters and having the cleanup in place.
    return Effect.uninterruptibleMask((restore) => {
      let resume: ((code: number) => void) | undefined
      let settled: number | undefined
      const onCode = (code: number) => {
        settled = code
        if (resume !== undefined) resume(code)
      }
      const index = Lane.toIndex(lane)
      const waiter = this.core.offerOrWait(item, bytes, index, key, toMillis(maxAge), this.now(), onCode)
      if (typeof waiter === "number") return toEffect(waiter)
      const suspended = Effect.async<Outcome, OutboxClosed>((register) => {
        resume = (code) => register(toEffect(code))
        if (settled !== undefined) resume(settled)
      })
      return Effect.onInterrupt(restore(suspended), () => Effect.sync(() => this.core.cancel(waiter, this.now())))
    })
  }

  private takeNow(now: number): Taken<A> | undefined {
    const { core } = this
    const item = core.take(now)
    if (item === undefined) {
      // What was queued may just have expired.
      if (this.emptied.isAwaited && this.isEmpty()) this.emptied.wake()
      return undefined
    }
    const { lastBytes, lastLane, lastSeq } = core.queue
    if (this.emptied.isAwaited && this.isEmpty()) this.emptied.wake()
    return { item, lane: Lane.fromIndex(lastLane), bytes: lastBytes, seq: lastSeq }
  }

  /**
   * Runs `poll`, and again after each wake until it returns something.
   *
   * `poll` runs in the last step of the effect: a step that succeeds hands its value to whatever follows without a point
   * at which the fiber could yield and be interrupted. Any step in between would be such a point, hence the throw.
   */
  private orWait<B>(poll: () => B | undefined): Effect.Effect<B, OutboxClosed> {
    const polled = Effect.sync(() => {
      const value = poll()
      if (value === undefined) throw nothingToTake
      return value
    })
    const effect: Effect.Effect<B, OutboxClosed> = Effect.catchAllCause(polled, (cause) => {
      if (!isNothingToTake(cause)) return Effect.failCause(cause)
      if (this.core.queue.closed) return closed
      return Effect.zipRight(this.offered.wait(() => !this.isEmpty() || this.core.queue.closed), effect)
    })
    return effect
  }
}

const checked = <A>(message: Offer<A>): Offer<A> => {
  invariant(message.bytes >= 0, "a message has no negative number of bytes")
  return message
}

const toMillis = (maxAge: Duration.DurationInput | undefined): number =>
  maxAge === undefined ? Infinity : Duration.toMillis(maxAge)

const toEffect = (code: number): Effect.Effect<Outcome, OutboxClosed> =>
  code === Queue.REJECTED_CLOSED ? closed : Effect.succeed(outcomeOf(code))
