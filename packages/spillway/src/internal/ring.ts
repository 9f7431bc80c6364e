/**
 * The ring of one lane: a growable FIFO of messages with their numbers, an optional index by key, and the lane's counters.
 *
 * It decides storage only. Whether a message fits and who has to go is decided by the lane queue.
 *
 * Positions are absolute 32-bit numbers that wrap around; `position & (capacity - 1)` is the slot. A position stays valid
 * when the ring grows, so the key index never has to be rebuilt. Four numbers of a slot lie next to each other in one
 * array of doubles, which needs neither boxes nor memory outside the heap, and nothing is allocated before the first push.
 */
import type { LaneIndex } from "../Lane.js"
import { invariant } from "./invariant.js"

/** What happens to a message that does not fit. */
export type WhenFull = "evictLower" | "dropOldest" | "dropNewest" | "conflate" | "suspend" | "disconnect"

/** Rule of one lane. `maxAgeMs` is `Infinity` when messages do not age. */
export interface LaneRule {
  readonly whenFull: WhenFull
  readonly maxAgeMs: number
  /** How long messages may wait while the lane has a standing queue, and how much longer they may until it has. */
  readonly targetMs?: number
  readonly intervalMs?: number
}

/** Counters of one lane; `offered` is the sum of all others but `queuedBytes` (I2). */
export interface LaneCounters {
  readonly offered: number
  readonly taken: number
  readonly evicted: number
  readonly rejected: number
  readonly conflated: number
  readonly expired: number
  readonly returned: number
  readonly queuedItems: number
  readonly queuedBytes: number
}

const slotsMin = 4

/**
 * Entries of the key index that may be out of date, beside twice the capacity. Clearing an entry with every message that
 * leaves costs more than all the rest of an offer and a take; keys that come again (symbols, metrics) reuse theirs.
 */
const outdatedMax = 256

/** Stands in for the arrays of a ring that holds nothing. Never written: a push grows a ring of capacity 0 first. */
const nothing: Array<never> = []

/** Where the last message with a key was queued. */
class KeyEntry {
  constructor(readonly key: unknown, public position: number) {}
}

export class Ring<A> {
  capacity = 0
  head = 0
  tail = 0
  queuedBytes = 0

  offered = 0
  taken = 0
  evicted = 0
  rejected = 0
  conflated = 0
  expired = 0
  returned = 0

  /** Slots in use hold a message, all others `undefined`, so that nothing is kept alive after it left. */
  private items: Array<A | undefined> = nothing
  /** Four per slot: bytes, sequence number, time of entry, time from which it is too old. */
  private numbers: Array<number> = nothing
  /** Keys by slot and entries by key; they exist from the first message with a key on. */
  private keys: Array<unknown> | undefined = undefined
  private index: Map<unknown, KeyEntry> | undefined = undefined
  /** What the last `find` came upon: the push that follows needs no second look-up. */
  private found: KeyEntry | undefined = undefined

  /**
   * Whether there is a standing queue: a message waited for target and interval, and the lane has not been empty since.
   * `undefined` where the rule has no target.
   */
  private isStanding: boolean | undefined
  private readonly targetMs: number
  private readonly standingMs: number

  constructor(readonly lane: LaneIndex, readonly rule: LaneRule) {
    this.targetMs = rule.targetMs ?? Infinity
    this.standingMs = this.targetMs + (rule.intervalMs ?? 0)
    this.isStanding = this.targetMs === Infinity ? undefined : false
  }

  get queuedItems(): number {
    return (this.tail - this.head) | 0
  }

  counters(): LaneCounters {
    return {
      offered: this.offered,
      taken: this.taken,
      evicted: this.evicted,
      rejected: this.rejected,
      conflated: this.conflated,
      expired: this.expired,
      returned: this.returned,
      queuedItems: this.queuedItems,
      queuedBytes: this.queuedBytes
    }
  }

  /** Position of the queued message with this key, or `undefined`. */
  find(key: unknown): number | undefined {
    const entry = this.index?.get(key)
    this.found = entry
    if (entry === undefined) return undefined
    const { position } = entry
    // The index is not cleared when a message leaves: an entry counts only while its slot holds that very message.
    const isQueued = ((position - this.head) | 0) >= 0 && ((this.tail - position) | 0) > 0
    return isQueued && this.keys![position & (this.capacity - 1)] === key ? position : undefined
  }

  bytesAt(position: number): number {
    return this.numbers[(position & (this.capacity - 1)) << 2]! | 0
  }

  seqAt(position: number): number {
    return this.numbers[((position & (this.capacity - 1)) << 2) + 1]!
  }

  enqueuedAt(position: number): number {
    return this.numbers[((position & (this.capacity - 1)) << 2) + 2]!
  }

  expiresAt(position: number): number {
    return this.numbers[((position & (this.capacity - 1)) << 2) + 3]!
  }

  push(item: A, bytes: number, key: unknown, seq: number, now: number, expires: number): void {
    if (((this.tail - this.head) | 0) === this.capacity) this.grow()
    const slot = this.tail & (this.capacity - 1)
    const at = slot << 2
    const numbers = this.numbers
    this.items[slot] = item
    numbers[at] = bytes
    numbers[at + 1] = seq
    numbers[at + 2] = now
    numbers[at + 3] = expires
    if (key !== undefined) this.remember(key, slot)
    this.tail = (this.tail + 1) | 0
    this.queuedBytes += bytes
  }

  /** Whether the oldest message has waited too long for a standing queue. The last message of a lane never has. */
  isStale(now: number): boolean {
    if (this.isStanding === undefined || ((this.tail - this.head) | 0) < 2) return false
    const waitedMs = now - this.enqueuedAt(this.head)
    if (waitedMs >= this.standingMs) this.isStanding = true
    return this.isStanding && waitedMs > this.targetMs
  }

  /** The lane was emptied. */
  emptied(): void {
    if (this.isStanding === true) this.isStanding = false
  }

  /** Removes the oldest message, which has this many bytes. The ring must not be empty. */
  shift(bytes: number): A {
    const slot = this.head & (this.capacity - 1)
    const item = this.items[slot]!
    this.items[slot] = undefined
    if (this.keys !== undefined) this.keys[slot] = undefined
    this.head = (this.head + 1) | 0
    this.queuedBytes -= bytes
    return item
  }

  /** Puts a message in the place of another one, whose sequence number it takes over. Returns the other one. */
  replace(position: number, item: A, bytes: number, now: number, expires: number): A {
    const slot = position & (this.capacity - 1)
    const at = slot << 2
    const old = this.items[slot]!
    this.queuedBytes += bytes - (this.numbers[at]! | 0)
    this.items[slot] = item
    this.numbers[at] = bytes
    this.numbers[at + 2] = now
    this.numbers[at + 3] = expires
    return old
  }

  /** Gives the memory back. The ring must be empty. */
  release(): void {
    this.capacity = 0
    this.items = nothing
    this.numbers = nothing
    this.keys = undefined
    this.index = undefined
    this.found = undefined
  }

  private remember(key: unknown, slot: number): void {
    if (this.keys === undefined || this.index === undefined) {
      this.keys = new Array<unknown>(this.capacity).fill(undefined)
      this.index = new Map()
    }
    this.keys[slot] = key
    const found = this.found
    if (found !== undefined && found.key === key) {
      found.position = this.tail
      return
    }
    this.index.set(key, new KeyEntry(key, this.tail))
    if (this.index.size > this.capacity * 2 + outdatedMax) this.reindex(this.keys, this.tail + 1)
  }

  /** Makes the index anew, of what is queued up to `end`. O(capacity), after at least as many messages left. */
  private reindex(keys: Array<unknown>, end: number): void {
    const index = new Map<unknown, KeyEntry>()
    for (let position = this.head; position !== (end | 0); position = (position + 1) | 0) {
      const key = keys[position & (this.capacity - 1)]
      if (key !== undefined) index.set(key, new KeyEntry(key, position))
    }
    this.index = index
    this.found = undefined
  }

  private grow(): void {
    const capacity = this.capacity === 0 ? slotsMin : this.capacity * 2
    // Filling with a value of the final kind keeps the kind of the elements the same in every ring, which the fast path
    // relies on: objects here, doubles there.
    const items = new Array<A | undefined>(capacity).fill(undefined)
    const numbers = new Array<number>(capacity * 4).fill(0.5)
    const keys = this.keys === undefined ? undefined : new Array<unknown>(capacity).fill(undefined)
    for (let position = this.head; position !== this.tail; position = (position + 1) | 0) {
      const from = position & (this.capacity - 1)
      const to = position & (capacity - 1)
      items[to] = this.items[from]
      for (let i = 0; i < 4; i++) numbers[to * 4 + i] = this.numbers[from * 4 + i]!
      if (keys !== undefined) keys[to] = this.keys![from]
    }
    this.capacity = capacity
    this.items = items
    this.numbers = numbers
    this.keys = keys
  }

  /** Asserts everything a ring promises. O(n). */
  check(): void {
    const queued = this.queuedItems
    invariant(queued >= 0 && queued <= this.capacity, "a ring holds no more than its capacity")
    const ended = this.taken + this.evicted + this.rejected + this.conflated + this.expired + this.returned
    invariant(this.offered === ended + queued, "I2: every offered message is accounted for")
    let bytes = 0
    let seq = 0
    for (let position = this.head; position !== this.tail; position = (position + 1) | 0) {
      const slot = position & (this.capacity - 1)
      invariant(this.items[slot] !== undefined, "a queued slot holds a message")
      invariant(this.seqAt(position) > seq && this.seqAt(position) <= this.offered, "I3: numbers of a lane increase")
      seq = this.seqAt(position)
      bytes += this.bytesAt(position)
      const key = this.keys?.[slot]
      if (key === undefined) continue
      invariant(this.find(key) === position, "a key leads to its message")
    }
    invariant(bytes === this.queuedBytes, "the bytes of a lane are the sum of its messages")
    const keys = this.index?.size ?? 0
    invariant(keys <= this.capacity * 2 + outdatedMax, "the key index is bounded by the capacity")
    const empty = this.items.filter((item) => item === undefined).length
    invariant(empty === this.capacity - queued, "a free slot keeps nothing alive")
  }
}
