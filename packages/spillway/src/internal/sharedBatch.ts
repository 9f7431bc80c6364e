/**
 * What idle outboxes were offered alike in one turn, kept once for all of them.
 *
 * A publication to a thousand sessions is a thousand offers, and what it costs is not their work but the memory that each
 * of them touches. Where outboxes hold nothing, the offers cannot differ: all are queued, and all leave in the same order.
 * So such an outbox only holds the last of a list of messages, which it shares with all that were offered the same since
 * they were idle. Whoever looks into an outbox, or offers it anything else, finds the messages in its lanes (see
 * `OutboxCore.queue`): sharing changes no outcome, no count and no order.
 *
 * ```
 * m1 ◀── m2 ◀── m3   held by the outboxes that were offered m1, m2, m3
 *  ▲
 *  └──── m3          held by those that were not offered m2
 * ```
 */
import type { LaneIndex } from "../Lane.js"
import { invariant } from "./invariant.js"
import { LaneQueue, type LaneQueueOptions } from "./laneQueue.js"

/** What a batch may hold: so much that it fits into every outbox of these options, and leaves in one write. */
export interface BatchLimits {
  readonly itemsMax: number
  readonly bytesMax: number
  readonly queue: LaneQueueOptions
}

/** Below what makes pressure, and below what makes the outbox refuse `bulk`. */
export const batchLimits = (queue: LaneQueueOptions, itemsMax: number, bytesMax: number): BatchLimits => ({
  itemsMax: Math.min(itemsMax, Math.floor(queue.refuseBulkAbove * queue.itemsMax)),
  bytesMax: Math.min(bytesMax, Math.floor(queue.refuseBulkAbove * queue.bytesMax)),
  queue
})

/** Batches that differ pay off only while several outboxes share each; the first few are free. */
const sharedByMin = 4
const freeBatches = 16

/** One message on its way to many outboxes with the same limits, at one time. */
export class SharedOffer<A> {
  /** Outboxes that took it, and the batches that had to be made for them. */
  private shared = 0
  private made = 0
  /** The batch of this message alone. */
  private first: Batch<A> | undefined = undefined
  readonly expiresAt: number

  constructor(
    readonly item: A,
    readonly bytes: number,
    readonly lane: 1 | 2 | 3,
    readonly maxAgeMs: number,
    readonly now: number,
    readonly limits: BatchLimits
  ) {
    const rule = limits.queue.rules[lane]
    const standingMs = (rule.targetMs ?? Infinity) + (rule.intervalMs ?? 0)
    this.expiresAt = now + Math.min(maxAgeMs, rule.maxAgeMs, standingMs)
  }

  /** The batch that was before, and this message. `undefined` when that is more than a batch may hold, or shared by too few. */
  after(before: Batch<A> | undefined): Batch<A> | undefined {
    const known = before === undefined ? this.first : before.nextOffer === this ? before.next : undefined
    if (known !== undefined) {
      this.shared++
      return known
    }
    const { bytesMax, itemsMax } = this.limits
    if ((before?.items ?? 0) >= itemsMax || (before?.bytes ?? 0) + this.bytes > bytesMax) return undefined
    if (this.made * sharedByMin >= this.shared + freeBatches * sharedByMin) return undefined
    this.made++
    const batch = new Batch(before, this)
    if (before === undefined) this.first = batch
    else {
      before.next = batch
      before.nextOffer = this
    }
    return batch
  }
}

const noListener = { onShed: (): void => invariant(false, "what is shared fits") }

export class Batch<A> {
  readonly items: number
  readonly bytes: number
  readonly critical: number
  readonly important: number
  readonly bulk: number
  /** When the first of its messages is too old to be delivered. */
  readonly expiresAt: number
  /** What became of it by the last offer. */
  next: Batch<A> | undefined = undefined
  nextOffer: SharedOffer<A> | undefined = undefined
  private leaving: ReadonlyArray<A> | undefined = undefined
  /** Of the message that leaves first, known from `order` on: its lane, and when it was offered. */
  leadLane: LaneIndex = 0
  leadAt = 0

  constructor(private readonly before: Batch<A> | undefined, private readonly offer: SharedOffer<A>) {
    const { lane } = offer
    this.items = (before?.items ?? 0) + 1
    this.bytes = (before?.bytes ?? 0) + offer.bytes
    this.critical = (before?.critical ?? 0) + (lane === 1 ? 1 : 0)
    this.important = (before?.important ?? 0) + (lane === 2 ? 1 : 0)
    this.bulk = (before?.bulk ?? 0) + (lane === 3 ? 1 : 0)
    this.expiresAt = Math.min(before?.expiresAt ?? Infinity, offer.expiresAt)
  }

  /** When the last of its messages was offered. */
  get lastAt(): number {
    return this.offer.now
  }

  /** Its messages in the order in which they were offered. O(items). */
  offers(): ReadonlyArray<SharedOffer<A>> {
    const offers = new Array<SharedOffer<A>>(this.items)
    let at = this.items
    offers[--at] = this.offer
    for (let batch = this.before; batch !== undefined; batch = batch.before) offers[--at] = batch.offer
    return offers
  }

  /** Its messages in the order in which the lanes would have let them go. Found out once. */
  order(): ReadonlyArray<A> {
    return this.leaving ??= this.leave()
  }

  private leave(): ReadonlyArray<A> {
    const lanes = new LaneQueue<A>(this.offer.limits.queue, noListener)
    for (const offer of this.offers()) offerTo(lanes, offer)
    const leaving: Array<A> = []
    for (let item = lanes.take(-Infinity); item !== undefined; item = lanes.take(-Infinity)) {
      if (leaving.push(item) > 1) continue
      this.leadLane = lanes.lastLane
      this.leadAt = lanes.lastEnqueuedAt
    }
    return leaving
  }
}

/** Puts a message of a batch into lanes that hold only those before it. */
export const offerTo = <A>(lanes: LaneQueue<A>, offer: SharedOffer<A>): void => {
  const code = lanes.offer(offer.item, offer.bytes, offer.lane, undefined, offer.maxAgeMs, offer.now)
  invariant(code === 0, "what is shared fits, and nothing has to go for it")
}
