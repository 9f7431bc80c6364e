/** What a session promises under load and over days, where virtual time can show it. Speed is in `bench/`. */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { options } from "../../testing/src/internal/outboxModel.js"
import { LaneQueue } from "../src/internal/laneQueue.js"
import type { Lane } from "../src/Lane.js"
import * as Message from "../src/Message.js"
import { belowLaneBytes } from "../src/Transport.js"
import {
  advance,
  assertConserved,
  bulk,
  clog,
  critical,
  important,
  type Pair,
  payload,
  settle,
  test
} from "./support.js"

/** Counts reads of an array, those of its methods included. */
const counted = <A extends object>(array: A): { readonly array: A; readonly reads: () => number } => {
  let reads = 0
  const array_ = new Proxy(array, {
    get: (target, key, receiver) => {
      reads++
      return Reflect.get(target, key, receiver) as unknown
    }
  })
  return { array: array_, reads: () => reads }
}

/** Reads of a lane's slots for ten offers and takes, while so many messages wait. */
const slotReads = (depth: number): number => {
  const queue = new LaneQueue<number>(
    options({ itemsMax: 1 << 20, bytesMax: 1 << 30 }),
    { onShed: () => assert.fail("nothing is shed") }
  )
  for (let i = 0; i < depth; i++) queue.offer(i, 1, 3, undefined, Infinity, 0)
  const { bulk: ring } = queue as unknown as { readonly bulk: { items: Array<unknown>; numbers: Array<number> } }
  const items = counted(ring.items)
  const numbers = counted(ring.numbers)
  ring.items = items.array
  ring.numbers = numbers.array
  for (let i = 0; i < 10; i++) {
    queue.offer(i, 1, 3, undefined, Infinity, 0)
    queue.take(0)
  }
  return items.reads() + numbers.reads()
}

describe("load", () => {
  it("A141 an offer and a take look at as many slots at depth 100,000 as at depth 100", () => {
    assert.strictEqual(slotReads(100_000), slotReads(100))
    assert.isAbove(slotReads(100), 0)
    // The counter-test: a plain array moves everything behind what it takes.
    const naive = (depth: number): number => {
      const { array, reads } = counted(Array.from({ length: depth }, (_, i) => i))
      array.push(0)
      array.shift()
      return reads()
    }
    assert.isAbove(naive(10_000), naive(100) * 50)
  })

  const rate = 100_000
  const link = { toClient: { bytesPerSecond: rate, capacityBytes: 1_000 } }

  /** How long a small critical message is on its way. */
  const delayOf = ({ client, session }: Pair) =>
    Effect.gen(function*() {
      const offeredAt = yield* Clock.currentTimeMillis
      yield* session.send(critical(`at ${offeredAt}`))
      for (let i = 0; i < 300; i++) {
        const found = (yield* client.received).find(({ text }) => text === `at ${offeredAt}`)
        if (found !== undefined) return found.at - offeredAt
        yield* advance("10 millis")
      }
      return assert.fail("it never arrived")
    })

  test("A143 under a full load of bulk, critical waits for at most one write below the lanes more than at rest", {
    session: { sendTimeout: "1 minute" }
  }, (rig) =>
    Effect.gen(function*() {
      const pair = yield* rig.open(undefined, link)
      const idleMillis = yield* delayOf(pair)
      for (let i = 0; i < 900; i++) pair.session.unsafeOffer(bulk(payload(1_000)))
      yield* settle
      assert.isAbove(pair.session.stats.fillRatio, 0.7)
      const loadedMillis = yield* delayOf(pair)
      const inFlightMillis = (belowLaneBytes + 2_000) / rate * 1000
      assert.isAtMost(loadedMillis, 2 * idleMillis + inFlightMillis)
      assert.isAbove(loadedMillis, idleMillis, "there was a load")
      // All that waits would take seconds: behind it, the message would not have been there yet.
      assert.isAbove(pair.session.stats.queuedBytes / rate * 1000, 3 * inFlightMillis)
      yield* advance("20 seconds")
    }))

  test("A144 pressure shows and bulk is refused in the very instant in which a mark is crossed", {
    session: { outboxItemsMax: 100 }
  }, (rig) =>
    Effect.gen(function*() {
      const pair = yield* rig.open()
      yield* clog(pair)
      const at = yield* Clock.currentTimeMillis
      const seen: Array<string> = []
      for (let i = 1; i <= 95; i++) {
        const outcome = pair.session.unsafeOffer(bulk("x"))
        seen.push(`${pair.session.pressure ? "pressed" : "calm"} ${outcome._tag}`)
      }
      assert.strictEqual(seen.indexOf("pressed Queued"), 70, "the 71st is above 0.7")
      assert.strictEqual(seen.indexOf("pressed Rejected"), 91, "the 92nd comes when 0.9 is passed")
      assert.strictEqual(yield* Clock.currentTimeMillis, at)
      yield* pair.client.unstall
      yield* advance("10 seconds")
      assert.isFalse(pair.session.pressure)
    }))

  test("A146 after 24 hours there is as much of everything as after one, and every message is accounted for", {
    session: { heartbeatInterval: "5 minutes" }
  }, (rig) =>
    Effect.gen(function*() {
      const pairs = yield* Effect.all(
        Effect.replicate(
          rig.open((session) => session.runForEach((message) => session.send(important(message.text)))),
          4
        )
      )
      const lanes: ReadonlyArray<Lane> = ["critical", "important", "bulk"]
      const reading = Effect.map(rig.snapshot, ({ sessions, tasks, totals }) => ({
        sessions,
        tasks,
        fibers: rig.fibers().length,
        memory: rig.sessions.memory,
        outbox: [totals.outboxItems, totals.outboxBytes]
      }))
      const hour = (n: number) =>
        Effect.gen(function*() {
          for (let minute = 0; minute < 60; minute += 10) {
            for (const { client, session } of pairs) {
              for (const lane of lanes) session.unsafeOffer(Message.text(`${n}:${minute}`, { lane }))
              yield* Effect.orDie(client.send("echo"))
            }
            yield* advance("10 minutes")
          }
          const visitor = yield* rig.open()
          yield* visitor.session.close()
          yield* advance("1 minute")
        })
      yield* hour(0)
      const early = yield* reading
      for (let n = 1; n < 24; n++) yield* hour(n)
      assert.deepStrictEqual(yield* reading, early)
      const { totals } = yield* rig.snapshot
      assertConserved(totals.lanes)
      assert.strictEqual(totals.lanes.critical.sent, 24 * 6 * 4)
      assert.strictEqual(totals.lanes.important.sent, 2 * 24 * 6 * 4)
      assert.isAtLeast(totals.lanes.control.sent, 24 * 12 * 4, "heartbeats")
    }))
})
