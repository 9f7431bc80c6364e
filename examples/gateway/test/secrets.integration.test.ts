/**
 * What clients say does not come out where it should not: logs, metrics, stats and answers.
 */
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { build, Server, until } from "./support.js"

let server: Server

beforeAll(async () => {
  build()
  server = await Server.start({ LOG_LEVEL: "debug", GATEWAY_HEARTBEAT_INTERVAL: "off" })
})

afterAll(() => server?.stop())

const series = async () =>
  (await (await server.get("/metrics")).text()).split("\n").filter((line) => line !== "" && !line.startsWith("#"))
    .length

const gone = () => until(async () => (await server.json("/stats")).sessions === 0 || undefined)

describe("secrets", () => {
  it("HS9 IN1 a token in the URL, a close reason and what a client sends are in no log line, metric or snapshot", async () => {
    const forged = "SECRET\nlevel=ERROR message=forged \u001b[31m\u202e"
    const headers = { "user-agent": "SECRET", cookie: "session=SECRET", authorization: "Bearer SECRET" }
    const client = await server.open("/ws?topics=a&token=SECRET", { headers })
    client.say(`{"type":"SECRET`)
    client.say({ type: forged, topic: forged })
    client.ws.send(Buffer.from("{}"))
    assert.strictEqual((await client.closed).code, 1003)
    const other = await server.open("/echo?token=SECRET", { headers })
    other.ws.close(4000, forged)
    await other.closed
    assert.strictEqual(await server.connect("/nowhere?token=SECRET", { headers }).refused, 404)
    assert.strictEqual((await server.publish("a?token=SECRET", { lane: "SECRET" }, headers)).status, 400)
    await gone()
    const seen = [
      server.output.stderr,
      server.output.stdout,
      await (await server.get("/metrics")).text(),
      await (await server.get("/stats")).text()
    ]
    assert.isAbove(server.output.stderr.length, 0, "something was logged")
    const secrets = ["SECRET", "forged", "\u001b", "\u202e"]
    const leaks = seen.flatMap((text) => text.split("\n")).filter((line) => secrets.some((part) => line.includes(part)))
    assert.deepStrictEqual(leaks, [])
  })

  it("IN2 many sessions with topics, keys and close codes of their own make no new series", async () => {
    const use = async (i: number) => {
      const client = await server.open(`/ws?topics=t${i}`)
      client.say({ type: "publish", topic: `t${i}`, key: `k${i}`, data: i })
      await client.first("message")
      client.ws.close(4000 + i, `reason ${i}`)
      await client.closed
    }
    await use(900)
    await gone()
    const before = await series()
    await Promise.all(Array.from({ length: 20 }, (_, i) => use(i)))
    await gone()
    assert.strictEqual(await series(), before)
  })
})

describe("SR1 SR2", () => {
  it("whatever was sent above, no error was uncaught and a fresh client is served", async () => {
    const client = await server.open("/ws")
    await client.handled()
    client.ws.close()
    const { exits, stuckTasks, uncaughtErrors } = await server.json("/stats")
    assert.deepStrictEqual([exits.Crashed, stuckTasks, uncaughtErrors], [0, 0, 0])
  })
})
