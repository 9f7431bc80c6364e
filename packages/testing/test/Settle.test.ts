import { assert, it } from "@effect/vitest"
import { settle } from "@spillway/testing/Settle"
import * as Effect from "effect/Effect"
import * as Scheduler from "effect/Scheduler"
import * as TestClock from "effect/TestClock"

it.effect("settle returns when forked fibers have done all they can", () =>
  Effect.gen(function*() {
    let steps = 0
    const step = Effect.zipRight(Effect.yieldNow(), Effect.sync(() => steps++))
    yield* Effect.forkDaemon(Effect.repeatN(step, 1499))
    yield* Effect.forkDaemon(Effect.repeatN(Effect.zipRight(Effect.promise(() => Promise.resolve()), step), 99))
    yield* settle
    assert.strictEqual(steps, 1600)
  }))

it.effect("settle lets no virtual time pass", () =>
  Effect.gen(function*() {
    let woken = false
    yield* Effect.fork(Effect.sleep("1 millis").pipe(Effect.map(() => (woken = true))))
    yield* settle
    assert.isFalse(woken)
    yield* TestClock.adjust("1 millis")
    yield* settle
    assert.isTrue(woken)
  }))

it.effect("settle waits for a scheduler that says that it is not idle", () =>
  Effect.gen(function*() {
    let asked = 0
    const scheduler = Object.create(Scheduler.defaultScheduler, {
      isIdle: { get: () => ++asked > 5 }
    }) as Scheduler.Scheduler
    yield* Effect.withScheduler(settle, scheduler)
    assert.strictEqual(asked, 6)
  }))
