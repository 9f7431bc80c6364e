/**
 * The waiters of the outbox under random offers, takes, cancellations and closing: no barging, no ghost, nobody forgotten.
 */
import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { options, rules } from "../../testing/src/internal/outboxModel.js"
import { REJECTED_CLOSED, REJECTED_FULL } from "../src/internal/laneQueue.js"
import { OutboxCore, type Waiter } from "../src/internal/outbox.js"
import type { LaneIndex } from "../src/Lane.js"

const seed = 20_240_229

class World {
  readonly core: OutboxCore<number>
  /** Waiters that were neither resumed nor cancelled. */
  readonly open = new Map<number, Waiter<number>>()
  readonly lastTaken: [number, number, number, number] = [-1, -1, -1, -1]
  offeredSignals = 0
  resumed = 0
  cancelled = 0
  taken = 0
  private nextId = 0

  constructor(itemsMax: number, bytesMax: number) {
    const suspend = { whenFull: "suspend" } as const
    this.core = new OutboxCore(
      options({
        itemsMax,
        bytesMax,
        reserveItems: 2,
        rules: rules({ 0: suspend, 1: suspend, 2: suspend, 3: suspend })
      }),
      {
        onOffered: () => void this.offeredSignals++,
        onShed: () => {},
        onDisconnect: () => assert.fail("no such rule")
      },
      6
    )
  }

  offerOrWait(lane: LaneIndex, bytes: number): void {
    const id = this.nextId++
    const isBehind = [...this.open.values()].some((waiter) => waiter.lane === lane)
    const waiter = this.core.offerOrWait(id, bytes, lane, undefined, Infinity, 0, (code) => {
      assert.isTrue(this.open.delete(id), "a waiter is resumed once, and never after it was cancelled")
      this.resumed++
      if (!this.core.queue.closed) assert.isAtLeast(code, 0)
      else assert.strictEqual(code, REJECTED_CLOSED)
    })
    if (typeof waiter !== "number") this.open.set(id, waiter)
    else if (isBehind) assert.include([REJECTED_FULL, REJECTED_CLOSED], waiter, "I3: nobody barges")
  }

  offer(lane: LaneIndex, bytes: number): void {
    const isBehind = [...this.open.values()].some((waiter) => waiter.lane === lane)
    const code = this.core.offer(this.nextId++, bytes, lane, undefined, Infinity, 0)
    if (isBehind) assert.strictEqual(code, REJECTED_FULL, "I3: nobody barges")
  }

  cancel(index: number): void {
    const [id, waiter] = [...this.open.entries()][index % Math.max(1, this.open.size)] ?? []
    if (id === undefined || waiter === undefined) return
    this.open.delete(id)
    this.cancelled++
    this.core.cancel(waiter, 0)
    this.core.cancel(waiter, 0)
  }

  take(): void {
    const peeked = this.core.peekBytes(0)
    const id = this.core.take(0)
    assert.strictEqual(id === undefined, peeked === -1)
    if (id === undefined) return
    this.taken++
    const { lastLane } = this.core.queue
    assert.isAbove(id, this.lastTaken[lastLane], "I3: first in, first out, also among those who waited")
    this.lastTaken[lastLane] = id
  }

  check(): void {
    this.core.check()
    assert.strictEqual(this.core.waiterCount, this.open.size, "I6: no ghost and nobody forgotten")
    if (this.core.queue.queuedItems === 0) assert.strictEqual(this.open.size, 0, "nobody waits for an empty outbox")
  }
}

type Step = (world: World) => void

const lane: FastCheck.Arbitrary<LaneIndex> = FastCheck.constantFrom(0, 1, 2, 3)
const bytes = FastCheck.integer({ min: 0, max: 30 })
const step: FastCheck.Arbitrary<Step> = FastCheck.oneof(
  {
    weight: 6,
    arbitrary: FastCheck.tuple(lane, bytes).map(([lane, bytes]): Step => (world) => world.offerOrWait(lane, bytes))
  },
  {
    weight: 2,
    arbitrary: FastCheck.tuple(lane, bytes).map(([lane, bytes]): Step => (world) => world.offer(lane, bytes))
  },
  { weight: 2, arbitrary: FastCheck.nat(9).map((index): Step => (world) => world.cancel(index)) },
  { weight: 4, arbitrary: FastCheck.constant<Step>((world) => world.take()) }
)

describe("outbox core laws", () => {
  it("A023 I3 I6 waiters are admitted in order, resumed once, and gone when cancelled or closed", () => {
    const seen = { resumed: 0, cancelled: 0, taken: 0 }
    const property = FastCheck.property(
      FastCheck.integer({ min: 1, max: 4 }),
      FastCheck.integer({ min: 30, max: 60 }),
      FastCheck.array(step, { maxLength: 120, size: "max" }),
      FastCheck.boolean(),
      (itemsMax, bytesMax, steps, closes) => {
        const world = new World(itemsMax, bytesMax)
        for (const step of steps) {
          step(world)
          world.check()
        }
        if (closes) world.core.close()
        else while (world.core.peekBytes(0) !== -1) world.take()
        world.check()
        assert.strictEqual(world.open.size, 0, "everyone was told")
        seen.resumed += world.resumed
        seen.cancelled += world.cancelled
        seen.taken += world.taken
      }
    )
    FastCheck.assert(property, { seed, numRuns: 300 })
    for (const count of Object.values(seen)) assert.isAbove(count, 200, "the campaign came to every path")
  })
})
