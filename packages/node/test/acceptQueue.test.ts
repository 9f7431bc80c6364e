import { assert, describe, it } from "@effect/vitest"
import * as SimulatedClock from "@spillway/testing/SimulatedClock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { Connection } from "spillway/Transport"
import { AcceptQueue } from "../src/internal/acceptQueue.js"

/** Nobody writes to it. */
const connection = { terminate: () => {} } as unknown as Connection

/** Offers a connection while accepts are interrupted at any of their steps; whether the next accept gets it. */
const survives = (seed: number, accept: (queue: AcceptQueue) => Effect.Effect<Connection, unknown>) =>
  SimulatedClock.run(() =>
    Effect.gen(function*() {
      const queue = new AcceptQueue(10)
      const fibers = yield* Effect.forEach([1, 2, 3, 4], () => Effect.fork(accept(queue)))
      yield* Effect.yieldNow()
      yield* Effect.forEach(fibers, Fiber.interruptFork)
      yield* Effect.yieldNow()
      queue.offer(connection)
      const exits = yield* Effect.forEach(fibers, Fiber.await)
      // One that had it before its interruption came has it.
      if (exits.some(({ _tag }) => _tag === "Success")) return true
      const next = yield* Effect.fork(queue.accept)
      yield* Effect.repeatN(Effect.yieldNow(), 100)
      return next.unsafePoll()?._tag === "Success"
    }), { seed })

// 88 and 184 lose it when `Effect.async` takes the registration back itself.
const seeds = [88, 184, ...Array.from({ length: 40 }, (_, i) => i + 1)]

describe("AcceptQueue", () => {
  it.effect("an accept that is interrupted at any of its steps loses no connection", () =>
    Effect.gen(function*() {
      const results = yield* Effect.forEach(seeds, (seed) => survives(seed, (queue) => queue.accept))
      assert.deepStrictEqual(seeds.filter((_, i) => !results[i]), [])
    }))
})
