import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Budget from "../src/Budget.js"
import * as Frame from "../src/Frame.js"
import * as Hub from "../src/Hub.js"
import * as Lane from "../src/Lane.js"
import * as Message from "../src/Message.js"
import { Sessions } from "../src/Sessions.js"
import {
  advance,
  clog,
  control,
  critical,
  important,
  type Pair,
  payload,
  type Rig,
  settle,
  test,
  texts
} from "./support.js"

const on = (rig: Rig, options: Budget.Options) =>
  Effect.gen(function*() {
    const budget = yield* Effect.orDie(Effect.provideService(Budget.make(options), Sessions, rig.sessions))
    const changes: Array<string> = []
    yield* Effect.forkScoped(
      Stream.runForEach(budget.changes, ({ to }) => Effect.sync(() => changes.push(to)))
    )
    yield* settle
    return { budget, changes }
  })

const fill = ({ session }: Pair, messages: number, lane: Lane.Lane, bytes = 1_000) => {
  for (let i = 0; i < messages; i++) session.unsafeOffer(Message.text(payload(bytes), { lane }))
}

/** Without limits that end a session first. */
const patient = { sendTimeout: "1 hour", pingInterval: "1 hour" } as const

/** Bytes that a clogged session has in flight, of the message that clogs it. */
const clogged = 600_000

describe("Budget", () => {
  test(
    "bulk of the largest sessions goes first, and only as much as it takes",
    { session: patient },
    (rig) =>
      Effect.gen(function*() {
        const pairs = yield* Effect.all(Effect.replicate(rig.open(), 4))
        for (const pair of pairs) yield* clog(pair)
        const sizes = [10, 200, 150, 20]
        pairs.forEach((pair, i) => fill(pair, sizes[i]!, "bulk"))
        fill(pairs[1]!, 20, "important")
        const { chargedBytes } = rig.sessions.memory
        const { budget, changes } = yield* on(rig, { bytesMax: Math.floor(chargedBytes / 0.72) })
        yield* advance("100 millis")
        const queued = pairs.map(({ session }) => session.stats.lanes.bulk.queued)
        assert.deepStrictEqual(queued, [10, 0, 0, 20], "two of them are enough")
        assert.strictEqual(pairs[1]!.session.stats.lanes.important.queued, 20)
        assert.deepInclude(budget.stats, { shedBulk: 350, shedImportant: 0, ended: 0, level: "shed bulk" })
        yield* advance("100 millis")
        assert.deepStrictEqual(changes, ["shed bulk", "calm"])
      })
  )

  test(
    "important goes next, critical never; hints, refusals and endings come in this order, the largest session first",
    {
      session: patient
    },
    (rig) =>
      Effect.gen(function*() {
        const pairs = yield* Effect.all(Effect.replicate(rig.open(), 3))
        for (const pair of pairs) yield* clog(pair)
        const bytesMax = 3 * clogged + 200_000
        const { budget, changes } = yield* on(rig, { bytesMax, hint: () => control("elsewhere") })
        yield* advance("100 millis")
        // In flight alone is more than nine tenths of this budget, and nothing of it can be shed.
        assert.deepStrictEqual([budget.stats.level, rig.sessions.isAccepting], ["shed important", true])
        fill(pairs[2]!, 60, "important")
        fill(pairs[2]!, 20, "critical")
        yield* advance("100 millis")
        assert.deepInclude(pairs[2]!.session.stats.lanes.important, { queued: 0, evicted: 60 })
        assert.strictEqual(pairs[2]!.session.stats.lanes.critical.queued, 20)
        fill(pairs[2]!, 60, "critical")
        yield* advance("100 millis")
        assert.deepStrictEqual([budget.stats.level, budget.stats.hinted, rig.sessions.isAccepting], ["hint", 3, true])
        fill(pairs[2]!, 60, "critical")
        yield* advance("100 millis")
        assert.deepStrictEqual([budget.stats.level, budget.stats.hinted, rig.sessions.isAccepting], [
          "refuse",
          3,
          false
        ])
        const { client, connection } = yield* rig.connect()
        yield* rig.sessions.open(connection, () => Effect.never)
        assert.strictEqual((yield* client.awaitEnd).code, 4015)
        fill(pairs[1]!, 80, "critical")
        yield* advance("200 millis")
        assert.deepStrictEqual(pairs.map(({ session }) => session.state === "open"), [true, true, false])
        assert.strictEqual(budget.stats.ended, 1)
        yield* pairs[2]!.client.reset
        yield* advance("1 second")
        assert.isTrue(rig.sessions.isAccepting)
        assert.deepStrictEqual([changes.includes("end"), changes.at(-1)], [true, "calm"])
        assert.strictEqual((yield* rig.snapshot).exits.Overloaded, 2)
      })
  )

  test("one look sheds from sessionsPerLook sessions at most", { session: patient }, (rig) =>
    Effect.gen(function*() {
      const pairs = yield* Effect.all(Effect.replicate(rig.open(), 6))
      for (const pair of pairs) yield* clog(pair)
      for (const pair of pairs) fill(pair, 50, "bulk")
      const { budget } = yield* on(rig, {
        bytesMax: Math.floor(rig.sessions.memory.chargedBytes / 0.8),
        margin: 0.2,
        sessionsPerLook: 2
      })
      yield* advance("100 millis")
      assert.strictEqual(budget.stats.shedBulk, 100)
      yield* advance("100 millis")
      assert.strictEqual(budget.stats.shedBulk, 200)
    }))

  test(
    "a frame in many outboxes is charged to each and held once",
    { session: patient },
    (rig) =>
      Effect.gen(function*() {
        const pairs = yield* Effect.all(Effect.replicate(rig.open(), 5))
        for (const pair of pairs) yield* clog(pair)
        const { chargedBytes } = rig.sessions.memory
        const hub = yield* Effect.orDie(Effect.provideService(Hub.make(), Sessions, rig.sessions))
        yield* hub.broadcast(important(payload(100)))
        yield* hub.broadcast(critical(payload(7)))
        assert.deepStrictEqual(rig.sessions.memory, {
          chargedBytes: chargedBytes + 5 * 107,
          heldBytes: 107,
          deadlines: 5
        })
        yield* Effect.forEach(pairs, ({ client }) => client.unstall)
        yield* advance("1 second")
        assert.deepStrictEqual(rig.sessions.memory, { chargedBytes: 0, heldBytes: 0, deadlines: 5 })
      })
  )

  test(
    "overload at three times what the sessions can take: a plateau, every critical, gaps that add up, and back to calm",
    {
      session: { outboxItemsMax: 4_096, outboxBytesMax: 8_000_000 }
    },
    (rig) =>
      Effect.gen(function*() {
        const count = 12
        const bytesMax = 1_600_000
        const { budget, changes } = yield* on(rig, { bytesMax, interval: "250 millis" })
        const hub = yield* Effect.orDie(Effect.provideService(Hub.make(), Sessions, rig.sessions))
        const pairs = yield* Effect.all(Effect.replicate(rig.open(undefined, { capacityBytes: 4_000 }), count))
        for (const { client, session } of pairs) {
          yield* hub.join(session)
          yield* Effect.orDie(hub.subscribe(session, ["all"]))
          yield* client.setRead(12_000)
        }
        const message = (lane: Lane.Lane) =>
          Message.fromFrame(Frame.sequenced(`${lane}:`, `:${payload(1_990)}`), { lane })
        // Every half second 18 KB, and a session takes 6 KB in that time.
        const round = { critical: 1, important: 2, bulk: 6 }
        const offered = { critical: 0, important: 0, bulk: 0 }
        for (let half = 0; half < 40; half++) {
          for (const lane of ["critical", "important", "bulk"] as const) {
            for (let i = 0; i < round[lane]; i++) yield* hub.publish("all", message(lane))
            offered[lane] += round[lane]
          }
          yield* advance("500 millis")
          assert.isAtMost(rig.sessions.memory.chargedBytes, bytesMax, "the plateau")
        }
        assert.isAbove(budget.stats.shedBulk, 0)
        assert.isTrue(changes.includes("shed bulk"))
        for (const { client } of pairs) yield* client.setRead(Infinity)
        yield* advance("10 seconds")
        // The last message of a lane shows a gap before it.
        for (const lane of ["critical", "important", "bulk"] as const) yield* hub.publish("all", message(lane))
        yield* advance("1 second")
        let shed = 0
        for (const { client, session } of pairs) {
          const seqs = { control: [], critical: [], important: [], bulk: [] } as Record<Lane.Lane, Array<number>>
          for (const text of yield* texts(client)) {
            const [lane, seq] = text.split(":")
            seqs[lane as Lane.Lane].push(Number(seq))
          }
          for (const lane of ["critical", "important", "bulk"] as const) {
            const { evicted, rejected, sent } = session.stats.lanes[lane]
            const gaps = seqs[lane].reduce((sum, seq, i) => sum + seq - 1 - (i === 0 ? 0 : seqs[lane][i - 1]!), 0)
            assert.strictEqual(gaps, evicted + rejected, `${lane}: gaps that the client saw`)
            assert.strictEqual(seqs[lane].length, sent)
            assert.strictEqual(seqs[lane].at(-1), offered[lane] + 1)
            shed += evicted
          }
          assert.strictEqual(seqs.critical.length, offered.critical + 1, "every critical")
          assert.strictEqual(session.state, "open")
        }
        assert.strictEqual(shed, budget.stats.shedBulk + budget.stats.shedImportant)
        assert.deepInclude(budget.stats, { level: "calm", bytes: 0, ended: 0 })
      })
  )

  test("counter-test: without a budget the same sessions hold more than it allows", {
    session: { outboxItemsMax: 4_096, outboxBytesMax: 8_000_000 }
  }, (rig) =>
    Effect.gen(function*() {
      const pairs = yield* Effect.all(Effect.replicate(rig.open(undefined, { capacityBytes: 4_000 }), 6))
      for (const { client } of pairs) yield* client.setRead(12_000)
      for (let half = 0; half < 20; half++) {
        for (const pair of pairs) fill(pair, 18, "bulk")
        yield* advance("500 millis")
      }
      assert.isAbove(rig.sessions.memory.chargedBytes, 800_000)
    }))

  it.effect("options that are not usable are refused by name (A008)", () =>
    Effect.gen(function*() {
      const bad: ReadonlyArray<readonly [Partial<Budget.Options>, string]> = [
        [{ bytesMax: 0 }, "bytesMax"],
        [{ sessionsPerLook: 1.5 }, "sessionsPerLook"],
        [{ interval: 0 }, "interval"],
        [{ delayMax: "late" as "1 second" }, "delayMax"],
        [{ shedImportantAt: 0.6 }, "shedImportantAt"],
        [{ endAt: 0.95 }, "endAt"],
        [{ margin: 0 }, "margin"]
      ]
      for (const [options, key] of bad) {
        const made = Budget.make({ bytesMax: 1_000, ...options })
        assert.strictEqual(
          (yield* Effect.flip(Effect.scoped(Effect.provideService(made, Sessions, {} as never)))).key,
          key
        )
      }
    }))
})
