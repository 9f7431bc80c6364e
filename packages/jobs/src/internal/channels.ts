/**
 * What followers of jobs share: for each followed job the tail of its log, and a bell. A channel exists while somebody
 * follows the job, so what is held here is bounded by the jobs that are followed.
 *
 * A follower is a place. The bell rings once for each batch, for all of them, and whoever stands at the same place is
 * handed the very same page. One whose place the tail has left behind is back at the store: the tail waits for nobody.
 */
import * as Option from "effect/Option"
import { isTerminal, type JobEvent } from "../JobEvent.js"

/** Somebody who follows a job. */
export interface Listener {
  /** Place after which it waits for more; `undefined` while it does something else. */
  readonly waitsAfter: number | undefined
  /** The bell: something was appended, or the end of the log is known, or the job is gone. */
  rung(): void
  /** What others appended could not be looked for: it has to look itself, and to fail itself. */
  doubt(): void
}

interface Limits {
  readonly tailItemsMax: number
  readonly tailBytesMax: number
  readonly pageItemsMax: number
  readonly pageBytesMax: number
}

export class Channel {
  isForgotten = false
  /** Place of the terminal event, once it is known. */
  endSeq: number | undefined = undefined
  /** Ends what looks for what other processes append. */
  stopLooking: (() => void) | undefined = undefined
  bytes = 0
  private tail: Array<JobEvent> = []
  private sizes: Array<number> = []
  private readonly listeners = new Set<Listener>()
  /** The last page that somebody was handed, and the place before it. */
  private shared: Option.Some<ReadonlyArray<JobEvent>> | undefined = undefined
  private sharedAfter = -1

  constructor(private readonly limits: Limits) {}

  get items(): number {
    return this.tail.length
  }

  get followers(): number {
    return this.listeners.size
  }

  /** Place of the newest event in the tail. */
  get lastSeq(): number | undefined {
    return this.tail.at(-1)?.seq
  }

  join(listener: Listener): void {
    this.listeners.add(listener)
  }

  leave(listener: Listener): void {
    this.listeners.delete(listener)
  }

  push(event: JobEvent, byteLength: number): void {
    const last = this.tail.at(-1)
    // What another process appended, or a batch whose outcome was unknown, is not in the tail: it starts anew behind it.
    if (last !== undefined && event.seq !== last.seq + 1) this.clear()
    this.tail.push(event)
    this.sizes.push(byteLength)
    this.bytes += byteLength
    this.shared = undefined
    if (isTerminal(event.kind)) this.endSeq = event.seq
    while (this.tail.length > this.limits.tailItemsMax || (this.bytes > this.limits.tailBytesMax && this.items > 1)) {
      this.tail.shift()
      this.bytes -= this.sizes.shift()!
    }
  }

  /** The next page after a place when the tail holds it, `undefined` when only the store does (or nobody). */
  page(after: number): Option.Some<ReadonlyArray<JobEvent>> | undefined {
    if (this.shared !== undefined && this.sharedAfter === after) return this.shared
    const first = this.tail[0]
    if (first === undefined || after + 1 < first.seq) return undefined
    const begin = after + 1 - first.seq
    let end = begin
    let bytes = 0
    while (end < this.tail.length && end - begin < this.limits.pageItemsMax) {
      bytes += this.sizes[end]!
      if (end > begin && bytes > this.limits.pageBytesMax) break
      end++
    }
    if (end <= begin) return undefined
    this.sharedAfter = after
    const page = Option.some(this.tail.slice(begin, end))
    this.shared = Option.isSome(page) ? page : undefined
    return this.shared
  }

  /** The job has ended with the event at a place: nobody waits for another one. */
  end(seq: number): void {
    this.endSeq = seq
    this.ring()
  }

  /** Whether the log is known to end at a place, or before it. */
  isEnd(seq: number): boolean {
    return this.endSeq !== undefined && seq >= this.endSeq
  }

  /** Lowest place after which somebody waits, `undefined` when nobody does. All who wait have read everything. */
  get waitsAfter(): number | undefined {
    let lowest: number | undefined = undefined
    for (const { waitsAfter } of this.listeners) {
      if (waitsAfter !== undefined && (lowest === undefined || waitsAfter < lowest)) lowest = waitsAfter
    }
    return lowest
  }

  ring(): void {
    for (const listener of this.listeners) listener.rung()
  }

  doubt(): void {
    for (const listener of this.listeners) listener.doubt()
  }

  private clear(): void {
    this.tail = []
    this.sizes = []
    this.bytes = 0
  }
}

export class Channels {
  private readonly all = new Map<string, Channel>()

  constructor(private readonly limits: Limits) {}

  get ids(): ReadonlyArray<string> {
    return [...this.all.keys()]
  }

  get size(): number {
    return this.all.size
  }

  sum(of: (channel: Channel) => number): number {
    let total = 0
    for (const channel of this.all.values()) total += of(channel)
    return total
  }

  find(jobId: string): Channel | undefined {
    return this.all.get(jobId)
  }

  of(jobId: string): Channel {
    let channel = this.all.get(jobId)
    if (channel === undefined) {
      channel = new Channel(this.limits)
      this.all.set(jobId, channel)
    }
    return channel
  }

  close(jobId: string, channel: Channel, listener: Listener): void {
    channel.leave(listener)
    if (channel.followers > 0) return
    channel.stopLooking?.()
    if (this.all.get(jobId) === channel) this.all.delete(jobId)
  }

  stopLooking(): void {
    for (const channel of this.all.values()) channel.stopLooking?.()
  }

  /** The job is gone: its followers look, and one that comes later gets a channel of its own. */
  forget(jobId: string): void {
    const channel = this.all.get(jobId)
    if (channel === undefined) return
    this.all.delete(jobId)
    channel.isForgotten = true
    channel.stopLooking?.()
    channel.ring()
  }
}
