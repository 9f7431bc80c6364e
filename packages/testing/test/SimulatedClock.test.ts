import { assert, describe, it } from "@effect/vitest"
import * as SimulatedClock from "@spillway/testing/SimulatedClock"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import { TimerQueue } from "../src/internal/timerQueue.js"

const seeded = <A, E>(seed: number, program: (world: SimulatedClock.World) => Effect.Effect<A, E>) =>
  SimulatedClock.run(program, { seed })

describe("SimulatedClock", () => {
  it.effect("sleepers wake in the order of their time, and the clock says that time", () =>
    seeded(1, () =>
      Effect.gen(function*() {
        const woken: Array<number> = []
        const sleeper = (millis: number) =>
          Effect.flatMap(Effect.delay(Clock.currentTimeMillis, millis), (now) => Effect.sync(() => woken.push(now)))
        yield* Effect.forEach([3_600_000, 5, 0, 86_400_000, 5], sleeper, { concurrency: "unbounded" })
        assert.deepStrictEqual(woken, [0, 5, 5, 3_600_000, 86_400_000])
      })))

  it.effect("an interrupted sleeper leaves the clock, and a timeout of a fast effect costs no time", () =>
    seeded(1, (world) =>
      Effect.gen(function*() {
        const fiber = yield* Effect.fork(Effect.sleep("1 hour"))
        yield* Effect.yieldNow()
        yield* Fiber.interrupt(fiber)
        yield* Effect.timeout(Effect.yieldNow(), "1 hour")
        assert.strictEqual(yield* Clock.currentTimeMillis, 0)
        assert.strictEqual(world.sleepers, 0)
      })))

  it.effect("a program that can never go on is stuck, and says when", () =>
    Effect.gen(function*() {
      const stuck = yield* Effect.flip(
        seeded(1, () => Effect.zipRight(Effect.sleep("2 seconds"), Effect.async<never>(() => {})))
      )
      assert.include(stuck.message, "stuck 2000 ms after its start")
    }))

  it.effect("a freeze makes sleepers late", () =>
    seeded(1, (world) =>
      Effect.gen(function*() {
        const fiber = yield* Effect.fork(Effect.zipRight(Effect.sleep(10), Clock.currentTimeMillis))
        yield* Effect.yieldNow()
        world.freeze(5_000)
        assert.strictEqual(yield* Fiber.join(fiber), 5_000)
      })))

  it.effect("the same seed makes the same world, to the last pick", () =>
    Effect.gen(function*() {
      const world = (seed: number) =>
        seeded(seed, (world) =>
          Effect.gen(function*() {
            const lines: Array<string> = []
            const walker = (name: number) =>
              Effect.repeatN(
                Effect.flatMap(
                  Random.nextIntBetween(0, 1000),
                  (millis) =>
                    Effect.zipRight(Effect.sleep(millis), Effect.sync(() => lines.push(`${world.now} ${name}`)))
                ),
                50
              )
            yield* Effect.forEach([1, 2, 3], walker, { concurrency: "unbounded" })
            return `${lines.join(",")} ${world.scheduler.fingerprint}`
          }))
      assert.strictEqual(yield* world(5), yield* world(5))
      assert.notStrictEqual(yield* world(5), yield* world(6))
    }))

  it.effect("what `onIdle` throws ends the world", () =>
    Effect.gen(function*() {
      const cause = yield* Effect.flip(Effect.sandbox(SimulatedClock.run(() => Effect.sleep(10), {
        seed: 1,
        onIdle: () => {
          throw new Error("a law is broken")
        }
      })))
      assert.include(Cause.pretty(cause), "a law is broken")
    }))
})

describe("TimerQueue", () => {
  it("keeps order, also with many cancelled timers", () => {
    const queue = new TimerQueue()
    const rung: Array<number> = []
    const cancels = Array.from(
      { length: 1_000 },
      (_, i) => queue.add((i * 7919) % 1_000, () => rung.push((i * 7919) % 1_000))
    )
    cancels.forEach((cancel, i) => i % 3 === 0 || cancel())
    cancels.forEach((cancel, i) => i % 3 === 0 || cancel())
    assert.strictEqual(queue.size, 334)
    queue.ring(2_000)
    assert.strictEqual(rung.length, 334)
    assert.deepStrictEqual(rung, [...rung].sort((a, b) => a - b))
    cancels.forEach((cancel) => cancel())
    assert.strictEqual(queue.size, 0)
    assert.strictEqual(queue.nextAt, Infinity)
  })

  it("a timer that another one of its instant cancels does not ring", () => {
    const queue = new TimerQueue()
    let rung = 0
    let cancel = (): void => {}
    queue.add(1, () => cancel())
    cancel = queue.add(1, () => rung++)
    queue.ring(1)
    assert.strictEqual(rung, 0)
    assert.strictEqual(queue.size, 0)
  })
})
