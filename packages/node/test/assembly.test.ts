/**
 * The watch over unfinished messages without a network: the frames it follows against the frames that were built, however
 * the bytes are cut, and its deadline under a clock of the test's own.
 */
import * as FastCheck from "effect/FastCheck"
import { afterEach, assert, beforeEach, describe, it, vi } from "vitest"
import { Assembly, FrameTracker, isWhole, watchAssemblies } from "../src/internal/assembly.js"
import { build, type FrameSpec, more, ping, range, text } from "./raw.js"

/** Whether a message is unfinished after these whole frames: the last data frame was not a final one. */
const unfinishedAfter = (frames: ReadonlyArray<FrameSpec>): boolean =>
  [...frames].reverse().find(({ opcode }) => opcode < 8)?.fin === false

const frames = FastCheck.array(
  FastCheck.record({
    opcode: FastCheck.constantFrom(0, 1, 2, 8, 9, 10),
    fin: FastCheck.boolean(),
    payload: FastCheck.constantFrom(0, 1, 125, 126, 300).map((length) => "x".repeat(length)),
    mask: FastCheck.constantFrom(false as const, Buffer.from([1, 2, 3, 4])),
    lengthAs: FastCheck.constantFrom(16 as const, 64 as const, undefined)
  }),
  { maxLength: 6 }
)

const toSpec = (
  { lengthAs, ...spec }: Omit<FrameSpec, "lengthAs"> & { readonly lengthAs: 16 | 64 | undefined }
): FrameSpec => lengthAs === undefined ? spec : { ...spec, lengthAs }

describe("FrameTracker", () => {
  it("FR3 is unfinished exactly inside a frame or between fragments, however the bytes are cut", () => {
    FastCheck.assert(
      FastCheck.property(frames, FastCheck.array(FastCheck.integer({ min: 1, max: 400 })), (records, cuts) => {
        const specs = records.map(toSpec)
        const whole = specs.map(build)
        const bytes = Buffer.concat(whole)
        const ends = new Map<number, boolean>([[0, false]])
        let end = 0
        for (const [i, each] of whole.entries()) ends.set(end += each.length, unfinishedAfter(specs.slice(0, i + 1)))
        const tracker = new FrameTracker()
        const steps = [...cuts, Infinity]
        for (let at = 0, i = 0; at < bytes.length; i++) {
          const next = Math.min(bytes.length, at + steps[Math.min(i, steps.length - 1)]!)
          const ended = tracker.feed(bytes.subarray(at, next))
          assert.strictEqual(tracker.isUnfinished, ends.get(next) ?? true, `after byte ${next}`)
          const endedInside = [...ends].some(([byte, unfinished]) => byte > at && byte <= next && !unfinished)
          assert.strictEqual(ended, endedInside, `messages that end in bytes ${at} to ${next}`)
          at = next
        }
      }),
      { numRuns: 300 }
    )
  })

  it("FR3 byte by byte, every length encoding with and without a mask", () => {
    for (const length of [0, 1, 125, 126, 300, 65_536]) {
      for (const mask of [false, Buffer.alloc(4)] as const) {
        const bytes = build({ opcode: 2, payload: "x".repeat(length), mask })
        const tracker = new FrameTracker()
        const wrong = range(bytes.length).filter((i) => {
          const isLast = i === bytes.length - 1
          return tracker.feed(bytes.subarray(i, i + 1)) !== isLast || tracker.isUnfinished === isLast
        })
        assert.deepStrictEqual(wrong, [])
      }
    }
  })
})

describe("isWhole", () => {
  it("FR3 says no more than the tracker: wherever the bytes are cut, and `true` for what clients mostly send", () => {
    FastCheck.assert(
      FastCheck.property(frames, FastCheck.nat({ max: 2_000 }), (records, cut) => {
        const whole = Buffer.concat(records.map((record) => build(toSpec(record))))
        const bytes = whole.subarray(0, Math.min(cut, whole.length))
        const tracker = new FrameTracker()
        tracker.feed(bytes)
        // A message that is begun and ended in one chunk, or a 64 bit length: left to the tracker.
        const isSimple = records.every(({ fin, lengthAs, opcode }) => lengthAs !== 64 && (fin || opcode >= 8))
        if (isWhole(bytes)) assert.isFalse(tracker.isUnfinished)
        else if (isSimple) assert.isTrue(tracker.isUnfinished)
      }),
      { numRuns: 1_000 }
    )
    for (const length of [0, 1, 125, 126, 65_535]) {
      const bytes = Buffer.concat([text("x".repeat(length)), ping("p"), text("y")])
      assert.isTrue(isWhole(bytes), `a text of ${length} bytes, a ping and a text`)
      assert.isFalse(isWhole(bytes.subarray(0, -1)))
    }
  })
})

describe("Assembly", () => {
  const timeoutMillis = 1_000

  const watch = () => {
    const deadlines = watchAssemblies(timeoutMillis)
    const peer = { overdueCount: 0, overdue: () => void peer.overdueCount++ }
    return { deadlines, peer, assembly: new Assembly(deadlines, peer) }
  }

  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setImmediate", "clearImmediate", "performance"] })
  })

  afterEach(() => {
    vi.useRealTimers()
  })

  it("FR3 a message that is unfinished for the whole time is overdue, once, and then no timer is left", () => {
    const { assembly, deadlines, peer } = watch()
    assembly.received(text("a", false), false)
    vi.advanceTimersByTime(timeoutMillis - 1)
    assert.strictEqual(peer.overdueCount, 0)
    vi.advanceTimersByTime(2)
    assert.strictEqual(peer.overdueCount, 1)
    vi.advanceTimersByTime(10 * timeoutMillis)
    assert.strictEqual(peer.overdueCount, 1)
    assert.strictEqual(deadlines.size, 0)
    assert.strictEqual(vi.getTimerCount(), 0)
  })

  it("FR3 neither further fragments nor pings and pongs between them put the deadline off", () => {
    const { assembly, peer } = watch()
    assembly.received(text("a", false), false)
    for (const _ of range(9)) {
      vi.advanceTimersByTime(timeoutMillis / 10)
      assembly.received(more("b", false), false)
      assembly.received(ping("p"), false)
      assembly.received(build({ opcode: 10 }), false)
    }
    vi.advanceTimersByTime(timeoutMillis / 10 + 1)
    assert.strictEqual(peer.overdueCount, 1)
  })

  it("FR3 a peer that finishes each message in time is never overdue, though it is always in the middle of one", () => {
    const { assembly, deadlines, peer } = watch()
    assembly.received(text("a", false), false)
    for (const _ of range(100)) {
      vi.advanceTimersByTime(timeoutMillis - 1)
      // The end of one message and the start of the next, in one chunk.
      assembly.received(Buffer.concat([more("b"), text("a", false)]), false)
    }
    assert.strictEqual(peer.overdueCount, 0)
    assembly.received(more("b"), false)
    assert.strictEqual(deadlines.size, 0)
    assert.strictEqual(vi.getTimerCount(), 0)
  })

  it("FR3 time in which we do not read is not counted, and reading again gives the whole time", () => {
    const { assembly, peer } = watch()
    assembly.received(text("a", false), false)
    assembly.stop()
    // What was read before the pause took hold.
    assembly.received(more("b", false), true)
    vi.advanceTimersByTime(100 * timeoutMillis)
    assert.strictEqual(peer.overdueCount, 0)
    assembly.resume()
    vi.advanceTimersByTime(timeoutMillis - 1)
    assert.strictEqual(peer.overdueCount, 0)
    vi.advanceTimersByTime(2)
    assert.strictEqual(peer.overdueCount, 1)
  })

  it("FR3 a message whose end arrived while the process was held up is not overdue", () => {
    const { assembly, peer } = watch()
    assembly.received(text("a", false), false)
    vi.advanceTimersToNextTimer()
    // The timer has fired; what the sockets have is read before the judgement.
    assembly.received(more("b"), false)
    vi.advanceTimersByTime(timeoutMillis)
    assert.strictEqual(peer.overdueCount, 0)
  })

  it("FR3 each of many peers has a deadline of its own, with one timer", () => {
    const deadlines = watchAssemblies(timeoutMillis)
    const overdue: Array<number> = []
    const assemblies = range(10).map((i) => new Assembly(deadlines, { overdue: () => void overdue.push(i) }))
    for (const [i, assembly] of assemblies.entries()) {
      assembly.received(text("a", false), false)
      if (i % 2 === 1) assembly.received(more("b"), false)
      vi.advanceTimersByTime(10)
    }
    assert.strictEqual(deadlines.size, 5)
    assert.strictEqual(vi.getTimerCount(), 1)
    vi.advanceTimersByTime(timeoutMillis - 50)
    assert.deepStrictEqual(overdue, [0, 2, 4])
    vi.advanceTimersByTime(100)
    assert.deepStrictEqual(overdue, [0, 2, 4, 6, 8])
  })
})
