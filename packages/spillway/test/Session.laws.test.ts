/**
 * I1 and I2 of whole sessions: random workloads and faults from a seed, counts checked after every step. Longer with
 * `LAWS_RUNS`, other seeds with `LAWS_SEED`; a failure prints seed and path, which replay it.
 */
import { assert, it } from "@effect/vitest"
import type { MemoryClient } from "@spillway/testing/MemoryTransport"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Frame from "../src/Frame.js"
import * as Lane from "../src/Lane.js"
import * as Message from "../src/Message.js"
import type { Delivery, Outcome } from "../src/Outcome.js"
import type { Session } from "../src/Session.js"
import { advance, assertConserved, endOf, type Rig, settle, withRig } from "./support.js"

const seed = Number(process.env["LAWS_SEED"] ?? 20_261_121)
const numRuns = Number(process.env["LAWS_RUNS"] ?? 40)

const options = { outboxItemsMax: 12, outboxBytesMax: 200_000, controlItemsMax: 3, controlBytesMax: 1_000 }

type Step =
  | {
    readonly _tag: "Offer"
    readonly lane: Lane.Lane
    readonly bytes: number
    readonly key?: string | undefined
    readonly count: number
  }
  | { readonly _tag: "Deliver"; readonly lane: Lane.Lane; readonly bytes: number }
  | { readonly _tag: "Send"; readonly bytes: number }
  | { readonly _tag: "Advance"; readonly millis: number }
  | { readonly _tag: "Peer"; readonly does: "stall" | "unstall" | "slow" | "fast" | "talk" }
  | { readonly _tag: "Fault"; readonly does: "close" | "eof" | "reset" | "resetMidFrame" | "halfOpen" | "end" }

const bytes = FastCheck.oneof(FastCheck.integer({ min: 0, max: 200 }), FastCheck.integer({ min: 20_000, max: 90_000 }))
const lane = FastCheck.constantFrom(...Lane.all)
const step = FastCheck.oneof(
  {
    weight: 12,
    arbitrary: FastCheck.record({
      _tag: FastCheck.constant("Offer" as const),
      lane,
      bytes,
      key: FastCheck.constantFrom(undefined, undefined, "k"),
      count: FastCheck.integer({ min: 1, max: 8 })
    })
  },
  { weight: 3, arbitrary: FastCheck.record({ _tag: FastCheck.constant("Deliver" as const), lane, bytes }) },
  { weight: 3, arbitrary: FastCheck.record({ _tag: FastCheck.constant("Send" as const), bytes }) },
  {
    weight: 6,
    arbitrary: FastCheck.record({
      _tag: FastCheck.constant("Advance" as const),
      millis: FastCheck.integer({ min: 1, max: 900 })
    })
  },
  {
    weight: 6,
    arbitrary: FastCheck.record({
      _tag: FastCheck.constant("Peer" as const),
      does: FastCheck.constantFrom("stall", "stall", "unstall", "slow", "fast", "talk")
    })
  },
  {
    weight: 1,
    arbitrary: FastCheck.record({
      _tag: FastCheck.constant("Fault" as const),
      does: FastCheck.constantFrom("close", "eof", "reset", "resetMidFrame", "halfOpen", "end")
    })
  }
)

const seen = new Map<string, number>()
const note = (path: string) => seen.set(path, (seen.get(path) ?? 0) + 1)

class Run {
  /** Offers by lane that a session that takes messages was given. */
  readonly offered = { control: 0, critical: 0, important: 0, bulk: 0 }
  constructor(readonly rig: Rig, readonly client: MemoryClient, readonly session: Session) {}

  tell(lane: Lane.Lane, outcome: Outcome | Delivery): void {
    note(outcome._tag)
    if (outcome._tag !== "Rejected" || outcome.reason !== "Closed") this.offered[lane]++
  }

  check(): void {
    const { stats } = this.session
    assertConserved(stats.lanes)
    const { bulk, critical, important } = stats.lanes
    assert.isAtMost(critical.queued + important.queued + bulk.queued, options.outboxItemsMax)
    assert.isAtMost(stats.lanes.control.queued, options.controlItemsMax)
    assert.isAtMost(stats.queuedBytes, options.outboxBytesMax + options.controlBytesMax)
    assert.isAtMost(stats.inFlightBytes, 90_020)
    assert.strictEqual(this.session.queuedItems, stats.queuedItems)
    const { chargedBytes, heldBytes } = this.rig.sessions.memory
    assert.strictEqual(chargedBytes, stats.queuedBytes + stats.inFlightBytes, "the ledger is charged what is there")
    assert.strictEqual(heldBytes === 0, stats.queuedItems === 0 || stats.queuedBytes === 0, "held while queued")
    assert.strictEqual(critical.evicted + stats.lanes.control.evicted, 0, "I5")
    for (const lane of Lane.all) assert.isAtLeast(stats.lanes[lane].offered, this.offered[lane])
  }
}

const frame = (bytes: number): Frame.Frame => Frame.sequenced("", `:${"x".repeat(bytes)}`)

const perform = (run: Run, step: Step): Effect.Effect<unknown, unknown> => {
  const { client, session } = run
  switch (step._tag) {
    case "Offer":
      return Effect.sync(() => {
        const message = Message.fromFrame(frame(step.bytes), {
          lane: step.lane,
          key: step.key,
          maxAge: step.lane === "bulk" ? "2 seconds" : undefined
        })
        for (let i = 0; i < step.count; i++) run.tell(step.lane, session.unsafeOffer(message))
      })
    case "Deliver":
      return Effect.forkDaemon(
        Effect.map(
          session.deliver(Message.fromFrame(frame(step.bytes), { lane: step.lane })),
          (fate) => run.tell(step.lane, fate)
        )
      )
    case "Send":
      return Effect.forkDaemon(
        Effect.map(
          session.send(Message.fromFrame(frame(step.bytes), { lane: "critical" })),
          (outcome) => run.tell("critical", outcome)
        )
      )
    case "Advance":
      return advance(step.millis)
    case "Peer":
      if (step.does === "slow") return client.setRead(20_000)
      if (step.does === "fast") return client.setRead(Infinity)
      return step.does === "talk" ? Effect.forkDaemon(client.send("hello")) : client[step.does]
    case "Fault":
      note(step.does)
      if (step.does === "end") return session.close()
      return step.does === "close" ? client.close(1000) : client[step.does]
  }
}

/** I3: the numbers of each lane that the client saw grow; a message is whole. */
const assertReceived = (run: Run) =>
  Effect.map(run.client.received, (messages) => {
    const { sent } = Object.values(run.session.stats.lanes).reduce((sum, { sent }) => ({ sent: sum.sent + sent }), {
      sent: 0
    })
    for (const { text } of messages) assert.match(text, /^\d+:x*$/)
    assert.isAtMost(messages.length, sent + 64)
  })

const scenario = (steps: ReadonlyArray<Step>) =>
  withRig({ session: options }, (rig) =>
    Effect.gen(function*() {
      const { client, session } = yield* rig.open((session) => session.runForEach(() => Effect.void), {
        capacityBytes: 30_000
      })
      const run = new Run(rig, client, session)
      for (const step of steps) {
        yield* Effect.ignore(perform(run, step))
        run.check()
        yield* settle
        run.check()
        assertConserved((yield* rig.snapshot).totals.lanes)
      }
      const { report } = yield* endOf(session, session.close())
      note(report.exit._tag)
      run.check()
      const { lanes } = session.stats
      for (const lane of Lane.all) {
        assert.deepStrictEqual([lanes[lane].queued, lanes[lane].inFlight], [0, 0])
        assert.strictEqual(lanes[lane].undelivered, report.undelivered[lane])
        assert.strictEqual(lanes[lane].offered, run.offered[lane], `every offer of ${lane} got its outcome`)
      }
      yield* client.unstall
      yield* advance(1)
      yield* assertReceived(run)
    }))

it.effect.prop(
  "I1 I2 I5 I6 hold at every step of any workload under any fault",
  [FastCheck.array(step, { minLength: 5, maxLength: 30 })],
  ([steps]) => scenario(steps as ReadonlyArray<Step>),
  { fastCheck: { seed, numRuns }, timeout: 60_000 }
)

it("the campaign above took its rare paths", () => {
  for (
    const path of [
      "Queued",
      "QueuedEvicting",
      "Conflated",
      "Rejected",
      "Sent",
      "Undelivered",
      "ClosedByServer",
      "Disconnected"
    ]
  ) {
    assert.isAbove(seen.get(path) ?? 0, 0, path)
  }
})
