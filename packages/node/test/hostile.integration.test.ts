/**
 * A million bytes of hostile input against the real gateway, and floods of handshakes: the process lives, others are
 * served all along, and nothing is left behind.
 */
import { afterAll, afterEach, assert, beforeAll, describe, it } from "vitest"
import { close, describeFrame, forEach, Peer, Random, range, text, until, upgradeRequest } from "./raw.js"
import { type Arena, attacks, badTexts, malformed, release } from "./rawAttacks.js"
import { Child, starvedMillis } from "./rawChild.js"
import type { Probed } from "./rawProbe.js"

/** `SPILLWAY_SEED=n` repeats a run. */
const seed = Number(process.env["SPILLWAY_SEED"] ?? Math.floor(Math.random() * 2 ** 31))

const say = (line: string): void => void process.stdout.write(`${line}\n`)

afterEach(() => Peer.destroyAll())

interface Resources extends Probed {
  readonly sessions: number
  readonly socketFiles: number
}

/** What is left once everything that is still on its way out is gone. */
const settled = async (child: Child, path: string): Promise<Resources> => {
  await until("no session is left", async () => (await child.json(path)).sessions === 0, 15_000)
  return { ...(await child.probe()), sessions: 0, socketFiles: child.socketFiles }
}

/** Waits until sockets and fibers are where they were, or says what is left. */
const backTo = async (child: Child, path: string, before: Resources): Promise<Resources> => {
  let now = await settled(child, path)
  const isBack = () =>
    now.fibers <= before.fibers && now.socketFiles <= before.socketFiles && now.sockets <= before.sockets
  const begin = performance.now()
  while (!isBack() && performance.now() - begin < 15_000) now = await settled(child, path)
  assert.isAtMost(now.socketFiles, before.socketFiles, "sockets of the process")
  assert.isAtMost(now.sockets, before.sockets, "socket objects on the heap")
  assert.isAtMost(now.fibers, before.fibers, "fibers on the heap")
  return now
}

const figures = ({ fibers, heapBytes, socketFiles, sockets }: Resources): string =>
  `${fibers} fibers, ${socketFiles} sockets (${sockets} objects), heap ${(heapBytes / 1_048_576).toFixed(2)} MiB`

/** One client from handshake to close, in milliseconds. */
const freshClient = async (port: number): Promise<number> => {
  const begin = performance.now()
  const peer = await Peer.open(port, "/echo")
  peer.send(text("fresh"))
  await peer.until("the echo", () => peer.frames.length === 1)
  assert.deepStrictEqual(peer.frames, [describeFrame("text", "fresh")])
  peer.send(close(1000))
  await peer.until("the end", () => peer.ended)
  peer.destroy()
  return performance.now() - begin
}

interface Served {
  clients: number
  worst: number
  /** The longest that a client took while the processor was there for both ends. */
  worstOwn: number
}

/** Fresh clients one after the other, for as long as the work takes. */
const whileServing = async (gateway: Child, work: () => Promise<void>): Promise<Served> => {
  const done = new AbortController()
  const seen: Served = { clients: 0, worst: 0, worstOwn: 0 }
  const starved = () => starvedMillis(gateway.pid) + starvedMillis(process.pid)
  const serving = (async () => {
    while (!done.signal.aborted) {
      const before = starved()
      const millis = await freshClient(gateway.port)
      seen.worst = Math.max(seen.worst, millis)
      seen.worstOwn = Math.max(seen.worstOwn, millis - (starved() - before))
      seen.clients++
    }
  })()
  await work().finally(() => done.abort())
  await serving
  return seen
}

describe("a million hostile bytes against the gateway", () => {
  let gateway: Child

  beforeAll(async () => {
    gateway = await Child.gateway({ GATEWAY_FEED_INTERVAL: "1 hour" })
  })
  afterAll(() => gateway.stop())

  const attackAll = async (arena: Arena, sums: Record<string, number>): Promise<void> => {
    for (const [name, attack] of Object.entries(attacks)) {
      const before = arena.sent
      await attack(arena)
      assert.isFalse(gateway.isGone, `${name}: the process has ended: ${gateway.stderr}`)
      sums[name] = arena.sent - before
    }
  }

  it("FR12: every text that is not a frame of the protocol gets one error and the session stays", async () => {
    const peer = await Peer.open(gateway.port, "/ws")
    await peer.until("the welcome", () => peer.frames.length === 1)
    for (const [at, bad] of badTexts.entries()) {
      peer.send(text(bad))
      await peer.until(`an answer to ${bad.slice(0, 60)}`, () => peer.frames.length > at + 1)
      assert.include(peer.frames.at(-1), "error", bad.slice(0, 60))
    }
    peer.send(text(`{"type":"ping"}`))
    await peer.until("the pong", () => peer.frames.at(-1) === describeFrame("text", `{"type":"pong"}`))
    assert.strictEqual(peer.frames.length, badTexts.length + 2)
    peer.destroy()
  })

  it("the process lives, a fresh client is served within a second all along, and nothing is left", async () => {
    say(`hostile input with SPILLWAY_SEED=${seed}`)
    const warmUp: Arena = { port: gateway.port, random: new Random(seed ^ 1), scale: 0.3, sent: 0, held: [] }
    await attackAll(warmUp, {})
    release(warmUp)
    const before = await settled(gateway, "/stats")
    const { opened } = await gateway.json("/stats")
    const arena: Arena = { port: gateway.port, random: new Random(seed), scale: 1, sent: 0, held: [] }
    const sums: Record<string, number> = {}
    const served = await whileServing(gateway, () => attackAll(arena, sums))
    const held = arena.held.filter((peer) => !peer.closed).length
    await freshClient(gateway.port)
    release(arena)
    const after = await backTo(gateway, "/stats", before)
    const stats = await gateway.json("/stats")
    for (const [name, bytes] of Object.entries(sums)) say(`  ${name}: ${bytes} bytes`)
    say(
      `${arena.sent} bytes; ${stats.opened - opened} sessions; ${served.clients} fresh clients, the slowest in ` +
        `${served.worst.toFixed(0)} ms (${
          served.worstOwn.toFixed(0)
        } without waiting for a processor); ${held} peers were held open\nbefore: ${figures(before)}\nafter:  ${
          figures(after)
        }`
    )
    assert.isAtLeast(arena.sent, 1_000_000)
    assert.isAbove(held, 50, "handshakes and messages that never finish were held open")
    assert.isAbove(served.clients, 10)
    assert.isBelow(served.worstOwn, 1_000)
    assert.strictEqual(stats.uncaughtErrors, 0)
    assert.strictEqual(stats.stuckTasks, 0)
    assert.strictEqual(stats.exits.Crashed, 0)
    assert.isBelow(after.heapBytes, before.heapBytes + 2 * 1_048_576)
  })
})

describe("floods of handshakes", () => {
  let server: Child

  beforeAll(async () => {
    server = await Child.fixture("./rawServer.fixture.ts", ["{}"])
  })
  afterAll(() => server.stop())

  /** Malformed for any server: what the gateway alone refuses is left out. */
  const kinds = malformed.filter((one) => !one.includes("topics"))

  const floodMalformed = (count: number): Promise<void> =>
    forEach(range(count), 32, async (i) => {
      const request = kinds[i % kinds.length]!
      const peer = Peer.connect(server.port, request.replace("/ws", "/echo"))
      await peer.until(`an answer to ${JSON.stringify(request)}`, () => peer.status !== 0 || peer.closed)
      assert.isAtLeast(peer.status, 400, request)
      await peer.until(`the end after ${JSON.stringify(request)}`, () => peer.ended || peer.closed)
      peer.destroy()
    })

  const resetWhileAuthorising = async (count: number): Promise<void> => {
    const { authorised } = await server.json("/left")
    const peers = range(count).map(() => Peer.connect(server.port, upgradeRequest("/slow")))
    await until("all are being authorised", async () => (await server.json("/left")).authorised === authorised + count)
    for (const peer of peers) peer.reset()
    await until("nobody is being authorised", async () => (await server.json("/left")).authorising === 0)
  }

  it("HS2: 1,000 malformed handshakes leave fibers, sockets and heap where they were", async () => {
    await floodMalformed(300)
    const before = await settled(server, "/left")
    await floodMalformed(1_000)
    const after = await backTo(server, "/left", before)
    say(`1,000 malformed handshakes (${kinds.length} kinds): ${figures(before)} -> ${figures(after)}`)
    assert.isBelow(after.heapBytes, before.heapBytes + 1_048_576)
    await freshClient(server.port)
  })

  it("HS1: 300 resets during a slow authorisation leave fibers, sockets and heap where they were", async () => {
    await resetWhileAuthorising(100)
    const before = await settled(server, "/left")
    for (const _ of range(3)) await resetWhileAuthorising(100)
    const after = await backTo(server, "/left", before)
    say(`300 resets during authorisation: ${figures(before)} -> ${figures(after)}`)
    assert.isBelow(after.heapBytes, before.heapBytes + 1_048_576)
    await freshClient(server.port)
  })
})
