/**
 * What followers of jobs share: for each followed job the tail of its log, and a bell. A channel exists while somebody
 * follows the job, so what is held here is bounded by the jobs that are followed.
 */
import * as Effect from "effect/Effect"
import type { JobEvent } from "../JobEvent.js"

interface Limits {
  readonly tailItemsMax: number
  readonly tailBytesMax: number
  readonly pageItemsMax: number
  readonly pageBytesMax: number
}

export class Channel {
  followers = 0
  /** Grows with whatever a follower has to look at. */
  version = 0
  isForgotten = false
  private tail: Array<JobEvent> = []
  private sizes: Array<number> = []
  bytes = 0
  private readonly waiters = new Set<() => void>()

  constructor(private readonly limits: Limits) {}

  get items(): number {
    return this.tail.length
  }

  /** Place of the newest event in the tail. */
  get lastSeq(): number | undefined {
    return this.tail.at(-1)?.seq
  }

  push(event: JobEvent, byteLength: number): void {
    const last = this.tail.at(-1)
    // What another process appended, or a batch whose outcome was unknown, is not in the tail: it starts anew behind it.
    if (last !== undefined && event.seq !== last.seq + 1) this.clear()
    this.tail.push(event)
    this.sizes.push(byteLength)
    this.bytes += byteLength
    while (this.tail.length > this.limits.tailItemsMax || (this.bytes > this.limits.tailBytesMax && this.items > 1)) {
      this.tail.shift()
      this.bytes -= this.sizes.shift()!
    }
  }

  /** The next page after a place when the tail holds it, `undefined` when only the store does (or nobody). */
  page(after: number): ReadonlyArray<JobEvent> | undefined {
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
    return end === begin ? undefined : this.tail.slice(begin, end)
  }

  ring(): void {
    this.version++
    const waiters = [...this.waiters]
    this.waiters.clear()
    for (const wake of waiters) wake()
  }

  /** Suspends until the bell has rung since `version` was read. */
  awaitChange(version: number): Effect.Effect<void> {
    return Effect.async<void>((resume) => {
      if (this.version !== version) return resume(Effect.void)
      const wake = (): void => resume(Effect.void)
      this.waiters.add(wake)
      return Effect.sync(() => {
        this.waiters.delete(wake)
      })
    })
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

  open(jobId: string): Channel {
    let channel = this.all.get(jobId)
    if (channel === undefined) {
      channel = new Channel(this.limits)
      this.all.set(jobId, channel)
    }
    channel.followers++
    return channel
  }

  close(jobId: string, channel: Channel): void {
    if (--channel.followers === 0 && this.all.get(jobId) === channel) this.all.delete(jobId)
  }

  /** The job is gone: its followers look, and one that comes later gets a channel of its own. */
  forget(jobId: string): void {
    const channel = this.all.get(jobId)
    if (channel === undefined) return
    this.all.delete(jobId)
    channel.isForgotten = true
    channel.ring()
  }
}
