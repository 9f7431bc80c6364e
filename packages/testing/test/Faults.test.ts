import { assert, describe, it } from "@effect/vitest"
import * as Arbitraries from "@spillway/testing/Arbitraries"
import * as Faults from "@spillway/testing/Faults"
import * as MemoryTransport from "@spillway/testing/MemoryTransport"
import { settle } from "@spillway/testing/Settle"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Overflow from "spillway/Overflow"
import type { Session } from "spillway/Session"
import * as Sessions from "spillway/Sessions"
import * as Telemetry from "spillway/Telemetry"
import { Transport } from "spillway/Transport"
import { at, attach, faulty, nothing, open, pending, write } from "./utils/recorder.js"

type Env = Faults.Faults | MemoryTransport.MemoryTransport | Transport | Scope.Scope

/** Names of the tests that fail unless a fault of the kind really happened. */
const shown = new Map<string, string>()

/** A test with these rules; each of them has to have fired. */
const test = (
  name: string,
  rules: Faults.Schedule,
  body: Effect.Effect<void, unknown, Env>,
  options?: MemoryTransport.Options
) => {
  for (const { act } of rules) if (!shown.has(act._tag)) shown.set(act._tag, name)
  it.scoped(name, () => Effect.zipRight(body, Faults.assertAllFired).pipe(Effect.provide(faulty(rules, options))))
}

const firedAt = Effect.map(Faults.report, (rules) => rules.map((rule) => [...rule.firedAt]))

describe("faults of frames", () => {
  test(
    "Delay: the frame travels longer, what is before it does not, and what is behind it does not overtake it",
    [Faults.rule({ direction: "toClient", nth: 2 }, { _tag: "Delay", millis: 100 })],
    Effect.gen(function*() {
      const { client, connection } = yield* open()
      write(connection, "a", "b", "c")
      yield* at(20)
      write(connection, "d")
      yield* at(1000)
      write(connection, "e")
      yield* at(2000)
      const seen = (yield* client.received).map((message) => [message.text, message.at])
      assert.deepStrictEqual(seen, [["a", 10], ["b", 110], ["c", 110], ["d", 110], ["e", 1010]])
    }),
    { latency: 10 }
  )

  test(
    "Stall: the direction carries nothing for a time, then everything, and the other direction goes on",
    [Faults.rule({ direction: "toServer", frame: "message" }, { _tag: "Stall", millis: 5000 })],
    Effect.gen(function*() {
      const { client, connection, log } = yield* open({ bytesPerSecond: 100_000 })
      yield* client.send("up")
      write(connection, "down")
      yield* at(4999)
      assert.deepStrictEqual([log, yield* client.receivedCount], [[], 1])
      yield* client.send("later")
      yield* at(5002)
      assert.deepStrictEqual(log, ["up", "later"])
    })
  )

  test(
    "Stall without a time: nothing arrives any more, hours later, and nothing spins meanwhile",
    [Faults.rule({ direction: "toClient" }, { _tag: "Stall" })],
    Effect.gen(function*() {
      const { client, connection, log } = yield* open()
      write(connection, "lost")
      connection.ping()
      yield* at(36_000_000)
      assert.deepStrictEqual([yield* client.receivedCount, yield* client.pingCount, ...log], [0, 0])
      connection.terminate()
      yield* settle
      assert.deepStrictEqual([log, (yield* client.awaitEnd).code], [["Local"], 1006])
      assert.deepStrictEqual(yield* pending, nothing)
    })
  )

  test(
    "DropLink: the frame is lost, both ends see a reset, and nothing is left",
    [Faults.rule({ frame: "message", direction: "toServer", nth: 2 }, { _tag: "DropLink" })],
    Effect.gen(function*() {
      const { client, log } = yield* open({ latency: 7 })
      yield* client.send("a")
      yield* at(100)
      yield* client.send("b")
      yield* at(106)
      assert.deepStrictEqual([log, yield* client.ended], [["a"], undefined])
      yield* at(107)
      assert.deepStrictEqual(log, ["a", "PeerReset"])
      assert.deepStrictEqual(yield* client.ended, { code: 1006, reason: "", clean: false })
      assert.deepStrictEqual([yield* pending, yield* firedAt], [nothing, [[100]]])
    })
  )

  for (const direction of ["toClient", "toServer"] as const) {
    test(
      `Tear: half of the frame arrives and then both ends see a reset, ${direction}`,
      [Faults.rule({ direction, nth: 2 }, { _tag: "Tear" })],
      Effect.gen(function*() {
        const { client, connection, log } = yield* open({ bytesPerSecond: 1000 })
        const send = (text: string) =>
          direction === "toClient" ? Effect.sync(() => write(connection, text)) : client.send(text)
        yield* send("whole")
        yield* at(100)
        yield* send("x".repeat(996))
        yield* at(590)
        assert.deepStrictEqual([log.includes("PeerReset"), yield* client.ended], [false, undefined])
        yield* at(605)
        assert.deepStrictEqual(log, direction === "toClient" ? ["PeerReset"] : ["whole", "PeerReset"])
        assert.deepStrictEqual((yield* client.ended)?.code, 1006)
        assert.strictEqual(yield* client.receivedCount, direction === "toClient" ? 1 : 0)
        assert.deepStrictEqual(yield* pending, nothing)
      })
    )
  }

  test(
    "Corrupt: exactly the named bits differ at the reader, the sender's frame and the length do not",
    [
      Faults.rule({ direction: "toClient", nth: 2 }, { _tag: "Corrupt", byteIndex: 5, mask: 3 }),
      Faults.rule({ direction: "toServer" }, { _tag: "Corrupt" })
    ],
    Effect.gen(function*() {
      const { client, connection, log } = yield* open()
      write(connection, "abc", "abc", "abc")
      yield* client.send("abc")
      yield* client.send("abc")
      yield* settle
      assert.deepStrictEqual((yield* client.received).map((message) => message.text), ["abc", "ab`", "abc"])
      assert.deepStrictEqual(log, ["`bc", "abc"])
    })
  )

  test(
    "Corrupt: text that is no UTF-8 any more is a violation at its reader, whichever end that is",
    [
      Faults.rule({ direction: "toServer", connection: 0 }, { _tag: "Corrupt", mask: 128 }),
      Faults.rule({ direction: "toClient", connection: 1 }, { _tag: "Corrupt", mask: 128 })
    ],
    Effect.gen(function*() {
      const first = yield* open()
      const second = yield* open()
      yield* first.client.send("abc")
      write(second.connection, "abc")
      yield* settle
      assert.deepStrictEqual([first.log, (yield* first.client.awaitEnd).code], [["ProtocolError"], 1007])
      assert.deepStrictEqual([second.log, (yield* second.client.awaitEnd).code], [["PeerClose"], 1007])
      assert.deepStrictEqual(yield* pending, nothing)
    })
  )

  test(
    "pings, pongs and close frames meet rules too, in both directions",
    [
      Faults.rule({ frame: "ping", direction: "toClient" }, { _tag: "Delay", millis: 100 }),
      Faults.rule({ frame: "pong", direction: "toServer" }, { _tag: "Delay", millis: 1000 }),
      Faults.rule({ frame: "close", direction: "toClient" }, { _tag: "Delay", millis: 50 }),
      Faults.rule({ frame: "close", direction: "toServer" }, { _tag: "DropLink" })
    ],
    Effect.gen(function*() {
      const { client, connection, log } = yield* open()
      connection.ping()
      yield* at(99)
      assert.strictEqual(yield* client.pingCount, 0)
      yield* at(1099)
      assert.deepStrictEqual([yield* client.pingCount, ...log], [1])
      yield* at(1100)
      assert.deepStrictEqual(log, ["pong"])
      connection.close(1000, "bye")
      yield* at(1149)
      assert.deepStrictEqual([yield* client.ended, ...log], [undefined, "pong"])
      yield* at(1150)
      assert.deepStrictEqual(yield* client.ended, { code: 1000, reason: "bye", clean: true })
      // The client's answer was lost with the link: the server's end is its own doing all the same.
      assert.deepStrictEqual([log, yield* firedAt], [["pong", "Local"], [[0], [100], [1100], [1150]]])
    })
  )
})

describe("faults of connecting", () => {
  test(
    "Refuse: the attempt fails and reaches nobody; the next one passes",
    [Faults.rule({ connection: 0 }, { _tag: "Refuse" })],
    Effect.gen(function*() {
      const memory = yield* MemoryTransport.MemoryTransport
      assert.strictEqual((yield* Effect.flip(memory.connect())).why, "fault")
      assert.deepStrictEqual(yield* pending, nothing)
      yield* memory.connect()
      assert.deepStrictEqual([yield* memory.attempts, (yield* pending).backlog], [2, 1])
    })
  )

  test(
    "DuplicateConnection: the server sees two connections, of which one never says anything",
    [Faults.rule({ remoteAddress: "10.0.0.7" }, { _tag: "DuplicateConnection" })],
    Effect.gen(function*() {
      const memory = yield* MemoryTransport.MemoryTransport
      const transport = yield* Transport
      const client = yield* memory.connect({ remoteAddress: "10.0.0.7" })
      const twin = (yield* memory.duplicates)[0]!
      const [first, second] = yield* Effect.all([transport.accept, transport.accept])
      assert.deepStrictEqual([yield* memory.attempts, second.remoteAddress], [2, "10.0.0.7"])
      const [heard, silent] = [yield* attach(first), yield* attach(second)]
      yield* client.send("hello")
      write(second, "anyone?")
      yield* at(60_000)
      assert.deepStrictEqual([heard.log, silent.log, yield* twin.receivedCount], [["hello"], [], 1])
      yield* twin.reset
      yield* settle
      assert.deepStrictEqual(silent.log, ["PeerReset"])
    })
  )
})

const sessions = Sessions.layer().pipe(Layer.provide([Overflow.layerDefault, Telemetry.layerNoop]))

/** Opens one session with the handler under the rules, and returns it. */
const openSession = (handler: (session: Session) => Effect.Effect<unknown, unknown, Scope.Scope>) =>
  Effect.gen(function*() {
    const client = yield* (yield* MemoryTransport.MemoryTransport).connect()
    const connection = yield* (yield* Transport).accept
    const session = yield* (yield* Sessions.Sessions).open(connection, Faults.handler(handler))
    yield* settle
    return { client, session }
  })

describe("faults of sessions", () => {
  for (const by of ["defect", "interruption"] as const) {
    test(
      `KillTask by ${by}: the task's fiber is gone at that time, and the session's law decides what follows`,
      [Faults.rule({ task: "worker", nth: 2 }, { _tag: "KillTask", afterMillis: 500, by })],
      Effect.gen(function*() {
        const released: Array<string> = []
        const worker = (session: Session, name: string) =>
          Effect.onExit(session.awaitShutdown, (exit) => Effect.sync(() => released.push(`${name} ${exit._tag}`)))
        const { session } = yield* openSession((session) =>
          session.fork("worker", "finite", worker(session, "first")).pipe(
            Effect.zipRight(session.fork("other", "finite", Effect.void)),
            Effect.zipRight(session.fork("worker", "finite", worker(session, "second"))),
            Effect.zipRight(session.runForEach(() => Effect.void))
          )
        )
        yield* at(499)
        assert.deepStrictEqual([released, session.stats.tasks], [[], ["handler", "worker", "worker"]])
        yield* at(500)
        assert.deepStrictEqual(released.filter((line) => line.startsWith("second")), ["second Failure"])
        assert.strictEqual(session.state, by === "defect" ? "closed" : "open")
        if (by === "interruption") assert.deepStrictEqual(session.stats.tasks, ["handler", "worker"])
      }).pipe(Effect.provide(sessions))
    )
  }

  test(
    "KillTask: the handler is a task like others",
    [Faults.rule({ task: "handler" }, { _tag: "KillTask", afterMillis: 10 })],
    Effect.gen(function*() {
      const { client, session } = yield* openSession(() => Effect.never)
      const exit = yield* Effect.fork(session.awaitExit)
      yield* at(10)
      const report = yield* Fiber.join(exit)
      assert.deepStrictEqual([report.exit._tag, (yield* client.awaitEnd).code], ["Crashed", 1011])
    }).pipe(Effect.provide(sessions))
  )

  it.scoped("KillTask: a task that ends earlier was not killed, and the rule says so", () =>
    Effect.gen(function*() {
      yield* openSession((session) => session.fork("worker", "finite", Effect.sleep(10)))
      yield* at(60_000)
      const { rules } = yield* Effect.flip(Faults.assertAllFired)
      assert.deepStrictEqual(rules.map(({ fired, matched }) => [matched, fired]), [[1, 0]])
    }).pipe(
      Effect.provide(sessions),
      Effect.provide(faulty([Faults.rule({ task: "worker" }, { _tag: "KillTask", afterMillis: 500 })]))
    ))

  test(
    "FailFinalizer: the finalizer runs, then fails; the others run all the same, and the session ends",
    [Faults.rule({ nth: 1 }, { _tag: "FailFinalizer" })],
    Effect.gen(function*() {
      const ran: Array<string> = []
      const add = (name: string) => Effect.addFinalizer(() => Effect.sync(() => ran.push(name)))
      const { client, session } = yield* openSession(() =>
        Effect.all([add("first"), Effect.forkScoped(Effect.never), add("last"), Effect.never])
      )
      yield* session.close()
      yield* session.awaitExit
      assert.deepStrictEqual([ran, (yield* client.awaitEnd).code], [["last", "first"], 1000])
      assert.strictEqual((yield* (yield* Sessions.Sessions).snapshot).sessions, 0)
    }).pipe(Effect.provide(sessions))
  )
})

describe("rules", () => {
  test(
    "a rule acts from its n-th match on, as often as it says, on its connections, within its window",
    [
      Faults.rule(
        {
          connection: { everyNth: 2, offset: 1 },
          frame: "message",
          nth: 2,
          times: 2,
          fromMillis: 100,
          untilMillis: 900
        },
        { _tag: "Corrupt" }
      ),
      Faults.rule({ connection: [0, 2] }, { _tag: "Delay", millis: 1 })
    ],
    Effect.gen(function*() {
      const pairs = yield* Effect.replicateEffect(open(), 4)
      const round = Effect.forEach(pairs, ({ client }) => client.send("a"), { discard: true })
      for (const time of [0, 100, 500, 900]) {
        yield* at(time)
        yield* round
      }
      yield* at(1000)
      // Connections 1 and 3 in turn: of the four matches within the window the second and the third.
      const logs = pairs.map(({ log }) => log.join(""))
      assert.deepStrictEqual(logs, ["aaaa", "aa`a", "aaaa", "a`aa"])
      const reports = yield* Faults.report
      assert.deepStrictEqual(reports.map((_) => [_.matched, _.fired]), [[4, 2], [8, 1]])
      assert.deepStrictEqual(yield* firedAt, [[100, 500], [0]])
    })
  )

  it.scoped("a rule that never fired fails the scenario, with a line that says which", () =>
    Effect.gen(function*() {
      const { client } = yield* open()
      yield* client.send("a")
      const error = yield* Effect.flip(Faults.assertAllFired)
      assert.include(error.message, JSON.stringify({ match: { nth: 2 }, act: { _tag: "Tear" } }))
      assert.include(error.message, "matched 1 times")
    }).pipe(Effect.provide(faulty([Faults.rule({ nth: 2 }, { _tag: "Tear" })]))))

  test(
    "of two rules for one frame the first acts, and the other one on the next frame",
    [Faults.rule({}, { _tag: "Corrupt" }), Faults.rule({}, { _tag: "DropLink" })],
    Effect.gen(function*() {
      const { client, log } = yield* open()
      yield* client.send("a")
      yield* settle
      yield* client.send("a")
      yield* settle
      assert.deepStrictEqual(log, ["`", "PeerReset"])
    })
  )

  it.prop(
    "a schedule that was printed and parsed is the same schedule",
    { schedule: Arbitraries.faultSchedule({ connections: 5, withinMillis: 1000, tasks: ["worker"] }) },
    ({ schedule }) => {
      const text = Faults.print(schedule)
      assert.notInclude(text, "\n")
      assert.deepStrictEqual(Effect.runSync(Faults.parse(text)), schedule)
    }
  )

  it("drawn schedules have faults of every kind, and only of the kinds that were asked for", () => {
    const kinds = (options: Partial<Arbitraries.FaultScheduleOptions>) =>
      new Set(
        FastCheck.sample(Arbitraries.faultSchedule({ connections: 3, withinMillis: 1000, ...options }), {
          numRuns: 300,
          seed: 1
        }).flatMap((schedule) => schedule.map(({ act }) => act._tag))
      )
    assert.deepStrictEqual([...kinds({ tasks: ["worker"] })].sort(), [...Faults.kinds].sort())
    assert.deepStrictEqual([...kinds({ acts: ["Tear", "KillTask"] })], ["Tear"])
  })

  it.scoped("a network without Faults in its environment has none", () =>
    Effect.gen(function*() {
      const { client, log } = yield* open()
      yield* client.send("a")
      yield* settle
      assert.deepStrictEqual(log, ["a"])
    }).pipe(Effect.provide(MemoryTransport.layer())))
})

describe("kinds of faults", () => {
  for (const kind of Faults.kinds) {
    it(`${kind} has a test that fails unless it really happened, and is named after it`, () => {
      const name = shown.get(kind) ?? "none"
      assert.isTrue(name.startsWith(kind), `the first test with a rule of this kind: ${name}`)
    })
  }
})
