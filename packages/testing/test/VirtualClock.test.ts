import { assert, it } from "@effect/vitest"
import * as VirtualClock from "@spillway/testing/VirtualClock"
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/TestClock"

/** A test on a virtual clock, which the body gets. */
const on = (body: (clock: VirtualClock.VirtualClock) => Effect.Effect<void, unknown>) =>
  Effect.suspend(() => {
    const clock = VirtualClock.make()
    return Effect.withClock(body(clock), clock)
  })

/** Forks a fiber that notes its name and the time when its sleep is over. */
const sleeper = (log: Array<string>, name: string, millis: number) =>
  Effect.fork(Effect.flatMap(
    Effect.zipRight(Effect.sleep(millis), Clock.currentTimeMillis),
    (now) => Effect.sync(() => log.push(`${name} ${now}`))
  ))

it.effect("adjust wakes sleepers in order of time, of equal times the first first, each at its own time", () =>
  on(() =>
    Effect.gen(function*() {
      const log: Array<string> = []
      yield* sleeper(log, "b", 20)
      yield* sleeper(log, "a", 10)
      yield* sleeper(log, "c", 20)
      yield* sleeper(log, "later", 31)
      yield* TestClock.adjust("30 millis")
      assert.deepStrictEqual(log, ["a 10", "b 20", "c 20"])
      assert.strictEqual(yield* Clock.currentTimeMillis, 30)
      yield* TestClock.setTime(31)
      assert.deepStrictEqual(log[3], "later 31")
    })
  ))

it.effect("what a woken fiber starts within the time is done as well", () =>
  on(() =>
    Effect.gen(function*() {
      let beats = 0
      yield* Effect.fork(Effect.repeat(Effect.sync(() => beats++), Schedule.spaced("1 second")))
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(beats, 3_601)
    })
  ))

it.effect("an interrupted sleep is forgotten at once", () =>
  on((clock) =>
    Effect.gen(function*() {
      const fiber = yield* Effect.fork(Effect.sleep("1 hour"))
      yield* Effect.yieldNow()
      assert.deepStrictEqual(Chunk.toReadonlyArray(yield* TestClock.sleeps()), [3_600_000])
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual([clock.sleepers, clock.nextAt], [0, Infinity])
    })
  ))

it.effect("sleeps of nothing or less end at once, an endless one is no sleeper", () =>
  on((clock) =>
    Effect.gen(function*() {
      yield* Effect.sleep(0)
      const fiber = yield* Effect.fork(Effect.sleep(Infinity))
      yield* TestClock.adjust("1000 days")
      assert.strictEqual(clock.sleepers, 0)
      assert.isNull(fiber.unsafePoll())
      yield* Fiber.interrupt(fiber)
    })
  ))

it.effect("adjustWith runs an effect while time passes; save gives the time back", () =>
  on(() =>
    Effect.gen(function*() {
      const restore = yield* TestClock.save()
      yield* TestClock.adjustWith(Effect.sleep("5 seconds"), "10 seconds")
      assert.strictEqual(yield* Clock.currentTimeMillis, 10_000)
      yield* restore
      assert.strictEqual(yield* Clock.currentTimeMillis, 0)
    })
  ))

it.effect("any sleeps wake as on Effect's own test clock", () =>
  Effect.gen(function*() {
    const times = FastCheck.sample(FastCheck.array(FastCheck.integer({ min: 1, max: 50 }), { maxLength: 12 }), {
      seed: 11,
      numRuns: 30
    })
    const woken = (sleeps: ReadonlyArray<number>) =>
      Effect.gen(function*() {
        const log: Array<string> = []
        // Names leave out what is not defined: the order among sleeps that end together.
        for (const millis of sleeps) yield* sleeper(log, String(millis), millis)
        yield* TestClock.adjust("40 millis")
        return log
      })
    for (const sleeps of times) {
      const expected = yield* woken(sleeps)
      assert.deepStrictEqual(yield* Effect.withClock(woken(sleeps), VirtualClock.make()), expected)
      yield* TestClock.setTime(0)
    }
  }))
