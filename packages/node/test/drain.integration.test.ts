/**
 * Draining an application that the platform launches: what its clients and its load balancer see of a SIGTERM.
 */
import { afterEach, assert, describe, it } from "vitest"
import { Peer, until } from "./raw.js"
import { Child } from "./rawChild.js"

const children: Array<Child> = []

const start = async (how: "ahead" | "behind", graceSeconds = 1): Promise<Child> => {
  const child = await Child.fixture("./drain.fixture.ts", [how, String(graceSeconds)])
  children.push(child)
  return child
}

afterEach(async () => {
  Peer.destroyAll()
  for (const child of children.splice(0)) await child.stop()
})

/** Status and phase, or how the request failed. */
const ready = async (child: Child, within = 20_000): Promise<string> => {
  try {
    const response = await fetch(`http://127.0.0.1:${child.port}/ready`, {
      headers: { connection: "close" },
      signal: AbortSignal.timeout(within)
    })
    const body = await response.json() as { readonly phase: string; readonly sessions: number }
    return `${response.status} ${body.phase} ${body.sessions}`
  } catch {
    return "no answer"
  }
}

const ended = async (child: Child, millis = 30_000): Promise<number | null> => {
  await until("the process ends", () => child.isGone, millis)
  return child.process.exitCode
}

describe("a drain ahead of the routes", () => {
  it("readiness is false first and still answers, clients are told and closed with 4001, exit code 0", async () => {
    const child = await start("ahead", 3)
    const peer = await Peer.open(child.port, "/ws")
    assert.strictEqual(await ready(child), "200 accepting 1")
    child.signal("SIGTERM")
    await peer.until("the announcement", () => peer.frames.length > 0)
    assert.strictEqual(await ready(child), "503 lameDuck 1")
    const refused = Peer.connect(
      child.port,
      "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n" +
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    await refused.until("an answer", () => refused.status !== 0)
    assert.strictEqual(refused.status, 503)
    refused.destroy()
    await peer.until("the close", () => peer.frames.length > 1)
    assert.include(peer.frames[0], "going, come back within 5000")
    assert.include(peer.frames[1], "close 4001")
    peer.destroy()
    assert.strictEqual(await ended(child), 0)
  })

  it("a second signal makes it hurry", async () => {
    // Longer than the test may take.
    const child = await start("ahead", 300)
    const peer = await Peer.open(child.port, "/ws")
    child.signal("SIGTERM")
    await peer.until("the announcement", () => peer.frames.length > 0)
    child.signal("SIGTERM")
    await peer.until("the close", () => peer.frames.length > 1)
    assert.strictEqual(await ended(child), 0)
  })
})

it("counter-test: left to the release, readiness gives no answer while the sessions end", async () => {
  const child = await start("behind")
  const peer = await Peer.open(child.port, "/ws")
  assert.strictEqual(await ready(child), "200 accepting 1")
  child.signal("SIGTERM")
  await peer.until("the close", () => peer.frames.length > 0)
  // It does not answer the close, so for two seconds the server waits.
  assert.isFalse(child.isGone)
  assert.strictEqual(await ready(child, 500), "no answer")
  assert.strictEqual(await ended(child), 0)
})
