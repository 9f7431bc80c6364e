import { assert, describe, it } from "@effect/vitest"
import { options, rules } from "../../testing/src/internal/outboxModel.js"
import type { LaneQueueOptions } from "../src/internal/laneQueue.js"
import * as Queue from "../src/internal/laneQueue.js"
import type { LaneIndex } from "../src/Lane.js"

const control = 0
const critical = 1
const important = 2
const bulk = 3

/** A queue of named messages of one byte at time 0, with a record of what it shed. */
class Fixture {
  readonly shed: Array<string> = []
  readonly queue: Queue.LaneQueue<string>

  constructor(overrides: Partial<LaneQueueOptions> = {}) {
    this.queue = new Queue.LaneQueue(options(overrides), {
      onShed: (item, _lane, reason) => void this.shed.push(`${item} ${reason}`)
    })
  }

  offer(
    item: string,
    lane: LaneIndex,
    { age = Infinity, bytes = 1, key, now = 0 }: { age?: number; bytes?: number; key?: unknown; now?: number } = {}
  ): number {
    const code = this.queue.offer(item, bytes, lane, key, age, now)
    this.queue.check()
    return code
  }

  fill(count: number, lane: LaneIndex, name: string, bytes = 1): this {
    for (let i = 1; i <= count; i++) assert.strictEqual(this.offer(`${name}${i}`, lane, { bytes }), 0)
    return this
  }

  take(now = 0): string | undefined {
    const item = this.queue.take(now)
    this.queue.check()
    return item
  }

  takeAll(now = 0): Array<string> {
    const items: Array<string> = []
    for (let item = this.take(now); item !== undefined; item = this.take(now)) items.push(item)
    return items
  }
}

describe("order", () => {
  it("A010 control, critical, important and bulk are taken in that order, whatever the order of the offers", () => {
    const fixture = new Fixture()
    for (const [item, lane] of [["b", bulk], ["c", critical], ["i", important], ["h", control]] as const) {
      assert.strictEqual(fixture.offer(item, lane), 0)
    }
    assert.deepStrictEqual(fixture.takeAll(), ["h", "c", "i", "b"])
  })

  it("A011 messages of a lane leave in the order they came, also while the ring grows and wraps around", () => {
    const fixture = new Fixture({ itemsMax: 1000 })
    const taken: Array<string> = []
    for (let i = 0; i < 300; i++) {
      fixture.offer(`${i}`, bulk)
      if (i % 3 === 2) taken.push(fixture.take()!)
    }
    taken.push(...fixture.takeAll())
    assert.deepStrictEqual(taken, Array.from({ length: 300 }, (_, i) => `${i}`))
  })

  it("A012 offer and take go from size 0 to 1 and back, and the fill ratio is size by capacity", () => {
    const fixture = new Fixture()
    fixture.offer("m", important)
    assert.strictEqual(fixture.queue.queuedItems, 1)
    assert.strictEqual(fixture.queue.fillRatio, 0.1)
    assert.strictEqual(fixture.take(), "m")
    assert.strictEqual(fixture.queue.queuedItems, 0)
    assert.strictEqual(fixture.queue.fillRatio, 0)
    assert.strictEqual(fixture.take(), undefined)
  })

  it("the fill ratio goes by bytes when those are scarcer, and does not count control", () => {
    const fixture = new Fixture()
    fixture.offer("m", important, { bytes: 600 })
    fixture.offer("h", control, { bytes: 300 })
    assert.strictEqual(fixture.queue.fillRatio, 0.6)
    assert.strictEqual(fixture.queue.queuedBytes, 900)
  })

  it("eight important go out for one bulk while both wait", () => {
    const fixture = new Fixture({ itemsMax: 100 }).fill(20, important, "i").fill(3, bulk, "b")
    const order = fixture.takeAll().map((item) => item[0]).join("")
    assert.strictEqual(order, `${"i".repeat(8)}b${"i".repeat(8)}b${"i".repeat(4)}b`)
  })

  it("a share of 0 makes important strict", () => {
    const fixture = new Fixture({ itemsMax: 100, importantPerBulk: 0 }).fill(20, important, "i").fill(1, bulk, "b")
    assert.strictEqual(fixture.takeAll().at(-1), "b1")
  })

  it("peekBytes tells the bytes of the next take, and -1 when there is none", () => {
    const fixture = new Fixture()
    assert.strictEqual(fixture.queue.peekBytes(0), -1)
    fixture.offer("b", bulk, { bytes: 7 })
    fixture.offer("c", critical, { bytes: 9 })
    assert.strictEqual(fixture.queue.peekBytes(0), 9)
    fixture.take()
    assert.strictEqual(fixture.queue.peekBytes(0), 7)
  })
})

describe("a full queue", () => {
  it("A013 a bulk offer on a queue full of bulk is rejected, counted, and changes nothing", () => {
    const fixture = new Fixture().fill(10, bulk, "b")
    assert.strictEqual(fixture.offer("late", bulk), Queue.REJECTED_FULL)
    assert.strictEqual(fixture.queue.counters(bulk).rejected, 1)
    assert.deepStrictEqual(fixture.shed, [])
    assert.deepStrictEqual(fixture.takeAll(), Array.from({ length: 10 }, (_, i) => `b${i + 1}`))
  })

  it("A014 an important offer on a queue full of bulk evicts the oldest bulk", () => {
    const fixture = new Fixture().fill(10, bulk, "b")
    assert.strictEqual(fixture.offer("i", important), 1)
    assert.deepStrictEqual(fixture.shed, ["b1 evicted"])
  })

  it("A015 a critical offer on 7 bulk and 3 important evicts the oldest bulk and no important", () => {
    const fixture = new Fixture().fill(7, bulk, "b").fill(3, important, "i")
    assert.strictEqual(fixture.offer("c", critical), 1)
    assert.deepStrictEqual(fixture.shed, ["b1 evicted"])
    assert.deepStrictEqual(fixture.takeAll().slice(0, 4), ["c", "i1", "i2", "i3"])
  })

  it("A016 a second critical on a queue of 1 critical and bulk evicts bulk; both critical are taken, in order", () => {
    const fixture = new Fixture({ itemsMax: 4 }).fill(1, critical, "c").fill(3, bulk, "b")
    assert.strictEqual(fixture.offer("c2", critical), 1)
    assert.deepStrictEqual(fixture.shed, ["b1 evicted"])
    assert.deepStrictEqual(fixture.takeAll(), ["c1", "c2", "b2", "b3"])
  })

  it("A016 counter-test: the cascade that evicts its own class first loses a critical in the same scenario", () => {
    const lanes: Record<"critical" | "important" | "bulk", Array<string>> = {
      critical: ["c1"],
      important: [],
      bulk: ["b1", "b2", "b3"]
    }
    const offerCritical = (item: string): boolean => {
      if (lanes.critical.length + lanes.important.length + lanes.bulk.length >= 4) {
        const victims = [lanes.critical, lanes.important, lanes.bulk].find((lane) => lane.length > 0)
        victims?.shift()
      }
      lanes.critical.push(item)
      return true
    }
    assert.isTrue(offerCritical("c2"))
    assert.deepStrictEqual(lanes, { critical: ["c2"], important: [], bulk: ["b1", "b2", "b3"] })
  })

  it("A017 a critical on a queue full of important evicts the oldest important, and so does a further important", () => {
    const fixture = new Fixture({ itemsMax: 3 }).fill(3, important, "i")
    assert.strictEqual(fixture.offer("c", critical), 1)
    assert.strictEqual(fixture.offer("i4", important), 1)
    assert.deepStrictEqual(fixture.shed, ["i1 evicted", "i2 evicted"])
    assert.deepStrictEqual(fixture.takeAll(), ["c", "i3", "i4"])
  })

  it("A017 with dropNewest an important on a full queue is rejected and not even bulk is evicted", () => {
    const fixture = new Fixture({ rules: rules({ 2: { whenFull: "dropNewest" } }) }).fill(10, bulk, "b")
    assert.strictEqual(fixture.offer("i", important), Queue.REJECTED_FULL)
    assert.deepStrictEqual(fixture.shed, [])
  })

  it("A018 a critical on a queue full of critical evicts none, counts nothing and would have to wait", () => {
    const fixture = new Fixture().fill(10, critical, "c")
    assert.strictEqual(fixture.offer("late", critical), Queue.WOULD_WAIT)
    assert.strictEqual(fixture.queue.counters(critical).offered, 10)
    assert.strictEqual(fixture.queue.nextSeq(critical), 11)
    fixture.queue.countRejected(critical)
    assert.strictEqual(fixture.queue.counters(critical).rejected, 1)
    assert.strictEqual(fixture.queue.nextSeq(critical), 12)
    assert.lengthOf(fixture.takeAll(), 10)
  })

  it("as many are evicted as the newcomer's bytes need", () => {
    const fixture = new Fixture().fill(10, bulk, "b", 100)
    assert.strictEqual(fixture.offer("c", critical, { bytes: 250 }), 3)
    assert.deepStrictEqual(fixture.shed, ["b1 evicted", "b2 evicted", "b3 evicted"])
  })

  it("nothing is evicted in vain: when all lower lanes do not suffice they stay", () => {
    const fixture = new Fixture({ rules: rules({ 2: { whenFull: "suspend" } }) })
    fixture.fill(8, critical, "c", 100).fill(2, bulk, "b", 100)
    assert.strictEqual(fixture.offer("i", important, { bytes: 300 }), Queue.WOULD_WAIT)
    assert.strictEqual(fixture.offer("c", critical, { bytes: 300 }), Queue.WOULD_WAIT)
    assert.deepStrictEqual(fixture.shed, [])
  })

  it("I4 an important that replaces important evicts every bulk first", () => {
    const fixture = new Fixture().fill(8, important, "i", 100).fill(2, bulk, "b", 100)
    assert.strictEqual(fixture.offer("i9", important, { bytes: 300 }), 3)
    assert.deepStrictEqual(fixture.shed, ["b1 evicted", "b2 evicted", "i1 evicted"])
  })

  it("A022 control fits beside a full queue up to its reserve, and never evicts anything", () => {
    const fixture = new Fixture().fill(10, bulk, "b").fill(3, control, "h")
    assert.strictEqual(fixture.offer("h4", control), Queue.WOULD_WAIT)
    assert.deepStrictEqual(fixture.shed, [])
    assert.strictEqual(fixture.queue.queuedItems, 13)
    assert.strictEqual(fixture.queue.peakItems, 13)
  })

  it("A022 a superseded heartbeat is conflated, even on a full control lane", () => {
    const fixture = new Fixture().fill(2, control, "h")
    fixture.offer("beat 1", control, { key: "heartbeat" })
    assert.strictEqual(fixture.offer("beat 2", control, { key: "heartbeat" }), Queue.CONFLATED)
    assert.deepStrictEqual(fixture.takeAll(), ["h1", "h2", "beat 2"])
  })

  it("a message larger than the bound, or than the reserve for control, is too large and evicts nothing", () => {
    const fixture = new Fixture().fill(5, bulk, "b")
    assert.strictEqual(fixture.offer("c", critical, { bytes: 1001 }), Queue.REJECTED_LARGE)
    assert.strictEqual(fixture.offer("h", control, { bytes: 301 }), Queue.REJECTED_LARGE)
    assert.strictEqual(fixture.offer("exactly", critical, { bytes: 1000 }), 5)
  })

  it("A027 bulk is refused above the refusal mark, not at it, and the other lanes are not", () => {
    const fixture = new Fixture({ refuseBulkAbove: 0.5 }).fill(5, bulk, "b")
    assert.strictEqual(fixture.offer("at the mark", bulk), 0)
    assert.strictEqual(fixture.offer("above", bulk), Queue.REJECTED_PRESSURE)
    assert.strictEqual(fixture.offer("i", important), 0)
    assert.strictEqual(fixture.offer("c", critical), 0)
    assert.strictEqual(fixture.offer("h", control), 0)
  })

  it("above the refusal mark a bulk whose key is queued is still conflated", () => {
    const fixture = new Fixture({ refuseBulkAbove: 0.5 })
    fixture.offer("old", bulk, { key: 1 })
    fixture.fill(5, important, "i")
    assert.strictEqual(fixture.offer("other", bulk, { key: 2 }), Queue.REJECTED_PRESSURE)
    assert.strictEqual(fixture.offer("new", bulk, { key: 1 }), Queue.CONFLATED)
  })

  it("a refusal mark that is no binary fraction is exact", () => {
    for (const itemsMax of [10, 100, 1000, 1024]) {
      for (let percent = 1; percent < 100; percent++) {
        const queue = new Queue.LaneQueue<number>(
          options({ itemsMax, bytesMax: 1 << 20, refuseBulkAbove: percent / 100 }),
          { onShed: () => {} }
        )
        while (queue.offer(1, 0, bulk, undefined, Infinity, 0) === 0);
        assert.isAbove(queue.countedItems / itemsMax, percent / 100)
        assert.isAtMost((queue.countedItems - 1) / itemsMax, percent / 100)
      }
    }
  })
})

describe("policies", () => {
  const full = (lane: LaneIndex, whenFull: Queue.WhenFull) =>
    new Fixture({ itemsMax: 3, rules: rules({ [lane]: { whenFull } }) }).fill(3, lane, "m")

  it("dropOldest evicts the oldest of its own lane", () => {
    const fixture = full(bulk, "dropOldest")
    assert.strictEqual(fixture.offer("m4", bulk), 1)
    assert.deepStrictEqual(fixture.takeAll(), ["m2", "m3", "m4"])
  })

  it("conflate evicts the oldest of its own lane for a message with a key, and rejects one without", () => {
    const fixture = full(bulk, "conflate")
    assert.strictEqual(fixture.offer("plain", bulk), Queue.REJECTED_FULL)
    assert.strictEqual(fixture.offer("keyed", bulk, { key: "k" }), 1)
    assert.deepStrictEqual(fixture.takeAll(), ["m2", "m3", "keyed"])
  })

  it("suspend would have to wait, and counts nothing", () => {
    for (const lane of [control, critical, important, bulk] as const) {
      const fixture = full(lane, "suspend")
      assert.strictEqual(fixture.offer("m4", lane), Queue.WOULD_WAIT)
      assert.strictEqual(fixture.queue.counters(lane).offered, 3)
    }
  })

  it("disconnect says so and counts a rejection", () => {
    for (const lane of [control, critical, important, bulk] as const) {
      const fixture = full(lane, "disconnect")
      assert.strictEqual(fixture.offer("m4", lane), Queue.DISCONNECT)
      assert.strictEqual(fixture.queue.counters(lane).rejected, 1)
    }
  })

  it("every policy but dropNewest evicts lower lanes first", () => {
    for (const whenFull of ["evictLower", "dropOldest", "conflate", "suspend", "disconnect"] as const) {
      const fixture = new Fixture({ rules: rules({ 2: { whenFull } }) }).fill(1, important, "i").fill(9, bulk, "b")
      assert.strictEqual(fixture.offer("i2", important), 1)
      assert.deepStrictEqual(fixture.shed, ["b1 evicted"])
    }
  })
})

describe("keys", () => {
  it("Q10 a queued message with the key is replaced in its place and keeps its number; the newcomer's is a gap", () => {
    const fixture = new Fixture()
    fixture.offer("old", bulk, { key: "k", bytes: 10 })
    fixture.offer("other", bulk)
    assert.strictEqual(fixture.offer("new", bulk, { key: "k", bytes: 4 }), Queue.CONFLATED)
    assert.strictEqual(fixture.queue.queuedBytes, 5)
    assert.deepStrictEqual(fixture.shed, ["old conflated"])
    fixture.offer("last", bulk)
    const seqs = ["new", "other", "last"].map((item) => {
      assert.strictEqual(fixture.take(), item)
      return fixture.queue.lastSeq
    })
    assert.deepStrictEqual(seqs, [1, 2, 4])
  })

  it("keys of different lanes, and of messages that left, do not meet", () => {
    const fixture = new Fixture()
    fixture.offer("b", bulk, { key: "k" })
    assert.strictEqual(fixture.offer("i", important, { key: "k" }), 0)
    fixture.takeAll()
    assert.strictEqual(fixture.offer("b2", bulk, { key: "k" }), 0)
  })

  it("keys survive growth of the ring", () => {
    const fixture = new Fixture({ itemsMax: 100 })
    for (let i = 0; i < 50; i++) fixture.offer(`${i}`, bulk, { key: i })
    for (let i = 0; i < 50; i++) assert.strictEqual(fixture.offer(`new ${i}`, bulk, { key: i }), Queue.CONFLATED)
    assert.deepStrictEqual(fixture.takeAll(), Array.from({ length: 50 }, (_, i) => `new ${i}`))
  })

  it("a larger replacement evicts lower lanes to fit, never its own", () => {
    const fixture = new Fixture()
    fixture.offer("old", important, { key: "k", bytes: 100 })
    fixture.fill(4, important, "i", 100).fill(5, bulk, "b", 100)
    assert.strictEqual(fixture.offer("new", important, { key: "k", bytes: 600 }), Queue.CONFLATED)
    assert.strictEqual(fixture.offer("newer", important, { key: "k", bytes: 601 }), Queue.REJECTED_FULL)
    assert.deepStrictEqual(fixture.takeAll(), ["new", "i1", "i2", "i3", "i4"])
  })
})

describe("ages", () => {
  it("Q9 a message is delivered before its age is reached, and expires at exactly that age", () => {
    const fixture = new Fixture()
    fixture.offer("m", bulk, { age: 5, now: 10 })
    assert.strictEqual(fixture.queue.peekBytes(14), 1)
    assert.strictEqual(fixture.take(15), undefined)
    assert.deepStrictEqual(fixture.shed, ["m expired"])
    assert.strictEqual(fixture.queue.counters(bulk).expired, 1)
  })

  it("the smaller of the message's age and its lane's applies", () => {
    const fixture = new Fixture({ rules: rules({ 3: { maxAgeMs: 10 } }) })
    fixture.offer("short", bulk, { age: 5 })
    fixture.offer("long", bulk, { age: 50 })
    assert.strictEqual(fixture.take(9), "long")
    fixture.offer("long", bulk, { age: 50 })
    assert.strictEqual(fixture.take(10), undefined)
  })

  it("what is too old makes room before anything is evicted", () => {
    const fixture = new Fixture({ itemsMax: 2 })
    fixture.offer("old", important, { age: 5 })
    fixture.offer("b", bulk)
    assert.strictEqual(fixture.offer("i", important, { now: 5 }), 0)
    assert.deepStrictEqual(fixture.shed, ["old expired"])
  })

  it("a replacement for a message that is too old itself is a newcomer", () => {
    const fixture = new Fixture({ bytesMax: 10 })
    fixture.offer("old", bulk, { key: "k", age: 5, bytes: 6 })
    fixture.offer("b", bulk, { bytes: 4 })
    assert.strictEqual(fixture.offer("new", bulk, { key: "k", now: 5, bytes: 5 }), Queue.CONFLATED)
    assert.strictEqual(fixture.offer("newer", bulk, { key: "k", now: 9, bytes: 6, age: 1 }), Queue.CONFLATED)
    assert.strictEqual(fixture.offer("newest", bulk, { key: "k", now: 10, bytes: 7 }), Queue.REJECTED_FULL)
    assert.deepStrictEqual(fixture.shed, ["old conflated", "new conflated", "newer expired"])
  })
})

describe("targets", () => {
  const target = { rules: rules({ 3: { targetMs: 10, intervalMs: 20 } }) }

  it("until a message has waited for target and interval nothing is shed: a burst that is over by then loses nothing", () => {
    const fixture = new Fixture(target).fill(3, bulk, "b")
    assert.strictEqual(fixture.take(29), "b1")
    assert.deepStrictEqual(fixture.takeAll(29), ["b2", "b3"])
    assert.deepStrictEqual(fixture.shed, [])
  })

  it("then what has waited for longer than the target goes, and what has waited for just that long stays", () => {
    const fixture = new Fixture(target).fill(2, bulk, "b")
    fixture.offer("exact", bulk, { now: 20 })
    fixture.offer("young", bulk, { now: 25 })
    assert.strictEqual(fixture.take(30), "exact")
    assert.deepStrictEqual(fixture.shed, ["b1 expired", "b2 expired"])
    fixture.offer("later", bulk, { now: 30 })
    // The queue stands: there is no interval any more.
    assert.strictEqual(fixture.take(36), "later")
    assert.deepStrictEqual(fixture.shed, ["b1 expired", "b2 expired", "young expired"])
  })

  it("when the lane has been empty, a message may wait for target and interval again", () => {
    const fixture = new Fixture(target).fill(2, bulk, "b")
    assert.deepStrictEqual(fixture.takeAll(30), ["b2"])
    fixture.offer("c1", bulk, { now: 40 })
    fixture.offer("c2", bulk, { now: 40 })
    assert.deepStrictEqual(fixture.takeAll(69), ["c1", "c2"])
    assert.deepStrictEqual(fixture.shed, ["b1 expired"])
  })

  it("the last message of a lane is delivered however long it waited, and lanes without a target keep all", () => {
    const fixture = new Fixture(target).fill(2, important, "i")
    fixture.offer("b", bulk)
    assert.deepStrictEqual(fixture.takeAll(1_000), ["i1", "i2", "b"])
    assert.deepStrictEqual(fixture.shed, [])
  })
})

describe("numbers and ending", () => {
  it("every offer consumes a number of its lane, also a rejected one", () => {
    const fixture = new Fixture({ itemsMax: 1 }).fill(1, bulk, "b")
    assert.strictEqual(fixture.queue.nextSeq(bulk), 2)
    fixture.offer("rejected", bulk)
    assert.strictEqual(fixture.queue.nextSeq(bulk), 3)
    fixture.take()
    fixture.offer("b3", bulk)
    fixture.take()
    assert.strictEqual(fixture.queue.lastSeq, 3)
  })

  it("take describes what it took", () => {
    const fixture = new Fixture()
    fixture.offer("m", important, { bytes: 42, now: 1_700_000_000_000 })
    fixture.take(1_700_000_000_005)
    const { lastBytes, lastEnqueuedAt, lastLane, lastSeq } = fixture.queue
    assert.deepStrictEqual([lastLane, lastBytes, lastSeq, lastEnqueuedAt], [important, 42, 1, 1_700_000_000_000])
  })

  it("A024 close returns what is left, most urgent lane first, and later offers are refused and not counted", () => {
    const fixture = new Fixture()
    for (const lane of [bulk, important, critical, control] as const) fixture.fill(2, lane, `${lane}-`)
    const rest = fixture.queue.close()
    assert.deepStrictEqual(rest.map(({ item }) => item), ["0-1", "0-2", "1-1", "1-2", "2-1", "2-2", "3-1", "3-2"])
    assert.deepStrictEqual(rest[3], { item: "1-2", lane: critical, bytes: 1, seq: 2 })
    assert.strictEqual(fixture.offer("late", critical), Queue.REJECTED_CLOSED)
    assert.strictEqual(fixture.queue.counters(critical).offered, 2)
    assert.strictEqual(fixture.queue.counters(critical).returned, 2)
    assert.deepStrictEqual(fixture.queue.close(), [])
  })

  it("trim gives the memory of empty lanes back, and they work afterwards", () => {
    const fixture = new Fixture({ itemsMax: 1000 }).fill(500, bulk, "b").fill(1, critical, "c")
    fixture.takeAll()
    fixture.queue.trim()
    fixture.queue.check()
    assert.strictEqual(fixture.offer("again", bulk, { key: 1 }), 0)
    assert.deepStrictEqual(fixture.takeAll(), ["again"])
  })

  it("A021 the size does not drift when thousands of messages are shed", () => {
    const fixture = new Fixture({ rules: rules({ 3: { whenFull: "dropOldest" } }) })
    for (let i = 0; i < 3000; i++) fixture.queue.offer("b", 1, bulk, undefined, Infinity, 0)
    assert.strictEqual(fixture.queue.queuedItems, 10)
    assert.strictEqual(fixture.queue.counters(bulk).evicted, 2990)
    fixture.takeAll()
    assert.strictEqual(fixture.queue.fillRatio, 0)
  })
})
