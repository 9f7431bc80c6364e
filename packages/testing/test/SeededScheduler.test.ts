import { assert, describe, it } from "@effect/vitest"
import * as SeededScheduler from "@spillway/testing/SeededScheduler"
import { settle } from "@spillway/testing/Settle"
import * as Effect from "effect/Effect"

/**
 * A lock that is wrong: whoever finds it taken steps aside once and then takes it without another look. With fibers in the
 * order in which they became able to run, the holder is always done by then.
 */
class CarelessLock {
  private taken = false
  inside = 0
  insideMax = 0

  with<A>(effect: Effect.Effect<A>): Effect.Effect<A> {
    const acquire = Effect.suspend(() => this.taken ? Effect.yieldNow() : Effect.void)
    const enter = Effect.sync(() => {
      this.taken = true
      this.insideMax = Math.max(this.insideMax, ++this.inside)
    })
    const leave = Effect.sync(() => {
      this.inside--
      this.taken = this.inside > 0
    })
    return Effect.zipRight(Effect.zipRight(acquire, enter), Effect.ensuring(effect, leave))
  }
}

/** How many were inside the lock at once: two users, each of whom works for one turn. */
const race = Effect.gen(function*() {
  const lock = new CarelessLock()
  const user = lock.with(Effect.yieldNow())
  yield* Effect.all([user, user], { concurrency: "unbounded" })
  return lock.insideMax
})

const trace = (seed: number) =>
  Effect.gen(function*() {
    const scheduler = SeededScheduler.make({ seed })
    const order: Array<string> = []
    const worker = (name: string) =>
      Effect.forEach([1, 2, 3, 4], (n) => Effect.zipRight(Effect.sync(() => order.push(name + n)), Effect.yieldNow()))
    yield* Effect.withScheduler(
      Effect.forEach(["a", "b", "c", "d"], worker, { concurrency: "unbounded" }),
      scheduler
    )
    return `${order.join(" ")} ${scheduler.picks} ${scheduler.fingerprint}`
  })

describe("SeededScheduler", () => {
  it.effect("the same seed runs fibers in the same order, another seed in another", () =>
    Effect.gen(function*() {
      const seeds = Array.from({ length: 20 }, (_, seed) => seed)
      const first = yield* Effect.forEach(seeds, trace)
      assert.deepStrictEqual(yield* Effect.forEach(seeds, trace), first)
      assert.isAtLeast(new Set(first).size, 19)
    }))

  it.effect("finds an ordering bug in under 200 seeds that the default scheduler never meets", () =>
    Effect.gen(function*() {
      for (let run = 0; run < 200; run++) assert.strictEqual(yield* race, 1)
      const found: Array<number> = []
      for (let seed = 0; seed < 200; seed++) {
        if ((yield* Effect.withScheduler(race, SeededScheduler.make({ seed }))) > 1) found.push(seed)
      }
      assert.isAbove(found.length, 0)
      // What was found replays.
      for (const seed of found) {
        assert.strictEqual(yield* Effect.withScheduler(race, SeededScheduler.make({ seed })), 2)
      }
    }))

  it.effect("is idle when nothing can run, so that settle waits for it", () =>
    Effect.gen(function*() {
      const scheduler = SeededScheduler.make({ seed: 1 })
      let steps = 0
      const step = Effect.zipRight(Effect.yieldNow(), Effect.sync(() => steps++))
      yield* Effect.withScheduler(Effect.forkDaemon(Effect.repeatN(step, 9_999)), scheduler)
      assert.isFalse(scheduler.isIdle)
      yield* Effect.withScheduler(settle, scheduler)
      assert.strictEqual(steps, 10_000)
    }))

  it.effect("a fiber that never suspends gives way to others", () =>
    Effect.gen(function*() {
      let done = false
      const other = Effect.sync(() => {
        done = true
      })
      const spin: Effect.Effect<void> = Effect.suspend(() =>
        done ? Effect.void : Effect.flatMap(Effect.void, () => spin)
      )
      yield* Effect.withScheduler(
        Effect.all([spin, other], { concurrency: "unbounded" }),
        SeededScheduler.make({ seed: 3 })
      )
      assert.isTrue(done)
    }))
})
