/** The load generator of the fan-out bench counts every message once, however its bytes are cut. */
import { assert, describe, it } from "vitest"
import { FrameCounter, MarkerCounter } from "../src/fanout/counters.js"
import { marker } from "../src/fanout/protocol.js"

const filler = "x".repeat(40)
const message = filler + marker

/** An unmasked frame of a server. */
const frame = (text: string, opcode = 1): Buffer =>
  Buffer.concat([
    text.length < 126
      ? Buffer.from([0x80 | opcode, text.length])
      : Buffer.from([0x80 | opcode, 126, text.length >> 8, text.length & 255]),
    Buffer.from(text)
  ])

const piecesOf = (bytes: Buffer, length: number): ReadonlyArray<Buffer> =>
  Array.from({ length: Math.ceil(bytes.length / length) }, (_, i) => bytes.subarray(i * length, (i + 1) * length))

const sum = (counts: ReadonlyArray<number>): number => counts.reduce((all, count) => all + count, 0)

describe("MarkerCounter", () => {
  // Beginnings that come to nothing are right before and after markers.
  const text = Buffer.from(`${message}spill${message}${marker}s${message}spillway-benchspillway-bench${marker}sp`)

  it("A150 counts every marker once, in pieces of every length", () => {
    for (let length = 1; length <= text.length; length++) {
      const counter = new MarkerCounter(marker)
      assert.strictEqual(sum(piecesOf(text, length).map((piece) => counter.count(piece))), 5, `pieces of ${length}`)
    }
  })

  it("A150 a count by pieces alone misses those that are cut", () => {
    const naive = (piece: Buffer): number => piece.toString().split(marker).length - 1
    assert.strictEqual(naive(text), 5)
    assert.isBelow(sum(piecesOf(text, 16).map(naive)), 5)
  })
})

describe("FrameCounter", () => {
  /** Several messages in one frame, one message in several frames, a ping in between, and an empty frame. */
  const stream = Buffer.concat([
    frame(message + message + message),
    frame(filler + marker.slice(0, 7)),
    frame("", 9),
    frame(marker.slice(7)),
    frame(""),
    frame(marker, 10)
  ])

  it("A150 counts frames, pings and the markers in their contents, in pieces of every length", () => {
    for (let length = 1; length <= stream.length; length++) {
      const markers = new MarkerCounter(marker)
      let marked = 0
      const frames = new FrameCounter((piece) => {
        marked += markers.count(piece)
      })
      const framed = sum(piecesOf(stream, length).map((piece) => frames.count(piece)))
      assert.deepStrictEqual([framed, frames.pings, marked], [4, 1, 4], `pieces of ${length}`)
    }
  })

  it("A150 a count over the bytes of the socket misses a marker that a header cuts", () => {
    const cut = Buffer.concat([frame(filler + marker.slice(0, 7)), frame(marker.slice(7))])
    const markers = new MarkerCounter(marker)
    let marked = 0
    new FrameCounter((piece) => {
      marked += markers.count(piece)
    }).count(cut)
    assert.deepStrictEqual([new MarkerCounter(marker).count(cut), marked], [0, 1])
  })
})
