/**
 * Networks and peers that fail: resets, killed and stopped processes, silence, deafness. Each test proves that the fault
 * happened before it looks at what the server made of it.
 */
import * as Effect from "effect/Effect"
import * as Frame from "spillway/Frame"
import * as Message from "spillway/Message"
import type { Session } from "spillway/Session"
import type { SessionOptions } from "spillway/SessionOptions"
import { afterEach, assert, describe, it } from "vitest"
import { close, forEach, Peer, range, text, until } from "./raw.js"
import { Child, processState, starvedMillis } from "./rawChild.js"
import { EchoServer, type Left, nothing } from "./rawEcho.js"
import { inNamespaceOf, newNamespace, takeLoopbackDown, tcpStates } from "./rawNetns.js"

const say = (line: string): void => void process.stdout.write(`${line}\n`)

let server: EchoServer | undefined
const children: Array<Child> = []

const start = async (session?: SessionOptions): Promise<EchoServer> => {
  server = await EchoServer.start(session === undefined ? {} : { session })
  server.watchSockets()
  return server
}

const keep = (child: Child): Child => {
  children.push(child)
  return child
}

afterEach(async () => {
  for (const child of children.splice(0)) await child.stop()
  Peer.destroyAll()
  await server?.stop()
  server = undefined
})

/** A frame of 1,000 bytes of which 500 are sent. */
const halfFrame = text("x".repeat(1_000)).subarray(0, 508)

/** Somebody who has nothing to do with it and must not notice. */
const bystander = async (server: EchoServer): Promise<Left> => {
  await Peer.open(server.port, "/echo")
  await until("the bystander is there", () => server.left.sessions === 1 && server.left.tasks === 1)
  return server.left
}

const lastEnds = (server: EchoServer, count: number): ReadonlyArray<string> =>
  server.snapshot.closed.slice(-count).map(({ report: { exit } }) => {
    if (exit._tag === "Disconnected") return `Disconnected ${exit.end._tag}`
    return exit._tag === "ReceiveTimeout" ? `ReceiveTimeout ${exit.waitedFor}` : exit._tag
  })

describe("A039: the peer fails while it sends", () => {
  it("A039, T3: 20 resets in the middle of a frame: gauge, fibers and sockets are back within a second", async () => {
    const server = await start()
    const before = await bystander(server)
    const peers = await Promise.all(range(20).map(() => Peer.open(server.port, "/echo")))
    for (const peer of peers) peer.send(halfFrame)
    await until(
      "half of every frame has arrived",
      () => peers.every((peer) => server.socketOf(peer.socket.localPort!)!.bytesRead >= 600)
    )
    assert.deepStrictEqual(server.left, { sessions: 21, tasks: 21, sockets: 21 })
    for (const peer of peers) peer.reset()
    const millis = await server.backTo(before, 1_000)
    assert.isTrue(peers.every((peer) => peer.socket.destroyed))
    assert.deepStrictEqual([...new Set(lastEnds(server, 20))], ["Disconnected PeerReset"])
    assert.strictEqual(server.snapshot.totals.receivedMessages, 0)
    say(`A039, 20 resets: back after ${millis.toFixed(0)} ms`)
  })

  it("A039, P3: a client process with 20 connections is killed: the same, within a second", async () => {
    const server = await start()
    const before = await bystander(server)
    const client = keep(await Child.client(server.port, { path: "/echo", count: 20, bytes: halfFrame }))
    await until("20 more sessions", () => server.left.sessions === 21)
    client.signal("SIGKILL")
    const millis = await server.backTo(before, 1_000)
    await until(
      "the process is gone",
      () => client.isGone && [undefined, "Z"].includes(processState(client.pid)),
      1_000
    )
    assert.strictEqual(client.process.signalCode, "SIGKILL")
    const kinds = new Set(lastEnds(server, 20))
    assert.isTrue([...kinds].every((kind) => kind.startsWith("Disconnected Peer")), [...kinds].join())
    say(`A039, SIGKILL: back after ${millis.toFixed(0)} ms as ${[...kinds].join()}`)
  })
})

const quick: SessionOptions = { pingInterval: 300, pongTimeout: 300, closeTimeout: 300, flushTimeout: 300 }

describe("A040: the peer is silent", () => {
  it("A040, P1: a stopped client process is detected by the ping timeout, and everything is back within a second of that", async () => {
    const server = await start(quick)
    const client = keep(await Child.client(server.port, { path: "/echo", count: 10, bytes: halfFrame }))
    await until("10 sessions", () => server.left.sessions === 10)
    client.signal("SIGSTOP")
    await until("the process is stopped", () => processState(client.pid) === "T")
    const begin = performance.now()
    await until("the first verdict", () => server.snapshot.exits.ReceiveTimeout > 0 || server.all.length < 10, 2_000)
    const detected = performance.now() - begin
    await server.backTo(nothing, 1_500)
    assert.strictEqual(processState(client.pid), "T", "still stopped: nobody closed anything")
    assert.deepStrictEqual([...new Set(lastEnds(server, 10))], ["ReceiveTimeout pong"])
    say(
      `A040, SIGSTOP: detected after ${detected.toFixed(0)} ms, all back ${
        (performance.now() - begin - detected).toFixed(0)
      } ms later`
    )
  })

  it("A040, T5: a half-open connection is detected by the ping timeout, and everything is back within a second of that", async (context) => {
    const prefix = newNamespace()
    if (prefix === undefined) {
      say("A040 in a network namespace did NOT run: this machine allows none")
      return context.skip()
    }
    // Pings are answered until the link is down: by a client that speaks WebSocket.
    const own = keep(await Child.fixture("./rawServer.fixture.ts", [JSON.stringify(quick)], prefix))
    const program = `
      const { WebSocket } = require("ws")
      let open = 0
      for (let i = 0; i < 10; i++) new WebSocket("ws://127.0.0.1:${own.port}/echo")
        .on("error", () => {}).on("open", () => ++open === 10 && process.stdout.write("open"))`
    const client = keep(
      Child.spawn(inNamespaceOf(own.pid)[0]!, [...inNamespaceOf(own.pid).slice(1), process.execPath, "-e", program])
    )
    await client.printed(/open/)
    const sessions = () =>
      own.ask<{ sessions: number; tasks: object; exits: Record<string, number>; last: unknown }>("left")
    const begin = performance.now()
    await until("a second of answered pings", async () => {
      assert.strictEqual((await sessions()).sessions, 10)
      return performance.now() - begin > 1_000
    })
    const socketFiles = own.socketFiles
    takeLoopbackDown(own.pid)
    const cut = performance.now()
    assert.strictEqual(tcpStates(own.pid, own.port).filter((state) => state === "ESTABLISHED").length, 20)
    await until("the last verdict", async () => (await sessions()).sessions === 0, 3_000)
    const millis = performance.now() - cut
    await until("the sockets are closed", () => own.socketFiles === socketFiles - 10, 1_000)
    const after = await sessions()
    assert.isFalse(client.isGone, "the client knows nothing")
    assert.strictEqual(after.exits["ReceiveTimeout"], 10)
    assert.deepStrictEqual(after.last, { _tag: "ReceiveTimeout", waitedFor: "pong" })
    assert.deepStrictEqual(after.tasks, {})
    say(`A040, half-open: 10 sessions detected and gone ${millis.toFixed(0)} ms after the link went down`)
  })
})

/** What is seen of a session that is not read, and of the others. */
interface Watched {
  bytesMax: number
  writableMax: number
  slowAt: number
  /** When the kernel took a byte for the last time, and when the verdict came. */
  progressAt: number
  endedAt: number
  memoryMax: number
  readonly sends: Array<number>
}

const memory = (): number => {
  ;(globalThis as { readonly gc?: () => void }).gc?.()
  const { arrayBuffers, heapUsed } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

/**
 * What is retained: the least of some readings, each after a collection. The memory of dead array buffers is given back in
 * the background, some time after the collection that found them dead.
 */
const retained = async (): Promise<number> => {
  let least = Infinity
  for (let i = 0; i < 5; i++) {
    least = Math.min(least, memory())
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  return least
}

const bulk = (size: number): Message.Message => Message.fromFrame(Frame.binary(new Uint8Array(size)), { lane: "bulk" })

/** Milliseconds from the offer of a message until the kernel has it, without those in which no processor was free. */
const timeDelivery = async (session: Session, into: Array<number>): Promise<void> => {
  const begin = performance.now() - starvedMillis(process.pid)
  const delivery = await Effect.runPromise(session.deliver(bulk(1024)))
  assert.strictEqual(delivery._tag, "Sent")
  into.push(performance.now() - starvedMillis(process.pid) - begin)
}

/** Offers to everybody every few milliseconds until the session is gone. */
const publishUntilGone = async (
  server: EchoServer,
  deaf: Session,
  others: ReadonlyArray<Session>,
  clientPort: number
): Promise<Watched> => {
  const socket = server.socketOf(clientPort)!
  const seen: Watched = {
    bytesMax: 0,
    writableMax: 0,
    slowAt: 0,
    progressAt: performance.now(),
    endedAt: 0,
    memoryMax: 0,
    sends: []
  }
  let written = -1
  let isFull = false
  let underWay = 0
  const isDelivered = () => void underWay--
  await until("the session is gone", async () => {
    deaf.unsafeOffer(bulk(32 * 1024))
    for (const other of others) {
      underWay++
      void timeDelivery(other, seen.sends).then(isDelivered)
    }
    const { inFlightBytes, queuedBytes, slow } = deaf.stats
    seen.bytesMax = Math.max(seen.bytesMax, inFlightBytes + queuedBytes)
    seen.writableMax = Math.max(seen.writableMax, socket.writableLength)
    if (deaf.state !== "open" && seen.endedAt === 0) seen.endedAt = performance.now()
    if (deaf.state === "open" && socket.bytesWritten - socket.writableLength !== written) {
      seen.progressAt = performance.now()
    }
    written = socket.bytesWritten - socket.writableLength
    if (slow && seen.slowAt === 0) seen.slowAt = performance.now()
    // Once, when it holds the most that it ever will.
    if (!isFull && slow) {
      isFull = true
      seen.memoryMax = await retained()
    }
    return deaf.state === "closed"
  }, 30_000)
  await until("every other message is delivered", () => underWay === 0)
  return seen
}

describe("A038: a peer that stops reading", () => {
  it("A038: is marked slow and ends within 5 s + 1 s, holds its bound and no more, and costs the others no latency", async () => {
    const server = await start()
    const peers = await Promise.all(range(10).map(() => Peer.open(server.port, "/hold")))
    for (const { socket } of peers) socket.removeAllListeners("data").resume()
    const others = server.all
    const client = keep(await Child.client(server.port, { path: "/hold", count: 1, bytes: text("here") }))
    await until("11 sessions", () => server.all.length === 11)
    const deaf = server.all.find((session) => !others.includes(session))!
    const clientPort = server.lastSocket.remotePort!
    client.signal("SIGSTOP")
    await until("the process is stopped", () => processState(client.pid) === "T")
    const before = await retained()
    const seen = await publishUntilGone(server, deaf, others, clientPort)
    const stalledFor = seen.endedAt - seen.progressAt
    const p99 = seen.sends.sort((a, b) => a - b)[Math.floor(seen.sends.length * 0.99)]!
    const KiB = (bytes: number) => `${(bytes / 1024).toFixed(0)} KiB`
    say(
      `A038: ended ${stalledFor.toFixed(0)} ms after its last byte, slow ${
        (seen.slowAt - seen.progressAt).toFixed(0)
      } ms after it; ` +
        `held ${KiB(seen.bytesMax)} (of which ${KiB(seen.writableMax)} in the socket), process grew by ${
          KiB(seen.memoryMax - before)
        }; ` +
        `${seen.sends.length} sends to others: p99 ${p99.toFixed(2)} ms, worst ${seen.sends.at(-1)!.toFixed(2)} ms`
    )
    assert.strictEqual(processState(client.pid), "T")
    assert.isAbove(seen.slowAt, 0, "it was marked slow")
    assert.isBelow(seen.slowAt - seen.progressAt, 6_000)
    assert.isBelow(stalledFor, 6_000)
    assert.deepStrictEqual(lastEnds(server, 1), ["SendTimeout"])
    // Its bound, and what is below the lanes.
    assert.isAbove(seen.bytesMax, 900 * 1024, "its outbox was full")
    assert.isAtMost(seen.bytesMax, 1024 * 1024 + 2 * 65_536)
    assert.isAtMost(seen.writableMax, 2 * 65_536)
    assert.isBelow(seen.memoryMax - before, 1024 * 1024 + 2 * 65_536 + 1024 * 1024)
    assert.isBelow(p99, 50)
    await server.backTo({ sessions: 10, tasks: 10, sockets: 10 }, 1_000)
  })
})

describe("A117: a peer that never answers the close", () => {
  const closeAndTime = async (server: EchoServer, session: Session) => {
    const begin = performance.now()
    const report = await Effect.runPromise(Effect.zipRight(session.close(), session.awaitExit))
    return { report, millis: performance.now() - begin }
  }

  it("A117, P5: reads, and is terminated within the close timeout of two seconds", async () => {
    const server = await start()
    const peer = await Peer.open(server.port, "/echo")
    await until("the session is open", () => server.all.length === 1)
    const { millis, report } = await closeAndTime(server, server.all[0]!)
    assert.deepStrictEqual(peer.frames.map((frame) => frame.split(" ").slice(0, 2).join(" ")), ["close 1000"])
    assert.strictEqual(report.phases.close, "cut")
    assert.isBelow(millis, 3_000)
    await server.backTo(nothing, 1_000)
    say(`A117: terminated after ${millis.toFixed(0)} ms`)
  })

  it("A117, P5: does not even read, with a full outbox: flush and close have a deadline each", async () => {
    const server = await start({ flushTimeout: 400, closeTimeout: 400, sendTimeout: "20 seconds" })
    const client = keep(await Child.client(server.port, { path: "/echo", count: 1, bytes: Buffer.alloc(0) }))
    client.signal("SIGSTOP")
    await until("the process is stopped", () => processState(client.pid) === "T")
    const session = server.all[0]!
    await until("it is clogged", () => {
      session.unsafeOffer(bulk(60_000))
      return session.stats.queuedBytes > 500_000
    })
    const { millis, report } = await closeAndTime(server, session)
    assert.strictEqual(report.phases.flush, "cut")
    assert.strictEqual(report.phases.close, "cut")
    assert.isAbove(report.undelivered.bulk, 5)
    assert.isBelow(millis, 2_000)
    await server.backTo(nothing, 1_000)
  })

  it("A117: the server stops within its budgets with a client that does not answer, not after 30 seconds", async () => {
    const server = await start()
    await Promise.all(range(5).map(() => Peer.open(server.port, "/echo")))
    const begin = performance.now()
    await server.stop()
    const millis = performance.now() - begin
    assert.isBelow(millis, 6_000)
    say(`A117: the server stopped after ${millis.toFixed(0)} ms`)
  })

  it("A117: a peer that closes but keeps its socket open has no session, and loses the socket at the backstop", async () => {
    const server = await EchoServer.start({ upgrade: { closeTimeout: "500 millis" } })
    const peer = await Peer.open(server.port, "/echo")
    peer.send(close(1000))
    await server.backTo({ ...nothing, sockets: 1 }, 400)
    assert.deepStrictEqual(lastEnds(server, 1), ["Disconnected PeerClose"])
    await server.backTo(nothing, 3_000)
    await server.stop()
  })

  it("FR11: a peer that breaks the protocol and keeps its socket open, the same", async () => {
    const server = await EchoServer.start({ upgrade: { closeTimeout: "500 millis" } })
    const peer = await Peer.open(server.port, "/echo")
    peer.send(Buffer.from([0xff, 0xff]))
    await server.backTo({ ...nothing, sockets: 1 }, 400)
    assert.deepStrictEqual(lastEnds(server, 1), ["Disconnected ProtocolError"])
    await server.backTo(nothing, 3_000)
    await server.stop()
  })
})

describe("A118: sessions that end in mixed ways", () => {
  const ways: ReadonlyArray<(server: EchoServer) => Promise<void>> = [
    async (server) => {
      const peer = await Peer.open(server.port, "/echo")
      peer.send(text("bye"), close(1000))
      await peer.until("the end", () => peer.ended)
      peer.destroy()
    },
    async (server) => {
      const peer = await Peer.open(server.port, "/echo")
      peer.send(halfFrame)
      peer.reset()
    },
    async (server) => {
      const peer = await Peer.open(server.port, "/echo")
      // Says nothing, answers no ping and no close.
      await peer.until("given up by the server", () => peer.ended || peer.closed, 5_000)
      peer.destroy()
    },
    async (server) => {
      const peer = await Peer.open(server.port, "/hung")
      peer.socket.end()
      await peer.until("the end", () => peer.ended || peer.closed)
      peer.destroy()
    }
  ]

  it("A118: 1,000 of them leave no session, no fiber, no connection, and the heap within 10 %", async () => {
    const server = await start({ ...quick, taskGrace: 100, ackTimeout: 100 })
    const run = (count: number) => forEach(range(count), 100, (i) => ways[i % ways.length]!(server))
    await run(200)
    await server.backTo(nothing, 5_000)
    const before = await retained()
    await run(1_000)
    await server.backTo(nothing, 5_000)
    const after = await retained()
    const { exits, opened, stuck } = server.snapshot
    say(
      `A118: ${opened} sessions, heap ${(before / 1_048_576).toFixed(2)} -> ${(after / 1_048_576).toFixed(2)} MiB, ${
        JSON.stringify(exits)
      }`
    )
    assert.strictEqual(opened, 1_200)
    assert.isAtLeast(exits.ReceiveTimeout, 300)
    assert.isAtLeast(exits.Disconnected, 900)
    assert.deepStrictEqual(stuck, {})
    assert.isBelow(after, before * 1.1)
  })
})
