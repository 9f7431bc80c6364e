import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Frame from "../src/Frame.js"
import * as Message from "../src/Message.js"
import * as Outcome from "../src/Outcome.js"
import * as Overflow from "../src/Overflow.js"
import * as Session from "../src/Session.js"
import {
  advance,
  bulk,
  clog,
  control,
  critical,
  endOf,
  important,
  openFull,
  payload,
  settle,
  test,
  texts
} from "./support.js"

const small = { outboxItemsMax: 10 }

describe("state", () => {
  test(
    "A025 a session is open, then draining, closing and closed, each once and in this order",
    {},
    (rig) =>
      Effect.gen(function*() {
        const states: Array<Session.State> = []
        const { session } = yield* rig.open(
          (session) => Effect.zipRight(session.fork("worker", "lifetime", Effect.never), Effect.never),
          { neverCloses: true }
        )
        assert.isTrue(Session.isSession(session))
        const note = Effect.sync(() => states.at(-1) === session.state ? 0 : states.push(session.state))
        yield* note
        yield* endOf(
          session,
          Effect.zipRight(session.close(), Effect.repeatN(Effect.zipRight(advance("1 second"), note), 35))
        )
        assert.deepStrictEqual(states, ["open", "draining", "closing", "closed"])
        assert.strictEqual(Session.statusOf(session.stats), "disconnected")
      })
  )

  test(
    "A026 pressure begins above 0.7, not at it, and each beginning is counted once",
    { session: small },
    (rig) =>
      Effect.gen(function*() {
        const pair = yield* rig.open()
        yield* clog(pair)
        const { session } = pair
        for (let i = 0; i < 7; i++) session.unsafeOffer(important("x"))
        assert.deepStrictEqual([session.stats.fillRatio, session.pressure], [0.7, false])
        session.unsafeOffer(important("x"))
        session.unsafeOffer(important("x"))
        assert.deepStrictEqual([session.pressure, session.stats.pressureEvents], [true, 1])
        assert.strictEqual(Session.statusOf(session.stats), "backpressure")
        yield* pair.client.unstall
      })
  )

  test(
    "A027 above 0.9 bulk is refused and counted, more urgent lanes pass",
    { session: small },
    (rig) =>
      Effect.gen(function*() {
        const pair = yield* rig.open()
        yield* clog(pair)
        const { session } = pair
        for (let i = 0; i < 10; i++) session.unsafeOffer(bulk("x"))
        assert.deepStrictEqual(session.unsafeOffer(bulk("x")), { _tag: "Rejected", reason: "Pressure" })
        for (const make of [important, critical, control]) {
          assert.notStrictEqual(session.unsafeOffer(make("x"))._tag, "Rejected")
        }
        assert.strictEqual(session.stats.lanes.bulk.rejected, 1)
        yield* pair.client.unstall
      })
  )

  test(
    "A028 pressure ends at 0.5 and not before, and between the marks nothing changes",
    { session: small },
    (rig) =>
      Effect.gen(function*() {
        const pair = yield* rig.open()
        const { session } = pair
        yield* clog(pair)
        for (let i = 0; i < 8; i++) session.unsafeOffer(important(payload(600_00)))
        assert.isTrue(session.pressure)
        yield* pair.client.setRead(600_000)
        yield* pair.client.unstall
        const seen: Array<boolean> = []
        for (let i = 0; i < 200; i++) {
          yield* advance(10)
          if (session.stats.fillRatio <= 0.5 === session.pressure) assert.fail(`at ${session.stats.fillRatio}`)
          if (seen.at(-1) !== session.pressure) seen.push(session.pressure)
        }
        assert.deepStrictEqual(seen, [true, false])
      })
  )

  test("pressure ends when what was queued has expired", { session: small }, (rig) =>
    Effect.gen(function*() {
      const pair = yield* rig.open()
      yield* clog(pair)
      for (let i = 0; i < 9; i++) pair.session.unsafeOffer(bulk("x", { maxAge: "1 second" }))
      assert.isTrue(pair.session.pressure)
      yield* advance("2 seconds")
      yield* pair.client.unstall
      yield* settle
      assert.deepStrictEqual([pair.session.pressure, pair.session.stats.lanes.bulk.expired], [false, 9])
    }))

  test("A036 stats agree with what happened", {}, (rig) =>
    Effect.gen(function*() {
      const { client, session } = yield* rig.open((session) => Effect.zipRight(session.receive, Effect.never))
      yield* client.send("12345")
      yield* client.send("unread")
      yield* session.send(important("hello"))
      yield* settle
      const stats = session.stats
      assert.deepInclude(stats, { id: session.id, state: "open", queuedItems: 0, sentMessages: 1, sentBytes: 5 })
      assert.deepInclude(stats, { receivedMessages: 2, receivedBytes: 11, unreadMessages: 1, shedMessages: 0 })
      assert.deepInclude(stats, { pressureEvents: 0, slowEvents: 0, lastHeartbeatAt: undefined, openedAt: 0 })
      assert.deepStrictEqual(stats.tasks, ["handler"])
      assert.isFrozen(stats)
    }))
})

describe("outbound", () => {
  test("late binding: what is offered later and more urgent overtakes what waits", {}, (rig) =>
    Effect.gen(function*() {
      const pair = yield* rig.open()
      yield* clog(pair)
      for (let i = 0; i < 100; i++) pair.session.unsafeOffer(bulk(`bulk ${i}`))
      pair.session.unsafeOffer(critical("urgent"))
      yield* pair.client.unstall
      yield* settle
      const all = yield* texts(pair.client)
      assert.deepStrictEqual([all.length, all[1]], [102, "urgent"])
    }))

  test(
    "counter-test: written to the connection at once, the urgent message comes last",
    {},
    (rig) =>
      Effect.gen(function*() {
        const { client, connection } = yield* rig.connect()
        connection.attach({ onMessage: () => {}, onFlushed: () => {}, onPong: () => {}, onClose: () => {} })
        yield* client.stall
        connection.cork()
        for (let i = 0; i < 100; i++) connection.write(Frame.text(`bulk ${i}`), 0)
        connection.write(Frame.text("urgent"), 0)
        connection.uncork()
        yield* client.unstall
        yield* settle
        assert.strictEqual((yield* texts(client)).at(-1), "urgent")
        connection.terminate()
      })
  )

  test("at most 64 KiB are below the lanes, whatever waits", {}, (rig) =>
    Effect.gen(function*() {
      const { client, session } = yield* rig.open(undefined, { capacityBytes: 1_000 })
      yield* client.stall
      for (let i = 0; i < 200; i++) session.unsafeOffer(important(payload(4_096)))
      yield* settle
      assert.strictEqual(session.stats.inFlightBytes, 65_536)
      assert.strictEqual(session.stats.lanes.important.inFlight, 16)
      yield* client.unstall
    }))

  test(
    "messages of one turn go out in the order of their lanes, and within a lane as offered",
    {},
    (rig) =>
      Effect.gen(function*() {
        const { client, session } = yield* rig.open()
        for (const make of [bulk, important, critical, control]) {
          for (const n of [1, 2]) session.unsafeOffer(make(`${n}`))
        }
        session.unsafeOffer(Message.binary(new Uint8Array([1, 2]), { lane: "control" }))
        yield* settle
        assert.deepStrictEqual(yield* texts(client), ["1", "2", "\u0001\u0002", "1", "2", "1", "2", "1", "2"])
        assert.isTrue((yield* client.received)[2]!.binary)
      })
  )

  test("a client sees gaps exactly where messages were shed", { session: small }, (rig) =>
    Effect.gen(function*() {
      const pair = yield* rig.open()
      yield* clog(pair)
      const frame = Frame.sequenced("{\"seq\":", "}")
      for (let i = 0; i < 25; i++) pair.session.unsafeOffer(Message.fromFrame(frame, { lane: "important" }))
      const { evicted } = pair.session.stats.lanes.important
      yield* pair.client.unstall
      yield* settle
      const seen = (yield* texts(pair.client)).slice(1).map((text) => (JSON.parse(text) as { seq: number }).seq)
      // Number 1 is the message that clogs; of the others the oldest were evicted.
      assert.strictEqual(evicted, 15)
      assert.deepStrictEqual(seen, Array.from({ length: 10 }, (_, i) => 2 + evicted + i))
    }))

  test(
    "critical waits for room by default, and is offered when there is some",
    { session: small },
    (rig) =>
      Effect.gen(function*() {
        const pair = yield* openFull(rig)
        assert.deepStrictEqual(pair.session.unsafeOffer(critical("x")), { _tag: "Rejected", reason: "LaneFull" })
        const waiting = yield* Effect.fork(pair.session.send(critical("waited")))
        yield* settle
        assert.isNull(waiting.unsafePoll())
        yield* pair.client.unstall
        assert.strictEqual((yield* Fiber.join(waiting))._tag, "Queued")
        yield* settle
        assert.strictEqual((yield* texts(pair.client)).at(-1), "waited")
      })
  )

  test(
    "a send that waits when the session ends is rejected as closed",
    { session: small },
    (rig) =>
      Effect.gen(function*() {
        const pair = yield* openFull(rig)
        const send = yield* Effect.fork(pair.session.send(critical("waits")))
        const deliver = yield* Effect.fork(pair.session.deliver(critical("waits")))
        yield* endOf(pair.session, pair.client.reset)
        assert.deepStrictEqual(yield* Fiber.join(send), { _tag: "Rejected", reason: "Closed" })
        assert.deepStrictEqual(yield* Fiber.join(deliver), { _tag: "Rejected", reason: "Closed" })
      })
  )

  test(
    "those who wait are told at once that the session ends, not when its flush is over",
    { session: small },
    (rig) =>
      Effect.gen(function*() {
        const pair = yield* openFull(rig)
        const send = yield* Effect.fork(pair.session.send(critical("waits")))
        yield* settle
        yield* pair.session.close()
        yield* settle
        assert.strictEqual(pair.session.state, "draining")
        assert.deepStrictEqual(send.unsafePoll(), Exit.succeed(Outcome.rejected("Closed")))
      })
  )

  const fates: ReadonlyArray<readonly [string, (session: Session.Session) => void, Message.Message]> = [
    ["Sent", () => {}, bulk("told")],
    ["Conflated", (session) => session.unsafeOffer(bulk("newer", { key: "k" })), bulk("told", { key: "k" })],
    ["Evicted", (session) => {
      for (let i = 0; i < 10; i++) session.unsafeOffer(important("x"))
    }, bulk("told")]
  ]
  for (const [fate, then, message] of fates) {
    test(`deliver tells that a message was ${fate}`, { session: small }, (rig) =>
      Effect.gen(function*() {
        const pair = yield* rig.open()
        yield* clog(pair)
        const fiber = yield* Effect.fork(pair.session.deliver(message))
        yield* settle
        then(pair.session)
        yield* settle
        assert.strictEqual(fiber.unsafePoll() === null, fate === "Sent")
        yield* pair.client.unstall
        assert.strictEqual((yield* Fiber.join(fiber))._tag, fate)
      }))
  }

  test("deliver tells Expired, and Undelivered when the session ends first", {}, (rig) =>
    Effect.gen(function*() {
      const pair = yield* rig.open()
      yield* clog(pair)
      const old = yield* Effect.fork(pair.session.deliver(bulk("old", { maxAge: "1 second" })))
      yield* advance("2 seconds")
      const lost = yield* Effect.fork(pair.session.deliver(bulk("lost")))
      yield* settle
      yield* endOf(pair.session, pair.client.reset)
      const fates = [(yield* Fiber.join(old))._tag, (yield* Fiber.join(lost))._tag]
      assert.include(["Expired", "Undelivered"], fates[0])
      assert.strictEqual(fates[1], "Undelivered")
    }))

  test("A004 another policy changes the outcomes of the same program", {
    session: small,
    policy: Overflow.layerRejectNewest
  }, (rig) =>
    Effect.gen(function*() {
      const pair = yield* rig.open()
      yield* clog(pair)
      for (let i = 0; i < 15; i++) yield* pair.session.send(important("x"))
      assert.deepInclude(pair.session.stats.lanes.important, { evicted: 0, rejected: 5, queued: 10 })
      yield* pair.client.unstall
    }))
})

describe("inbound", () => {
  test("A116 messages are read in order, those before the handler first", {}, (rig) =>
    Effect.gen(function*() {
      const { client, connection } = yield* rig.connect()
      for (let i = 0; i < 5; i++) yield* client.send(`${i}`)
      const seen: Array<string> = []
      yield* rig.sessions.open(connection, (session) =>
        session.runForEach(({ text }) => Effect.delay(Effect.sync(() => seen.push(text)), 10)))
      for (let i = 5; i < 9; i++) {
        yield* client.send(`${i}`)
      }
      yield* client.close(1000)
      yield* advance("1 second")
      assert.strictEqual(seen.join(""), "012345678")
    }))

  test("the inbox is bounded: the socket is paused at the bound and resumed at half of it", {
    session: { inboxItemsMax: 4 }
  }, (rig) =>
    Effect.gen(function*() {
      const { client, session } = yield* rig.open(undefined, { toServer: { capacityBytes: 100 } })
      const sender = yield* Effect.fork(Effect.forEach(Array.from({ length: 50 }, (_, i) => `${i}`), client.send))
      yield* settle
      assert.strictEqual(session.stats.unreadMessages, 4)
      assert.isNull(sender.unsafePoll())
      for (let i = 0; i < 50; i++) {
        assert.strictEqual(Option.getOrThrow(yield* session.receive).text, `${i}`)
        yield* settle
        assert.isAtMost(session.stats.unreadMessages, 5)
      }
    }))

  test(
    "messages is a stream of everything received, and ends with the connection",
    {},
    (rig) =>
      Effect.gen(function*() {
        const { client, session } = yield* rig.open()
        const fiber = yield* Effect.fork(Stream.runCollect(Stream.map(session.messages, ({ text }) => text)))
        for (const text of ["a", "b", "c"]) yield* client.send(text)
        yield* client.eof
        yield* settle
        assert.deepStrictEqual([...(yield* Fiber.join(fiber))], ["a", "b", "c"])
        assert.deepStrictEqual(yield* session.receive, Option.none())
      })
  )

  test("decoded: a bad message is a Left in its place and ends nothing", {}, (rig) =>
    Effect.gen(function*() {
      const { client, session } = yield* rig.open()
      const decoded = Session.decoded(session, Schema.Struct({ n: Schema.Number }))
      const fiber = yield* Effect.fork(Stream.runCollect(decoded))
      for (const text of ["{\"n\":1}", "nonsense", "{\"n\":\"1\"}", "{\"n\":2}"]) yield* client.send(text)
      yield* client.close(1000)
      yield* settle
      assert.deepStrictEqual([...(yield* Fiber.join(fiber))].map(({ _tag }) => _tag), [
        "Right",
        "Left",
        "Left",
        "Right"
      ])
    }))

  test("several readers share the messages, each goes to one of them", {}, (rig) =>
    Effect.gen(function*() {
      const { client, session } = yield* rig.open()
      const readers = yield* Effect.forEach([1, 2, 3], () => Effect.fork(session.receive))
      yield* settle
      for (const text of ["a", "b", "c"]) yield* client.send(text)
      yield* settle
      const got = yield* Effect.forEach(readers, Fiber.join)
      assert.deepStrictEqual(got.map((inbound) => Option.getOrThrow(inbound).text).sort(), ["a", "b", "c"])
    }))

  test("what nobody read is reported as unread", {}, (rig) =>
    Effect.gen(function*() {
      const { client, session } = yield* rig.open()
      for (const text of ["a", "b", "c"]) yield* client.send(text)
      yield* settle
      const { report } = yield* endOf(session, session.close())
      assert.strictEqual(report.unread, 3)
    }))

  test("the frame of an inbound message is an echo, byte for byte", {}, (rig) =>
    Effect.gen(function*() {
      const { client } = yield* rig.open((session) =>
        session.runForEach(({ frame }) => session.send(Message.fromFrame(frame)))
      )
      yield* client.send("grüße")
      yield* client.sendBinary(new Uint8Array([0, 255]))
      const [first, second] = yield* client.takeN(2)
      assert.deepStrictEqual([first!.text, first!.binary], ["grüße", false])
      assert.deepStrictEqual([[...second!.bytes], second!.binary], [[0, 255], true])
    }))
})

describe("shutdown signal", () => {
  test(
    "sleepUntilShutdown: false when the time passed, true in the same instant when the session ends",
    {},
    (rig) =>
      Effect.gen(function*() {
        const { session } = yield* rig.open()
        const short = yield* Effect.fork(session.sleepUntilShutdown("1 second"))
        const long = yield* Effect.fork(session.sleepUntilShutdown("1 hour"))
        assert.isFalse(yield* session.sleepUntilShutdown(0))
        yield* advance("1 second")
        assert.isFalse(yield* Fiber.join(short))
        yield* session.close()
        yield* settle
        assert.isTrue(yield* Fiber.join(long))
        assert.isTrue(yield* session.sleepUntilShutdown(0))
        yield* session.awaitShutdown
      })
  )

  test(
    "A110 a queued item is worked off in the grace although its age gate would hold it",
    {},
    (rig) =>
      Effect.gen(function*() {
        const done: Array<string> = []
        const { session } = yield* rig.open((session) =>
          Effect.zipRight(
            session.fork(
              "sampler",
              "finite",
              Effect.zipRight(
                session.sleepUntilShutdown("120 seconds"),
                Effect.delay(Effect.sync(() => done.push("sample")), "5 seconds")
              )
            ),
            Effect.never
          )
        )
        const { report, tookMillis } = yield* endOf(session, session.close())
        assert.deepStrictEqual(done, ["sample"])
        assert.deepStrictEqual([tookMillis, report.forced, report.phases.tasks], [5_000, 0, "done"])
      })
  )
})
