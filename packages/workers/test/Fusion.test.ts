import { assert, describe } from "@effect/vitest"
import { settle } from "@spillway/testing/Settle"
import * as Fusion from "@spillway/workers/Fusion"
import * as Provider from "@spillway/workers/Provider"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import { test } from "./support.js"

type Modality = "visual" | "text" | "audio"
type Fused = Fusion.Fused<Modality, string, unknown>

/** Providers that take so many milliseconds; an item that says "fail" fails. */
const make = (
  millis: { readonly [M in Modality]?: number } = {},
  options: Partial<Fusion.Options<Modality, string, unknown>> = {}
) =>
  Effect.gen(function*() {
    const provider = (name: Modality) =>
      Effect.map(
        Effect.orDie(Provider.make({ name, timeout: "1 minute" }, (data: unknown) =>
          Effect.zipRight(
            Effect.sleep(millis[name] ?? 10),
            data === "fail" ? Effect.fail(`${name} failed`) : Effect.succeed(`${name} ${data}`)
          ))),
        ({ submit }) => submit
      )
    const modalities = yield* Effect.all({
      visual: provider("visual"),
      text: provider("text"),
      audio: provider("audio")
    })
    return yield* Effect.orDie(Fusion.make<Modality, string, unknown>({ modalities, ...options }))
  })

interface Opened {
  readonly fused: ReadonlyArray<Fused>
  readonly offer: (
    modality: Modality,
    window: number,
    data?: string,
    expects?: ReadonlyArray<Modality>
  ) => Effect.Effect<void, Fusion.FusionFull>
}

const open = (fusion: Fusion.Fusion<Modality, string, unknown>): Effect.Effect<Opened, never, Scope.Scope> => {
  const fused: Array<Fused> = []
  return Effect.map(fusion.open((one) => Effect.sync(() => void fused.push(one))), (stream) => ({
    fused,
    offer: (modality, window, data = "x", expects) =>
      stream.offer({ modality, window, data, ...(expects === undefined ? {} : { expects }) })
  }))
}

const all: ReadonlyArray<Modality> = ["visual", "text", "audio"]

describe("Fusion", () => {
  test("A053 items of one window yield one result, to the stream that offered them and to no other", () =>
    Effect.gen(function*() {
      const fusion = yield* make()
      const [one, other] = [yield* open(fusion), yield* open(fusion)]
      for (const modality of all) yield* one.offer(modality, 1, "a")
      yield* other.offer("text", 1, "b")
      yield* TestClock.adjust("10 millis")
      const values = { visual: "visual a", text: "text a", audio: "audio a" }
      assert.deepStrictEqual(one.fused, [{ _tag: "Complete", window: 1, values, millis: 10 }])
      assert.deepStrictEqual(other.fused, [])
    }))

  test("A053 what is missing after 5 s is named in a partial result; what came too late changes nothing", () =>
    Effect.gen(function*() {
      const fusion = yield* make({ audio: 6000 })
      const stream = yield* open(fusion)
      yield* stream.offer("text", 1)
      yield* stream.offer("audio", 1)
      yield* TestClock.adjust("4999 millis")
      assert.deepStrictEqual(stream.fused, [])
      yield* TestClock.adjust("1 millis")
      const expected = {
        _tag: "Partial",
        window: 1,
        values: { text: "text x" },
        missing: { visual: "late", audio: "late" },
        millis: 5000
      }
      assert.deepStrictEqual<unknown>(stream.fused, [expected])
      yield* TestClock.adjust("10 seconds")
      assert.lengthOf(stream.fused, 1)
      assert.deepInclude(yield* fusion.stats, { openWindows: 0, backlogItems: 0 })
    }))

  test("A053 with the other policy it is a failure, and a modality that fails is named with its error", () =>
    Effect.gen(function*() {
      const fusion = yield* make({}, { onMissing: "fail" })
      const stream = yield* open(fusion)
      yield* stream.offer("visual", 1)
      yield* stream.offer("text", 1)
      yield* stream.offer("audio", 1, "fail")
      yield* TestClock.adjust("10 millis")
      assert.lengthOf(stream.fused, 1)
      assert.deepInclude(stream.fused[0], { _tag: "Failed", missing: { audio: "audio failed" }, millis: 10 })
    }))

  test("A054 a slow provider slows its own modality: windows of text alone take as long as before", () =>
    Effect.gen(function*() {
      const fusion = yield* make({ visual: 4000 })
      const [both, textOnly] = [yield* open(fusion), yield* open(fusion)]
      for (let window = 0; window < 4; window++) {
        yield* both.offer("visual", window, "x", ["visual", "text"])
        yield* both.offer("text", window)
        yield* textOnly.offer("text", window, "x", ["text"])
        yield* TestClock.adjust("10 millis")
      }
      assert.deepStrictEqual(
        textOnly.fused.map(({ _tag, millis }) => [_tag, millis]),
        [0, 1, 2, 3].map(() => ["Complete", 10])
      )
      assert.deepStrictEqual(both.fused, [])
      yield* TestClock.adjust("4 seconds")
      assert.lengthOf(both.fused, 4)
    }))

  test("A055 the figures agree: total is successful and failed, whatever the end", () =>
    Effect.gen(function*() {
      const fusion = yield* make({}, { onMissing: "fail" })
      const stream = yield* open(fusion)
      for (let window = 0; window < 8; window++) {
        for (const modality of all) {
          if (window % 4 === 3 && modality === "audio") continue
          yield* stream.offer(modality, window)
        }
        yield* TestClock.adjust("10 millis")
      }
      yield* TestClock.adjust("5 seconds")
      const stats = yield* fusion.stats
      assert.deepInclude(stats, { total: 8, successful: 6, failed: 2, partial: 0, successRatio: 0.75, streams: 1 })
      assert.strictEqual(stats.meanMillis, (6 * 10 + 2 * 5000) / 8)
      assert.lengthOf(stream.fused, stats.total)
    }))

  test("A056 above 80 % of the backlog slow streams wait and fast ones do not; a full backlog refuses", () =>
    Effect.gen(function*() {
      const fusion = yield* make({ visual: 4000 }, { backlogItemsMax: 10 })
      const [slow, fast] = [yield* open(fusion), yield* open(fusion)]
      for (let window = 0; window < 4; window++) yield* slow.offer("visual", window)
      yield* TestClock.adjust("2001 millis")
      assert.strictEqual((yield* fusion.stats).slowStreams, 1)
      for (let window = 4; window < 9; window++) yield* slow.offer("visual", window)
      const throttled = yield* Effect.fork(slow.offer("visual", 9))
      yield* settle
      assert.isNull(throttled.unsafePoll())
      yield* fast.offer("text", 1, "x", ["text"])
      const full = yield* Effect.flip(fast.offer("text", 2, "x", ["text"]))
      assert.deepInclude(full, { _tag: "FusionFull", backlogItemsMax: 10 })
      assert.deepInclude(yield* fusion.stats, { throttled: 1, refused: 1, backlogItems: 10 })
      yield* TestClock.adjust("10 millis")
      assert.lengthOf(fast.fused, 1, "the fast stream was not touched")
      yield* TestClock.adjust("3 seconds")
      assert.isNotNull(throttled.unsafePoll(), "the first windows of the slow stream are over")
      yield* Fiber.join(throttled)
    }))

  test("a stream that closes leaves nothing: no window, no item, no result", () =>
    Effect.gen(function*() {
      const fusion = yield* make()
      const stream = yield* Effect.scoped(Effect.tap(open(fusion), ({ offer }) => offer("text", 1)))
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(stream.fused, [])
      assert.deepInclude(yield* fusion.stats, { openWindows: 0, backlogItems: 0, streams: 0, total: 0 })
    }))
})
