import { assert, describe, it } from "@effect/vitest"
import * as Simulation from "@spillway/testing/Simulation"
import * as Effect from "effect/Effect"
import * as Message from "spillway/Message"
import { LaneQueue } from "../../spillway/src/internal/laneQueue.js"
import { Ring } from "../../spillway/src/internal/ring.js"

/** What a queue is asked to do, and every call that this takes inside. */
interface Work {
  operations: number
  calls: number
}

type Methods = Record<string, (...args: ReadonlyArray<unknown>) => unknown>

const operations = new Set(["offer", "take", "countRejected", "close", "resize", "shedFrom"])

/** Readings for stats and the checks of tests: nobody pays for them on the way of a message. */
const readings = new Set(["counters", "queuedBytesOf", "takenOf", "check", "oldestAtOf"])

/** The work of all queues while an effect runs. */
const countingWork = <A, E>(effect: (work: Work) => Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      const work: Work = { operations: 0, calls: 0 }
      const undo: Array<() => void> = []
      for (const { prototype } of [LaneQueue, Ring]) {
        const methods = prototype as unknown as Methods
        for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(methods))) {
          if (typeof value !== "function" || name === "constructor" || readings.has(name)) continue
          const original = value as Methods[string]
          const isOperation = prototype === LaneQueue.prototype && operations.has(name)
          methods[name] = function(...args) {
            work.calls++
            if (isOperation) work.operations++
            return original.apply(this, [...args])
          }
          undo.push(() => {
            methods[name] = original
          })
        }
      }
      return { work, undo }
    }),
    ({ work }) => effect(work),
    ({ undo }) => Effect.sync(() => undo.forEach((back) => back()))
  )

/** Calls that an operation may take, in the mean over all so far. */
const callsMax = 40

const cheap = (work: Work): Simulation.Invariant => ({
  name: "I7",
  check: () =>
    work.calls > callsMax * (work.operations + 10)
      ? `${work.operations} operations took ${work.calls} calls`
      : undefined
})

/** Handlers that send more than their clients read, into large outboxes: whoever looks at all that is queued is slow. */
const crowded: Simulation.Workload = {
  ...Simulation.mixed,
  handler: (session, world) => {
    const burst = Effect.sync(() => {
      for (let left = world.calm ? 0 : 150; left > 0; left--) {
        world.offer(session, Message.text("x".repeat(200), { lane: world.dice.pick(["important", "bulk"] as const) }))
      }
    })
    return Effect.forever(Effect.zipRight(burst, Effect.sleep("1 second")))
  },
  client: () => Effect.never,
  connect: () => ({ capacityBytes: 8_192, bytesPerSecond: 4_000 }),
  options: () => ({
    session: { outboxItemsMax: 256, pingInterval: "1 hour", sendTimeout: "5 minutes", taskGrace: "1 second" },
    overflow: { refuseBulkAbove: 1 }
  })
}

const run = (work: Work) =>
  Simulation.run({
    seed: 2,
    sessions: 2,
    duration: "12 seconds",
    pace: 100,
    workload: crowded,
    settleWithin: "2 minutes",
    invariants: [cheap(work)]
  })

describe("I7 in a simulation", () => {
  it.effect(
    "whatever is queued, an operation of an outbox takes a bounded number of steps",
    () =>
      countingWork((work) =>
        Effect.gen(function*() {
          const { sheds } = yield* run(work)
          assert.isAbove(sheds.bulk + sheds.important, 500)
          assert.isAbove(work.operations, 2_000)
        })
      ),
    60_000
  )

  it.effect(
    "counter-test: a queue that looks at all that it holds for each offer breaks it",
    () =>
      countingWork((work) =>
        Effect.gen(function*() {
          const { offer } = LaneQueue.prototype
          LaneQueue.prototype.offer = function(...args) {
            work.calls += this.queuedItems
            return offer.apply(this, args)
          }
          const broken = yield* Effect.flip(run(work))
          assert.strictEqual(broken.law, "I7")
        })
      ),
    60_000
  )
})
