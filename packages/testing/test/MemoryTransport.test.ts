import { assert, describe, it } from "@effect/vitest"
import * as MemoryTransport from "@spillway/testing/MemoryTransport"
import { settle } from "@spillway/testing/Settle"
import * as VirtualClock from "@spillway/testing/VirtualClock"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import * as Frame from "spillway/Frame"
import type { TransportClosed } from "spillway/SpillwayError"
import { type Connection, type ConnectionEvents, Transport } from "spillway/Transport"

/** Writes down what a session is told. */
class Session implements ConnectionEvents {
  readonly log: Array<string> = []
  constructor(readonly then: (event: string) => void = () => {}) {}
  private push(event: string): void {
    this.log.push(event)
    this.then(event)
  }
  onMessage(data: Uint8Array): void {
    this.push(Frame.toText(Frame.binary(data), 0))
  }
  onFlushed(): void {
    this.push("flushed")
  }
  onPong(): void {
    this.push("pong")
  }
  onClose(end: { readonly _tag: string }): void {
    this.push(end._tag)
  }
}

const open = (options?: MemoryTransport.ConnectOptions) =>
  Effect.gen(function*() {
    const client = yield* (yield* MemoryTransport.MemoryTransport).connect(options)
    const connection = yield* (yield* Transport).accept
    const session = new Session()
    return { client, connection, session, log: session.log }
  })

const openAttached = (options?: MemoryTransport.ConnectOptions) =>
  Effect.tap(open(options), ({ connection, session }) => Effect.sync(() => connection.attach(session)))

/** Writes frames that take exactly this many bytes on the wire. */
const write = (connection: Connection, ...wireBytes: ReadonlyArray<number>): boolean => {
  connection.cork()
  for (const bytes of wireBytes) connection.write(Frame.text("x".repeat(bytes - (bytes < 128 ? 2 : 4))), 0)
  return connection.uncork()
}

const at = (millis: number) =>
  Effect.gen(function*() {
    yield* TestClock.setTime(millis)
    yield* settle
  })

const pending = Effect.flatMap(MemoryTransport.MemoryTransport, (memory) => memory.pending)
const nothing = { connections: 0, backlog: 0, bytes: 0, timers: 0 }

const test = (
  name: string,
  body: Effect.Effect<void, unknown, MemoryTransport.MemoryTransport | Transport | Scope.Scope>
) => it.scoped(name, () => body.pipe(Effect.provide(MemoryTransport.layer()), Effect.withClock(VirtualClock.make())))

describe("time", () => {
  test(
    "a frame arrives when the link has carried its last byte, to the millisecond",
    Effect.gen(function*() {
      const { client, connection } = yield* openAttached({ bytesPerSecond: 1000 })
      write(connection, 1000, 500)
      yield* at(999)
      assert.strictEqual(yield* client.receivedCount, 0)
      yield* at(1000)
      assert.strictEqual(yield* client.receivedCount, 1)
      yield* at(10_000)
      assert.deepStrictEqual((yield* client.received).map((message) => message.at), [1000, 1500])
    })
  )

  test(
    "latency is added to the time that the link takes, in both directions",
    Effect.gen(function*() {
      const { client, connection, log } = yield* openAttached({ toClient: { bytesPerSecond: 1000 }, latency: 50 })
      write(connection, 1000, 1000)
      yield* client.send("up")
      yield* at(49)
      assert.deepStrictEqual(log, [])
      yield* at(50)
      assert.deepStrictEqual(log, ["up"])
      yield* at(10_000)
      assert.deepStrictEqual((yield* client.received).map((message) => message.at), [1050, 2050])
    })
  )

  test(
    "a link slower than one byte per millisecond loses nothing to rounding",
    Effect.gen(function*() {
      const { client, connection } = yield* openAttached({ bytesPerSecond: 3 })
      write(connection, 3, 3, 3)
      yield* at(10_000)
      assert.deepStrictEqual((yield* client.received).map((message) => message.at), [1000, 2000, 3000])
    })
  )

  test(
    "without a rate and a latency delivery takes no time, and never happens inside the call",
    Effect.gen(function*() {
      const { client, connection } = yield* openAttached()
      assert.isTrue(write(connection, 100))
      assert.strictEqual(yield* client.receivedCount, 0)
      yield* settle
      assert.deepStrictEqual((yield* client.received).map((message) => message.at), [0])
    })
  )

  test(
    "a client with a reading rate takes that many bytes per second",
    Effect.gen(function*() {
      const { client, connection } = yield* openAttached()
      yield* client.setRead(100)
      write(connection, 200)
      yield* at(1000)
      yield* client.setRead(1000)
      yield* at(10_000)
      assert.deepStrictEqual((yield* client.received).map((message) => message.at), [1100])
    })
  )
})

describe("socket buffer", () => {
  test(
    "the kernel takes what fits and bufferedBytes is the rest",
    Effect.gen(function*() {
      const { client, connection } = yield* openAttached({ capacityBytes: 1000 })
      yield* client.stall
      assert.isTrue(write(connection, 400))
      assert.isTrue(write(connection, 600))
      assert.isFalse(write(connection, 2))
      assert.strictEqual(connection.bufferedBytes, 2)
      assert.isFalse(write(connection, 500, 500))
      assert.deepStrictEqual([connection.bufferedBytes, connection.writeProgress], [1002, 1000])
      yield* at(3_600_000)
      assert.deepStrictEqual([connection.bufferedBytes, connection.writeProgress], [1002, 1000])
    })
  )

  test(
    "onFlushed comes in the millisecond in which the last byte found room",
    Effect.gen(function*() {
      const { connection, log } = yield* openAttached({ capacityBytes: 1000, bytesPerSecond: 1000 })
      assert.isFalse(write(connection, 5000))
      assert.strictEqual(connection.bufferedBytes, 4000)
      yield* at(1500)
      assert.deepStrictEqual([connection.bufferedBytes, connection.writeProgress], [2500, 2500])
      yield* at(3999)
      assert.deepStrictEqual([connection.bufferedBytes, ...log], [1])
      yield* at(4000)
      assert.deepStrictEqual([connection.bufferedBytes, ...log], [0, "flushed"])
    })
  )

  test(
    "a byte keeps its room while it travels, so latency bounds what a connection carries",
    Effect.gen(function*() {
      const { client, connection } = yield* openAttached({ capacityBytes: 1000, latency: 100 })
      write(connection, 1000, 1000, 1000)
      yield* at(1000)
      assert.deepStrictEqual((yield* client.received).map((message) => message.at), [100, 200, 300])
    })
  )

  test(
    "a send suspends while a paused server lets the buffer fill, and nothing is lost",
    Effect.gen(function*() {
      const { client, connection, log } = yield* openAttached({ capacityBytes: 1000 })
      connection.pause()
      const texts = Array.from({ length: 10 }, (_, index) => `${index}`.repeat(200))
      const fiber = yield* Effect.fork(Effect.forEach(texts, client.send, { discard: true }))
      yield* at(60_000)
      assert.isNull(fiber.unsafePoll())
      assert.isAtMost((yield* pending).bytes, 1000 + 208)
      connection.resume()
      yield* Fiber.join(fiber)
      yield* settle
      assert.deepStrictEqual(log, texts)
    })
  )

  test(
    "an interrupted send that waits for its turn sends nothing",
    Effect.gen(function*() {
      const { client, connection, log } = yield* openAttached({ capacityBytes: 100 })
      connection.pause()
      const first = yield* Effect.fork(client.send("a".repeat(200)))
      yield* settle
      const second = yield* Effect.fork(client.send("b"))
      const third = yield* Effect.fork(client.send("c"))
      yield* settle
      yield* Fiber.interrupt(second)
      connection.resume()
      yield* Fiber.join(Fiber.zip(first, third))
      yield* settle
      assert.deepStrictEqual(log, ["a".repeat(200), "c"])
    })
  )

  test(
    "pongs that a full buffer holds back do not pile up",
    Effect.gen(function*() {
      const { client, connection, log } = yield* openAttached({ capacityBytes: 1000 })
      connection.pause()
      yield* Effect.fork(client.send("a".repeat(2000)))
      yield* settle
      const before = (yield* pending).bytes
      for (let i = 0; i < 100; i++) connection.ping()
      yield* settle
      assert.deepStrictEqual([yield* client.pingCount, (yield* pending).bytes - before], [100, 6])
      connection.resume()
      yield* settle
      assert.deepStrictEqual(log, ["a".repeat(2000), "pong"])
    })
  )
})

describe("faults", () => {
  test(
    "a stalled client gets everything when it reads again",
    Effect.gen(function*() {
      const { client, connection, log } = yield* openAttached()
      yield* client.stall
      write(connection, 100, 100)
      connection.ping()
      connection.close(1000, "bye")
      yield* at(3_600_000)
      assert.deepStrictEqual([yield* client.receivedCount, ...log], [0])
      yield* client.unstall
      assert.deepStrictEqual(yield* client.awaitEnd, { code: 1000, reason: "bye", clean: true })
      yield* settle
      assert.deepStrictEqual([yield* client.receivedCount, ...log], [2, "pong", "Local"])
      assert.deepStrictEqual(yield* pending, nothing)
    })
  )

  test(
    "a reset in the middle of a frame delivers the messages before it and nothing of the torn one",
    Effect.gen(function*() {
      const { client, log } = yield* openAttached({ bytesPerSecond: 1000, latency: 20 })
      yield* client.send("whole")
      yield* client.resetMidFrame
      yield* at(60_000)
      assert.deepStrictEqual(log, ["whole", "PeerReset"])
      assert.deepStrictEqual(yield* pending, nothing)
    })
  )

  test(
    "resetAfter breaks the connection in the middle of a frame to the client",
    Effect.gen(function*() {
      const { client, connection, log } = yield* openAttached({ bytesPerSecond: 1000 })
      write(connection, 100, 1000, 100)
      yield* client.resetAfter(600)
      yield* at(599)
      assert.isUndefined(yield* client.ended)
      yield* at(600)
      assert.deepStrictEqual([yield* client.receivedCount, ...log], [1, "PeerReset"])
      assert.deepStrictEqual(yield* pending, nothing)
    })
  )

  test(
    "a half-open connection is silent until the server gives up",
    Effect.gen(function*() {
      const { client, connection, log } = yield* openAttached({ capacityBytes: 1000 })
      yield* client.halfOpen
      connection.ping()
      assert.isFalse(write(connection, 2000))
      yield* client.reset
      yield* at(86_400_000)
      assert.deepStrictEqual(log, [])
      connection.close(1001, "")
      yield* at(2 * 86_400_000)
      assert.deepStrictEqual(log, [])
      connection.terminate()
      yield* settle
      assert.deepStrictEqual([log, yield* pending], [["Local"], nothing])
    })
  )

  test(
    "a client that never closes and never answers pings keeps the server waiting until it terminates",
    Effect.gen(function*() {
      const { client, connection, log } = yield* openAttached({ neverCloses: true, noPong: true, latency: 10 })
      connection.ping()
      connection.close(1000, "")
      yield* at(3_600_000)
      assert.deepStrictEqual(log, [])
      connection.terminate()
      assert.deepStrictEqual(log, ["Local"])
      yield* at(3_600_009)
      assert.isUndefined(yield* client.ended)
      yield* at(3_600_010)
      assert.deepStrictEqual(yield* client.ended, { code: 1006, reason: "", clean: false })
      assert.deepStrictEqual(yield* pending, nothing)
    })
  )

  test(
    "a paused server notices a reset when it writes",
    Effect.gen(function*() {
      const { client, connection, log } = yield* openAttached()
      connection.pause()
      yield* client.reset
      yield* at(3_600_000)
      assert.deepStrictEqual(log, [])
      assert.isFalse(write(connection, 100))
      yield* settle
      assert.deepStrictEqual(log, ["PeerReset"])
    })
  )

  test(
    "a violation is told to the client and ends as ProtocolError",
    Effect.gen(function*() {
      const { client, log } = yield* openAttached()
      yield* client.violate(1009, "message too large")
      assert.deepStrictEqual(yield* client.awaitEnd, { code: 1009, reason: "", clean: true })
      yield* settle
      assert.deepStrictEqual([log, yield* pending], [["ProtocolError"], nothing])
    })
  )

  test(
    "after the end send and take fail with the code that the client saw",
    Effect.gen(function*() {
      const { client, connection } = yield* openAttached()
      write(connection, 100)
      connection.close(4001, "drain")
      yield* client.awaitEnd
      assert.strictEqual((yield* client.take).text.length, 98)
      const errors = yield* Effect.all([client.take, client.takeN(2), client.send("late")].map(Effect.flip))
      assert.deepStrictEqual(errors.map((error) => error.code), [4001, 4001, 4001])
    })
  )
})

describe("network", () => {
  test(
    "a network that refuses, or has too many waiting, refuses connections",
    Effect.gen(function*() {
      const memory = yield* MemoryTransport.MemoryTransport
      yield* memory.setRefusing(true)
      assert.strictEqual((yield* Effect.flip(memory.connect())).why, "refusing")
      yield* memory.setRefusing(false)
      yield* Effect.replicateEffect(memory.connect(), MemoryTransport.defaults.backlogConnections)
      assert.strictEqual((yield* Effect.flip(memory.connect())).why, "backlog")
    })
  )

  test(
    "an interrupted accept loses no connection",
    Effect.gen(function*() {
      const transport = yield* Transport
      const waiting = yield* Effect.fork(transport.accept)
      const other = yield* Effect.fork(transport.accept)
      yield* settle
      yield* (yield* MemoryTransport.MemoryTransport).connect({ remoteAddress: "10.0.0.1", protocol: "p" })
      yield* Fiber.interrupt(waiting)
      const { kind, protocol, remoteAddress } = yield* Fiber.join(other)
      assert.deepStrictEqual([kind, protocol, remoteAddress], ["memory", "p", "10.0.0.1"])
    })
  )

  it.scoped("closing the layer terminates every connection, fails accept and leaves nothing", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const context = yield* Scope.extend(MemoryTransport.make({ latency: 5 }), scope)
      const { client, log } = yield* openAttached().pipe(Effect.provide(context))
      const accept = yield* Effect.fork(Effect.provide(Effect.flatMap(Transport, (_) => _.accept), context))
      yield* settle
      yield* Scope.close(scope, Exit.void)
      const error: TransportClosed = yield* Effect.flip(Fiber.join(accept))
      assert.strictEqual(error._tag, "TransportClosed")
      assert.deepStrictEqual([log, (yield* client.awaitEnd).code], [["Local"], 1006])
      assert.deepStrictEqual(yield* Effect.provide(pending, context), nothing)
      const memory = Effect.flatMap(MemoryTransport.MemoryTransport, (_) => Effect.flip(_.connect()))
      assert.strictEqual((yield* Effect.provide(memory, context)).why, "closed")
    }))

  test(
    "a callback that throws is kept as a defect, and other connections go on",
    Effect.gen(function*() {
      const bad = yield* open()
      const good = yield* openAttached()
      const error = new Error("broken session")
      bad.connection.attach(
        new Session((event) => {
          if (event === "x") throw error
        })
      )
      yield* bad.client.send("x")
      yield* good.client.send("y")
      yield* settle
      assert.deepStrictEqual(good.log, ["y"])
      assert.deepStrictEqual(yield* (yield* MemoryTransport.MemoryTransport).defects, [error])
    })
  )

  test(
    "an option that is not usable is a defect",
    Effect.gen(function*() {
      const bad: ReadonlyArray<MemoryTransport.ConnectOptions> = [
        { capacityBytes: 0 },
        { toClient: { bytesPerSecond: 0 } },
        { latency: "Infinity" as never }
      ]
      for (const options of bad) {
        const exit = yield* Effect.exit(Effect.flatMap(MemoryTransport.MemoryTransport, (_) => _.connect(options)))
        assert.isTrue(Exit.isFailure(exit) && Option.isSome(Cause.dieOption(exit.cause)), JSON.stringify(options))
      }
    })
  )

  test(
    "a run repeats exactly",
    Effect.gen(function*() {
      const run = Effect.gen(function*() {
        const pairs = yield* Effect.all(
          [17, 170, 1700].map((rate) => openAttached({ bytesPerSecond: rate, latency: rate % 13, capacityBytes: 333 }))
        )
        for (const [index, { client, connection }] of pairs.entries()) {
          for (let i = 1; i < 40; i++) write(connection, 2 + ((i * 7919 + index) % 100))
          connection.close(1000, `${index}`)
          yield* Effect.fork(Effect.forEach(["a", "b", "c"], client.send))
        }
        yield* TestClock.adjust("3 minutes")
        const seen = yield* Effect.forEach(
          pairs,
          ({ client, log }) => Effect.map(client.received, (all) => [...all.map((message) => message.at), ...log])
        )
        return JSON.stringify(seen)
      }).pipe(Effect.provide(MemoryTransport.layer()))
      const first = yield* run
      const shift = (yield* Effect.clock).unsafeCurrentTimeMillis()
      const shifted = (yield* run).replaceAll(/\d+/g, (digits) => String(Number(digits) - shift))
      assert.strictEqual(shifted, first)
      assert.include(first, "Local")
    })
  )
})
