/**
 * The outbox without Effect: the lane queue plus those who wait for room.
 *
 * It decides who waits, in which order they are admitted, and when its user has to look again. Waiters of a lane are
 * admitted first come, first served, urgent lanes first, after every operation that may have made room. As long as one
 * waits, newcomers of its lane wait behind it (I3): nobody barges, not even to replace a queued message with its key.
 *
 * `resume` and the hooks are called when the outbox is consistent again. They may call the outbox, except for `onShed`.
 */
import type { LaneIndex } from "../Lane.js"
import type { Outcome } from "../Outcome.js"
import * as Outcome_ from "../Outcome.js"
import { invariant } from "./invariant.js"
import * as Queue from "./laneQueue.js"
import { type Batch, type BatchLimits, offerTo, type SharedOffer } from "./sharedBatch.js"

export interface OutboxHooks<A> {
  /** Something became takeable, by an offer or by the admission of a waiter. It may be called from within a take. */
  onOffered(): void
  /** A queued message was shed. It must not call the outbox. */
  onShed(item: A, lane: LaneIndex, reason: Queue.ShedReason): void
  /** A message did not fit, and the rule of its lane is to end the session. */
  onDisconnect(lane: LaneIndex): void
  /**
   * Messages with so many bytes that were shared with other outboxes, the last one since then, are in the lanes now. It
   * must not call the outbox.
   */
  onUnshared?(bytes: number, lastAt: number): void
}

/** An offer that waits for room. A node of its lane's list. */
export class Waiter<A> {
  /** Whether it left the list: admitted, refused, cancelled or closed. */
  settled = false
  previous: Waiter<A> | undefined = undefined
  next: Waiter<A> | undefined = undefined

  constructor(
    readonly item: A,
    readonly bytes: number,
    readonly lane: LaneIndex,
    readonly key: unknown,
    readonly maxAgeMs: number,
    readonly resume: (code: number) => void
  ) {}
}

/** Offers that may wait at the same time, in all lanes together. */
export const waitersMaxDefault = 1024

export class OutboxCore<A> {
  /**
   * Whether it is empty and takes part in sharing. Set by its user (`rest`), and true until anybody looks at the queue, the
   * user included: so nothing that is shared can be overlooked.
   */
  isIdle = false
  /** What was offered since then: it is not in the lanes as long as nobody looks. */
  private batch: Batch<A> | undefined = undefined
  waiterCount = 0
  private readonly lanes: Queue.LaneQueue<A>
  /** What left in batches and is not yet in the counters of the lanes: messages by lane, and the greatest batch. */
  private passedCritical = 0
  private passedImportant = 0
  private passedBulk = 0
  private peakItems = 0
  private peakBytes = 0
  /** First and last waiter by lane; they exist from the first waiter on. */
  private first: Array<Waiter<A> | undefined> | undefined = undefined
  private last: Array<Waiter<A> | undefined> | undefined = undefined
  private admitting = false

  constructor(
    options: Queue.LaneQueueOptions,
    private readonly hooks: OutboxHooks<A>,
    private readonly waitersMax: number = waitersMaxDefault,
    /** Of the batches that it may share; `undefined` shares none. */
    readonly limits: BatchLimits | undefined = undefined
  ) {
    this.lanes = new Queue.LaneQueue(options, hooks)
  }

  /** The lanes, with everything in them. */
  get queue(): Queue.LaneQueue<A> {
    if (this.isIdle) this.stir()
    return this.lanes
  }

  /** Takes part in sharing from now on, if nothing is queued, nobody waits and no lane has a claim to be next. */
  rest(): void {
    const { importantRun, queuedItems } = this.lanes
    if (queuedItems === 0 && importantRun === 0 && this.waiterCount === 0) this.isIdle = this.limits !== undefined
  }

  /** Takes a message as it takes others of this turn: queued, and kept once for all. `false`: it has to be offered. */
  share(offer: SharedOffer<A>): boolean {
    if (!this.isIdle || offer.limits !== this.limits) return false
    const before = this.batch
    const batch = offer.after(before)
    if (batch === undefined) return false
    this.batch = batch
    if (before === undefined) this.hooks.onOffered()
    return true
  }

  /** Takes all at once what is shared, if that is all there is, and none of it is too old. */
  takeShared(now: number): Batch<A> | undefined {
    const batch = this.batch
    if (batch === undefined || now >= batch.expiresAt) return undefined
    this.batch = undefined
    this.passedCritical += batch.critical
    this.passedImportant += batch.important
    this.passedBulk += batch.bulk
    if (batch.items > this.peakItems) this.peakItems = batch.items
    if (batch.bytes > this.peakBytes) this.peakBytes = batch.bytes
    return batch
  }

  /** Takes part in sharing no more: what was shared goes into the lanes. */
  stir(): void {
    if (!this.isIdle) return
    const { batch, lanes } = this
    this.isIdle = false
    this.batch = undefined
    if (this.peakItems > 0) {
      lanes.passed(1, this.passedCritical)
      lanes.passed(2, this.passedImportant)
      lanes.passed(3, this.passedBulk)
      lanes.notePeak(this.peakItems, this.peakBytes)
      this.passedCritical =
        this.passedImportant =
        this.passedBulk =
        this.peakItems =
        this.peakBytes =
          0
    }
    if (batch === undefined) return
    for (const offer of batch.offers()) offerTo(lanes, offer)
    this.hooks.onUnshared?.(batch.bytes, batch.lastAt)
  }

  /**
   * Offers a message now or never: where it would have to wait, it is counted as rejected and `REJECTED_FULL` returned.
   */
  offer(item: A, bytes: number, lane: LaneIndex, key: unknown, maxAgeMs: number, now: number): number {
    const code = this.attempt(item, bytes, lane, key, maxAgeMs, now)
    if (code !== Queue.WOULD_WAIT) return code
    this.queue.countRejected(lane)
    return Queue.REJECTED_FULL
  }

  /** As `offer`, but returns `WOULD_WAIT`, with nothing counted, where it would have to wait. */
  attempt(item: A, bytes: number, lane: LaneIndex, key: unknown, maxAgeMs: number, now: number): number {
    if (this.waiterCount !== 0 && this.first![lane] !== undefined) return Queue.WOULD_WAIT
    const code = this.queue.offer(item, bytes, lane, key, maxAgeMs, now)
    if (code >= 0) this.hooks.onOffered()
    else if (code === Queue.DISCONNECT) this.hooks.onDisconnect(lane)
    // Evicting, expiring or conflating may have made more room than the newcomer took.
    if (this.waiterCount !== 0) this.admit(now)
    return code
  }

  /**
   * Offers a message and waits if it has to: then `resume` is called once, later, with the code, unless the returned
   * waiter is cancelled first. Beyond the greatest number of waiters the message is rejected.
   */
  offerOrWait(
    item: A,
    bytes: number,
    lane: LaneIndex,
    key: unknown,
    maxAgeMs: number,
    now: number,
    resume: (code: number) => void
  ): Waiter<A> | number {
    const code = this.attempt(item, bytes, lane, key, maxAgeMs, now)
    if (code !== Queue.WOULD_WAIT) return code
    if (this.waiterCount >= this.waitersMax) {
      this.queue.countRejected(lane)
      return Queue.REJECTED_FULL
    }
    const waiter = new Waiter(item, bytes, lane, key, maxAgeMs, resume)
    this.append(waiter)
    return waiter
  }

  /** Removes a waiter, and admits those behind it that fit now. Does nothing when it no longer waits. */
  cancel(waiter: Waiter<A>, now: number): void {
    if (waiter.settled) return
    this.unlink(waiter)
    if (this.waiterCount !== 0) this.admit(now)
  }

  /**
   * Takes the most urgent message if it has at most `room` bytes, or returns `undefined`. The `last…` fields of the queue
   * describe it.
   */
  take(now: number, room: number = Infinity): A | undefined {
    const item = this.queue.take(now, room)
    if (this.waiterCount === 0) return item
    this.admit(now)
    // When everything queued had expired, what was admitted in its place is there to take.
    return item === undefined ? this.queue.take(now, room) : item
  }

  /** Bytes of the message that `take` would return, or -1. */
  peekBytes(now: number): number {
    const bytes = this.queue.peekBytes(now)
    if (bytes !== -1 || this.waiterCount === 0) return bytes
    this.admit(now)
    return this.queue.peekBytes(now)
  }

  /** Sheds everything queued in the lanes from this one down, for which others may be waiting. Returns how many. */
  shed(from: 2 | 3, now: number): number {
    const shed = this.queue.shedFrom(from)
    if (this.waiterCount !== 0) this.admit(now)
    return shed
  }

  /** Changes the bound; see `LaneQueue.resize`. */
  resize(itemsMax: number, bytesMax: number, now: number): void {
    this.queue.resize(itemsMax, bytesMax)
    if (this.waiterCount !== 0) this.admit(now)
  }

  /** Turns away everyone who waits, with `REJECTED_CLOSED`. What is queued can still be taken. */
  closeWaiters(): void {
    this.stir()
    for (let lane: number = 0; lane < 4; lane++) {
      for (let waiter = this.first?.[lane]; waiter !== undefined; waiter = this.first?.[lane]) {
        this.unlink(waiter)
        waiter.resume(Queue.REJECTED_CLOSED)
      }
    }
  }

  /** Closes the outbox: waiters get `REJECTED_CLOSED`; what was queued is returned, most urgent lane first. */
  close(): Array<Queue.Returned<A>> {
    const rest = this.queue.close()
    this.closeWaiters()
    return rest
  }

  /** Asserts every invariant. O(n). */
  check(): void {
    this.queue.check()
    let count = 0
    for (let lane: number = 0; lane < 4; lane++) {
      let previous: Waiter<A> | undefined = undefined
      for (let waiter = this.first?.[lane]; waiter !== undefined; waiter = waiter.next) {
        invariant(
          !waiter.settled && waiter.lane === lane && waiter.previous === previous,
          "waiters are linked in order"
        )
        previous = waiter
        count++
      }
      invariant(this.last?.[lane] === previous, "the last waiter of a lane ends its list")
    }
    invariant(count === this.waiterCount && count <= this.waitersMax, "I6: every waiter is in its list")
  }

  /** Admits waiters that fit, most urgent lane first, until none does. */
  private admit(now: number): void {
    // Called again from `resume` or a hook: the call that is running looks at every lane until nothing changes.
    if (this.admitting) return
    this.admitting = true
    let admitted = false
    for (let lane: number = 0; lane < 4; lane++) {
      const waiter = this.first?.[lane]
      if (waiter === undefined) continue
      const code = this.admitOne(waiter, now)
      if (code === Queue.WOULD_WAIT) continue
      if (code >= 0) admitted = true
      waiter.resume(code)
      // Start over: this lane has a new first waiter, and evicting for it may have made room for a more urgent one.
      lane = -1
    }
    this.admitting = false
    if (admitted) this.hooks.onOffered()
  }

  private admitOne(waiter: Waiter<A>, now: number): number {
    const { bytes, item, key, lane, maxAgeMs } = waiter
    // Early refusal is for newcomers. Who already waits goes on waiting.
    if (lane === 3 && this.queue.refusesBulk) return Queue.WOULD_WAIT
    const code = this.queue.offer(item, bytes, lane, key, maxAgeMs, now)
    if (code !== Queue.WOULD_WAIT) this.unlink(waiter)
    return code
  }

  private append(waiter: Waiter<A>): void {
    if (this.first === undefined || this.last === undefined) {
      this.first = [undefined, undefined, undefined, undefined]
      this.last = [undefined, undefined, undefined, undefined]
    }
    const last = this.last[waiter.lane]
    waiter.previous = last
    if (last === undefined) this.first[waiter.lane] = waiter
    else last.next = waiter
    this.last[waiter.lane] = waiter
    this.waiterCount++
  }

  private unlink(waiter: Waiter<A>): void {
    const { lane, next, previous } = waiter
    if (previous === undefined) this.first![lane] = next
    else previous.next = next
    if (next === undefined) this.last![lane] = previous
    else next.previous = previous
    waiter.previous = undefined
    waiter.next = undefined
    waiter.settled = true
    this.waiterCount--
  }
}

/** Outcomes of 1 to 8 evictions, made once. */
const evictingOutcomes: ReadonlyArray<Outcome> = Array.from(
  { length: 8 },
  (_, i) => Object.freeze(Outcome_.queuedEvicting(i + 1))
)

/** Outcome of a code of `offer`. */
export const outcomeOf = (code: number): Outcome => {
  if (code === 0) return Outcome_.queued
  if (code > 0) return evictingOutcomes[code - 1] ?? Outcome_.queuedEvicting(code)
  switch (code) {
    case Queue.CONFLATED:
      return Outcome_.conflated
    case Queue.REJECTED_PRESSURE:
      return Outcome_.rejected("Pressure")
    case Queue.REJECTED_LARGE:
      return Outcome_.rejected("TooLarge")
    case Queue.REJECTED_CLOSED:
      return Outcome_.rejected("Closed")
    default:
      return Outcome_.rejected("LaneFull")
  }
}
