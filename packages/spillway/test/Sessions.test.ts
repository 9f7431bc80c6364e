import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as Overflow from "../src/Overflow.js"
import * as SessionOptions from "../src/SessionOptions.js"
import * as Sessions from "../src/Sessions.js"
import * as Telemetry from "../src/Telemetry.js"
import { advance, bulk, critical, endOf, important, settle, test, withRig } from "./support.js"

describe("Sessions", () => {
  it.effect("A006 two runtimes share no session, no count and no deadline", () =>
    withRig({}, (one) =>
      withRig({}, (two) =>
        Effect.gen(function*() {
          const { session } = yield* one.open()
          assert.deepStrictEqual([one.sessions.size, two.sessions.size], [1, 0])
          yield* Effect.fork(two.sessions.drain())
          yield* settle
          assert.deepStrictEqual([session.state, one.sessions.isAccepting, two.sessions.isAccepting], [
            "open",
            true,
            false
          ])
          assert.deepStrictEqual([(yield* one.snapshot).opened, (yield* two.snapshot).opened], [1, 0])
        }))))

  test(
    "A003 a program over Transport and Sessions gets its sessions from whatever layer there is",
    {},
    (rig) =>
      Effect.gen(function*() {
        const { connection, client } = yield* rig.connect()
        yield* rig.sessions.open(connection, (session) => session.send(important("hello")))
        assert.strictEqual((yield* client.take).text, "hello")
        assert.strictEqual((yield* client.awaitEnd).code, 1000)
      })
  )

  test("unsafeForEach visits open sessions only, and may end them", {}, (rig) =>
    Effect.gen(function*() {
      const pairs = yield* Effect.all(Effect.replicate(rig.open(), 5))
      yield* pairs[0]!.session.close()
      const visited: Array<string> = []
      rig.sessions.unsafeForEach((session) => {
        visited.push(session.id)
        Effect.runSync(session.close())
      })
      assert.deepStrictEqual(visited, pairs.slice(1).map(({ session }) => session.id))
      yield* settle
      assert.strictEqual(rig.sessions.size, 0)
    }))

  test("ids are different and say nothing", {}, (rig) =>
    Effect.gen(function*() {
      const pairs = yield* Effect.all(Effect.replicate(rig.open(), 50))
      assert.strictEqual(new Set(pairs.map(({ session }) => session.id)).size, 50)
      for (const { session } of pairs) assert.match(session.id, /^[0-9a-f]{32}$/)
    }))

  test("tasks are counted by name, whatever the names are", {}, (rig) =>
    Effect.gen(function*() {
      const names = ["constructor", "toString", "__proto__", "poller", "poller"]
      yield* rig.open((session) =>
        Effect.zipRight(Effect.forEach(names, (name) => session.fork(name, "finite", Effect.never)), Effect.never)
      )
      const { tasks } = yield* rig.snapshot
      assert.deepStrictEqual(Object.entries(tasks).sort(), [["__proto__", 1], ["constructor", 1], ["handler", 1], [
        "poller",
        2
      ], ["toString", 1]])
    }))

  test("the snapshot remembers the last hundred endings, newest last", {}, (rig) =>
    Effect.gen(function*() {
      const ids: Array<string> = []
      for (let i = 0; i < 230; i++) {
        const { client, connection } = yield* rig.connect()
        ids.push((yield* rig.sessions.open(connection, () => Effect.void)).id)
        yield* client.awaitEnd
      }
      yield* settle
      const { closed, exits, opened } = yield* rig.snapshot
      assert.deepStrictEqual(closed.map(({ id }) => id), ids.slice(-100))
      assert.deepStrictEqual([opened, exits.Completed], [230, 230])
    }))

  test(
    "A118 a hundred sessions that end in mixed ways leave nothing",
    { stuckFibers: 10 },
    (rig) =>
      Effect.gen(function*() {
        const pairs = yield* Effect.all(
          Effect.replicate(rig.open((session) => session.runForEach(() => Effect.void)), 100)
        )
        const clients = pairs.map(({ client }) => client)
        for (let i = 0; i < clients.length; i++) {
          const { client, session } = pairs[i]!
          if (i % 10 === 0) yield* session.fork("hung", "finite", Effect.uninterruptible(Effect.never))
          if (i % 5 === 1) yield* client.halfOpen
          else yield* i % 5 === 2 ? client.reset : i % 5 === 3 ? client.close(1000) : session.close()
        }
        yield* endOf(pairs[1]!.session, Effect.void)
        yield* advance("1 minute")
        assert.deepStrictEqual([rig.sessions.size, (yield* rig.snapshot).stuck["hung"]], [0, 10])
      })
  )

  test("totals keep what ended sessions counted", {}, (rig) =>
    Effect.gen(function*() {
      for (let i = 0; i < 3; i++) {
        const { client, session } = yield* rig.open((session) => session.runForEach(() => Effect.void))
        yield* client.send("12345")
        yield* session.send(critical("123"))
        yield* session.send(bulk("1"))
        yield* endOf(session, Effect.zipRight(settle, session.close()))
      }
      const { totals } = yield* rig.snapshot
      assert.deepInclude(totals, { sessions: 0, sentBytes: 12, receivedMessages: 3, receivedBytes: 15 })
      assert.deepInclude(totals.lanes.critical, { offered: 3, sent: 3 })
    }))

  it.effect("serve opens a session for each connection until it is interrupted, and loses none", () =>
    withRig({}, (rig) =>
      Effect.gen(function*() {
        const serving = yield* Effect.fork(rig.serve((session) => session.send(important("hi"))))
        const client = yield* Effect.orDie(rig.memory.connect())
        assert.strictEqual((yield* Effect.orDie(client.take)).text, "hi")
        yield* Fiber.interrupt(serving)
        yield* settle
      })))
})

describe("options", () => {
  const keyOf = (options: SessionOptions.SessionOptions) =>
    Either.match(SessionOptions.resolve(options), {
      onLeft: (error) => `${error.module}.${error.key}`,
      onRight: () => "accepted"
    })
  const bad = (value: unknown) => value as number

  it("without options they are the defaults, and resolve is idempotent", () => {
    assert.deepStrictEqual(Either.getOrThrow(SessionOptions.resolve()), SessionOptions.defaults)
    assert.deepStrictEqual(
      Either.getOrThrow(
        SessionOptions.resolve(Either.getOrThrow(SessionOptions.resolve()) as SessionOptions.SessionOptions)
      ),
      SessionOptions.defaults
    )
  })

  it("A008 counts below 1, fractions and NaN are refused by name", () => {
    for (const value of [0, -1, 1.5, NaN, Infinity, bad("7")]) {
      assert.strictEqual(keyOf({ outboxItemsMax: value }), "Session.outboxItemsMax")
    }
    assert.strictEqual(keyOf({ slowEventsMax: 0 }), "accepted")
    assert.strictEqual(keyOf({ slowConsumer: "explode" as "mark" }), "Session.slowConsumer")
  })

  it("A008 durations that are negative, NaN, no durations, zero (periods) or infinite (budgets) are refused by name", () => {
    for (const value of [0, -1, NaN, "-5 seconds", -5n, "soon", bad({})]) {
      assert.strictEqual(
        keyOf({ receiveTimeout: value as Duration.DurationInput }),
        "Session.receiveTimeout",
        String(value)
      )
    }
    for (const value of [-1, NaN, Infinity, "-5 seconds", "soon", bad(null)]) {
      assert.strictEqual(keyOf({ taskGrace: value as Duration.DurationInput }), "Session.taskGrace", String(value))
    }
    assert.strictEqual(
      keyOf({ taskGrace: 0, receiveTimeout: Duration.infinity, closeTimeout: "1 second", pingInterval: [1, 0] }),
      "accepted"
    )
  })

  it.effect("A008 the layer fails with InvalidOption, naming the option", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(
        Effect.scoped(Effect.provide(Sessions.make({ inboxBytesMax: 0 }), [Overflow.layerDefault, Telemetry.layerNoop]))
      )
      assert.deepStrictEqual([error._tag, error.key], ["InvalidOption", "inboxBytesMax"])
      assert.include(error.message, "inboxBytesMax")
    }))

  it("the defaults stand in order: drain < receive, pong < ping, half the inbox is at least one", () => {
    const { ackTimeout, pingInterval, pongTimeout, receiveTimeout, sendTimeout, slowThreshold, taskGrace } =
      SessionOptions.defaults
    assert.isTrue(taskGrace + ackTimeout < receiveTimeout && pongTimeout < pingInterval && slowThreshold < sendTimeout)
  })
})
