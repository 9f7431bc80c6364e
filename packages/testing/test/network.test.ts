import { assert, describe, it } from "@effect/vitest"
import * as MemoryTransport from "@spillway/testing/MemoryTransport"
import { settle } from "@spillway/testing/Settle"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Frame from "spillway/Frame"
import { Transport } from "spillway/Transport"
import { Pipe } from "../src/internal/pipe.js"
import { at, open, write } from "./utils/recorder.js"

const seeded = (seed: string) => Effect.withRandom(Random.make(seed))

/** Times at which forty messages, sent a second apart, arrived, relative to when they were sent. */
const travels = Effect.gen(function*() {
  const { client, connection } = yield* open({ latency: 20, toClient: { latencyJitter: 30 } })
  const start = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
  for (let i = 0; i < 40; i++) {
    yield* at(start + i * 1000)
    write(connection, `${i}`)
  }
  yield* at(start + 40_000)
  return (yield* client.received).map((message, index) => message.at - start - index * 1000)
}).pipe(Effect.provide(MemoryTransport.layer()))

/** The order in which twenty connections are told what all of them were sent in one instant. */
const orderOf = (options: MemoryTransport.Options) =>
  Effect.gen(function*() {
    const memory = yield* MemoryTransport.MemoryTransport
    const order: Array<number> = []
    const clients = yield* Effect.replicateEffect(memory.connect(), 20)
    for (const index of clients.keys()) {
      const connection = yield* (yield* Transport).accept
      connection.attach({
        onMessage: (data) => void order.push(index, Number(Frame.toText(Frame.binary(data), 0))),
        onFlushed: () => {},
        onPong: () => {},
        onClose: () => {}
      })
    }
    yield* settle
    yield* Effect.forEach(clients, (client) => Effect.zipRight(client.send("0"), client.send("1")), {
      concurrency: "unbounded"
    })
    yield* settle
    return order
  }).pipe(Effect.provide(MemoryTransport.layer(options)))

describe("jitter", () => {
  it.effect("a message travels for the latency and a random time up to the jitter, which one seed repeats", () =>
    Effect.gen(function*() {
      const first = yield* seeded("one")(travels)
      assert.strictEqual(first.length, 40)
      assert.isTrue(first.every((millis) => millis >= 20 && millis <= 50))
      assert.isAbove(new Set(first).size, 10)
      assert.deepStrictEqual(yield* seeded("one")(travels), first)
      assert.notDeepEqual(yield* seeded("two")(travels), first)
    }))

  it("bytes never overtake each other, however the jitter falls and whatever is held or stalled", () => {
    const draws = [9, 0, 4, 30, 1, 0, 0, 12, 3]
    let draw = 0
    const pipe = new Pipe<number>({
      capacityBytes: 1000,
      bytesPerSecond: Infinity,
      latencyMillis: 5,
      jitterMillis: () => draws[draw++ % draws.length]!
    }, 0)
    pipe.reading = true
    const seen: Array<number> = []
    for (let now = 0; now < 400; now++) {
      if (now < 200 && now % 2 === 0) {
        if (now % 14 === 0) pipe.hold(17)
        if (now === 100) pipe.stall(150)
        pipe.write(now / 2, 10)
        pipe.fill(now)
      }
      pipe.advance(now)
      for (;;) {
        pipe.rush(now)
        const item = pipe.peek()
        if (item === undefined) break
        pipe.shift()
        assert.isFalse(now >= 100 && now < 150)
        seen.push(item)
      }
      assert.deepStrictEqual(pipe.check(), [])
    }
    assert.deepStrictEqual(seen, Array.from({ length: 100 }, (_, index) => index))
  })
})

describe("order within an instant", () => {
  it.effect("connections are served in the order in which they were touched, whatever the seed", () =>
    Effect.gen(function*() {
      const order = yield* seeded("one")(orderOf({}))
      const inTurn = Array.from({ length: 20 }, (_, index) => [index, 0, index, 1]).flat()
      assert.deepStrictEqual([...order].sort(), [...inTurn].sort())
      assert.deepStrictEqual(yield* seeded("two")(orderOf({})), order)
    }))

  it.effect("shuffled, the order of independent connections varies with the seed, never that within one", () =>
    Effect.gen(function*() {
      const run = (seed: string) => seeded(seed)(orderOf({ serveOrder: "shuffled" }))
      const orders = yield* Effect.forEach(["a", "b", "c", "a"], run)
      assert.deepStrictEqual(orders[3], orders[0])
      assert.strictEqual(new Set(orders.map(String)).size, 3)
      for (const order of orders) {
        const last = new Map<number, number>()
        for (let i = 0; i < order.length; i += 2) {
          assert.strictEqual(order[i + 1], (last.get(order[i]!) ?? -1) + 1)
          last.set(order[i]!, order[i + 1]!)
        }
        assert.strictEqual(last.size, 20)
      }
    }))
})
