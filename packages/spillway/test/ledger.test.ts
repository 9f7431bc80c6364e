import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import * as Frame from "../src/Frame.js"
import { Ledger } from "../src/internal/ledger.js"

describe("Ledger", () => {
  it("a frame counts once per owner while anybody holds it, in whatever order it comes and goes", () => {
    const bytes = [1, 10, 100, 1_000]
    const event = FastCheck.record({
      ledger: FastCheck.nat({ max: 1 }),
      frame: FastCheck.nat({ max: 3 }),
      // A hold may be told after its release.
      order: FastCheck.constantFrom("hold", "hold by three", "release", "release then hold")
    })
    let both = 0
    FastCheck.assert(
      FastCheck.property(FastCheck.array(event, { maxLength: 60 }), (events) => {
        const ledgers = [new Ledger(), new Ledger()]
        const frames: ReadonlyArray<Frame.Frame> = bytes.map((byteLength, i) =>
          // The last one was not made by a constructor of ours.
          i === 3
            ? Object.freeze({ data: new Uint8Array(byteLength), tail: undefined, byteLength, binary: true })
            : Frame.binary(new Uint8Array(byteLength))
        )
        const held = [[0, 0, 0, 0], [0, 0, 0, 0]]
        for (const { frame, ledger, order } of events) {
          const counts = held[ledger]!
          if (order === "hold" || order === "hold by three") {
            const outboxes = order === "hold" ? 1 : 3
            ledgers[ledger]!.hold(frames[frame]!, outboxes)
            counts[frame]! += outboxes
          } else if (order === "release then hold") {
            ledgers[ledger]!.release(frames[frame]!)
            ledgers[ledger]!.hold(frames[frame]!)
          } else if (counts[frame]! > 0) {
            ledgers[ledger]!.release(frames[frame]!)
            counts[frame]!--
          }
          if (held[0]!.some((count, i) => count > 0 && held[1]![i]! > 0)) both++
          ledgers.forEach((ledger, i) =>
            assert.strictEqual(ledger.heldBytes, bytes.reduce((sum, n, j) => sum + (held[i]![j]! > 0 ? n : 0), 0))
          )
        }
        ledgers.forEach((ledger, i) => {
          held[i]!.forEach((count, j) => {
            for (let n = 0; n < count; n++) ledger.release(frames[j]!)
          })
          assert.deepStrictEqual([ledger.heldBytes, ledger.otherFrames], [0, 0], "nothing is left behind")
        })
      }),
      { seed: Number(process.env["LAWS_SEED"] ?? 20_261_125), numRuns: Number(process.env["LAWS_RUNS"] ?? 300) }
    )
    assert.isAbove(both, 0, "two owners hold one frame")
  })
})
