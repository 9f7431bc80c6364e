/**
 * Start and end of the program: settings, help, signals, exit codes.
 */
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { selfSigned } from "../../../packages/node/test/certificate.js"
import { build, type Client, run, Server, sleep, until } from "./support.js"

const started: Array<Server> = []

const start = async (environment: Record<string, string> = {}) => {
  const server = await Server.start(environment)
  started.push(server)
  return server
}

beforeAll(build)

afterAll(() => Promise.all(started.map((server) => server.stop())))

describe("over TLS", () => {
  const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "gateway-"))
  const certificate = selfSigned()
  const file = (name: string, text: string): string => {
    Fs.writeFileSync(Path.join(folder, name), text)
    return Path.join(folder, name)
  }
  const environment = {
    GATEWAY_TLS_CERT: file("cert.pem", certificate.cert),
    GATEWAY_TLS_KEY: file("key.pem", certificate.key)
  }

  afterAll(() => Fs.rmSync(folder, { recursive: true }))

  it("serves the page's host feed over wss, drains on SIGTERM with a hint and 4001, and exits with 0", async () => {
    const server = await start({ ...environment, GATEWAY_DRAIN_GRACE: "50 ms" })
    assert.match(server.output.stdout, /^[^\n]*https:\/\/127\.0\.0\.1:\d+\n$/)
    const client = await server.open("/ws?topics=host", { ca: certificate.cert })
    await until(() => client.messages("host")[0])
    server.signal("SIGTERM")
    await client.first("draining")
    assert.strictEqual((await client.closed).code, 4001)
    assert.strictEqual(await server.exited(28_000), 0)
    assert.notInclude(server.output.stderr, "PRIVATE")
  })

  it("a certificate without its key ends the start with one line that names the settings", async () => {
    const alone = await run({ GATEWAY_TLS_CERT: environment.GATEWAY_TLS_CERT })
    assert.deepStrictEqual([alone.code, alone.stdout], [1, ""])
    assert.match(alone.stderr, /^GATEWAY_TLS_KEY: [^\n]+\n$/)
    const other = await run({ ...environment, GATEWAY_TLS_KEY: file("other.pem", selfSigned().key) })
    assert.deepStrictEqual([other.code, other.stdout], [1, ""])
    assert.match(other.stderr, /^GATEWAY_TLS_CERT, GATEWAY_TLS_KEY: [^\n]+\n$/)
  })
})

describe("the start", () => {
  it("prints one line with the address, and nothing else on stdout", async () => {
    const server = await start({ LOG_LEVEL: "debug" })
    await server.get("/health")
    assert.match(server.output.stdout, /^[^\n]*http:\/\/127\.0\.0\.1:\d+\n$/)
  })

  it("--help lists every setting and exits with 0", async () => {
    const { code, stderr, stdout } = await run({ PORT: "nonsense" }, "--help")
    assert.strictEqual(code, 0)
    assert.strictEqual(stderr, "")
    for (const key of ["PORT", "HOST", "GATEWAY_MAX_PAYLOAD", "GATEWAY_ALLOWED_ORIGINS", "LOG_LEVEL"]) {
      assert.include(stdout, `  ${key}\n`)
    }
  })

  it("an unknown argument ends with one line and code 1", async () => {
    const { code, stderr, stdout } = await run({}, "--frobnicate")
    assert.deepStrictEqual([code, stdout], [1, ""])
    assert.match(stderr, /^[^\n]*--frobnicate[^\n]*\n$/)
  })

  for (
    const [key, value] of [["PORT", "99999"], ["GATEWAY_SEND_TIMEOUT", "-5 seconds"], ["LOG_FORMAT", "x"]] as const
  ) {
    it(`a bad ${key} ends the start with one line that names it and code 1`, async () => {
      const { code, stderr, stdout } = await run({ [key]: value })
      assert.deepStrictEqual([code, stdout], [1, ""])
      assert.match(stderr, new RegExp(`^${key}: [^\\n]+\\n$`))
    })
  }

  it("a port in use ends the start with one line that names it and code 1", async () => {
    const other = Net.createServer().listen(0, "127.0.0.1")
    await until(() => other.listening || undefined)
    const { code, stderr, stdout } = await run({ PORT: String((other.address() as Net.AddressInfo).port) })
    other.close()
    assert.deepStrictEqual([code, stdout], [1, ""])
    assert.match(stderr, /^PORT[^\n]*EADDRINUSE[^\n]*\n$/)
  })

  it("settings reach the sessions: an allowed origin, the payload limit, the number of sessions", async () => {
    const server = await start({
      GATEWAY_ALLOWED_ORIGINS: "https://app.example",
      GATEWAY_MAX_PAYLOAD: "100",
      GATEWAY_MAX_SESSIONS: "2"
    })
    const client = await server.open("/echo", { origin: "https://app.example" })
    const other = await server.open("/echo", { origin: server.url })
    assert.strictEqual(await server.connect("/echo").refused, 503)
    client.ws.send("x".repeat(100))
    await until(() => client.raw[0])
    client.ws.send("x".repeat(101))
    assert.strictEqual((await client.closed).code, 1009)
    other.ws.close()
  })

  it("limits of one client: sessions per address behind a proxy, and what it may send", async () => {
    const server = await start({
      GATEWAY_MAX_SESSIONS_PER_ADDRESS: "1",
      GATEWAY_TRUSTED_PROXIES: "1",
      GATEWAY_INBOUND_MESSAGES: "10",
      GATEWAY_INBOUND_EXCESS: "disconnect"
    })
    const from = (address: string) => ({ headers: { "x-forwarded-for": address } })
    const client = await server.open("/echo", from("192.0.2.1"))
    assert.strictEqual(await server.connect("/echo", from("9.9.9.9, 192.0.2.1")).refused, 429)
    const other = await server.open("/echo", from("192.0.2.2"))
    for (let i = 0; i < 50; i++) client.ws.send("x")
    assert.strictEqual((await client.closed).code, 4029)
    const admission = await until(async () => {
      const { admission } = await server.json("/stats")
      return admission.leases === 1 ? admission : undefined
    })
    assert.deepInclude(admission, { admitted: 2, addresses: 1 })
    other.ws.close()
  })

  it("timeouts of the configuration end sessions with their code", async () => {
    const server = await start({ GATEWAY_IDLE_TIMEOUT: "500 ms", GATEWAY_HEARTBEAT_INTERVAL: "off" })
    const client = await server.open("/ws")
    assert.strictEqual((await client.closed).code, 1001)
  })
})

/** Fills the outbox of everybody who reads `flood` and does not read. */
const flood = async (server: Server) => {
  for (let i = 0; i < 12; i++) {
    await Promise.all(Array.from({ length: 64 }, () => server.publish("flood", { data: "x".repeat(16_000) })))
  }
}

const openAll = async (server: Server, count: number, path: string): Promise<ReadonlyArray<Client>> => {
  const clients = await Promise.all(Array.from({ length: count }, () => server.open(path)))
  await Promise.all(clients.map((client) => client.first("welcome")))
  return clients
}

const seconds = (from: number) => (performance.now() - from) / 1000

describe("a signal", () => {
  it("SIGTERM: health turns 503, clients are told and flushed and closed with 4001, exit 0 with stalled clients", async () => {
    const server = await start({ GATEWAY_DRAIN_BUDGET: "15 seconds", GATEWAY_DRAIN_GRACE: "1 second" })
    const readers = await openAll(server, 20, "/ws?topics=news")
    const stalled = await openAll(server, 5, "/ws?topics=flood")
    for (const client of stalled) client.stall()
    await flood(server)
    const begin = performance.now()
    server.signal("SIGTERM")
    const health = await until(async () => {
      const response = await server.get("/health")
      return response.status === 503 ? response.json() : undefined
    })
    assert.strictEqual((health as any).status, "draining")
    assert.strictEqual(await server.connect("/ws").refused, 503)
    assert.strictEqual((await server.publish("news", { lane: "critical", data: "last words" })).status, 202)
    for (const client of readers) {
      assert.deepStrictEqual(await client.closed, { code: 4001, reason: "draining" })
      const notice = client.of("draining")[0]
      assert.isNumber(notice.afterMs)
      assert.isAbove(notice.jitterMs, 0)
      assert.strictEqual(client.messages("news")[0].data, "last words")
    }
    assert.strictEqual(await server.exited(20_000), 0)
    assert.isBelow(seconds(begin), 15)
    assert.isAbove(seconds(begin), 1)
    for (const client of stalled) client.ws.terminate()
  })

  it("A005 SIGINT drains as SIGTERM does; what is queued is flushed by lane", async () => {
    const server = await start({ GATEWAY_DRAIN_GRACE: "500 ms" })
    const [client] = await openAll(server, 1, "/ws?topics=q") as [Client]
    client.stall()
    for (let i = 0; i < 400; i++) {
      await server.publish("q", { lane: i % 2 === 0 ? "bulk" : "critical", data: { i, text: "x".repeat(12_000) } })
    }
    server.signal("SIGINT")
    await sleep(700)
    client.ws.resume()
    assert.strictEqual((await client.closed).code, 4001)
    assert.strictEqual(client.of("draining").length, 1)
    const critical = client.messages("q").filter(({ lane }) => lane === "critical")
    assert.isAbove(critical.length, 50)
    assert.isTrue(critical.every(({ seq }, i) => seq === i + 1))
    const afterNotice = client.frames.slice(client.frames.findIndex(({ type }) => type === "draining"))
    const lanes = afterNotice.filter(({ type }) => type === "message").map(({ lane }) => lane)
    assert.isAtMost(lanes.lastIndexOf("critical"), lanes.includes("bulk") ? lanes.indexOf("bulk") : lanes.length)
    assert.strictEqual(await server.exited(10_000), 0)
  })

  it("a second signal shortens the budgets", async () => {
    const server = await start({ GATEWAY_DRAIN_GRACE: "20 seconds" })
    const [reader] = await openAll(server, 1, "/ws") as [Client]
    const [stalled] = await openAll(server, 1, "/ws?topics=flood") as [Client]
    stalled.stall()
    await flood(server)
    server.signal("SIGTERM")
    await reader.first("draining")
    const begin = performance.now()
    server.signal("SIGTERM")
    assert.strictEqual((await reader.closed).code, 4001)
    assert.strictEqual(await server.exited(10_000), 0)
    assert.isBelow(seconds(begin), 4)
    stalled.ws.terminate()
  })

  it("without clients the end is immediate", async () => {
    const server = await start()
    const begin = performance.now()
    server.signal("SIGTERM")
    assert.strictEqual(await server.exited(5_000), 0)
    assert.isBelow(seconds(begin), 1.5)
  })

  it("is heard from the moment at which the address is printed", async () => {
    for (let i = 0; i < 3; i++) {
      const server = await start()
      server.signal("SIGTERM")
      assert.strictEqual(await server.exited(5_000), 0)
    }
  })

  it("a client that holds an unfinished request does not hold the process", async () => {
    const server = await start()
    const socket = Net.connect(server.port, "127.0.0.1")
    socket.on("error", () => {})
    await new Promise((resolve) => socket.write("GET /health HTTP/1.1\r\nHost: x\r\n", resolve))
    await sleep(100)
    server.signal("SIGTERM")
    assert.strictEqual(await server.exited(8_000), 0)
    socket.destroy()
  })
})
