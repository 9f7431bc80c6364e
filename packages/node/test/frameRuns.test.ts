import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import type * as Net from "node:net"
import * as Frame from "spillway/Frame"
import { begin, end, Gathering } from "../src/internal/frameRuns.js"

const seed = Number(process.env["LAWS_SEED"] ?? 20_261_125)
const numRuns = Number(process.env["LAWS_RUNS"] ?? 300)

/** A socket of which only the buffers it is handed matter. */
class Sink {
  readonly chunks: Array<Buffer> = []
  /** Buffers that left in one system call each: a corked run is one. */
  calls = 0
  private corked = false
  write(chunk: Buffer): boolean {
    this.chunks.push(chunk)
    if (!this.corked) this.calls++
    return true
  }
  cork(): void {
    this.corked = true
  }
  uncork(): void {
    this.corked = false
    this.calls++
  }
  get socket(): Net.Socket {
    return this as unknown as Net.Socket
  }
  get bytes(): Buffer {
    return Buffer.concat(this.chunks)
  }
}

/** RFC 6455, 5.2, frame by frame. */
const encode = (frame: Frame.Frame, seq: number): Buffer => {
  const payload = Buffer.from(Frame.toBytes(frame, seq))
  const first = frame.binary ? 0x82 : 0x81
  const length = payload.length
  if (length < 126) return Buffer.concat([Buffer.from([first, length]), payload])
  if (length < 65_536) return Buffer.concat([Buffer.from([first, 126, length >> 8, length & 255]), payload])
  const header = Buffer.alloc(10)
  header[0] = first
  header[1] = 127
  header.writeBigUInt64BE(BigInt(length), 2)
  return Buffer.concat([header, payload])
}

const write = (sink: Sink, frames: ReadonlyArray<readonly [Frame.Frame, number]>): void => {
  const gathering = begin()
  for (const [frame, seq] of frames) gathering.add(frame, seq)
  end(gathering, sink.socket)
}

const numbered = (frames: ReadonlyArray<Frame.Frame>, seq = 0) => frames.map((frame) => [frame, seq] as const)

/** Frames of every kind and around every boundary of header and copy. */
const frames: ReadonlyArray<Frame.Frame> = [
  ...[0, 1, 125, 126, 127, 16_383, 16_384, 16_385, 65_535, 65_536, 70_000].map((bytes) =>
    Frame.binary(new Uint8Array(bytes).fill(bytes % 251))
  ),
  Frame.text("text"),
  Frame.sequenced("{\"seq\":", "}"),
  Frame.sequenced("", "x".repeat(124)),
  Frame.sequenced("y".repeat(65_533), "")
]

describe("frame runs", () => {
  it("W1 whatever several connections write, alternately, each gets exactly its own frames, in order", () => {
    const item = FastCheck.record({
      connection: FastCheck.nat({ max: 2 }),
      // Mostly the same few frames, so that runs are shared, shared in part, and not at all.
      frame: FastCheck.oneof({ weight: 3, arbitrary: FastCheck.nat({ max: 2 }) }, {
        weight: 1,
        arbitrary: FastCheck.nat({ max: frames.length - 1 })
      }),
      seq: FastCheck.constantFrom(1, 1, 9, 10),
      flush: FastCheck.boolean()
    })
    let shared = 0
    FastCheck.assert(
      FastCheck.property(FastCheck.array(item, { maxLength: 40 }), (items) => {
        const sinks = [new Sink(), new Sink(), new Sink()]
        const gatherings = sinks.map(() => new Gathering())
        const expected: Array<Array<Buffer>> = [[], [], []]
        for (const { connection, flush, frame, seq } of items) {
          const gathering = gatherings[connection]!
          const before = gathering.wireBytes
          gathering.add(frames[frame]!, seq)
          const bytes = encode(frames[frame]!, seq)
          assert.strictEqual(gathering.wireBytes, before + bytes.length)
          expected[connection]!.push(bytes)
          if (flush) gathering.flush(sinks[connection]!.socket)
          if (flush) assert.strictEqual(gathering.wireBytes, 0)
        }
        gatherings.forEach((gathering, i) => gathering.flush(sinks[i]!.socket))
        sinks.forEach((sink, i) => assert.isTrue(sink.bytes.equals(Buffer.concat(expected[i]!))))
        const all = sinks.flatMap(({ chunks }) => chunks)
        if (new Set(all).size < all.length) shared++
      }),
      { seed, numRuns }
    )
    assert.isAbove(shared, 10, "runs that were shared")
  })

  it("the same run of many connections is joined once: they write the same buffer, in one call", () => {
    const run = numbered(Array.from({ length: 16 }, (_, i) => Frame.text(`message ${i}`)))
    const sinks = Array.from({ length: 100 }, () => new Sink())
    for (const sink of sinks) write(sink, run)
    assert.strictEqual(new Set(sinks.flatMap(({ chunks }) => chunks)).size, 1)
    for (const sink of sinks) assert.deepStrictEqual([sink.calls, sink.chunks.length], [1, 1])
  })

  it("several kinds of runs in turn are all shared, as of sessions with different topics", () => {
    const runs = Array.from({ length: 4 }, (_, kind) => numbered([Frame.text(`a ${kind}`), Frame.text("b")]))
    const sinks = Array.from({ length: 40 }, () => new Sink())
    sinks.forEach((sink, i) => write(sink, runs[i % 4]!))
    assert.strictEqual(new Set(sinks.flatMap(({ chunks }) => chunks)).size, 4)
  })

  it("frames with a number are shared where the number is the same, and only there", () => {
    const frame = Frame.sequenced("<", ">")
    const [one, same, other] = [new Sink(), new Sink(), new Sink()]
    write(one, [[frame, 7]])
    write(same, [[frame, 7]])
    write(other, [[frame, 8]])
    assert.strictEqual(one.chunks[0], same.chunks[0])
    assert.deepStrictEqual([one, other].map(({ bytes }) => bytes.toString("latin1")), ["\x81\x03<7>", "\x81\x03<8>"])
  })

  it("large payloads are not copied", () => {
    const payload = new Uint8Array(100_000).fill(7)
    const sink = new Sink()
    write(sink, numbered([Frame.text("a"), Frame.binary(payload), Frame.text("b")]))
    assert.strictEqual(sink.calls, 1, "one gathering call")
    assert.strictEqual(sink.chunks[1]!.buffer, payload.buffer)
    assert.strictEqual(sink.chunks.length, 3)
  })

  it("counter-test: a run that is shared by its frames alone gives a session another one's numbers", () => {
    const frame = Frame.sequenced("", "")
    const naive = new Map<Frame.Frame, Buffer>()
    const naiveWrite = (seq: number): Buffer => {
      if (!naive.has(frame)) naive.set(frame, encode(frame, seq))
      return naive.get(frame)!
    }
    assert.isTrue(naiveWrite(1).equals(naiveWrite(2)), "the naive way is wrong here")
    const sinks = [new Sink(), new Sink()]
    sinks.forEach((sink, i) => write(sink, [[frame, i + 1]]))
    assert.isFalse(sinks[0]!.bytes.equals(sinks[1]!.bytes))
  })
})
