/**
 * Sharing changes nothing but the cost: outboxes that share what they are offered alike, beside twins that do not, under
 * random publications, offers, takes, looks and time. Longer with `LAWS_RUNS`, other seeds with `LAWS_SEED`.
 */
import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { options, rules } from "../../testing/src/internal/outboxModel.js"
import { OutboxCore } from "../src/internal/outbox.js"
import { batchLimits, SharedOffer } from "../src/internal/sharedBatch.js"
import type { LaneIndex } from "../src/Lane.js"

const seed = Number(process.env["LAWS_SEED"] ?? 20_261_126)
const numRuns = Number(process.env["LAWS_RUNS"] ?? 400)

const outboxCount = 5

/** What a campaign has to come to: a path that never happened was not tested. */
const seen = { shared: 0, refused: 0, batches: 0, stirred: 0, expired: 0, severalLanes: 0, evicted: 0 }

const queue = options({
  itemsMax: 12,
  bytesMax: 200,
  rules: rules({ 3: { maxAgeMs: 30 } }),
  importantPerBulk: 2,
  refuseBulkAbove: 0.9
})
const limits = batchLimits(queue, 7, 120)

/** One outbox that shares, and one that is offered the same and does not. */
class Twins {
  readonly sharing: OutboxCore<number>
  readonly plain: OutboxCore<number>
  readonly shed: [Array<unknown>, Array<unknown>] = [[], []]
  readonly left: [Array<number>, Array<number>] = [[], []]
  signals = 0
  isSharing = false
  unsharedBytes = 0
  sharedBytes = 0

  constructor() {
    const hooks = (of: 0 | 1) => ({
      onOffered: () => void (of === 0 && this.signals++),
      onShed: (item: number, lane: LaneIndex, reason: string) => {
        if (reason === "expired") seen.expired++
        if (reason === "evicted") seen.evicted++
        this.shed[of].push([item, lane, reason])
      },
      onDisconnect: () => assert.fail("no such rule"),
      onUnshared: (bytes: number) => {
        seen.stirred++
        this.unsharedBytes += bytes
        this.isSharing = false
      }
    })
    this.sharing = new OutboxCore(queue, hooks(0), undefined, limits)
    this.plain = new OutboxCore(queue, hooks(1))
  }

  publish(offer: SharedOffer<number>): void {
    const code = this.plain.offer(offer.item, offer.bytes, offer.lane, undefined, offer.maxAgeMs, offer.now)
    if (this.sharing.isIdle) {
      const before = this.signals
      if (this.sharing.share(offer)) {
        seen.shared++
        this.sharedBytes += offer.bytes
        assert.strictEqual(code, 0, "what is shared would have been queued, and nothing would have gone for it")
        assert.strictEqual(this.signals - before, this.isSharing ? 0 : 1, "the first of a turn is said")
        this.isSharing = true
        return
      }
      seen.refused++
    } else assert.isFalse(this.sharing.share(offer), "whoever is not idle shares nothing")
    this.offer(offer.item, offer.bytes, offer.lane, undefined, offer.maxAgeMs, offer.now, code)
  }

  offer(item: number, bytes: number, lane: LaneIndex, key: unknown, maxAge: number, now: number, code?: number): void {
    code ??= this.plain.offer(item, bytes, lane, key, maxAge, now)
    assert.strictEqual(this.sharing.offer(item, bytes, lane, key, maxAge, now), code)
  }

  /** As a session writes: everything, and it rests. */
  pump(now: number, room: number): void {
    const batch = this.sharing.takeShared(now)
    if (batch !== undefined) {
      seen.batches++
      this.isSharing = false
      this.sharedBytes -= batch.bytes
      this.left[0].push(...batch.order())
      if ([batch.critical, batch.important, batch.bulk].filter((count) => count > 0).length > 1) seen.severalLanes++
      for (let item = this.plain.take(now); item !== undefined; item = this.plain.take(now)) this.left[1].push(item)
      return
    }
    for (const [of, outbox] of [this.sharing, this.plain].entries()) {
      for (let item = outbox.take(now, room); item !== undefined; item = outbox.take(now, room)) {
        this.left[of]!.push(item)
      }
    }
    this.sharing.rest()
  }

  look(): void {
    this.sharing.check()
    const { queue: one } = this.sharing
    const { queue: other } = this.plain
    for (const lane of [0, 1, 2, 3] as const) {
      assert.deepStrictEqual(one.counters(lane), other.counters(lane), `lane ${lane}`)
      assert.strictEqual(one.oldestAtOf(lane), other.oldestAtOf(lane))
    }
    assert.deepStrictEqual([one.peakItems, one.peakBytes], [other.peakItems, other.peakBytes])
    assert.deepStrictEqual(this.left[0], this.left[1], "the same messages, in the same order")
    assert.deepStrictEqual(this.shed[0], this.shed[1])
    assert.strictEqual(this.sharedBytes, this.unsharedBytes, "what is not shared any more was said")
  }
}

interface World {
  readonly twins: ReadonlyArray<Twins>
  now: number
  nextId: number
}

type Step = (world: World) => void

const lane = FastCheck.constantFrom<LaneIndex>(0, 1, 2, 3)
const sharedLane = FastCheck.constantFrom<1 | 2 | 3>(1, 2, 2, 3)
const bytes = FastCheck.integer({ min: 0, max: 40 })
const who = FastCheck.nat(outboxCount - 1)
const group = FastCheck.oneof(
  { weight: 3, arbitrary: FastCheck.constant([0, 1, 2, 3, 4]) },
  { weight: 1, arbitrary: FastCheck.uniqueArray(who, { minLength: 1 }) }
)

const publish = FastCheck.tuple(group, sharedLane, bytes, FastCheck.constantFrom(Infinity, 10)).map(
  ([group, lane, bytes, maxAge]): Step => (world) => {
    const offer = new SharedOffer(world.nextId++, bytes, lane, maxAge, world.now, limits)
    for (const index of group) world.twins[index]!.publish(offer)
  }
)
const offer = FastCheck.tuple(who, lane, bytes, FastCheck.constantFrom(undefined, "a", "b")).map(
  ([index, lane, bytes, key]): Step => (world) =>
    world.twins[index]!.offer(world.nextId++, bytes, lane, key, Infinity, world.now)
)
const pump = FastCheck.tuple(group, FastCheck.constantFrom(Infinity, Infinity, 20)).map(
  ([group, room]): Step => (world) => {
    for (const index of group) world.twins[index]!.pump(world.now, room)
  }
)
const each = (f: (twins: Twins, now: number) => void) =>
  who.map((index): Step => (world) => f(world.twins[index]!, world.now))

const step = FastCheck.oneof(
  { weight: 10, arbitrary: publish },
  { weight: 2, arbitrary: offer },
  { weight: 6, arbitrary: pump },
  { weight: 1, arbitrary: each((twins) => twins.look()) },
  {
    weight: 1,
    arbitrary: each((twins, now) => [twins.sharing, twins.plain].forEach((outbox) => void outbox.shed(3, now)))
  },
  {
    weight: 2,
    arbitrary: FastCheck.integer({ min: 1, max: 12 }).map((millis): Step => (world) => void (world.now += millis))
  }
)

describe("shared batches", () => {
  it("A041 A046 offers that are shared have the outcomes, the counts, the order and the ends of any others", () => {
    const property = FastCheck.property(FastCheck.array(step, { maxLength: 60, size: "max" }), (steps) => {
      const world: World = { twins: Array.from({ length: outboxCount }, () => new Twins()), now: 0, nextId: 0 }
      for (const twins of world.twins) twins.sharing.rest()
      for (const step of steps) step(world)
      for (const [index, twins] of world.twins.entries()) {
        if (index % 2 === 0) twins.pump(world.now, Infinity)
        twins.look()
        assert.deepStrictEqual(twins.sharing.close(), twins.plain.close())
      }
    })
    FastCheck.assert(property, { seed, numRuns })
    for (const [path, count] of Object.entries(seen)) assert.isAbove(count, 20, path)
  })

  it("outboxes that are offered different messages stop sharing before it costs more than it saves", () => {
    const outboxes = Array.from({ length: 1_000 }, () => new Twins().sharing)
    for (const outbox of outboxes) outbox.rest()
    const shares = (offer: SharedOffer<number>, whom: ReadonlyArray<OutboxCore<number>>): number =>
      whom.filter((outbox) => outbox.share(offer)).length
    // Each has a message of its own: no two have the same batch.
    for (const outbox of outboxes) shares(new SharedOffer(1, 1, 2, Infinity, 0, limits), [outbox])
    const toAll = new SharedOffer(2, 1, 2, Infinity, 0, limits)
    assert.strictEqual(shares(toAll, outboxes), 16)
    // Where all have the same, all share.
    const others = Array.from({ length: 1_000 }, () => new Twins().sharing)
    for (const outbox of others) outbox.rest()
    assert.strictEqual(shares(new SharedOffer(3, 1, 2, Infinity, 0, limits), others), 1_000)
    assert.strictEqual(shares(new SharedOffer(4, 1, 2, Infinity, 0, limits), others), 1_000)
  })
})
