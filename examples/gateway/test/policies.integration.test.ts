/**
 * What holds over all sessions together, as settings: the memory budget and what becomes of a session that lags.
 */
import { afterEach, assert, beforeAll, describe, it } from "vitest"
import { build, Server, until } from "./support.js"

let server: Server

beforeAll(build)

afterEach(() => server?.stop())

/** Twelve MiB, more than the kernel takes for a client that does not read, and one message that matters. */
const flood = async () => {
  const publisher = await server.open("/ws")
  const frame = JSON.stringify({ type: "publish", topic: "flood", lane: "important", data: "x".repeat(48_000) })
  for (let i = 0; i < 256; i++) publisher.say(frame)
  await publisher.handled()
  publisher.ws.close()
  await server.publish("flood", { lane: "critical", data: "matters" })
}

const matters = (frame: { readonly data: unknown }): boolean => frame.data === "matters"

const stall = async (count: number) => {
  const clients = await Promise.all(Array.from({ length: count }, () => server.open("/ws?topics=flood")))
  await Promise.all(clients.map((client) => client.first("welcome")))
  for (const client of clients) client.stall()
  return clients
}

describe("policies over all sessions", () => {
  it("A046 the budget sheds bulk and important of those who do not read, and nobody's critical", async () => {
    server = await Server.start({ GATEWAY_BUDGET_BYTES: "1000000", GATEWAY_SEND_TIMEOUT: "off" })
    const clients = await stall(3)
    await flood()
    const { budget, manager } = await until(async () => {
      const stats = await server.json("/stats")
      return stats.budget.shedImportant > 0 && stats.budget.bytes < 900_000 ? stats : undefined
    })
    assert.strictEqual(budget.bytesMax, 1_000_000)
    assert.isAbove(budget.peakBytes, 850_000)
    assert.strictEqual(budget.ended, 0)
    assert.strictEqual(manager.managerStatus, "running")
    assert.isAtLeast(manager.activeStreams, 3)
    for (const client of clients) client.ws.resume()
    for (const client of clients) await until(() => client.messages("flood").find(matters), 30_000)
    await until(async () => (await server.json("/stats")).budget.level === "calm" || undefined)
  })

  it("A047 a session that lags is ended as a slow consumer by the rule, and no other is", async () => {
    server = await Server.start({
      GATEWAY_LAG_ACTION: "disconnect",
      GATEWAY_LAG_TIME: "1 second",
      GATEWAY_SEND_TIMEOUT: "off"
    })
    const reader = await server.open("/ws?topics=flood")
    const [client] = await stall(1)
    await flood()
    const { session } = client!.of("welcome")[0]
    // Its ending has begun, and need not wait for somebody who does not read.
    await until(async () => (await server.json(`/stats?session=${session}`)).session?.state !== "open" || undefined)
    client!.ws.terminate()
    await until(async () => (await server.json("/stats")).exits.SlowConsumer === 1 || undefined)
    await until(() => reader.messages("flood").find(matters), 30_000)
    await until(async () => (await server.json("/stats")).lagging === 0 || undefined)
    assert.strictEqual((await server.json("/stats")).exits.SlowConsumer, 1)
  })

  it("A047 a session that lags is told, where the rule is to warn", async () => {
    server = await Server.start({ GATEWAY_LAG_ACTION: "warn", GATEWAY_LAG_TIME: "0 ms", GATEWAY_SEND_TIMEOUT: "off" })
    const [client] = await stall(1)
    await flood()
    const stats = await until(async () => {
      const stats = await server.json("/stats")
      return stats.lagging === 1 ? stats : undefined
    })
    assert.strictEqual(stats.slowest.length, 1)
    assert.isAbove(stats.slowest[0].fillRatio, 0.8)
    client!.ws.resume()
    assert.strictEqual((await client!.first("error")).code, "slow_consumer")
  })
})
