/**
 * The naive model of the lane queue: arrays, no indices, no totals, and every decision tried on a copy first. Slow and
 * obvious on purpose.
 */
import type { LaneIndex } from "spillway/Lane"
import * as Outcome from "spillway/Outcome"
import type { WhenFull } from "spillway/Overflow"

/** What becomes of an offer that does not wait for anything; who waits or ends the session is for others to say. */
export type Decision = Outcome.Outcome | "WouldWait" | "Disconnect"

export interface ModelRule {
  readonly whenFull: WhenFull
  readonly maxAgeMs: number
  readonly targetMs?: number
  readonly intervalMs?: number
}

export interface ModelOptions {
  readonly itemsMax: number
  readonly bytesMax: number
  readonly reserveItems: number
  readonly reserveBytes: number
  readonly rules: readonly [ModelRule, ModelRule, ModelRule, ModelRule]
  readonly importantPerBulk: number
  readonly refuseBulkAbove: number
}

export type ShedReason = "evicted" | "conflated" | "expired"

export interface Entry {
  readonly id: number
  readonly bytes: number
  readonly key: unknown
  readonly seq: number
  readonly enqueuedAt: number
  readonly expires: number
}

export interface Shed {
  readonly id: number
  readonly lane: LaneIndex
  readonly reason: ShedReason
}

const zeros = () => ({ offered: 0, taken: 0, evicted: 0, rejected: 0, conflated: 0, expired: 0, returned: 0 })

const sum = (entries: ReadonlyArray<Entry>): number => entries.reduce((total, entry) => total + entry.bytes, 0)

/** The four lanes at one instant. Copied for every "what if". */
type Lanes = readonly [Array<Entry>, Array<Entry>, Array<Entry>, Array<Entry>]

export const options = (overrides: Partial<ModelOptions> = {}): ModelOptions => ({
  itemsMax: 10,
  bytesMax: 1000,
  reserveItems: 3,
  reserveBytes: 300,
  rules: rules({}),
  importantPerBulk: 8,
  refuseBulkAbove: 1,
  ...overrides
})

export const rules = (
  overrides: { readonly [I in LaneIndex]?: Partial<ModelRule> }
): ModelOptions["rules"] => {
  const rule = (lane: LaneIndex): ModelRule => ({
    whenFull: "evictLower",
    maxAgeMs: Infinity,
    ...overrides[lane]
  })
  return [rule(0), rule(1), rule(2), rule(3)]
}

export class QueueModel {
  lanes: Lanes = [[], [], [], []]
  readonly counters = [zeros(), zeros(), zeros(), zeros()] as const
  closed = false
  shed: Array<Shed> = []
  private run = 0
  /** By lane: whether there is a standing queue. */
  private readonly standing = [false, false, false, false]

  constructor(readonly options: ModelOptions) {}

  offer(id: number, bytes: number, lane: LaneIndex, key: unknown, maxAgeMs: number, now: number): Decision {
    if (this.closed) return Outcome.rejected("Closed")
    this.lanes.forEach((entries, index) => {
      if (entries.length === 0) this.standing[index] = false
    })
    const code = this.decide(id, bytes, lane, key, maxAgeMs, now)
    if (code === "WouldWait") return code
    this.counters[lane].offered++
    if (code === "Disconnect" || !Outcome.isTaken(code)) this.counters[lane].rejected++
    return code
  }

  take(now: number): { readonly entry: Entry; readonly lane: LaneIndex } | undefined {
    const lane = this.next(now)
    if (lane === undefined) return undefined
    if (lane === 2) this.run = this.lanes[3].length > 0 ? this.run + 1 : 0
    if (lane === 3) this.run = 0
    this.counters[lane].taken++
    return { entry: this.lanes[lane].shift()!, lane }
  }

  /** The lane to serve next; sheds what is too old on the way. */
  next(now: number): LaneIndex | undefined {
    for (const lane of [0, 1] as const) {
      this.expire(lane, now)
      if (this.lanes[lane].length > 0) return lane
    }
    this.expire(2, now)
    this.expire(3, now)
    const [, , important, bulk] = this.lanes
    if (important.length === 0 || bulk.length === 0) {
      return important.length > 0 ? 2 : bulk.length > 0 ? 3 : undefined
    }
    const share = this.options.importantPerBulk
    return share > 0 && this.run >= share ? 3 : 2
  }

  close(): Array<{ readonly item: number; readonly lane: LaneIndex; readonly bytes: number; readonly seq: number }> {
    this.closed = true
    const rest = ([0, 1, 2, 3] as const).flatMap((lane) => {
      this.counters[lane].returned += this.lanes[lane].length
      return this.lanes[lane].map(({ bytes, id, seq }) => ({ item: id, lane, bytes, seq }))
    })
    this.lanes = [[], [], [], []]
    return rest
  }

  private fits(lanes: Lanes, lane: LaneIndex): boolean {
    const { bytesMax, itemsMax, reserveBytes, reserveItems } = this.options
    if (lane === 0) return lanes[0].length <= reserveItems && sum(lanes[0]) <= reserveBytes
    const counted = [...lanes[1], ...lanes[2], ...lanes[3]]
    return counted.length <= itemsMax && sum(counted) <= bytesMax
  }

  private refusesBulk(): boolean {
    const { bytesMax, itemsMax, refuseBulkAbove } = this.options
    const counted = [...this.lanes[1], ...this.lanes[2], ...this.lanes[3]]
    return Math.max(counted.length / itemsMax, sum(counted) / bytesMax) > refuseBulkAbove
  }

  private decide(id: number, bytes: number, lane: LaneIndex, key: unknown, maxAgeMs: number, now: number): Decision {
    const { bytesMax, reserveBytes } = this.options
    if (bytes > (lane === 0 ? reserveBytes : bytesMax)) return Outcome.rejected("TooLarge")
    const rule = this.options.rules[lane]
    const expires = now + Math.min(maxAgeMs, rule.maxAgeMs)
    const entry: Entry = { id, bytes, key, seq: this.counters[lane].offered + 1, enqueuedAt: now, expires }
    const replaced = key === undefined ? undefined : this.lanes[lane].find((other) => other.key === key)
    if (replaced === undefined && lane === 3 && this.refusesBulk()) return Outcome.rejected("Pressure")
    if (this.attempt(this.lanes, lane, entry, now, 4) !== undefined) return this.commit(lane, entry, now, 4)
    if (rule.whenFull === "dropNewest") return Outcome.rejected("LaneFull")
    for (const shared of lane === 0 ? [0] as const : [1, 2, 3] as const) this.expire(shared, now)
    if (replaced !== undefined && !this.lanes[lane].includes(replaced) && lane === 3 && this.refusesBulk()) {
      return Outcome.rejected("Pressure")
    }
    const replaces = key !== undefined && this.lanes[lane].some((other) => other.key === key)
    for (const from of this.stages(lane, key, replaces)) {
      if (this.attempt(this.lanes, lane, entry, now, from) !== undefined) return this.commit(lane, entry, now, from)
    }
    if (rule.whenFull === "suspend") return "WouldWait"
    if (rule.whenFull === "disconnect") return "Disconnect"
    return lane < 2 ? "WouldWait" : Outcome.rejected("LaneFull")
  }

  /** From which lane downward may be evicted, in the order to try. 4 is nothing at all. */
  private stages(lane: LaneIndex, key: unknown, replaces: boolean): ReadonlyArray<number> {
    if (lane === 0) return [4]
    const { whenFull } = this.options.rules[lane]
    const own = lane >= 2 && !replaces &&
      (whenFull === "dropOldest" || (whenFull === "conflate" && key !== undefined) ||
        (whenFull === "evictLower" && lane === 2))
    return own ? [4, lane + 1, lane] : [4, lane + 1]
  }

  /** The lanes as they would be with the entry in, or `undefined` when it cannot be made to fit. */
  private attempt(before: Lanes, lane: LaneIndex, entry: Entry, now: number, from: number): Attempt | undefined {
    const lanes: Lanes = [[...before[0]], [...before[1]], [...before[2]], [...before[3]]]
    const shed: Array<Shed> = []
    const at = entry.key === undefined ? -1 : lanes[lane].findIndex((other) => other.key === entry.key)
    let replaced: Entry | undefined
    if (at === -1) lanes[lane].push(entry)
    else [replaced] = lanes[lane].splice(at, 1, { ...entry, seq: lanes[lane][at]!.seq })
    while (!this.fits(lanes, lane)) {
      const victim = ([3, 2, 1, 0] as const).find((index) => index >= from && lanes[index].some((e) => e !== entry))
      if (victim === undefined) return undefined
      const gone = lanes[victim].shift()!
      shed.push({ id: gone.id, lane: victim, reason: gone.expires <= now ? "expired" : "evicted" })
    }
    if (replaced !== undefined) shed.push({ id: replaced.id, lane, reason: "conflated" })
    return { lanes, shed, code: replaced !== undefined ? Outcome.conflated : evictions(shed) }
  }

  private commit(lane: LaneIndex, entry: Entry, now: number, from: number): Outcome.Outcome {
    const { code, lanes, shed } = this.attempt(this.lanes, lane, entry, now, from)!
    this.lanes = lanes
    // The lane was empty for a moment, when all of it had gone for the newcomer.
    if (lanes[lane].length === 1 && shed.some((one) => one.lane === lane && one.reason !== "conflated")) {
      this.standing[lane] = false
    }
    for (const one of shed) {
      this.counters[one.lane][one.reason]++
      this.shed.push(one)
    }
    return code
  }

  /** Waited longer than the target, in a lane whose first has waited for target and interval since it was empty. */
  private isStale(lane: LaneIndex, now: number): boolean {
    const { intervalMs = 0, targetMs = Infinity } = this.options.rules[lane]
    if (targetMs === Infinity || this.lanes[lane].length < 2) return false
    const waited = now - this.lanes[lane][0]!.enqueuedAt
    if (waited >= targetMs + intervalMs) this.standing[lane] = true
    return this.standing[lane]! && waited > targetMs
  }

  private expire(lane: LaneIndex, now: number): void {
    while (this.lanes[lane].length > 0 && (this.lanes[lane][0]!.expires <= now || this.isStale(lane, now))) {
      const { id } = this.lanes[lane].shift()!
      this.counters[lane].expired++
      this.shed.push({ id, lane, reason: "expired" })
    }
  }
}

interface Attempt {
  readonly lanes: Lanes
  readonly shed: ReadonlyArray<Shed>
  readonly code: Outcome.Outcome
}

const evictions = (shed: ReadonlyArray<Shed>): Outcome.Outcome => {
  const { length } = shed.filter(({ reason }) => reason === "evicted")
  return length === 0 ? Outcome.queued : Outcome.queuedEvicting(length)
}
