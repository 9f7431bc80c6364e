/**
 * The contract of `Connection` over live sockets: room, pauses, and every way to end.
 */
import * as HttpRouter from "@effect/platform/HttpRouter"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Frame from "spillway/Frame"
import type { Connection, ConnectionEnd } from "spillway/Transport"
import { Upgrade } from "./modules.js"
import {
  closeFrame,
  Connections,
  connectRaw,
  connectWs,
  eventually,
  frame,
  handshake,
  type RawClient,
  Recorder,
  serve
} from "./support.js"

/** A server with one route, a raw client on it, and both ends of their connection. */
const pair = (options?: Upgrade.Options, attach: "attach" | "leave" = "attach") =>
  Effect.gen(function*() {
    const connections = new Connections(attach)
    const route = Upgrade.upgrade(connections.add, options)
    const { port } = yield* serve(HttpRouter.empty.pipe(HttpRouter.get("/ws", route)))
    const client = yield* connectRaw(port, handshake())
    yield* eventually("upgraded", () => connections.all.length === 1 && client.status === 101)
    return { client, connection: connections.all[0]!, recorder: connections.recorders[0]!, port, connections }
  })

const send = (connection: Connection, ...frames: Array<Frame.Frame>): boolean => {
  connection.cork()
  for (const frame of frames) connection.write(frame, 0)
  return connection.uncork()
}

const range = (count: number) => Array.from({ length: count }, (_, i) => `m${i}`)
const mebibyte = Frame.binary(new Uint8Array(1024 * 1024))

/** Sends until the kernel takes no more of a client that does not read. */
const clog = (connection: Connection): number => {
  for (let sent = 1; sent < 64; sent++) if (!send(connection, mebibyte)) return sent
  throw new Error("64 MiB were taken by the kernel")
}

describe("writing beside ws", () => {
  it.scopedLive("W2 a ping or close in the middle of a gathered write comes after what was written before it", () =>
    Effect.gen(function*() {
      const { client, connection } = yield* pair()
      connection.cork()
      connection.write(Frame.text("a"), 0)
      assert.strictEqual(connection.bufferedBytes, 3)
      connection.ping()
      connection.write(Frame.text("b"), 0)
      connection.close(1000, "")
      connection.write(Frame.text("c"), 0)
      assert.isFalse(connection.uncork())
      const expected = Buffer.from([0x81, 1, 0x61, 0x89, 0, 0x81, 1, 0x62, 0x88, 2, 0x03, 0xe8])
      yield* eventually("frames", () => client.rest.length >= expected.length)
      assert.deepStrictEqual(client.rest, expected)
    }))

  it.scopedLive("W2 nothing is written after a close was sent, nor after terminate in a gathered write", () =>
    Effect.gen(function*() {
      const closing = yield* pair()
      closing.connection.close(1000, "")
      assert.isFalse(send(closing.connection, Frame.text("late")))
      yield* eventually("close frame", () => closing.client.rest.length >= 4)
      const gone = yield* pair()
      gone.connection.cork()
      gone.connection.write(Frame.text("never"), 0)
      gone.connection.terminate()
      assert.isFalse(gone.connection.uncork())
      yield* eventually("closed", () => gone.recorder.log.some((entry) => entry === "close"))
      assert.deepStrictEqual(closing.client.rest, Buffer.from([0x88, 2, 0x03, 0xe8]))
      assert.strictEqual(gone.client.rest.length, 0)
    }))

  it.scopedLive("W2 while the client is in the middle of a fragmented message, whole frames go out and its message arrives", () =>
    Effect.gen(function*() {
      const { client, connection, recorder } = yield* pair()
      client.socket.write(frame("he", 1, false))
      client.socket.write(frame("p", 9))
      yield* eventually("pong", () => client.rest.length >= 3)
      assert.isTrue(send(connection, Frame.text("a"), Frame.text("b")))
      client.socket.write(frame("llo", 0))
      yield* eventually("message", () => recorder.log.length > 0)
      assert.deepStrictEqual(client.rest, Buffer.from([0x8a, 1, 0x70, 0x81, 1, 0x61, 0x81, 1, 0x62]))
      assert.deepStrictEqual(recorder.messages, ["hello"])
    }))
})

describe("writing", () => {
  it.scopedLive("a gathered write leaves in order, and uncork is true once the kernel has every byte", () =>
    Effect.gen(function*() {
      const { client, connection, recorder } = yield* pair()
      assert.isTrue(send(connection, Frame.text("a"), Frame.binary(new Uint8Array([1, 2])), Frame.sequenced("<", ">")))
      assert.strictEqual(connection.bufferedBytes, 0)
      const expected = Buffer.from([0x81, 1, 0x61, 0x82, 2, 1, 2, 0x81, 3, 0x3c, 0x30, 0x3e])
      yield* eventually("frames", () => client.rest.length >= expected.length)
      assert.deepStrictEqual(client.rest, expected)
      assert.deepStrictEqual(recorder.log, [])
    }))

  it.scopedLive("FR9: a client that does not read makes uncork false, and onFlushed comes once when it has drained", () =>
    Effect.gen(function*() {
      const { client, connection, recorder } = yield* pair()
      client.socket.pause()
      const sent = clog(connection)
      assert.isAbove(connection.bufferedBytes, 0)
      assert.isAtMost(connection.bufferedBytes, 1024 * 1024 + 10)
      assert.strictEqual(recorder.flushed, 0)
      let received = 0
      client.socket.removeAllListeners("data").on("data", (chunk: Buffer) => (received += chunk.length))
      client.socket.resume()
      yield* eventually("all received", () => received === sent * (1024 * 1024 + 10))
      yield* eventually("flushed", () => recorder.flushed > 0)
      assert.strictEqual(connection.bufferedBytes, 0)
      assert.isTrue(send(connection, Frame.text("x")))
      yield* eventually("x", () => received === sent * (1024 * 1024 + 10) + 3)
      assert.strictEqual(recorder.flushed, 1)
    }))

  it.scopedLive("only the last of several clogged writes is followed by onFlushed", () =>
    Effect.gen(function*() {
      const { client, connection, recorder } = yield* pair()
      client.socket.pause()
      clog(connection)
      assert.isFalse(send(connection, mebibyte))
      assert.isFalse(send(connection, Frame.text("last")))
      client.socket.removeAllListeners("data").resume()
      yield* eventually("flushed", () => recorder.flushed > 0)
      assert.strictEqual(connection.bufferedBytes, 0)
      assert.strictEqual(recorder.flushed, 1)
    }))

  it.scopedLive("FR10: writeProgress moves inside one large frame that a slow client drains, and stands while it stalls", () =>
    Effect.gen(function*() {
      const { client, connection, recorder } = yield* pair()
      client.socket.pause()
      // Larger than what the kernel of a loopback interface takes at once, which is some MiB.
      assert.isFalse(send(connection, Frame.binary(new Uint8Array(32 * 1024 * 1024))))
      const whole = connection.bufferedBytes
      // Stands still: nothing is read.
      const stalled = connection.writeProgress
      yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
      assert.strictEqual(connection.writeProgress, stalled)
      const seen = new Set<number>([stalled])
      const buffered = new Set<number>([whole])
      client.socket.removeAllListeners("data").on("data", () => {
        client.socket.pause()
        seen.add(connection.writeProgress)
        if (recorder.flushed === 0) buffered.add(connection.bufferedBytes)
        setTimeout(() => client.socket.resume(), 1)
      })
      client.socket.resume()
      yield* eventually("flushed", () => recorder.flushed === 1, 20_000)
      assert.isAtLeast(seen.size, 4)
      assert.isAtLeast(buffered.size, 4)
      assert.isTrue([...buffered].every((bytes) => bytes <= whole))
      assert.strictEqual(Math.max(...seen, connection.writeProgress) - stalled, whole)
    }))

  it.scopedLive("pings are answered, and the answer is told", () =>
    Effect.gen(function*() {
      const connections = new Connections()
      const { port } = yield* serve(HttpRouter.empty.pipe(HttpRouter.get("/ws", Upgrade.upgrade(connections.add))))
      yield* connectWs(port)
      connections.all[0]!.ping()
      yield* eventually("pong", () => connections.recorders[0]!.pongs === 1)
    }))
})

describe("reading", () => {
  it.scopedLive("pause holds what was already read, then what the socket has; resume continues in order", () =>
    Effect.gen(function*() {
      const { client, connection } = yield* pair(undefined, "leave")
      const recorder = new Recorder((text) => {
        if (text === "m10" || text === "m20") connection.pause()
      })
      connection.attach(recorder)
      client.socket.write(Buffer.concat(range(100).map((text) => frame(text))))
      yield* eventually("paused", () => recorder.messages.length === 11)
      connection.resume()
      assert.strictEqual(recorder.messages.length, 21)
      connection.resume()
      assert.deepStrictEqual(recorder.messages, range(100))
      client.socket.write(frame("after"))
      yield* eventually("after", () => recorder.messages.length === 101)
    }))

  it.scopedLive("pause really stops reading: the client's bytes pile up, and all arrive in order after resume", () =>
    Effect.gen(function*() {
      const { client, connection, recorder } = yield* pair()
      connection.pause()
      const payload = "x".repeat(60_000)
      const texts = range(400).map((text) => text + payload)
      for (const text of texts) client.socket.write(frame(text))
      // 24 MB do not fit into the buffers of the kernel.
      yield* eventually("clogged", () => client.socket.writableLength > 4_000_000)
      let before = 0
      yield* eventually("the kernel takes no more", () => {
        const now = client.socket.writableLength
        const still = now === before
        before = now
        return still && now > 4_000_000
      })
      assert.deepStrictEqual(recorder.messages, [])
      connection.resume()
      yield* eventually("all", () => recorder.messages.length === 400, 20_000)
      assert.deepStrictEqual(recorder.messages, texts)
    }))

  it.scopedLive("resume and pause inside onMessage keep the order and deliver nothing twice", () =>
    Effect.gen(function*() {
      const { client, connection } = yield* pair(undefined, "leave")
      const recorder = new Recorder(() => {
        connection.pause()
        if (recorder.messages.length % 2 === 0) connection.resume()
      })
      connection.attach(recorder)
      client.socket.write(Buffer.concat(range(50).map((text) => frame(text))))
      yield* eventually("all", () => {
        connection.resume()
        return recorder.messages.length === 50
      })
      assert.deepStrictEqual(recorder.messages, range(50))
    }))

  it.scopedLive("messages before a close frame are delivered first, even if they wait for resume", () =>
    Effect.gen(function*() {
      const { client, connection } = yield* pair(undefined, "leave")
      const recorder = new Recorder((text) => text === "m5" && connection.pause())
      connection.attach(recorder)
      client.socket.end(Buffer.concat([...range(20).map((text) => frame(text)), closeFrame(1000)]))
      yield* eventually("answered", () => client.closeCode === 1000 && client.ended)
      assert.deepStrictEqual(recorder.messages, range(6))
      assert.deepStrictEqual(recorder.ends, [])
      connection.resume()
      yield* eventually("closed", () => recorder.ends.length === 1)
      assert.deepStrictEqual(recorder.messages, range(20))
      assert.deepStrictEqual(recorder.log.at(-1), "close")
    }))

  it.scopedLive("a reset is told while paused and does not wait for resume", () =>
    Effect.gen(function*() {
      const { client, connection } = yield* pair(undefined, "leave")
      const recorder = new Recorder((text) => text === "m5" && connection.pause())
      connection.attach(recorder)
      client.socket.write(Buffer.concat(range(20).map((text) => frame(text))))
      yield* eventually("paused", () => recorder.messages.length === 6)
      client.socket.resetAndDestroy()
      yield* eventually("closed", () => recorder.ends.length === 1)
      assert.strictEqual(recorder.end!._tag, "PeerReset")
      connection.resume()
      assert.strictEqual(recorder.messages.length, 6)
    }))
})

describe("ends", () => {
  const reset = (client: RawClient) => void client.socket.resetAndDestroy()
  const write = (...bytes: Array<Buffer>) => (client: RawClient) => void client.socket.write(Buffer.concat(bytes))
  const tags = (
    end: ConnectionEnd
  ) => (end._tag === "ProtocolError" || end._tag === "PeerClose" ? `${end._tag} ${end.code}` : end._tag)

  const ends: ReadonlyArray<readonly [string, string, number, (client: RawClient) => void]> = [
    ["A115: close(1000)", "PeerClose 1000", 1000, write(closeFrame(1000, "bye"))],
    ["A115: close(1001), a closed tab", "PeerClose 1001", 1001, write(closeFrame(1001))],
    ["A115: a close frame without code", "PeerClose 1005", 1005, write(closeFrame())],
    ["A115: an application's code", "PeerClose 4000", 4000, write(closeFrame(4000, "why"))],
    ["end of stream without close frame", "PeerEof", 0, (client) => void client.socket.end()],
    ["end of stream inside a frame", "PeerEof", 0, (client) => void client.socket.end(frame("hello").subarray(0, 8))],
    ["A115 A039: reset", "PeerReset", 0, reset],
    ["A039: reset inside a frame", "PeerReset", 0, (client) => {
      client.socket.write(frame("hello").subarray(0, 8))
      // Not while the write is pending: Node would send FIN first.
      setImmediate(() => setImmediate(reset, client))
    }],
    ["FR1: a message above the limit", "ProtocolError 1009", 1009, write(frame("x".repeat(1025)))],
    [
      "FR1: an announced length of 2^53",
      "ProtocolError 1009",
      1009,
      write(
        Buffer.from([0x82, 0xff, 0, 32, 0, 0, 0, 0, 0, 0])
      )
    ],
    ["an unmasked frame", "ProtocolError 1002", 1002, write(Buffer.from([0x81, 1, 0x61]))],
    ["a reserved opcode", "ProtocolError 1002", 1002, write(frame("x", 3))],
    ["a reserved bit", "ProtocolError 1002", 1002, write(Buffer.from([0xc1, 0x80, 0, 0, 0, 0]))],
    ["a close frame with code 1006", "ProtocolError 1002", 1002, write(closeFrame(1006))],
    ["text that is not UTF-8", "ProtocolError 1007", 1007, write(frame(Buffer.from([0xff, 0xfe])))],
    [
      "FR2: too many fragments",
      "ProtocolError 1008",
      1008,
      write(
        frame("x", 1, false),
        ...range(8).map(() => frame("x", 0, false))
      )
    ]
  ]
  for (const [name, expected, told, act] of ends) {
    it.scopedLive(`${name} is ${expected}, once`, () =>
      Effect.gen(function*() {
        const { client, recorder } = yield* pair({ payloadBytesMax: 1024, fragmentsMax: 8, closeTimeout: "300 millis" })
        act(client)
        if (told !== 0) {
          yield* eventually("close frame", () => client.closeCode === told)
          client.socket.end()
        }
        yield* eventually("closed", () => recorder.ends.length > 0)
        assert.strictEqual(tags(recorder.end!), expected)
        assert.deepStrictEqual(recorder.log, ["close"])
      }))
  }

  it.scopedLive("FR5: a peer that floods with pings and reads no answers is destroyed, as a protocol error", () =>
    Effect.gen(function*() {
      const { client, connection, recorder } = yield* pair({ pendingPongsMax: 4 })
      client.socket.pause()
      clog(connection)
      client.socket.write(Buffer.concat(range(20).map(() => frame("p", 9))))
      yield* eventually("closed", () => recorder.ends.length > 0)
      assert.strictEqual(tags(recorder.end!), "ProtocolError 1008")
    }))

  it.scopedLive("A114: close sends the code and the reason after everything written, and ends as Local", () =>
    Effect.gen(function*() {
      for (const code of [1000, 1001, 1003, 1008, 1011, 1012, 1013, 4001]) {
        const { client, connection, recorder } = yield* pair()
        send(connection, Frame.text("last"))
        connection.close(code, "why")
        assert.isFalse(send(connection, Frame.text("dropped")))
        yield* eventually("close frame", () => client.closeCode === code)
        assert.strictEqual(client.rest.toString("latin1", 2, 6), "last")
        assert.strictEqual(client.rest.length, 6 + 2 + 2 + 3)
        client.socket.end(Buffer.concat([frame("late"), closeFrame(code)]))
        yield* eventually("closed", () => recorder.ends.length > 0)
        assert.deepStrictEqual(recorder.ends, [{ _tag: "Local" }])
        assert.deepStrictEqual(recorder.messages, [])
      }
    }))

  it.scopedLive("A114: codes that must not be sent become 1011 and a long reason is cut between characters", () =>
    Effect.gen(function*() {
      for (const code of [1005, 1006, 1015, 999, 5000, Number.NaN]) {
        const { client, connection } = yield* pair()
        connection.close(code, "é".repeat(100))
        yield* eventually("1011", () => client.closeCode === 1011)
        assert.strictEqual(client.rest.toString("utf8", 4), "é".repeat(61))
      }
    }))

  it.scopedLive("close on a paused connection reads the peer's answer", () =>
    Effect.gen(function*() {
      const { client, connection, recorder } = yield* pair()
      connection.pause()
      connection.close(1000, "")
      yield* eventually("close frame", () => client.closeCode === 1000)
      client.socket.end(closeFrame(1000))
      yield* eventually("closed", () => recorder.ends.length > 0)
      assert.deepStrictEqual(recorder.ends, [{ _tag: "Local" }])
    }))

  it.scopedLive("terminate calls onClose before it returns, and every call after that is harmless", () =>
    Effect.gen(function*() {
      const { client, connection, recorder } = yield* pair()
      connection.terminate()
      assert.deepStrictEqual(recorder.ends, [{ _tag: "Local" }])
      connection.terminate()
      connection.close(1000, "")
      connection.pause()
      connection.resume()
      connection.ping()
      assert.isFalse(send(connection, Frame.text("x")))
      connection.attach(recorder)
      assert.strictEqual(connection.bufferedBytes, 0)
      assert.isNumber(connection.writeProgress)
      yield* eventually("closed", () => client.ended || client.closed)
      assert.deepStrictEqual(recorder.log, ["close"])
    }))

  it.scopedLive("A117: terminate ends a clogged connection whose peer does not answer the close frame", () =>
    Effect.gen(function*() {
      const { client, connection, recorder } = yield* pair()
      client.socket.pause()
      clog(connection)
      connection.close(1000, "")
      connection.terminate()
      assert.deepStrictEqual(recorder.ends, [{ _tag: "Local" }])
      assert.strictEqual(recorder.flushed, 0)
    }))

  it.scopedLive("an end before attach is told after attach has returned", () =>
    Effect.gen(function*() {
      const { client, connection } = yield* pair(undefined, "leave")
      client.socket.resetAndDestroy()
      yield* eventually("seen", () => connection.remoteAddress === "" || !send(connection, Frame.text("x")))
      const recorder = new Recorder()
      connection.attach(recorder)
      assert.deepStrictEqual(recorder.ends, [])
      yield* eventually("closed", () => recorder.ends.length === 1)
      assert.strictEqual(recorder.end!._tag, "PeerReset")
    }))

  it.scopedLive("close and terminate before attach are told as Local", () =>
    Effect.gen(function*() {
      for (const how of ["close", "terminate"] as const) {
        const { client, connection } = yield* pair(undefined, "leave")
        client.socket.write(frame("never read"))
        if (how === "close") connection.close(1008, "")
        else connection.terminate()
        if (how === "close") {
          yield* eventually("close frame", () => client.closeCode === 1008)
          client.socket.end(closeFrame(1008))
        }
        const recorder = new Recorder()
        connection.attach(recorder)
        yield* eventually("closed", () => recorder.ends.length === 1)
        assert.deepStrictEqual(recorder.ends, [{ _tag: "Local" }])
        assert.deepStrictEqual(recorder.messages, [])
      }
    }))
})
