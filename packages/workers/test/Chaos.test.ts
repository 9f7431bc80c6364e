import { assert, describe } from "@effect/vitest"
import * as Chaos from "@spillway/workers/Chaos"
import * as MemoryWorkers from "@spillway/workers/MemoryWorkers"
import * as ScriptedWorkers from "@spillway/workers/ScriptedWorkers"
import * as WorkerPool from "@spillway/workers/WorkerPool"
import { WorkerTransport, type WorkerTransportShape } from "@spillway/workers/WorkerTransport"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import { makeRig, reference, test } from "./support.js"

const startTime = "200 millis"

const layers: ReadonlyArray<readonly [string, () => WorkerTransportShape]> = [
  ["L1", () => MemoryWorkers.make({ worker: reference, startTime })],
  ["L2", () => ScriptedWorkers.make({ worker: reference, startTime })]
]

interface World {
  readonly pool: WorkerPool.WorkerPoolShape
  readonly chaos: Chaos.ChaosShape
  readonly run: (scenario: Chaos.Scenario) => Effect.Effect<Chaos.Report>
}

/** A pool of four workers that take 200 ms to start, in the hands of the chaos kit. */
const world = <E>(
  transport: WorkerTransportShape,
  body: (world: World) => Effect.Effect<void, E, Scope.Scope>,
  options: WorkerPool.Options = {}
) =>
  Effect.gen(function*() {
    const { chaos, transport: hurt } = Chaos.make(transport)
    const pool = yield* Effect.orDie(WorkerPool.make({ name: "w", size: 4, ...options })).pipe(
      Effect.provideService(WorkerTransport, hurt)
    )
    yield* body({
      pool,
      chaos,
      run: (scenario) => Effect.provideService(Chaos.run(pool, scenario), Chaos.Chaos, chaos)
    })
  }).pipe(Effect.withRandom(Random.make("chaos")))

/** Runs while time passes. */
const passing = <A, E, R>(effect: Effect.Effect<A, E, R>, seconds = 60) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(effect)
    for (let step = 0; step < seconds * 10 && fiber.unsafePoll() === null; step++) yield* TestClock.adjust("100 millis")
    return yield* Fiber.join(fiber)
  })

/** Start and back-off; a worker that is silent is found out after a second. */
const bounds: { readonly [S in keyof typeof Chaos.scenarios]: readonly [targeted: number, millis: number] } = {
  singleKill: [1, 300],
  halfKilled: [2, 300],
  cascade: [3, 300],
  memoryPressure: [1, 100],
  corruption: [1, 300],
  tornFrame: [1, 1400],
  hang: [1, 1400],
  partition: [1, 1400],
  slow: [1, 1000],
  deadStarts: [1, 1200],
  killUnderPressure: [2, 300],
  everything: [4, 300]
}

for (const [layer, transport] of layers) {
  describe(`Chaos on ${layer}`, () => {
    for (const name of Object.keys(bounds) as Array<keyof typeof bounds>) {
      test(`A137 ${name}: it really happens, the pool is whole again in its time, and all of five probes succeed`, () =>
        passing(world(transport(), ({ run }) =>
          Effect.gen(function*() {
            const report = yield* run(Chaos.scenarios[name])
            const [targeted, millis] = bounds[name]
            assert.lengthOf(report.targeted, targeted)
            assert.isTrue(report.isReal, JSON.stringify(report.happened))
            assert.isAtMost(report.recoveredMillis ?? Infinity, millis)
            assert.deepInclude(report, { live: 4, probes: 5, probesSucceeded: 5 })
          }))))
    }

    test("A138 a load under a mixture of all faults: none lost, none hangs, none gets another's answer", () =>
      passing(
        world(transport(), ({ pool, run }) =>
          Effect.gen(function*() {
            const options = { sessions: 20, operationsPerSecond: 50, duration: "12 seconds", tolerance: 0 } as const
            const load = yield* Effect.fork(Chaos.load(pool, options))
            const reports = yield* Effect.forEach(
              [
                Chaos.scenarios.everything,
                Chaos.scenarios.hang,
                Chaos.scenarios.tornFrame,
                Chaos.scenarios.cascade,
                Chaos.parallel([Chaos.scenarios.partition, Chaos.scenarios.singleKill])
              ],
              run
            )
            const { failed, late, started, succeeded, wrong } = yield* Fiber.join(load)
            assert.isTrue(reports.every(({ isReal, probesSucceeded }) => isReal && probesSucceeded === 5))
            const failures = Object.values(failed).reduce((sum, count) => sum + count, 0)
            assert.strictEqual(started, 600)
            assert.strictEqual(succeeded + failures, started)
            assert.deepStrictEqual({ late, wrong }, { late: 0, wrong: 0 })
            const known = new Set(["OperationTimeout", "WorkerCrashed", "ProtocolViolation", "CheckoutTimeout"])
            assert.deepStrictEqual(Object.keys(failed).filter((tag) => !known.has(tag)), [])
            assert.isAbove(failures, 0)
            assert.isBelow(failures, 100)
            const { affinity } = yield* pool.status
            assert.isAbove(affinity!.rate, 0.9)
          })),
        60_000
      ))

    test("A138 operations on workers that are not hit all succeed", () =>
      passing(world(transport(), ({ chaos, pool }) =>
        Effect.gen(function*() {
          const sessions = Array.from({ length: 4 }, (_, index) => `s${index}`)
          const homes = yield* Effect.forEach(sessions, (session) => pool.execute("whoami", {}, { session }))
          assert.lengthOf(new Set(homes), 4)
          const work = (session: string) =>
            Effect.either(Effect.forEach(Array.from({ length: 20 }), () =>
              pool.execute("sleep", { millis: 50 }, { session, affinity: "strictQueue" })))
          const fibers = yield* Effect.forEach(sessions, (session) =>
            Effect.fork(work(session)))
          yield* Effect.sleep("500 millis")
          yield* chaos.inject(String(homes[0]), { _tag: "kill" })
          yield* chaos.inject(String(homes[1]), { _tag: "corrupt" })
          const results = yield* Effect.forEach(fibers, Fiber.join)
          assert.deepStrictEqual(results.map(({ _tag }) => _tag), ["Left", "Left", "Right", "Right"])
          assert.deepStrictEqual(results.flatMap((result) => result._tag === "Left" ? [result.left._tag] : []), [
            "WorkerCrashed",
            "ProtocolViolation"
          ])
        }))))
  })
}

describe("Chaos", () => {
  test("A136 a fault that did not happen is not reported as one that did", () =>
    passing(world(MemoryWorkers.make({ worker: reference }), ({ pool }) =>
      Effect.gen(function*() {
        const { chaos } = Chaos.make(makeRig().transport)
        const report = yield* Effect.provideService(
          Chaos.run(pool, Chaos.scenarios.singleKill, { recoveryTimeout: "1 second" }),
          Chaos.Chaos,
          chaos
        )
        assert.isFalse(report.isReal)
        assert.isUndefined(report.recoveredMillis)
      }))))

  test("A137 the same seed hits the same workers", () =>
    passing(Effect.gen(function*() {
      const hits = Effect.scoped(Effect.gen(function*() {
        const targeted: Array<ReadonlyArray<string>> = []
        yield* world(MemoryWorkers.make({ worker: reference }), ({ run }) =>
          Effect.map(run(Chaos.scenarios.cascade), (report) => void targeted.push(report.targeted)))
        return targeted[0]!
      }))
      assert.deepStrictEqual(yield* hits, yield* hits)
    })))
})
