/**
 * RFC 6455 as a client sees it: our own cases over bare TCP sockets against a real session that echoes.
 */
import * as Effect from "effect/Effect"
import * as Message from "spillway/Message"
import { afterAll, afterEach, assert, beforeAll, describe, it } from "vitest"
import {
  acceptOfSample,
  binary,
  build,
  close,
  closeBody,
  describeFrame,
  forEach,
  more,
  Peer,
  ping,
  range,
  text,
  until,
  upgradeRequest
} from "./raw.js"
import { bytesOf, type Case, cases, limits } from "./rawCases.js"
import { EchoServer, nothing } from "./rawEcho.js"
import { type SlicingProxy, slicingProxy } from "./rawProxy.js"

let server: EchoServer
let proxy: SlicingProxy

beforeAll(async () => {
  server = await EchoServer.start({ upgrade: limits })
  server.watchSockets()
  proxy = await slicingProxy(server.port)
})

afterAll(async () => {
  await proxy.stop()
  await server.stop()
})

/** A test that has failed must not take the next ones with it. */
afterEach(() => Peer.destroyAll())

const received = (): number => server.snapshot.totals.receivedMessages

/** Each step is answered by exactly what the case says, and after the last one the server ends the connection in order. */
const play = async (one: Case, peer: Peer, firstIsSent: boolean): Promise<void> => {
  const expected: Array<string> = []
  for (const [at, step] of one.steps.entries()) {
    if (at > 0 || !firstIsSent) peer.send(step.send)
    expected.push(...step.expect)
    await peer.until(expected.slice(-3).join(", "), () => peer.frames.length >= expected.length || peer.closed)
    assert.deepStrictEqual(peer.frames, expected)
  }
  await peer.until("the end of the connection", () => peer.ended)
  peer.socket.end()
  await peer.until("the socket is closed", () => peer.closed)
  assert.deepStrictEqual(peer.frames, expected)
  assert.strictEqual(peer.reader.pending, 0)
}

/** How the bytes of a case travel. */
const ways = {
  whole: { port: () => server.port, inHead: false, most: Infinity },
  "in one packet with the handshake": { port: () => server.port, inHead: true, most: 60_000 },
  "T11: in segments of one byte both ways": { port: () => proxy.port, inHead: false, most: 2_500 }
}

const run = async (one: Case, way: typeof ways[keyof typeof ways]): Promise<void> => {
  const before = received()
  const head = way.inHead ? one.steps[0]!.send : Buffer.alloc(0)
  const peer = await Peer.open(way.port(), "/echo", head)
  assert.include(peer.response, acceptOfSample)
  try {
    await play(one, peer, way.inHead)
    await until("the session is gone", () => server.snapshot.sessions === 0)
  } finally {
    peer.destroy()
  }
  assert.strictEqual(received() - before, one.received, "messages that reached the handler")
}

const freshClientEchoes = async (): Promise<void> => {
  const peer = await Peer.open(server.port, "/echo")
  peer.send(text("fresh"))
  await peer.until("the echo", () => peer.frames.length === 1)
  assert.deepStrictEqual(peer.frames, [describeFrame("text", "fresh")])
  peer.destroy()
}

/** Nothing crashed, nothing is stuck, nothing is left, and the next client is served. */
const serverIsWell = async (): Promise<void> => {
  await server.backTo(nothing, 5_000)
  const { exits, stuck } = server.snapshot
  const others = Object.entries(exits).filter(([tag, count]) =>
    !["Disconnected", "ClosedByServer"].includes(tag) && count > 0
  )
  assert.deepStrictEqual(others, [], "A115: whatever a peer does is a disconnect")
  assert.deepStrictEqual(stuck, {})
  await freshClientEchoes()
  await server.backTo(nothing, 5_000)
}

for (const [how, way] of Object.entries(ways)) {
  describe(how, () => {
    for (const [group, list] of Object.entries(cases)) {
      describe(group, () => {
        for (const one of list.filter((each) => bytesOf(each) <= way.most)) {
          it(one.name, () => run(one, way))
        }
      })
    }

    it("after the table a fresh client echoes and nothing is left", serverIsWell)
  })
}

it("T11: the bytes did travel one by one, both ways", async () => {
  const { bytes, segments } = proxy.sliced
  assert.strictEqual(segments, bytes)
  const peer = await Peer.open(proxy.port, "/echo")
  const reads = peer.reads
  const payload = "0123456789".repeat(20)
  peer.send(text(payload))
  await peer.until("the echo", () => peer.frames.length === 1)
  assert.isAbove(peer.reads - reads, payload.length / 2, "reads of the client")
  peer.destroy()
  await server.backTo(nothing, 5_000)
})

describe("own frames beside those of ws", () => {
  /** Sizes at which the server's own header changes, or copies the payload no longer. */
  const sizes = [0, 1, 125, 126, 4095, 4096, 4097, 65535, 65536, 65537, 70_000, 1_000_000]

  it("messages of every length encoding come back byte for byte", async () => {
    const peer = await Peer.open(server.port, "/big")
    const payloads = sizes.map((size) => Buffer.from(range(size).map((i) => (i * 31 + size) & 255)))
    for (const [at, payload] of payloads.entries()) {
      peer.send(binary(payload))
      await peer.until(`${payload.length} bytes`, () => peer.frames.length > at)
    }
    assert.deepStrictEqual(peer.frames, payloads.map((payload) => describeFrame("binary", payload)))
    peer.destroy()
  })

  it("pongs fall between frames, never into one, while large frames wait for the reader", async () => {
    const own = await EchoServer.start({ session: { outboxBytesMax: 64_000_000, inboxBytesMax: 64_000_000 } })
    own.watchSockets()
    const peer = await Peer.open(own.port, "/big")
    peer.socket.pause()
    const payload = Buffer.alloc(3_000_000, 7)
    for (const i of range(4)) peer.send(binary(payload), ping(`${i}`), text(`${i}`))
    await until("the kernel takes no more", () => (own.socketOf(peer.socket.localPort!)?.writableLength ?? 0) > 0)
    peer.socket.resume()
    await peer.until("everything", () => peer.frames.length === 12, 10_000)
    const big = describeFrame("binary", payload)
    assert.deepStrictEqual(
      peer.frames.filter((frame) => !frame.startsWith("pong")),
      range(4).flatMap((i) => [big, describeFrame("text", `${i}`)])
    )
    assert.deepStrictEqual(
      peer.frames.filter((frame) => frame.startsWith("pong")),
      range(4).map((i) => describeFrame("pong", `${i}`))
    )
    peer.destroy()
    await own.backTo(nothing, 5_000)
    await own.stop()
  })

  it("our pings fall between frames while a large frame waits for the reader", async () => {
    const own = await EchoServer.start({
      session: {
        pingInterval: "20 millis",
        pongTimeout: "20 seconds",
        sendTimeout: "20 seconds",
        outboxBytesMax: 64_000_000
      }
    })
    own.watchSockets()
    const peer = await Peer.open(own.port, "/big")
    peer.socket.pause()
    const payload = Buffer.alloc(8_000_000, 5)
    peer.send(binary(payload))
    await until("the kernel takes no more", () => (own.socketOf(peer.socket.localPort!)?.writableLength ?? 0) > 0)
    const waiting = own.socketOf(peer.socket.localPort!)!.writableLength
    await until("pings wait behind it", () => own.socketOf(peer.socket.localPort!)!.writableLength >= waiting + 4)
    peer.socket.resume()
    await peer.until("the frame and pings", () => peer.frames.length >= 4, 10_000)
    const others = peer.frames.filter((frame) => frame !== describeFrame("ping", ""))
    assert.deepStrictEqual(others, [describeFrame("binary", payload)])
    peer.destroy()
    await own.backTo(nothing, 5_000)
    await own.stop()
  })

  it("A113: what was sent before a close of the server arrives before its close frame, and nothing after", async () => {
    const peer = await Peer.open(server.port, "/echo")
    await until("the session is open", () => server.all.length === 1)
    const session = server.all[0]!
    for (const i of range(100)) session.unsafeOffer(Message.text(`${i}`))
    await Effect.runPromise(session.close({ code: 4000, reason: "enough" }))
    session.unsafeOffer(Message.text("late"))
    peer.send(text("late too"))
    await peer.until("the close frame", () => peer.frames.some((frame) => frame.startsWith("close")))
    peer.send(text("later"), close(4000))
    await peer.until("the end", () => peer.ended)
    assert.deepStrictEqual(peer.frames.filter((frame) => !frame.includes("late")), [
      ...range(100).map((i) => describeFrame("text", `${i}`)),
      `close 4000 "enough"`
    ])
    assert.strictEqual(peer.frames.at(-1), `close 4000 "enough"`)
    peer.destroy()
    await server.backTo(nothing, 5_000)
  })

  it("P7: both close at once, and each sees one close frame", async () => {
    for (const _ of range(20)) {
      const peer = await Peer.open(server.port, "/echo")
      await until("the session is open", () => server.all.length === 1)
      const session = server.all[0]!
      peer.send(close(3001))
      await Effect.runPromise(session.close({ code: 4001, reason: "" }))
      await peer.until("the end", () => peer.ended)
      assert.strictEqual(peer.frames.length, 1)
      assert.include(["close 3001", "close 4001"], peer.frames[0])
      peer.destroy()
      await server.backTo(nothing, 5_000)
    }
  })

  it("a peer that closes with answers pending sees them or not, but never data after the close frame", async () => {
    const seen: Array<number> = []
    // A thousand are more than the inbox holds: the socket is paused when the close frame is read.
    for (const count of [1, 10, 100, 1_000]) {
      const before = received()
      const peer = await Peer.open(server.port, "/echo")
      peer.send(...range(count).map((i) => text(`${i}`)), close(1000))
      await peer.until("the end", () => peer.ended)
      assert.strictEqual(peer.frames.at(-1), "close 1000")
      assert.deepStrictEqual(
        peer.frames.slice(0, -1),
        range(peer.frames.length - 1).map((i) => describeFrame("text", `${i}`))
      )
      // The peer has not ended its side: the session does not wait for that.
      await server.backTo({ ...nothing, sockets: 1 }, 1_000)
      assert.strictEqual(received() - before, count, "all of it reached the handler")
      seen.push(peer.frames.length - 1)
      peer.destroy()
    }
    assert.strictEqual(seen.length, 4)
  })
})

describe("FR5: more pings than may wait for their pongs", () => {
  it("in one packet: the peer is cut off, which is a protocol error", async () => {
    const peer = await Peer.open(server.port, "/echo")
    peer.send(...range(500).map((i) => ping(`${i}`)))
    await peer.until("cut off", () => peer.ended || peer.closed)
    await server.backTo({ ...nothing, sockets: server.left.sockets }, 5_000)
    const { exit } = server.snapshot.closed.at(-1)!.report
    assert.deepInclude(exit, { _tag: "Disconnected" })
    assert.deepInclude((exit as { readonly end: object }).end, { _tag: "ProtocolError", code: 1008 })
    peer.destroy()
    await server.backTo(nothing, 5_000)
  })

  it("from a peer that does not read: the same, and its answers are not kept", async () => {
    const peer = await Peer.open(server.port, "/echo")
    peer.socket.pause()
    let sent = 0
    const pings = Buffer.concat(range(50).map(() => ping("x".repeat(125))))
    while (!peer.closed && server.snapshot.sessions === 1 && sent < 2_000) {
      await new Promise<void>((resolve) => peer.socket.write(pings, () => resolve()))
      sent++
    }
    peer.reset()
    assert.isBelow(sent, 2_000, "100,000 unread pongs were taken")
    await server.backTo(nothing, 5_000)
  })
})

describe("T13: the connection is cut at byte n, for every n of a frame", () => {
  const frames = {
    "a short text": text("hello κόσμε"),
    "a text with 16 bits of length": text("x".repeat(200)),
    "a binary with 64 bits of length": build({ opcode: 2, payload: "y".repeat(40), lengthAs: 64 }),
    "two fragments with a ping between": Buffer.concat([text("ab", false), ping("p"), more("cd")]),
    "a close with a reason": build({ opcode: 8, payload: closeBody(1000, "bye") })
  }
  const cuts = { "FIN": (peer: Peer) => void peer.socket.end(), "RST": (peer: Peer) => peer.reset() }

  for (const [what, bytes] of Object.entries(frames)) {
    for (const [how, cut] of Object.entries(cuts)) {
      it(`${what}, by ${how}: no partial delivery, the session ends as a disconnect`, async () => {
        const before = {
          received: received(),
          opened: server.snapshot.opened,
          exits: server.snapshot.exits.Disconnected
        }
        await forEach(range(bytes.length), 16, async (n) => {
          const peer = await Peer.open(server.port, "/echo")
          if (n > 0) await new Promise<void>((resolve) => peer.socket.write(bytes.subarray(0, n), () => resolve()))
          cut(peer)
          if (how === "FIN") await peer.until("the server ends as well", () => peer.ended || peer.closed)
          peer.destroy()
        })
        await server.backTo(nothing, 5_000)
        assert.strictEqual(received(), before.received, "messages that reached the handler")
        assert.strictEqual(server.snapshot.opened - before.opened, bytes.length)
        assert.strictEqual(server.snapshot.exits.Disconnected - before.exits, bytes.length)
      })
    }
  }

  it("the handshake, by FIN and RST: no session, nothing left", async () => {
    const request = Buffer.from(upgradeRequest("/echo"))
    const { opened } = server.snapshot
    for (const cut of Object.values(cuts)) {
      await forEach(range(request.length), 16, async (n) => {
        const peer = Peer.connect(server.port)
        await peer.until("connected", () => peer.isConnected)
        if (n > 0) await new Promise<void>((resolve) => peer.socket.write(request.subarray(0, n), () => resolve()))
        cut(peer)
        peer.destroy()
      })
    }
    await server.backTo(nothing, 5_000)
    assert.strictEqual(server.snapshot.opened, opened)
  })

  it("afterwards a fresh client echoes", serverIsWell)
})
