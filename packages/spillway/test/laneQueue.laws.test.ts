/**
 * The lane queue against the naive model, command by command. Run longer with `LAWS_RUNS`, with another seed by
 * `LAWS_SEED`; a failure prints seed and path, which replay it.
 */
import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { type Decision, QueueModel, rules, type Shed } from "../../testing/src/internal/outboxModel.js"
import { DISCONNECT, LaneQueue, type LaneQueueOptions, REJECTED_FULL, WOULD_WAIT } from "../src/internal/laneQueue.js"
import { outcomeOf } from "../src/internal/outbox.js"
import type { LaneIndex } from "../src/Lane.js"

const seed = Number(process.env["LAWS_SEED"] ?? 20_240_229)
const numRuns = Number(process.env["LAWS_RUNS"] ?? 250)

/** Rare paths of a campaign: one that never happened was not tested. */
const seen = new Map<string, number>()
const note = (path: string) => seen.set(path, (seen.get(path) ?? 0) + 1)

interface State {
  readonly model: QueueModel
  now: number
  nextId: number
  /** Last number taken of each lane. */
  readonly lastSeq: [number, number, number, number]
}

class Real {
  readonly shed: Array<Shed> = []
  /** Lanes that hold anything, and the victim's place in its lane, at each shedding. */
  readonly queue: LaneQueue<number>

  constructor(options: LaneQueueOptions) {
    this.queue = new LaneQueue(options, { onShed: (id, lane, reason) => void this.shed.push({ id, lane, reason }) })
  }
}

type Command = FastCheck.Command<State, Real>

/** The code of the queue in the words of the model. */
const decisionOf = (code: number): Decision =>
  code === WOULD_WAIT ? "WouldWait" : code === DISCONNECT ? "Disconnect" : outcomeOf(code)

const compare = ({ model }: State, real: Real): void => {
  const { queue } = real
  queue.check()
  for (const lane of [0, 1, 2, 3] as const) {
    const { queuedBytes, queuedItems, ...counters } = queue.counters(lane)
    assert.deepStrictEqual(counters, model.counters[lane])
    assert.strictEqual(queuedItems, model.lanes[lane].length)
    assert.strictEqual(queuedBytes, model.lanes[lane].reduce((total, { bytes }) => total + bytes, 0))
    const { conflated, evicted, expired, offered, rejected, returned, taken } = counters
    // A021, I2.
    assert.strictEqual(offered, taken + evicted + rejected + conflated + expired + returned + queuedItems)
    assert.strictEqual(queue.nextSeq(lane), offered + 1)
  }
  assert.deepStrictEqual(real.shed, model.shed)
  assert.isAtMost(queue.fillRatio, 1)
}

class Offer implements Command {
  constructor(
    readonly lane: LaneIndex,
    readonly bytes: number,
    readonly key: string | undefined,
    readonly maxAgeMs: number,
    readonly givesUp: boolean
  ) {}

  check(): boolean {
    return true
  }

  run(state: State, real: Real): void {
    const { bytes, key, lane, maxAgeMs } = this
    const id = state.nextId++
    const before = state.model.lanes.map((entries) => entries.map((entry) => entry.id))
    const shedBefore = state.model.shed.length
    const code = real.queue.offer(id, bytes, lane, key, maxAgeMs, state.now)
    assert.deepStrictEqual(decisionOf(code), state.model.offer(id, bytes, lane, key, maxAgeMs, state.now))
    note(code > 0 ? "evicting" : `code ${code}`)
    assertEvictions(lane, before, real.shed.slice(shedBefore))
    if (code === WOULD_WAIT && this.givesUp) {
      real.queue.countRejected(lane)
      state.model.counters[lane].offered++
      state.model.counters[lane].rejected++
    }
    compare(state, real)
  }

  toString(): string {
    return `offer(lane ${this.lane}, ${this.bytes} bytes, key ${this.key}, age ${this.maxAgeMs}, ${this.givesUp})`
  }
}

/** A019, A020, I4, I5, from the contents before the offer and what was shed, without the model's rules. */
const assertEvictions = (newcomer: LaneIndex, before: Array<Array<number>>, shed: ReadonlyArray<Shed>): void => {
  for (const { id, lane, reason } of shed) {
    const at = before[lane]!.indexOf(id)
    if (reason === "evicted") {
      assert.isAtLeast(lane, 2, "A019 only important and bulk are ever evicted")
      assert.isTrue(lane >= newcomer, "A019 no victim is more urgent than the newcomer")
      for (let lower = lane + 1; lower < 4; lower++) assert.lengthOf(before[lower]!, 0, "A020 lowest lane first")
    }
    if (reason !== "conflated") assert.strictEqual(at, 0, "A020 the victim is the oldest of its lane")
    before[lane]!.splice(at, 1)
  }
}

class Take implements Command {
  check(): boolean {
    return true
  }

  run(state: State, real: Real): void {
    const next = state.model.next(state.now)
    const bytes = next === undefined ? -1 : state.model.lanes[next][0]!.bytes
    assert.strictEqual(real.queue.peekBytes(state.now), bytes)
    const expected = state.model.take(state.now)
    const item = real.queue.take(state.now)
    assert.strictEqual(item, expected?.entry.id)
    if (expected !== undefined) {
      const { entry, lane } = expected
      const { lastBytes, lastEnqueuedAt, lastLane, lastSeq } = real.queue
      assert.deepStrictEqual([lastLane, lastBytes, lastSeq, lastEnqueuedAt], [
        lane,
        entry.bytes,
        entry.seq,
        entry.enqueuedAt
      ])
      // A011, I3.
      assert.isAbove(entry.seq, state.lastSeq[lane])
      assert.isAbove(entry.expires, state.now)
      state.lastSeq[lane] = entry.seq
      note("taken")
    }
    compare(state, real)
  }

  toString(): string {
    return "take"
  }
}

class Pass implements Command {
  constructor(readonly millis: number) {}

  check(): boolean {
    return true
  }

  run(state: State): void {
    state.now += this.millis
  }

  toString(): string {
    return `pass(${this.millis})`
  }
}

class Trim implements Command {
  check(): boolean {
    return true
  }

  run(state: State, real: Real): void {
    real.queue.trim()
    compare(state, real)
  }

  toString(): string {
    return "trim"
  }
}

class Close implements Command {
  check(): boolean {
    return true
  }

  run(state: State, real: Real): void {
    assert.deepStrictEqual(real.queue.close(), state.model.close())
    note("closed")
    compare(state, real)
  }

  toString(): string {
    return "close"
  }
}

const lane: FastCheck.Arbitrary<LaneIndex> = FastCheck.constantFrom(0, 1, 1, 2, 2, 2, 3, 3, 3, 3)
const age = FastCheck.oneof(
  { arbitrary: FastCheck.constant(Infinity), weight: 4 },
  { arbitrary: FastCheck.constantFrom(0, 1, 2, 5, 20), weight: 1 }
)
const offer = FastCheck.tuple(
  lane,
  FastCheck.oneof({ arbitrary: FastCheck.integer({ min: 0, max: 40 }), weight: 9 }, {
    arbitrary: FastCheck.integer({ min: 0, max: 130 }),
    weight: 1
  }),
  FastCheck.option(FastCheck.constantFrom("a", "b", "c"), { nil: undefined, freq: 2 }),
  age,
  FastCheck.boolean()
).map(([lane, bytes, key, maxAgeMs, givesUp]) => new Offer(lane, bytes, key, maxAgeMs, givesUp))

const commands: ReadonlyArray<FastCheck.Arbitrary<Command>> = [
  ...Array.from({ length: 12 }, () => offer),
  ...Array.from({ length: 6 }, () => FastCheck.constant(new Take())),
  FastCheck.constantFrom(1, 2, 5).map((millis) => new Pass(millis)),
  FastCheck.constant(new Trim())
]

const rule = (
  policies: ReadonlyArray<"evictLower" | "dropOldest" | "dropNewest" | "conflate" | "suspend" | "disconnect">
) => FastCheck.record({ whenFull: FastCheck.constantFrom(...policies), maxAgeMs: age })
const target = FastCheck.option(FastCheck.constantFrom(1, 4), { nil: Infinity, freq: 1 })
const upper = rule(["evictLower", "evictLower", "dropNewest", "suspend", "disconnect"])
const lower = FastCheck.tuple(
  rule(["evictLower", "evictLower", "dropOldest", "dropNewest", "conflate", "suspend", "disconnect"]),
  target,
  FastCheck.constantFrom(1, 5)
).map(([{ maxAgeMs, whenFull }, targetMs, intervalMs]) => ({ whenFull, maxAgeMs, targetMs, intervalMs }))
const options: FastCheck.Arbitrary<LaneQueueOptions> = FastCheck.record({
  itemsMax: FastCheck.integer({ min: 1, max: 12 }),
  bytesMax: FastCheck.integer({ min: 30, max: 120 }),
  reserveItems: FastCheck.integer({ min: 1, max: 4 }),
  reserveBytes: FastCheck.integer({ min: 1, max: 60 }),
  rules: FastCheck.tuple(upper, upper, lower, lower),
  importantPerBulk: FastCheck.integer({ min: 0, max: 3 }),
  refuseBulkAbove: FastCheck.constantFrom(0, 0.3, 0.5, 0.9, 1, 1)
})

describe("lane queue laws", () => {
  it("A011 A019 A020 A021 A022 I1 to I5: any list of commands does what the naive model does", () => {
    seen.clear()
    const property = FastCheck.property(
      options,
      FastCheck.commands([...commands, FastCheck.constant(new Close())], { maxCommands: 10, size: "+1" }),
      FastCheck.commands([...commands], { maxCommands: 120, size: "max" }),
      (options, first, second) => {
        const state: State = { model: new QueueModel(options), now: 1000, nextId: 0, lastSeq: [0, 0, 0, 0] }
        const real = new Real(options)
        FastCheck.modelRun(() => ({ model: state, real }), second)
        FastCheck.modelRun(() => ({ model: state, real }), first)
      }
    )
    FastCheck.assert(property, { seed, numRuns })
    // Every path happened: queued, evicting, the codes from conflated to disconnect, takes and a close.
    for (
      const path of [
        "code 0",
        "evicting",
        "taken",
        "closed",
        ...[1, 2, 3, 4, 5, 6, 7].map((code) => `code -${code}`)
      ]
    ) {
      assert.isAbove(seen.get(path) ?? 0, 20, `the campaign never came to: ${path}`)
    }
  }, 60_000)

  it("I1: a flood of control stays within its reserve and evicts nothing (A022)", () => {
    const property = FastCheck.property(
      options,
      FastCheck.array(FastCheck.nat(40), { maxLength: 60 }),
      (options, sizes) => {
        const real = new Real({
          ...options,
          rules: [{ whenFull: "evictLower", maxAgeMs: Infinity }, ...options.rules.slice(1)] as never
        })
        for (let i = 0; i < options.itemsMax; i++) real.queue.offer(i, 1, 1, undefined, Infinity, 0)
        const counted = real.queue.countedItems
        for (const bytes of sizes) {
          const code = real.queue.offer(0, bytes, 0, undefined, Infinity, 0)
          assert.include([0, WOULD_WAIT, -4], code)
          real.queue.check()
        }
        assert.lengthOf(real.shed.filter(({ reason }) => reason === "evicted"), 0)
        assert.strictEqual(real.queue.countedItems, counted)
      }
    )
    FastCheck.assert(property, { seed, numRuns: 300 })
  })

  it("Q8: while both wait, bulk gets its share of every run of takes and important the rest", () => {
    const property = FastCheck.property(FastCheck.integer({ min: 1, max: 9 }), (importantPerBulk) => {
      const queue = new LaneQueue<number>({
        itemsMax: 4000,
        bytesMax: 1e6,
        reserveItems: 1,
        reserveBytes: 1,
        rules: rules({}),
        importantPerBulk,
        refuseBulkAbove: 1
      }, { onShed: () => {} })
      for (let i = 0; i < 2000; i++) for (const lane of [2, 3] as const) queue.offer(i, 1, lane, undefined, Infinity, 0)
      let bulk = 0
      for (let i = 0; i < 1000; i++) {
        queue.take(0)
        if (queue.lastLane === 3) bulk++
      }
      assert.closeTo(bulk, 1000 / (importantPerBulk + 1), 1)
    })
    FastCheck.assert(property, { seed, numRuns: 9 })
  })

  it("a model with the document's cascade (own lane first) breaks A019: the laws can fail", () => {
    const shed: Array<Shed> = [{ id: 1, lane: 1, reason: "evicted" }]
    assert.throws(() => assertEvictions(1, [[], [1], [], [2, 3]], shed), /only important and bulk/)
    assert.throws(() => assertEvictions(2, [[], [], [1], [2]], [{ id: 1, lane: 2, reason: "evicted" }]), /lowest lane/)
    assert.throws(() => assertEvictions(1, [[], [], [], [2, 3]], [{ id: 3, lane: 3, reason: "evicted" }]), /oldest/)
    assert.notStrictEqual(REJECTED_FULL, WOULD_WAIT)
  })
})
