import { assert, describe, it } from "@effect/vitest"
import * as Simulation from "@spillway/testing/Simulation"
import * as Effect from "effect/Effect"
import type { Inbound } from "spillway/Session"

const small = { sessions: 10, duration: "20 seconds" } as const

/** A campaign of twenty seeds; run once for the tests that look at its report. */
const campaign = Effect.runSync(Effect.cached(Effect.map(
  Effect.forEach(Array.from({ length: 20 }, (_, i) => i + 1), (seed) => Simulation.run({ seed, ...small })),
  Simulation.merge
)))

/** Seldom enough that twenty short seeds may miss them. */
const seldom = new Set([
  "deliver Evicted",
  "deliver Conflated",
  "deliver Expired",
  "deliver Undelivered",
  "send interrupted",
  "send waited",
  "receive interrupted",
  "inbox full",
  "finalizers cut",
  "stuck task",
  "refused: refusing",
  "drain terminated",
  "flush done",
  "flush cut",
  "slow",
  "task ended its session"
])

describe("Simulation", () => {
  it.effect(
    "every invariant holds in twenty seeds of mixed faults, and the core settles (I1 to I6, S1 to S3, S5, S6, S8 to S10, S14)",
    () =>
      Effect.gen(function*() {
        const report = yield* campaign
        assert.strictEqual(report.runs, 20)
        assert.isAbove(report.checks, 20_000)
        assert.isAbove(report.messages.sent, 1_000)
        assert.isAtLeast(report.sometimes["core settled"] ?? 0, 20 * 4)
      }),
    120_000
  )

  it.effect("every kind of fault and nearly every rare path really happened", () =>
    Effect.gen(function*() {
      const report = yield* campaign
      const missed = Simulation.neverHappened(report, Simulation.rarePaths.filter((path) => !seldom.has(path)))
      assert.deepStrictEqual(missed, [])
      assert.deepStrictEqual(Simulation.neverHappened(report, ["something else"]), ["something else"])
    }), 120_000)

  it.effect(
    "one seed is one history, to the last event and the last choice of the scheduler",
    () =>
      Effect.gen(function*() {
        const run = (seed: number) => Simulation.run({ seed, ...small, keepTrace: true })
        const [first, second, other] = yield* Effect.all([run(5), run(5), run(6)])
        assert.isAbove(first.trace.length, 50)
        assert.strictEqual(second.trace.join("\n"), first.trace.join("\n"))
        assert.strictEqual(second.fingerprint, first.fingerprint)
        assert.notStrictEqual(other.fingerprint, first.fingerprint)
      }),
    60_000
  )

  it.effect("a broken law fails with the line that replays it, and the line does", () =>
    Effect.gen(function*() {
      const law: Simulation.Invariant = {
        name: "nobody offers anything",
        check: ({ watched: { stats } }) =>
          Object.values(stats.lanes).some(({ offered }) => offered > 0) ? `session ${stats.id} does` : undefined
      }
      const run = Simulation.run({ seed: 1, ...small, invariants: [...Simulation.invariants, law] })
      const [first, second] = [yield* Effect.flip(run), yield* Effect.flip(run)]
      assert.strictEqual(first.law, "nobody offers anything")
      assert.include(first.message, "Simulation.run({ seed: 1, sessions: 10, duration: 20000, pace: 1 })")
      assert.strictEqual(second.message, first.message)
    }), 60_000)

  it.effect(
    "a handler that gets its messages in another order than the wire's breaks S8",
    () =>
      Effect.gen(function*() {
        const workload: Simulation.Workload = {
          ...Simulation.mixed,
          handler: (session, world) => {
            let held: Inbound | undefined = undefined
            return session.runForEach((inbound) => {
              if (held !== undefined) { for (const each of [inbound, held]) world.read(session, each) }
              held = held === undefined ? inbound : undefined
            })
          }
        }
        const broken = yield* Effect.flip(Simulation.run({ seed: 3, ...small, workload }))
        assert.strictEqual(broken.law, "S8 S10")
      }),
    60_000
  )

  it.effect(
    "a user's own handler is simulated as the workload's is, and what it throws is an exit",
    () =>
      Effect.gen(function*() {
        const workload: Simulation.Workload = {
          ...Simulation.mixed,
          handler: (session) => session.runForEach(() => Effect.dieMessage("no"))
        }
        const report = yield* Simulation.run({ seed: 3, ...small, workload })
        assert.isAbove(report.exits.Crashed, 0)
      }),
    60_000
  )

  it.effect("a handler that keeps its core from being served breaks liveness", () =>
    Effect.gen(function*() {
      const workload: Simulation.Workload = { ...Simulation.mixed, handler: () => Effect.void }
      const broken = yield* Effect.flip(
        Simulation.run({ seed: 3, sessions: 3, duration: "5 seconds", workload, settleWithin: "20 seconds" })
      )
      assert.strictEqual(broken.law, "liveness")
    }), 60_000)
})
