/**
 * The wire contract, sentence by sentence, against the real program and real clients.
 */
import * as Net from "node:net"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { build, isContiguous, Server, sleep, until } from "./support.js"

let server: Server

beforeAll(async () => {
  build()
  server = await Server.start({ GATEWAY_HEARTBEAT_INTERVAL: "300 ms", GATEWAY_ALERT_MEMORY: "0.0001" })
})

afterAll(() => server?.stop())

const handshake = (path: string, ...headers: ReadonlyArray<string>) =>
  [`GET ${path} HTTP/1.1`, "Host: 127.0.0.1", "Connection: Upgrade", "Upgrade: websocket", ...headers, "", ""].join(
    "\r\n"
  )

const key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="

const version = "Sec-WebSocket-Version: 13"

describe("HTTP routes", () => {
  it("health answers 200 with status ok", async () => {
    const response = await server.get("/health")
    assert.strictEqual(response.status, 200)
    assert.strictEqual((await response.json() as any).status, "ok")
  })

  it("metrics are Prometheus text", async () => {
    const response = await server.get("/metrics")
    const text = await response.text()
    assert.include(response.headers.get("content-type") ?? "", "text/plain; version=0.0.4")
    assert.match(text, /^# TYPE gateway_uncaught_errors counter$/m)
    assert.match(text, /^spillway_\w+(\{.*\})? [0-9.e+-]+$/m)
    for (const line of text.trimEnd().split("\n")) assert.match(line, /^(# (HELP|TYPE) \w+ .+|\w+(\{.*\})? \S+)$/)
  })

  it("the page and its files come from this server alone", async () => {
    for (
      const [path, type] of [["/", "text/html"], ["/page.js", "text/javascript"], ["/page.css", "text/css"]] as const
    ) {
      const response = await server.get(path)
      assert.strictEqual(response.status, 200)
      assert.include(response.headers.get("content-type") ?? "", type)
      assert.notMatch(await response.text(), /(src|href|@import|url\()\s*=?\s*["'(]?(https?:)?\/\//)
    }
  })

  it("stats is a snapshot of sessions, fibers, lanes, exits, stuck tasks, uncaught errors and the event loop", async () => {
    const stats = await server.json("/stats")
    for (const field of ["sessions", "stuckTasks", "uncaughtErrors"]) assert.isNumber(stats[field], field)
    for (const field of ["fibers", "outbox", "exits", "eventLoopDelay"]) assert.isObject(stats[field], field)
    assert.containsAllKeys(stats.lanes.bulk, ["offered", "sent", "evicted", "rejected", "conflated", "expired"])
    assert.isNumber(stats.eventLoopDelay.maxMillis)
  })

  it("an unknown path is answered 404, to a plain request and to an upgrade", async () => {
    assert.strictEqual((await server.get("/nowhere")).status, 404)
    assert.strictEqual(await server.connect("/nowhere").refused, 404)
  })

  it("a WebSocket route without an upgrade is answered 426", async () => {
    assert.strictEqual((await server.get("/ws")).status, 426)
  })
})

describe("publishing over HTTP", () => {
  it("a publication is answered 202 with what became of it", async () => {
    const client = await server.open("/ws?topics=post")
    await client.first("welcome")
    const response = await server.publish("post", { lane: "critical", key: "k", data: { x: 1 } })
    assert.strictEqual(response.status, 202)
    assert.deepStrictEqual(await response.json(), { sessions: 1, queued: 1, evicted: 0, conflated: 0, rejected: 0 })
    await until(() => client.messages("post")[0])
    assert.deepStrictEqual(client.messages("post"), [
      { type: "message", topic: "post", lane: "critical", seq: 1, data: { x: 1 } }
    ])
    client.ws.close()
  })

  it("a topic without subscribers takes a publication", async () => {
    assert.strictEqual((await (await server.publish("nobody", { data: null })).json() as any).sessions, 0)
  })

  it("a bad body is answered 400 with the schema's message", async () => {
    for (const [body, part] of [["nope", "not JSON"], [{}, "data"], [{ lane: "fast", data: 1 }, "\"fast\""]] as const) {
      const response = await server.publish("post", body)
      assert.strictEqual(response.status, 400)
      assert.include((await response.json() as any).error, part)
    }
  })

  it("a bad topic is answered 400, a body that is too large 413, another site's page 403", async () => {
    assert.strictEqual((await server.publish("a%20b", { data: 1 })).status, 400)
    assert.strictEqual((await server.publish("post", { data: "x".repeat(70_000) })).status, 413)
    assert.strictEqual((await server.publish("post", { data: 1 }, { origin: "http://evil.example" })).status, 403)
  })
})

describe("sessions", () => {
  it("the first frame is the welcome with the session's id and topics", async () => {
    const client = await server.open("/ws?topics=host,a")
    await client.first("message")
    assert.strictEqual(client.frames[0].type, "welcome")
    assert.isString(client.frames[0].session)
    assert.deepStrictEqual(client.frames[0].topics, ["host", "a"])
    client.ws.close()
  })

  it("the topic host has this machine's load, memory, event-loop delay and network, in bulk, changing", async () => {
    const client = await server.open("/ws?topics=host")
    const metrics = ["load", "memory", "event loop delay", "network in", "network out"]
    await until(() =>
      metrics.every((name) => client.messages("host").some(({ data }) => data.metric === name)) || undefined
    )
    assert.isTrue(client.messages("host").every(({ lane }) => lane === "bulk"))
    await sleep(1_000)
    const times = new Set(client.messages("host").map(({ data }) => data.timestamp))
    assert.isAtLeast(times.size, 6)
    client.ws.close()
  })

  it("alerts come in critical when a threshold is crossed, also to who subscribes later", async () => {
    const client = await server.open("/ws")
    client.say({ type: "subscribe", topics: ["alerts"] })
    const alert = await until(() => client.messages("alerts").find(({ data }) => data.metric === "memory"))
    assert.strictEqual(alert.lane, "critical")
    assert.strictEqual(alert.data.state, "raised")
    assert.isAbove(alert.data.value, alert.data.threshold)
    client.ws.close()
  })

  it("heartbeats come at their interval", async () => {
    const client = await server.open("/ws")
    await until(() => client.of("heartbeat").length >= 2 || undefined)
    assert.containsAllKeys(client.of("heartbeat")[0], ["timestamp", "streamId", "queueSize", "status"])
    client.ws.close()
  })

  it("a client subscribes, publishes in important by default or in bulk, and unsubscribes", async () => {
    const [a, b] = [await server.open("/ws?topics=talk"), await server.open("/ws")]
    await a.first("welcome")
    b.say({ type: "subscribe", topics: ["talk"] })
    b.say({ type: "publish", topic: "talk", data: 1 })
    b.say({ type: "publish", topic: "talk", lane: "bulk", key: "k", data: { two: 2 } })
    await b.handled()
    b.say({ type: "unsubscribe", topics: ["talk"] })
    b.say({ type: "publish", topic: "talk", data: 3 })
    await b.handled()
    await until(() => a.messages("talk").length === 3 || undefined)
    assert.deepStrictEqual(b.messages("talk").map(({ lane, seq, data }) => ({ lane, seq, data })), [
      { lane: "important", seq: 1, data: 1 },
      { lane: "bulk", seq: 1, data: { two: 2 } }
    ])
    assert.deepStrictEqual(a.messages("talk").map(({ seq }) => seq), [1, 1, 2])
    a.ws.close()
    b.ws.close()
  })

  it("every ping has its pong", async () => {
    const client = await server.open("/ws")
    for (let i = 0; i < 50; i++) client.say({ type: "ping" })
    await until(() => client.of("pong").length === 50 || undefined)
    assert.deepStrictEqual(client.of("pong")[0], { type: "pong" })
    client.ws.close()
  })

  it("the numbers of a lane grow by one with each message, over all topics of the session", async () => {
    const client = await server.open("/ws?topics=m,n")
    for (let i = 0; i < 200; i++) client.say({ type: "publish", topic: i % 2 === 0 ? "m" : "n", data: i })
    await until(() => client.of("message").length === 200 || undefined)
    assert.isTrue(isContiguous(client.of("message").map(({ seq }) => seq)))
    client.ws.close()
  })

  it("frames sent in the same packet as the handshake are handled", async () => {
    const client = server.connect("/ws?topics=early")
    client.ws.on("open", () => client.say({ type: "publish", topic: "early", data: 1 }))
    assert.strictEqual((await until(() => client.messages("early")[0])).data, 1)
    client.ws.close()
  })
})

describe("frames that do not fit", () => {
  const bad = [
    "nope",
    "[]",
    `{"type":"shout"}`,
    `{"type":"publish","topic":"t","lane":"critical","data":1}`,
    `{"type":"subscribe","topics":[" "]}`,
    `{"type":"publish","topic":"t","data":${"[".repeat(5000)}`
  ]

  it("each gets one error, and the session stays", async () => {
    const client = await server.open("/ws?topics=t")
    for (const [i, text] of bad.entries()) {
      client.say(text)
      await client.handled()
      assert.strictEqual(client.of("error").length, i + 1, text)
    }
    for (const error of client.of("error")) {
      assert.strictEqual(error.code, "bad_frame")
      assert.isString(error.message)
    }
    client.say({ type: "publish", topic: "t", data: "still here" })
    assert.strictEqual((await until(() => client.messages("t")[0])).data, "still here")
    client.ws.close()
  })

  it("a client that says nonsense and reads late is slowed down, and gets one error for each frame", async () => {
    const client = await server.open("/ws")
    client.stall()
    const count = 20_000
    const nonsense = "x".repeat(1_000)
    for (let i = 0; i < count; i++) client.say(nonsense)
    await sleep(1_000)
    assert.isAtMost((await server.json("/stats")).outbox.bytes, 3 * 65_536)
    client.ws.resume()
    await until(() => client.of("error").length >= count || undefined, 30_000)
    await client.handled()
    assert.strictEqual(client.of("error").length, count)
    client.ws.close()
  })

  it("a client cannot publish what only the server says", async () => {
    const client = await server.open("/ws")
    client.say({ type: "publish", topic: "alerts", data: "fire" })
    assert.strictEqual((await client.first("error")).code, "topic_reserved")
    client.ws.close()
  })

  it("more topics than a session may have get one error and change nothing", async () => {
    const client = await server.open("/ws")
    for (const part of ["a", "b"]) {
      client.say({ type: "subscribe", topics: Array.from({ length: 100 }, (_, i) => `${part}${i}`) })
    }
    assert.strictEqual((await client.first("error")).code, "too_many_topics")
    await client.handled()
    assert.strictEqual(client.of("error").length, 1)
    client.ws.close()
  })

  it("a binary frame closes with 1003", async () => {
    const client = await server.open("/ws")
    client.ws.send(Buffer.from([1, 2, 3]))
    assert.strictEqual((await client.closed).code, 1003)
  })

  it("a message above the payload limit closes with 1009", async () => {
    for (const path of ["/ws", "/echo"]) {
      const client = await server.open(path)
      client.ws.send("x".repeat(65_537))
      assert.strictEqual((await client.closed).code, 1009)
    }
  })

  it("a bad topic in the address is answered 400 before the upgrade", async () => {
    assert.strictEqual(await server.connect("/ws?topics=a%20b").refused, 400)
  })
})

describe("handshakes", () => {
  it("the page's own origin and no origin are let in, any other is refused with 403 before the upgrade", async () => {
    const opened = (await server.json("/stats")).opened
    for (const path of ["/ws", "/echo"]) {
      assert.strictEqual(await server.connect(path, { origin: "http://evil.example" }).refused, 403)
      assert.strictEqual(await server.connect(path, { origin: "null" }).refused, 403)
    }
    assert.strictEqual((await server.json("/stats")).opened, opened)
    const own = await server.open("/ws", { origin: server.url })
    own.ws.close()
    assert.strictEqual((await own.closed).code, 1005)
  })

  it("a malformed handshake is answered with a status and costs nothing", async () => {
    const cases = [
      [handshake("/ws", version), "400"],
      [handshake("/ws", version, "Sec-WebSocket-Key: short"), "400"],
      [handshake("/ws", key, "Sec-WebSocket-Version: 8"), "426"],
      [handshake("/ws", key, version).replace("GET", "POST"), "40"],
      [handshake("/ws", key, version).replace("HTTP/1.1", "HTTP/1.0"), "4"],
      ["GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", "400"],
      ["\0\0\0 garbage\r\n\r\n", "400"]
    ] as const
    for (const [text, status] of cases) {
      const answer = await server.raw(text)
      assert.isTrue(answer.startsWith(`HTTP/1.1 ${status}`), `${text} was answered ${answer}`)
    }
  })

  it("handshakes that are reset, close half-way or stay unfinished leave nothing behind", async () => {
    const before = await server.json("/stats")
    const text = handshake("/ws", key, version)
    const sockets = Array.from({ length: 150 }, (_, i) => {
      const socket = Net.connect(server.port, "127.0.0.1")
      socket.on("error", () => {})
      socket.on("connect", () => {
        if (i % 3 === 0) socket.write(text, () => socket.resetAndDestroy())
        else if (i % 3 === 1) socket.end(text.slice(0, 60))
        else socket.write(text.slice(0, 60))
      })
      return socket
    })
    await sleep(300)
    const fresh = await server.open("/ws")
    await fresh.first("welcome")
    fresh.ws.close()
    for (const socket of sockets) socket.destroy()
    const after = await until(async () => {
      const stats = await server.json("/stats")
      return stats.sessions <= before.sessions ? stats : undefined
    })
    assert.strictEqual(after.uncaughtErrors, 0)
    assert.deepStrictEqual(after.fibers, before.fibers)
  })
})

describe("echo", () => {
  it("text and binary come back unchanged, in order, up to the payload limit", async () => {
    const client = await server.open("/echo")
    const sent = [
      Buffer.from("text é 😀"),
      Buffer.alloc(0),
      Buffer.from([0, 255, 1, 254]),
      Buffer.alloc(65_536, 97),
      ...Array.from({ length: 300 }, (_, i) => Buffer.from(`${i}`))
    ]
    for (const [i, data] of sent.entries()) client.ws.send(data, { binary: i % 2 === 0 })
    await until(() => client.raw.length === sent.length || undefined)
    for (const [i, data] of sent.entries()) {
      assert.isTrue(client.raw[i]!.data.equals(data), `message ${i}`)
      assert.strictEqual(client.raw[i]!.binary, i % 2 === 0)
    }
    client.ws.close()
  })

  it("a flood of a client that reads late is slowed down, not shed", async () => {
    const client = await server.open("/echo")
    client.stall()
    const count = 1_500
    for (let i = 0; i < count; i++) client.ws.send(Buffer.alloc(16_384, i % 256))
    await sleep(1_000)
    // The bound, what is below the lanes, and the control reserve.
    assert.isAtMost((await server.json("/stats")).outbox.bytes, 1_048_576 + 2 * 65_536)
    client.ws.resume()
    await until(() => client.raw.length === count || undefined, 30_000)
    assert.isTrue(client.raw.every(({ data }, i) => data.length === 16_384 && data[0] === i % 256))
    client.ws.close()
  })
})

describe("the end of sessions", () => {
  it("when the clients are gone no session, fiber or subscription is left", async () => {
    const stats = await until(async () => {
      const stats = await server.json("/stats")
      return stats.sessions === 0 ? stats : undefined
    })
    assert.deepStrictEqual(stats.fibers, {})
    assert.deepStrictEqual(stats.topics, { topics: 0, subscriptions: 0 })
    assert.strictEqual(stats.outbox.items, 0)
    assert.isAbove(stats.exits.Disconnected, 10)
    assert.strictEqual(stats.stuckTasks, 0)
    assert.strictEqual(stats.uncaughtErrors, 0)
  })
})
