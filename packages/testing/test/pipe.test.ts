import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { Pipe } from "../src/internal/pipe.js"

type Command =
  | { readonly _tag: "Write"; readonly bytes: number }
  | { readonly _tag: "Corked"; readonly bytes: number }
  | { readonly _tag: "Wait"; readonly millis: number }
  | { readonly _tag: "Read"; readonly on: boolean }
  | { readonly _tag: "Rate"; readonly rate: number }

const rate = FastCheck.oneof(FastCheck.constant(Infinity), FastCheck.integer({ min: 50, max: 5000 }))
const command: FastCheck.Arbitrary<Command> = FastCheck.oneof(
  FastCheck.record({ _tag: FastCheck.constant("Write" as const), bytes: FastCheck.nat(300) }),
  FastCheck.record({ _tag: FastCheck.constant("Corked" as const), bytes: FastCheck.nat(300) }),
  FastCheck.record({ _tag: FastCheck.constant("Wait" as const), millis: FastCheck.nat(200) }),
  FastCheck.record({ _tag: FastCheck.constant("Read" as const), on: FastCheck.boolean() }),
  FastCheck.record({ _tag: FastCheck.constant("Rate" as const), rate })
)
const options = FastCheck.record({
  capacityBytes: FastCheck.integer({ min: 1, max: 500 }),
  bytesPerSecond: rate,
  latencyMillis: FastCheck.nat(30)
})

/** Runs the commands, looking as the pump does: every `step` milliseconds and whenever the pipe says so. */
const run = (given: Pipe<number>["options"], commands: ReadonlyArray<Command>, step: number) => {
  const pipe = new Pipe<number>(given, 0)
  const delivered: Array<readonly [item: number, at: number]> = []
  let [now, items] = [0, 0]
  const look = () => {
    pipe.advance(now)
    for (;;) {
      pipe.rush(now)
      const item = pipe.peek()
      if (item === undefined) break
      pipe.shift()
      delivered.push([item, now])
    }
    assert.deepStrictEqual(pipe.check(), [])
  }
  const wait = (millis: number) => {
    const end = now + millis
    while (now < end) {
      now = Math.max(now + 1, Math.min(end, now + step, pipe.nextAt(pipe.written)))
      look()
    }
  }
  for (const c of commands) {
    if (c._tag === "Write" || c._tag === "Corked") {
      if (c._tag === "Corked") pipe.cork()
      pipe.write(items++, c.bytes)
      pipe.uncork()
      pipe.fill(now)
    } else if (c._tag === "Read") pipe.reading = c.on
    else if (c._tag === "Rate") pipe.readRate = c.rate
    else wait(c.millis)
    look()
  }
  pipe.reading = true
  pipe.readRate = Infinity
  look()
  for (let i = 0; i < 10_000 && pipe.bytes > 0; i++) wait(1000)
  return { delivered, items, left: pipe.bytes, entered: pipe.entered, written: pipe.written }
}

describe("Pipe", () => {
  it("delivers every frame once and in order, whatever the rates, pauses and latency", () => {
    FastCheck.assert(
      FastCheck.property(options, FastCheck.array(command, { maxLength: 15 }), (given, commands) => {
        const { delivered, entered, items, left, written } = run(given, commands, Infinity)
        assert.deepStrictEqual(delivered.map(([item]) => item), Array.from({ length: items }, (_, index) => index))
        assert.deepStrictEqual([left, entered], [0, written])
      }),
      { numRuns: 200 }
    )
  })

  it("delivers at the same times however often it is looked at: nextAt is never too late", () => {
    FastCheck.assert(
      FastCheck.property(options, FastCheck.array(command, { maxLength: 15 }), (given, commands) => {
        assert.deepStrictEqual(run(given, commands, Infinity), run(given, commands, 1))
      }),
      { numRuns: 100 }
    )
  })

  it("what finds room on a link without a rate is there in that instant, looked at or not", () => {
    const given = { capacityBytes: 1, bytesPerSecond: Infinity, latencyMillis: 0 }
    const commands: ReadonlyArray<Command> = [
      { _tag: "Rate", rate: 50 },
      { _tag: "Read", on: true },
      { _tag: "Corked", bytes: 3 },
      { _tag: "Wait", millis: 61 }
    ]
    // Three bytes at twenty milliseconds each.
    for (const step of [1, 7, Infinity]) assert.deepStrictEqual(run(given, commands, step).delivered, [[0, 60]])
  })
})
