import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Fs from "node:fs"
import * as Frame from "spillway/Frame"
import * as Frames from "../src/Frames.js"
import { Held } from "../src/Held.js"
import * as Settings from "../src/Settings.js"

describe("Held", () => {
  it("A110 an item is taken when it is old enough, or when the gate is skipped", () => {
    const held = new Held<string>(120_000, 10)
    held.add("a", 0)
    held.add("b", 60_000)
    assert.deepStrictEqual(held.take(119_999, false), [])
    assert.deepStrictEqual(held.take(120_000, false), ["a"])
    assert.deepStrictEqual(held.take(120_001, true), ["b"])
    assert.strictEqual(held.count, 0)
  })

  it("at its bound the oldest is given up and counted", () => {
    const held = new Held<number>(1, 3)
    for (let i = 0; i < 5; i++) held.add(i, 0)
    assert.deepStrictEqual([held.take(1, false), held.dropped], [[2, 3, 4], 2])
  })
})

describe("Frames", () => {
  it("a request comes back as what it was made of, a result as its number, and anything else as malformed", () => {
    const item = FastCheck.record({
      kind: FastCheck.constantFrom<Frames.ItemKind>("audio", "transcript", "speakerSample"),
      seq: FastCheck.nat(),
      at: FastCheck.double({ noNaN: true }),
      payload: FastCheck.uint8Array()
    })
    FastCheck.assert(FastCheck.property(item, FastCheck.nat(), (made, id) => {
      const bytes = Frame.toBytes(Frames.request(made, id).frame, 0)
      assert.deepEqual(Frames.readRequest(bytes), { ...made, id, payload: bytes.subarray(20) })
      assert.deepStrictEqual([...bytes.subarray(20)], [...made.payload])
      assert.isUndefined(Frames.readRequest(bytes.subarray(0, 19)))
      assert.strictEqual(Frames.readResult(Frame.toBytes(Frames.result(id).frame, 0)), id)
    }))
    FastCheck.assert(FastCheck.property(FastCheck.uint8Array({ maxLength: 40 }), (bytes) => {
      Frames.readRequest(bytes)
      assert.isTrue(Frames.readResult(bytes) === undefined || bytes.byteLength === 8)
    }))
    assert.strictEqual(Frames.readRequest(Frame.toBytes(Frames.heartbeat.frame, 0)), "heartbeat")
  })
})

describe("Settings", () => {
  it.effect("defaults, values, and what cannot be read", () =>
    Effect.gen(function*() {
      const load = (values: Record<string, string>) =>
        Effect.withConfigProvider(Settings.load, ConfigProvider.fromMap(new Map(Object.entries(values))))
      const settings = yield* load({ CHUNK_FRAMES: "10" })
      assert.deepStrictEqual([settings.chunkFrames, settings.listenerPort, settings.store], [10, 8081, "speech-store"])
      assert.include(String(yield* Effect.flip(load({ LISTENER_PORT: "many" }))), "LISTENER_PORT")
    }))

  it("the README has the table of the settings", () => {
    const readme = Fs.readFileSync(new URL("../README.md", import.meta.url), "utf8")
    for (const [key, fallback, description] of Settings.rows) {
      assert.include(readme, `| \`${key}\` | \`${fallback}\` | ${description} |`)
    }
  })
})
