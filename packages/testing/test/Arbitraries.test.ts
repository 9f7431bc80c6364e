import { assert, describe, it } from "@effect/vitest"
import * as Arbitraries from "@spillway/testing/Arbitraries"
import * as Clients from "@spillway/testing/Clients"
import * as Faults from "@spillway/testing/Faults"
import * as MemoryTransport from "@spillway/testing/MemoryTransport"
import * as Settle from "@spillway/testing/Settle"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Layer from "effect/Layer"
import * as Lane from "spillway/Lane"
import * as Message from "spillway/Message"
import * as Outcome from "spillway/Outcome"
import * as Overflow from "spillway/Overflow"
import * as Sessions from "spillway/Sessions"
import * as Telemetry from "spillway/Telemetry"
import { Transport } from "spillway/Transport"

const sample = <A>(arbitrary: FastCheck.Arbitrary<A>, numRuns = 400) =>
  FastCheck.sample(arbitrary, { numRuns, seed: 1 })

describe("Arbitraries", () => {
  it("messages are of every lane, text and binary, with and without key and age, within their bytes", () => {
    const messages = sample(Arbitraries.message({ payloadBytesMax: 500, keys: ["k"] }))
    assert.strictEqual(new Set(messages.map(({ lane }) => lane)).size, 4)
    assert.deepStrictEqual(new Set(messages.map(({ key }) => key)), new Set([undefined, "k"]))
    assert.strictEqual(new Set(messages.map(({ frame }) => frame.binary)).size, 2)
    assert.isAbove(new Set(messages.map(({ maxAgeMillis }) => maxAgeMillis)).size, 2)
    assert.isTrue(messages.every(({ frame }) => frame.data.byteLength <= 500))
    assert.isTrue(messages.some(({ frame }) => frame.data.byteLength > 400))
  })

  it("the sizes at which the framing changes are among the payloads", () => {
    const sizes = sample(Arbitraries.message({ payloadBytesMax: 70_000 })).map(({ frame }) => frame.data.byteLength)
    assert.includeMembers(sizes, [0, 125, 126, 65_535, 65_536])
  })

  it("workloads wait, send bursts and say things, and have at most their steps", () => {
    const workloads = sample(Arbitraries.workload({ stepsMax: 30, burstMax: 3 }), 50)
    assert.deepStrictEqual(new Set(workloads.flat().map(({ _tag }) => _tag)), new Set(["Wait", "Send", "Say"]))
    assert.isTrue(workloads.every((steps) => steps.length <= 30))
    assert.isTrue(workloads.flat().every((step) => step._tag !== "Send" || step.count <= 3))
    assert.isAbove(Math.max(...workloads.map((steps) => steps.length)), 15)
  })

  it("every kind of client is drawn", () => {
    assert.deepStrictEqual(new Set(sample(Arbitraries.clientKind)), new Set(Object.keys(Clients.all)))
  })
})

const app = Sessions.layer({ outboxItemsMax: 10, pingInterval: "5 seconds" }).pipe(
  Layer.provide([Overflow.layerDefault, Telemetry.layerNoop]),
  Layer.provideMerge(MemoryTransport.layer({ latency: 3, toClient: { capacityBytes: 2_000 } }))
)

/** Plays a workload on one session and returns what the session has counted in the end. */
const play = (kind: keyof typeof Clients.all, steps: ReadonlyArray<Arbitraries.WorkloadStep>) =>
  Effect.gen(function*() {
    const client = yield* Effect.either(Clients.all[kind]())
    if (client._tag === "Left") return 0
    const connection = yield* (yield* Transport).accept
    const session = yield* (yield* Sessions.Sessions).open(
      connection,
      Faults.handler((session) => session.runForEach(() => Effect.void))
    )
    let taken = 0
    for (const step of steps) {
      if (step._tag === "Wait") yield* Settle.advance(step.millis)
      else if (step._tag === "Say") yield* Effect.forkScoped(client.right.send("x".repeat(step.payloadBytes)))
      else {
        const { count, key, lane, payloadBytes } = step
        const message = Message.text("x".repeat(payloadBytes), key === undefined ? { lane } : { lane, key })
        for (let i = 0; i < count; i++) if (Outcome.isTaken(session.unsafeOffer(message))) taken++
      }
      assert.isAtMost(session.stats.queuedItems, 10 + 100, "I1")
    }
    return taken
  })

describe("a property of a server, written with them", () => {
  const seen = { taken: 0, fired: 0 }

  it.effect.prop(
    "whatever is sent and whatever goes wrong: bounded, everything accounted for, nothing left",
    {
      kind: Arbitraries.clientKind,
      steps: Arbitraries.workload({ stepsMax: 12 }),
      rules: Arbitraries.faultSchedule({ connections: 1, withinMillis: 5_000, rulesMax: 3, tasks: ["handler"] })
    },
    ({ kind, rules, steps }) =>
      Effect.gen(function*() {
        const memory = yield* MemoryTransport.MemoryTransport
        const sessions = yield* Sessions.Sessions
        seen.taken += yield* play(kind, steps)
        const drain = yield* Effect.fork(sessions.drain())
        yield* Settle.advance("60 seconds")
        assert.isNotNull(drain.unsafePoll())
        const { sessions: left, totals } = yield* sessions.snapshot
        assert.deepStrictEqual([left, totals.outboxItems, totals.outboxBytes], [0, 0, 0])
        for (const lane of Lane.all) {
          const { offered, ...places } = totals.lanes[lane]
          assert.strictEqual(Object.values(places).reduce((sum, count) => sum + count, 0), offered)
        }
        assert.deepStrictEqual(yield* memory.defects, [])
        for (const { fired } of yield* Faults.report) seen.fired += fired
      }).pipe(Effect.scoped, Settle.provide(Layer.provideMerge(app, Faults.layer(rules)))),
    { fastCheck: { numRuns: 40, seed: 7 }, timeout: 60_000 }
  )

  it("the property came to messages and to faults", () => {
    assert.isAbove(seen.taken, 100)
    assert.isAbove(seen.fired, 8)
  })
})
