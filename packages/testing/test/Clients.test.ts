import { assert, describe, it } from "@effect/vitest"
import * as Clients from "@spillway/testing/Clients"
import * as MemoryTransport from "@spillway/testing/MemoryTransport"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { Transport } from "spillway/Transport"
import { at, attach, nothing, pending, write } from "./utils/recorder.js"

const open = (client: Clients.Client) =>
  Effect.gen(function*() {
    const end = yield* client
    const connection = yield* (yield* Transport).accept
    const { log } = yield* attach(connection)
    return { client: end, connection, log }
  })

const test = (
  name: string,
  body: Effect.Effect<void, unknown, MemoryTransport.MemoryTransport | Transport | Scope.Scope>
) => it.scoped(name, () => Effect.provide(body, MemoryTransport.layer()))

const text = "x".repeat(996)

/** Writes ten messages of 1000 bytes on the wire at once and returns how many the client had at these times. */
const readBy = (client: Clients.Client, times: ReadonlyArray<number>) =>
  Effect.gen(function*() {
    const pair = yield* open(client)
    yield* at(1)
    write(pair.connection, ...Array.from({ length: 10 }, () => text))
    const counts: Array<number> = []
    for (const time of times) {
      yield* at(time)
      counts.push(yield* pair.client.receivedCount)
    }
    return { ...pair, counts }
  })

describe("Clients", () => {
  test(
    "fast reads everything at once",
    Effect.gen(function*() {
      assert.deepStrictEqual((yield* readBy(Clients.fast(), [1])).counts, [10])
    })
  )

  test(
    "slow reads at its rate, to the byte",
    Effect.gen(function*() {
      const { counts } = yield* readBy(Clients.slow({ bytesPerSecond: 500 }), [2000, 2001, 20_000, 20_001])
      assert.deepStrictEqual(counts, [0, 1, 9, 10])
    })
  )

  test(
    "stalled reads nothing, from the start or from some time on, and can still send",
    Effect.gen(function*() {
      const { client, counts, log } = yield* readBy(Clients.stalled(), [3_600_000])
      yield* client.send("up")
      yield* at(3_600_001)
      assert.deepStrictEqual([counts, log], [[0], ["up"]])
      const later = yield* open(Clients.stalled({ after: 100 }))
      write(later.connection, text)
      yield* at(3_600_101)
      write(later.connection, text)
      yield* at(7_200_000)
      assert.strictEqual(yield* later.client.receivedCount, 1)
    })
  )

  test(
    "bursty reads for a while and then not, again and again",
    Effect.gen(function*() {
      const { client, connection } = yield* open(Clients.bursty({ reading: 100, pausing: 900 }))
      const counts: Array<number> = []
      for (const time of [50, 500, 999, 1050, 1500, 1999, 2000]) {
        yield* at(time)
        write(connection, text)
        yield* at(time)
        counts.push(yield* client.receivedCount)
      }
      assert.deepStrictEqual(counts, [1, 1, 1, 4, 4, 4, 7])
    })
  )

  test(
    "vanishing is gone without a sign: nothing arrives and no end is seen",
    Effect.gen(function*() {
      const { client, connection, log } = yield* open(Clients.vanishing({ after: 1000 }))
      yield* at(999)
      write(connection, text)
      yield* at(1000)
      write(connection, text)
      connection.ping()
      yield* at(86_400_000)
      assert.deepStrictEqual([yield* client.receivedCount, yield* client.pingCount, ...log], [1, 0])
    })
  )

  test(
    "neverClosing reads and answers pings, but no close frame",
    Effect.gen(function*() {
      const { client, connection, log } = yield* open(Clients.neverClosing())
      connection.ping()
      connection.close(1000, "")
      yield* at(86_400_000)
      assert.deepStrictEqual([log, yield* client.pingCount, yield* client.ended], [["pong"], 1, undefined])
      connection.terminate()
      yield* at(86_400_001)
      assert.deepStrictEqual(yield* pending, nothing)
    })
  )

  test(
    "flooding sends at its rate without end, and a server that pauses holds it back",
    Effect.gen(function*() {
      const { connection, log } = yield* open(Clients.flooding({ messagesPerSecond: 200, capacityBytes: 10_000 }))
      yield* at(1000)
      assert.strictEqual(log.length, 220)
      connection.pause()
      yield* at(600_000)
      assert.strictEqual(log.length, 220)
      assert.isAtMost((yield* pending).bytes, 10_000 + 106)
      connection.resume()
      yield* at(601_000)
      assert.isAbove(log.length, 420)
    })
  )

  for (const [how, code] of [["protocol", 1002], ["utf8", 1007], ["tooLarge", 1009], ["torn", 1006]] as const) {
    test(
      `malformed (${how}) ends as the transport says, for both ends`,
      Effect.gen(function*() {
        const { client, log } = yield* open(Clients.malformed({ how, after: 5 }))
        yield* at(4)
        assert.deepStrictEqual(log, [])
        yield* at(5)
        assert.deepStrictEqual(log, [how === "torn" ? "PeerReset" : "ProtocolError"])
        assert.strictEqual((yield* client.awaitEnd).code, code)
        assert.deepStrictEqual(yield* pending, nothing)
      })
    )
  }

  test(
    "every kind of client connects with its defaults",
    Effect.gen(function*() {
      for (const [name, client] of Object.entries(Clients.all)) {
        const { connection } = yield* open(client({ remoteAddress: name }))
        assert.strictEqual(connection.remoteAddress, name)
      }
    })
  )
})
