import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { precedence } from "../src/Exit.js"
import { SessionTimers, type TimedSession } from "../src/internal/sessionTimers.js"
import { Slow } from "../src/internal/slow.js"
import * as Message from "../src/Message.js"
import { defaults } from "../src/SessionOptions.js"
import {
  advance,
  bulk,
  clog,
  endOf,
  important,
  type Pair,
  payload,
  type Rig,
  settle,
  test,
  texts,
  watch,
  withRig
} from "./support.js"

const off = Duration.infinity

describe("life of the peer", () => {
  test(
    "A107 a frame every 30 s for an hour never ends the session",
    { session: { pingInterval: off } },
    (rig) =>
      Effect.gen(function*() {
        const { client, session } = yield* rig.open((session) => session.runForEach(() => Effect.void))
        yield* Effect.repeatN(Effect.zipRight(client.send("heartbeat"), advance("30 seconds")), 119)
        assert.strictEqual(session.state, "open")
      })
  )

  test(
    "A107 a frame after 299,999 ms starts the 300 s anew",
    { session: { pingInterval: off } },
    (rig) =>
      Effect.gen(function*() {
        const { client, session } = yield* rig.open((session) => session.runForEach(() => Effect.void))
        const awaitEnding = yield* watch(session)
        yield* advance(299_999)
        yield* client.send("here")
        assert.strictEqual((yield* awaitEnding).tookMillis, 299_999 + 300_000)
      })
  )

  test("a peer that answers pings lives for ever, and is pinged every 25 s", {}, (rig) =>
    Effect.gen(function*() {
      const { client, session } = yield* rig.open()
      yield* advance("1 hour")
      assert.strictEqual(session.state, "open")
      const pings = yield* client.pingCount
      assert.isAtLeast(pings, 143)
      assert.isAtMost(pings, 144)
    }))

  test("a silent peer is found out within ping interval and pong timeout", {}, (rig) =>
    Effect.gen(function*() {
      const { client, session } = yield* rig.open(undefined, { noPong: true })
      const { report, tookMillis } = yield* endOf(session, Effect.void)
      assert.deepStrictEqual(report.exit, { _tag: "ReceiveTimeout", waitedFor: "pong" })
      assert.isAtLeast(tookMillis, 12_500 + 10_000)
      assert.isAtMost(tookMillis, 37_500 + 10_000)
      yield* settle
      assert.strictEqual((yield* client.ended)?.code, 1011)
    }))

  test("first pings are spread over half to one and a half interval", {}, (rig) =>
    Effect.gen(function*() {
      const pairs = yield* Effect.all(Effect.replicate(rig.open(), 100))
      const pinged = Effect.map(Effect.forEach(pairs, ({ client }) => client.pingCount), (counts) =>
        counts.filter((n) => n > 0).length)
      yield* advance(12_499)
      assert.strictEqual(yield* pinged, 0)
      yield* advance(12_500)
      const half = yield* pinged
      assert.isTrue(half > 20 && half < 80, `${half} of 100`)
      yield* advance(12_501)
      assert.strictEqual(yield* pinged, 100)
    }))

  test("while reading is paused no pong is waited for", {
    session: { inboxItemsMax: 1, pingInterval: "5 seconds", pongTimeout: "1 second" }
  }, (rig) =>
    Effect.gen(function*() {
      const { client, session } = yield* rig.open()
      yield* client.send("fills the inbox")
      yield* advance("100 seconds")
      assert.strictEqual(session.state, "open")
      yield* session.receive
      yield* advance("100 seconds")
      assert.strictEqual(session.state, "open")
    }))

  test("idle: traffic in either direction, and a pong, put it off; heartbeats do not", {
    session: { idleTimeout: "10 seconds", pingInterval: off, heartbeatInterval: "1 second" }
  }, (rig) =>
    Effect.gen(function*() {
      const { client, session } = yield* rig.open((session) => session.runForEach(() => Effect.void))
      const awaitEnding = yield* watch(session)
      yield* advance("9 seconds")
      yield* client.send("in")
      yield* advance("9 seconds")
      yield* session.send(bulk("out"))
      assert.strictEqual((yield* awaitEnding).tookMillis, 28_000)
    }))
})

describe("false alarms", () => {
  const clockless = (): { session: TimedSession; exits: Array<string> } => {
    const exits: Array<string> = []
    const session = {
      connection: { ping: () => {}, writeProgress: 0 },
      stats: {},
      writer: { inFlight: false, slow: new Slow() },
      inbox: { paused: false },
      unsafeOffer: () => {},
      requestEnd: (exit: { _tag: string }) => void exits.push(exit._tag),
      becameSlow: () => {},
      trim: () => {}
    } as unknown as TimedSession
    return { session, exits }
  }

  /** A ping went out at 10 s; its pong is due at 20 s. */
  const pinged = () => {
    const { exits, session } = clockless()
    const timers = new SessionTimers(defaults, 0, 10_000)
    timers.onDue(session, 10_000, 0)
    assert.strictEqual(timers.nextDueAt, 20_000)
    return { session, exits, timers }
  }

  it("a sweeper that wakes 2 s late does not reap a peer whose pong is still unread", () => {
    const { exits, session, timers } = pinged()
    timers.onDue(session, 22_000, 2_000)
    timers.heard(22_001)
    timers.onDue(session, timers.nextDueAt, 0)
    assert.deepStrictEqual(exits, [])
  })

  it("a sweeper that wakes late gives one more second, once, also when it is late again", () => {
    const { exits, session, timers } = pinged()
    timers.onDue(session, 22_000, 2_000)
    assert.strictEqual(timers.nextDueAt, 23_000)
    assert.deepStrictEqual(exits, [])
    timers.onDue(session, 25_000, 2_000)
    assert.deepStrictEqual(exits, ["ReceiveTimeout"])
  })

  it("whoever is given up for a stalled send was marked slow first, also by a sweeper that is late", () => {
    const { exits, session } = clockless()
    const timers = new SessionTimers(defaults, 0, 10_000)
    timers.sendStarted(0, 0)
    timers.onDue(session, 1_000, 0)
    timers.onDue(session, 6_000, 4_000)
    assert.deepStrictEqual([session.writer.slow.isSlow, exits], [true, ["SendTimeout"]])
  })

  it("a sweeper that is in time reaps at once", () => {
    const { exits, session, timers } = pinged()
    timers.onDue(session, 20_000, 0)
    assert.deepStrictEqual(exits, ["ReceiveTimeout"])
  })

  it("among the exits only disconnect and crash have a precedence of their own", () => {
    assert.deepStrictEqual([precedence({ _tag: "IdleTimeout" }), precedence({ _tag: "SendTimeout" })], [2, 2])
  })
})

/** One message that takes exactly so long: 1 byte per millisecond beyond a socket buffer of one byte. */
const link = { toClient: { capacityBytes: 1, bytesPerSecond: 1000 } }
const sendOf = (millis: number) => important(payload(millis > 126 ? millis - 4 + 1 : millis - 2 + 1))

/** One send at a time, each timed. */
const sends = (pair: Pair, millis: number, count: number, every: Duration.DurationInput = "2 seconds") =>
  Effect.repeatN(Effect.all([caughtUp(pair), pair.session.send(sendOf(millis)), advance(every)]), count - 1)

/** Has the memory transport notice the time before it is written to. */
const caughtUp = ({ client }: Pair) => client.setRead(Infinity)

const slowOf = (rig: Rig) => rig.logged.filter((line) => line.startsWith("session is slow")).length

describe("slow peers", () => {
  test(
    "A029 a send of 500 ms is not slow, one of 501 ms is, and the sixth marks the session, with one log line",
    {},
    (rig) =>
      Effect.gen(function*() {
        const pair = yield* rig.open(undefined, link)
        yield* sends(pair, 500, 1)
        assert.deepInclude(pair.session.stats, { sendMillisMean: 500, slowEvents: 0 })
        yield* sends(pair, 501, 5)
        assert.deepInclude(pair.session.stats, { slowEvents: 5, slow: false })
        yield* sends(pair, 501, 1)
        assert.deepInclude(pair.session.stats, { slowEvents: 6, slow: true })
        yield* sends(pair, 501, 1)
        assert.strictEqual(slowOf(rig), 1)
        assert.strictEqual((yield* rig.snapshot).totals.slowSessions, 1)
      })
  )

  test("A030 ten fast sends clear the mark", {}, (rig) =>
    Effect.gen(function*() {
      const pair = yield* rig.open(undefined, link)
      yield* sends(pair, 501, 6)
      yield* sends(pair, 100, 9)
      assert.isTrue(pair.session.slow)
      yield* sends(pair, 100, 1)
      assert.isFalse(pair.session.slow)
    }))

  test("A030 one slow send an hour for a day never marks the session", {
    session: { pingInterval: off, receiveTimeout: off }
  }, (rig) =>
    Effect.gen(function*() {
      const pair = yield* rig.open(undefined, link)
      yield* sends(pair, 900, 24, "1 hour")
      assert.deepInclude(pair.session.stats, { slowEvents: 24, slow: false })
    }))

  test(
    "A031 slow and pressure do not touch each other",
    { session: { outboxItemsMax: 10 } },
    (rig) =>
      Effect.gen(function*() {
        const pair = yield* rig.open(undefined, link)
        yield* sends(pair, 501, 6)
        for (let i = 0; i < 9; i++) pair.session.unsafeOffer(bulk("x"))
        assert.deepStrictEqual([pair.session.slow, pair.session.pressure], [true, true])
        yield* advance("1 second")
        assert.deepStrictEqual([pair.session.slow, pair.session.pressure], [true, false])
      })
  )

  test("slow sends end the session with 4008 where the options say so", {
    session: { slowConsumer: "disconnect", slowEventsMax: 1 }
  }, (rig) =>
    Effect.gen(function*() {
      const pair = yield* rig.open(undefined, link)
      const { report } = yield* endOf(pair.session, sends(pair, 600, 2))
      assert.deepStrictEqual(report.exit, { _tag: "SlowConsumer", why: "slow sends" })
      assert.strictEqual((yield* pair.client.awaitEnd).code, 4008)
    }))
})

describe("send timeout", () => {
  test(
    "A032 a write that makes any progress is not given up, however long it takes",
    {},
    (rig) =>
      Effect.gen(function*() {
        const { client, session } = yield* rig.open(undefined, { capacityBytes: 1_000, bytesPerSecond: 1_000 })
        yield* session.send(important(payload(60_000)))
        yield* advance("62 seconds")
        assert.strictEqual(session.state, "open")
        assert.strictEqual(yield* client.receivedCount, 1)
      })
  )

  // Found by seed 1: the last of it was in the socket buffer, the ping behind it, when the pong was due.
  it.scoped("A032 nor is its peer taken for dead, whenever the ping behind it went out", () =>
    Effect.forEach(
      Array.from({ length: 6 }, (_, seed) => seed),
      (seed) =>
        withRig({ seed }, (rig) =>
          Effect.gen(function*() {
            const { client, session } = yield* rig.open(undefined, { capacityBytes: 5_000, bytesPerSecond: 1_000 })
            yield* session.send(important(payload(60_000)))
            yield* advance("66 seconds")
            assert.strictEqual(session.state, "open", `seed ${seed}`)
            assert.strictEqual(yield* client.receivedCount, 1)
          })),
      { discard: true }
    ))

  test(
    "A032 A033 a stalled peer ends after 5 s, delays no other session, and nothing is written twice",
    {},
    (rig) =>
      Effect.gen(function*() {
        const stalled = yield* rig.open()
        const other = yield* rig.open()
        yield* clog(stalled)
        const awaitEnding = yield* watch(stalled.session)
        yield* Effect.repeatN(Effect.zipRight(other.session.send(bulk("tick")), advance("1 second")), 9)
        const { report, tookMillis } = yield* awaitEnding
        assert.deepStrictEqual([report.exit._tag, tookMillis], ["SendTimeout", 5_000 + 2_000])
        assert.deepStrictEqual(report.phases.flush, "skipped")
        assert.isTrue((yield* other.client.received).every(({ at }) => at % 1000 === 0))
        yield* stalled.client.unstall
        yield* settle
        assert.deepStrictEqual(yield* texts(stalled.client), [])
      })
  )
})

describe("heartbeat", () => {
  const options = { heartbeatInterval: "30 seconds", pingInterval: off } as const

  test(
    "A035 every 30 s, in control, ahead of what is queued, none after the close",
    { session: options },
    (rig) =>
      Effect.gen(function*() {
        const { client, session } = yield* rig.open()
        yield* advance("90 seconds")
        const beats = (yield* texts(client)).map((text) => JSON.parse(text) as Record<string, unknown>)
        assert.deepStrictEqual(beats[2], {
          type: "heartbeat",
          timestamp: 90_000,
          streamId: session.id,
          queueSize: 0,
          status: "connected"
        })
        assert.deepStrictEqual([beats.length, session.stats.lastHeartbeatAt], [3, 90_000])
        yield* endOf(session, session.close())
        yield* advance("90 seconds")
        assert.strictEqual(yield* client.receivedCount, 3)
      })
  )

  test(
    "of heartbeats that cannot go out only the newest waits",
    { session: { ...options, sendTimeout: "1 hour" } },
    (rig) =>
      Effect.gen(function*() {
        const pair = yield* rig.open()
        yield* clog(pair)
        yield* advance("250 seconds")
        assert.deepInclude(pair.session.stats.lanes.control, { offered: 8, conflated: 7, queued: 1 })
        yield* pair.client.unstall
      })
  )

  test("a heartbeat that throws ends its own session and no other's timers", {
    session: {
      ...options,
      heartbeat: (stats) => {
        if (stats.openedAt === 0) throw new Error("no")
        return Message.text("beat")
      }
    }
  }, (rig) =>
    Effect.gen(function*() {
      const first = yield* rig.open()
      yield* advance(1)
      const second = yield* rig.open()
      yield* advance("61 seconds")
      assert.deepStrictEqual((yield* first.client.ended)?.code, 1011)
      assert.deepStrictEqual(yield* texts(second.client), ["beat", "beat"])
    }))
})
