/**
 * The bounded priority queue below the outbox: four lanes, one bound in items and bytes, a reserve for `control`.
 * Synchronous and plain: time comes in as an argument, outcomes go out as numbers, and no operation allocates on its
 * steady path. Every operation is O(1) amortised over the messages it admits or sheds (I7). Waiting is not its business:
 * it only says that one would have to (`WOULD_WAIT`).
 *
 * ```
 * fits? ── yes ─▶ queued                                           refused early: bulk above the mark
 *   └ no ─▶ expire aged heads ─▶ evict strictly lower lanes ─▶ own oldest, if the rule says so ─▶ refuse or wait
 * ```
 */
import type { LaneIndex } from "../Lane.js"
import { invariant } from "./invariant.js"
import { type LaneCounters, type LaneRule, Ring } from "./ring.js"

export type { LaneCounters, LaneRule, WhenFull } from "./ring.js"

/** Why a queued message was shed. */
export type ShedReason = "evicted" | "conflated" | "expired"

/** It took the place of a queued one. */
export const CONFLATED = -1
/** No room, and nothing that may be shed for it. */
export const REJECTED_FULL = -2
export const REJECTED_PRESSURE = -3
/** Larger than the queue can ever hold. */
export const REJECTED_LARGE = -4
export const REJECTED_CLOSED = -5
/** No room now. Nothing was counted and no number consumed: offer again later, or give up with `countRejected`. */
export const WOULD_WAIT = -6
/** No room, and the rule of the lane is to end the session. Counted as rejected. */
export const DISCONNECT = -7

export interface LaneQueueOptions {
  readonly itemsMax: number
  readonly bytesMax: number
  readonly reserveItems: number
  readonly reserveBytes: number
  /** By lane index. */
  readonly rules: readonly [LaneRule, LaneRule, LaneRule, LaneRule]
  /** Messages of `important` for one of `bulk` while both wait; 0 gives `important` strict priority. */
  readonly importantPerBulk: number
  /** Fill ratio above which new `bulk` is refused; 1 switches that off. */
  readonly refuseBulkAbove: number
}

/** Told of every message that is shed. It must not call the queue. */
export interface LaneQueueListener<A> {
  onShed(item: A, lane: LaneIndex, reason: ShedReason): void
}

/** A message that was still queued at `close`. */
export interface Returned<A> {
  readonly item: A
  readonly lane: LaneIndex
  readonly bytes: number
  readonly seq: number
}

/** The largest count `n` with `n / max <= ratio`: comparing counts is exact where comparing products is not. */
const markOf = (ratio: number, max: number): number => {
  let mark = Math.floor(ratio * max)
  while ((mark + 1) / max <= ratio) mark++
  while (mark > 0 && mark / max > ratio) mark--
  return mark
}

const controlBit = 1
const criticalBit = 2
const importantBit = 4
const bulkBit = 8

export class LaneQueue<A> {
  /** Messages and bytes queued in all lanes. */
  queuedItems = 0
  queuedBytes = 0
  /** Items and bytes of all lanes but `control`. */
  countedItems = 0
  countedBytes = 0
  /** Highest totals ever, `control` included. */
  peakItems = 0
  peakBytes = 0
  closed = false

  /** Description of the message that the last `take` returned. */
  lastLane: LaneIndex = 0
  lastBytes = 0
  lastSeq = 0
  lastEnqueuedAt = 0

  /** A bit for each lane that holds a message: an offer or a take looks at no other lane's ring, of thousands of queues. */
  private waiting = 0
  private readonly control: Ring<A>
  private readonly critical: Ring<A>
  private readonly important: Ring<A>
  private readonly bulk: Ring<A>
  private refuseItems: number
  private refuseBytes: number
  /** Messages of `important` taken since the last one of `bulk`, while `bulk` waited. */
  importantRun = 0

  constructor(public options: LaneQueueOptions, private readonly listener: LaneQueueListener<A>) {
    this.control = new Ring(0, options.rules[0])
    this.critical = new Ring(1, options.rules[1])
    this.important = new Ring(2, options.rules[2])
    this.bulk = new Ring(3, options.rules[3])
    this.refuseItems = markOf(options.refuseBulkAbove, options.itemsMax)
    this.refuseBytes = markOf(options.refuseBulkAbove, options.bytesMax)
  }

  /** How full the counted lanes are, by items or by bytes, whichever is more. Between 0 and 1. */
  get fillRatio(): number {
    return Math.max(this.countedItems / this.options.itemsMax, this.countedBytes / this.options.bytesMax)
  }

  /** Whether new `bulk` is being refused early. */
  get refusesBulk(): boolean {
    return this.countedItems > this.refuseItems || this.countedBytes > this.refuseBytes
  }

  /** The sequence number that the next offer of the lane consumes. */
  nextSeq(lane: LaneIndex): number {
    return this.ring(lane).offered + 1
  }

  /** Messages of the lane taken so far. */
  takenOf(lane: LaneIndex): number {
    return this.ring(lane).taken
  }

  queuedBytesOf(lane: LaneIndex): number {
    return this.ring(lane).queuedBytes
  }

  counters(lane: LaneIndex): LaneCounters {
    return this.ring(lane).counters()
  }

  /**
   * Offers a message. A result of 0 or more says that it is queued and how many messages were evicted for it; a negative
   * one is one of the constants of this module. The message ages from `now` on, by the smaller of `maxAgeMs` and the
   * lane's own.
   */
  offer(item: A, bytes: number, lane: LaneIndex, key: unknown, maxAgeMs: number, now: number): number {
    if (this.closed) return REJECTED_CLOSED
    const ring = this.ring(lane)
    if (key !== undefined) {
      const position = ring.find(key)
      if (position !== undefined) return this.conflate(ring, position, item, bytes, key, maxAgeMs, now)
    }
    if (bytes > (lane === 0 ? this.options.reserveBytes : this.options.bytesMax)) {
      return this.refuse(ring, REJECTED_LARGE)
    }
    if (lane === 3 && this.refusesBulk) return this.refuse(ring, REJECTED_PRESSURE)
    let evicted = 0
    if (!this.fits(lane, 1, bytes)) {
      evicted = this.makeRoom(ring, bytes, key, now)
      if (evicted < 0) return this.refuse(ring, evicted)
    }
    const ownMs = ring.rule.maxAgeMs
    ring.offered++
    ring.push(item, bytes, key, ring.offered, now, now + (maxAgeMs < ownMs ? maxAgeMs : ownMs))
    this.waiting |= 1 << lane
    this.queuedItems++
    this.queuedBytes += bytes
    if (lane !== 0) {
      this.countedItems++
      this.countedBytes += bytes
    }
    this.notePeak()
    return evicted
  }

  /** Counts an offer that would have waited as rejected. It consumes a sequence number like any other offer. */
  countRejected(lane: LaneIndex): void {
    if (!this.closed) this.refuse(this.ring(lane), REJECTED_FULL)
  }

  /**
   * Takes the most urgent message that is not too old, or returns `undefined`: when there is none, or it has more than
   * `room` bytes. The `last…` fields describe it.
   */
  take(now: number, room: number = Infinity): A | undefined {
    const ring = this.pick(now)
    if (ring === undefined) return undefined
    const lane = ring.lane
    const head = ring.head
    const bytes = ring.bytesAt(head)
    if (bytes > room) return undefined
    this.lastLane = lane
    this.lastBytes = bytes
    this.lastSeq = ring.seqAt(head)
    this.lastEnqueuedAt = ring.enqueuedAt(head)
    if (lane >= 2) this.importantRun = lane === 2 && (this.waiting & bulkBit) !== 0 ? this.importantRun + 1 : 0
    ring.taken++
    return this.shift(ring, bytes)
  }

  /** So many messages of a lane came and went while the queue was empty, without a look at it. */
  passed(lane: LaneIndex, items: number): void {
    const ring = this.ring(lane)
    ring.offered += items
    ring.taken += items
  }

  /** Removes the oldest message of a lane, which has this many bytes. */
  private shift(ring: Ring<A>, bytes: number): A {
    const lane = ring.lane
    this.queuedItems--
    this.queuedBytes -= bytes
    if (lane !== 0) {
      this.countedItems--
      this.countedBytes -= bytes
    }
    const item = ring.shift(bytes)
    if (ring.head === ring.tail) this.waiting &= ~(1 << lane)
    return item
  }

  /** Bytes of the message that `take` would return, or -1. */
  peekBytes(now: number): number {
    const ring = this.pick(now)
    return ring === undefined ? -1 : ring.bytesAt(ring.head)
  }

  /** When the oldest queued message came, or `Infinity`. */
  get oldestAt(): number {
    return Math.min(this.oldestAtOf(0), this.oldestAtOf(1), this.oldestAtOf(2), this.oldestAtOf(3))
  }

  /** When the first message of the lane came, or `Infinity`. */
  oldestAtOf(lane: LaneIndex): number {
    const ring = this.ring(lane)
    return ring.head === ring.tail ? Infinity : ring.enqueuedAt(ring.head)
  }

  /** Evicts everything in the lanes from this one down (never `critical`, I5). Returns how many messages. */
  shedFrom(from: 2 | 3): number {
    const before = this.countedItems
    for (let lane = from; lane < 4; lane++) {
      const ring = this.ring(lane as LaneIndex)
      while (ring.head !== ring.tail) this.shed(ring, false)
    }
    return before - this.countedItems
  }

  /**
   * Changes the bound of the counted lanes. What no longer fits is evicted, lowest lane and oldest first; where `critical`
   * alone is more than the new bound, what it holds now is the bound.
   */
  resize(itemsMax: number, bytesMax: number): void {
    const { refuseBulkAbove } = this.options
    for (let lane: number = 3; lane >= 2; lane--) {
      const ring = this.ring(lane as LaneIndex)
      while (ring.head !== ring.tail && (this.countedItems > itemsMax || this.countedBytes > bytesMax)) {
        this.shed(ring, false)
      }
    }
    this.options = {
      ...this.options,
      itemsMax: Math.max(itemsMax, this.countedItems),
      bytesMax: Math.max(bytesMax, this.countedBytes)
    }
    this.refuseItems = markOf(refuseBulkAbove, this.options.itemsMax)
    this.refuseBytes = markOf(refuseBulkAbove, this.options.bytesMax)
  }

  /** Closes the queue and returns what it still held, most urgent lane first. Returns nothing the second time. */
  close(): Array<Returned<A>> {
    const rest: Array<Returned<A>> = []
    this.closed = true
    for (let lane: number = 0; lane < 4; lane++) {
      const ring = this.ring(lane as LaneIndex)
      while (ring.head !== ring.tail) {
        const bytes = ring.bytesAt(ring.head)
        const seq = ring.seqAt(ring.head)
        ring.returned++
        rest.push({ item: this.shift(ring, bytes), lane: ring.lane, bytes, seq })
      }
    }
    this.trim()
    return rest
  }

  /** Gives back the memory of lanes that are empty. */
  trim(): void {
    for (let lane: number = 0; lane < 4; lane++) {
      const ring = this.ring(lane as LaneIndex)
      if (ring.head === ring.tail) ring.release()
    }
  }

  /** Asserts every invariant. O(n). */
  check(): void {
    const { bytesMax, itemsMax, reserveBytes, reserveItems } = this.options
    let items = 0
    let bytes = 0
    for (let lane: number = 0; lane < 4; lane++) {
      const ring = this.ring(lane as LaneIndex)
      ring.check()
      invariant(
        ((this.waiting >> lane) & 1) === (ring.queuedItems > 0 ? 1 : 0),
        "a lane is marked exactly while it holds any"
      )
      if (lane === 0) continue
      items += ring.queuedItems
      bytes += ring.queuedBytes
    }
    invariant(items === this.countedItems && bytes === this.countedBytes, "totals are the sum of the lanes")
    invariant(
      this.queuedItems === items + this.control.queuedItems && this.queuedBytes === bytes + this.control.queuedBytes,
      "what is queued is the sum of all lanes"
    )
    invariant(items <= itemsMax && bytes <= bytesMax, "I1: the counted lanes stay within the bound")
    invariant(this.control.queuedItems <= reserveItems, "I1: control stays within its reserve (items)")
    invariant(this.control.queuedBytes <= reserveBytes, "I1: control stays within its reserve (bytes)")
    invariant(this.control.evicted + this.critical.evicted === 0, "I5: control and critical are never evicted")
    invariant(this.peakItems >= this.queuedItems && this.peakBytes >= this.queuedBytes, "peaks bound what is queued")
    invariant(!this.closed || this.queuedItems === 0, "a closed queue is empty")
  }

  private ring(lane: LaneIndex): Ring<A> {
    return lane === 3 ? this.bulk : lane === 2 ? this.important : lane === 1 ? this.critical : this.control
  }

  private fits(lane: LaneIndex, items: number, bytes: number): boolean {
    return lane === 0
      ? this.control.queuedItems + items <= this.options.reserveItems &&
        this.control.queuedBytes + bytes <= this.options.reserveBytes
      : this.countedItems + items <= this.options.itemsMax && this.countedBytes + bytes <= this.options.bytesMax
  }

  private refuse(ring: Ring<A>, code: number): number {
    if (code === WOULD_WAIT) return code
    ring.offered++
    ring.rejected++
    return code
  }

  notePeak(items: number = this.queuedItems, bytes: number = this.queuedBytes): void {
    if (items > this.peakItems) this.peakItems = items
    if (bytes > this.peakBytes) this.peakBytes = bytes
  }

  /** The lane to take from next, with a head that is not too old. */
  private pick(now: number): Ring<A> | undefined {
    const waiting = this.waiting
    if (waiting === 0) return undefined
    if ((waiting & controlBit) !== 0 && this.isReady(this.control, now)) return this.control
    if ((waiting & criticalBit) !== 0 && this.isReady(this.critical, now)) return this.critical
    const importantReady = (waiting & importantBit) !== 0 && this.isReady(this.important, now)
    const bulkReady = (waiting & bulkBit) !== 0 && this.isReady(this.bulk, now)
    if (!importantReady) return bulkReady ? this.bulk : undefined
    const share = this.options.importantPerBulk
    return bulkReady && share !== 0 && this.importantRun >= share ? this.bulk : this.important
  }

  /** Whether the lane has a message to take. Heads that are too old go first: at `expires === now` it is too late. */
  private isReady(ring: Ring<A>, now: number): boolean {
    while (ring.head !== ring.tail) {
      if (ring.expiresAt(ring.head) > now) return true
      this.shed(ring, true)
    }
    return false
  }

  private shed(ring: Ring<A>, aged: boolean): void {
    if (aged) ring.expired++
    else ring.evicted++
    const item = this.shift(ring, ring.bytesAt(ring.head))
    this.listener.onShed(item, ring.lane, aged ? "expired" : "evicted")
  }

  /** Makes room for one more message of the lane. Returns how many were evicted, or the refusal. */
  private makeRoom(ring: Ring<A>, bytes: number, key: unknown, now: number): number {
    const lane = ring.lane
    if (ring.rule.whenFull === "dropNewest") return REJECTED_FULL
    this.expireHeads(lane, now)
    if (this.fits(lane, 1, bytes)) return 0
    if (lane === 0) return refusalOf(ring)
    if (this.fitsWithout(lane + 1, 1, bytes)) return this.evict(lane + 1, 1, bytes, now)
    if (mayReplaceOldest(ring, key) && this.fitsWithout(lane, 1, bytes)) return this.evict(lane, 1, bytes, now)
    return refusalOf(ring)
  }

  private conflate(
    ring: Ring<A>,
    position: number,
    item: A,
    bytes: number,
    key: unknown,
    maxAgeMs: number,
    now: number
  ): number {
    const { lane, rule } = ring
    if (bytes > (lane === 0 ? this.options.reserveBytes : this.options.bytesMax)) {
      return this.refuse(ring, REJECTED_LARGE)
    }
    const more = bytes - ring.bytesAt(position)
    if (more > 0 && !this.fits(lane, 0, more)) {
      if (rule.whenFull === "dropNewest") return this.refuse(ring, REJECTED_FULL)
      this.expireHeads(lane, now)
      // The message to replace may have been too old itself.
      if (ring.find(key) === undefined) return this.offer(item, bytes, lane, key, maxAgeMs, now)
      if (!this.fits(lane, 0, more)) {
        if (lane === 0 || !this.fitsWithout(lane + 1, 0, more)) return this.refuse(ring, refusalOf(ring))
        this.evict(lane + 1, 0, more, now)
      }
    }
    ring.offered++
    ring.conflated++
    const expires = now + (maxAgeMs < rule.maxAgeMs ? maxAgeMs : rule.maxAgeMs)
    const old = ring.replace(position, item, bytes, now, expires)
    this.queuedBytes += more
    if (lane !== 0) this.countedBytes += more
    this.notePeak()
    this.listener.onShed(old, lane, "conflated")
    return CONFLATED
  }

  /** Sheds heads that are too old, of the lanes that share the bound with this one. */
  private expireHeads(lane: LaneIndex, now: number): void {
    if (lane === 0) return void this.isReady(this.control, now)
    this.isReady(this.critical, now)
    this.isReady(this.important, now)
    this.isReady(this.bulk, now)
  }

  /** Whether it would fit if the lanes from `from` down to `bulk` were empty. */
  private fitsWithout(from: number, items: number, bytes: number): boolean {
    let queuedItems = this.countedItems
    let queuedBytes = this.countedBytes
    for (let lane = from; lane < 4; lane++) {
      const ring = this.ring(lane as LaneIndex)
      queuedItems -= ring.queuedItems
      queuedBytes -= ring.queuedBytes
    }
    return queuedItems + items <= this.options.itemsMax && queuedBytes + bytes <= this.options.bytesMax
  }

  /** Evicts the oldest of the lowest lane that holds anything, never above `from`, until it fits (I4). */
  private evict(from: number, items: number, bytes: number, now: number): number {
    let evicted = 0
    let lane = 3
    while (!this.fits(3, items, bytes)) {
      const ring = this.ring(lane as LaneIndex)
      if (ring.head === ring.tail) {
        lane--
        invariant(lane >= from && lane >= 2, "I5: eviction stays below the newcomer and never reaches critical")
        continue
      }
      // A head that is too old was not evicted for the newcomer: it would never have been delivered.
      const aged = ring.expiresAt(ring.head) <= now
      if (!aged) evicted++
      this.shed(ring, aged)
    }
    return evicted
  }
}

/** Whether a newcomer for which no lower lane makes room may replace the oldest of its own lane. */
const mayReplaceOldest = (ring: Ring<unknown>, key: unknown): boolean => {
  if (ring.lane < 2) return false
  const { whenFull } = ring.rule
  return whenFull === "dropOldest" || (whenFull === "conflate" && key !== undefined) ||
    (whenFull === "evictLower" && ring.lane === 2)
}

/** The answer when no room can be made. */
const refusalOf = (ring: Ring<unknown>): number => {
  const { whenFull } = ring.rule
  if (whenFull === "suspend") return WOULD_WAIT
  if (whenFull === "disconnect") return DISCONNECT
  return ring.lane < 2 && whenFull !== "dropNewest" ? WOULD_WAIT : REJECTED_FULL
}
