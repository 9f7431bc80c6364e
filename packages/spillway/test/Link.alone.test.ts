import { assert, describe, it } from "@effect/vitest"
import * as MemoryDialer from "@spillway/testing/MemoryDialer"
import type { MemoryClient } from "@spillway/testing/MemoryTransport"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Breaker from "../src/Breaker.js"
import { Dialer } from "../src/Dialer.js"
import { delayMillis } from "../src/internal/link.js"
import * as Label from "../src/Label.js"
import * as Link from "../src/Link.js"
import * as Message from "../src/Message.js"
import * as Overflow from "../src/Overflow.js"
import * as Sessions from "../src/Sessions.js"
import * as Tasks from "../src/Tasks.js"
import * as Telemetry from "../src/Telemetry.js"
import { advance, settle } from "./support.js"
import { isRunning, readMetrics, timed } from "./taskSupport.js"

const label = Label.make("link_test")

interface Rig {
  readonly link: Link.Link<string>
  readonly dialer: Context.Tag.Service<typeof MemoryDialer.MemoryDialer>
  readonly sessions: Sessions.SessionsShape
  readonly states: ReadonlyArray<Link.State>
  /** The peer of the next connection. */
  readonly peer: Effect.Effect<MemoryClient>
  /** Ends the link by closing its scope. */
  readonly close: Effect.Effect<void>
}

/** Requests are "id text", answers "id=text". */
const answer: Link.Options<string>["answer"] = ({ text }) => {
  const found = /^(\d+)=(.*)$/.exec(text)
  return found === null ? Option.none() : Option.some({ id: Number(found[1]), value: found[2]! })
}

const ask = (text: string) => (id: number) => Message.text(`${id} ${text}`, { lane: "critical" })

const services = Layer.merge(
  MemoryDialer.layer(),
  // Pings would only cost turns here.
  Sessions.layer({ pingInterval: "1 day", receiveTimeout: "1 day" }).pipe(
    Layer.provide([Overflow.layerDefault, Telemetry.layerNoop])
  )
)

/** A test with a link; afterwards the link is closed and nothing may be left of it. */
const test = (
  name: string,
  options: Omit<Partial<Link.Options<string>>, "label">,
  body: (rig: Rig) => Effect.Effect<void, unknown>,
  behaviour: MemoryDialer.Behaviour = "connects"
) =>
  it.scoped(name, () =>
    Effect.gen(function*() {
      const context = yield* Layer.build(services)
      const dialer = Context.get(context, MemoryDialer.MemoryDialer)
      const sessions = Context.get(context, Sessions.Sessions)
      yield* dialer.setBehaviour(behaviour)
      const scope = yield* Scope.make()
      const link = yield* Link.make<string>({ label, url: "ws://pusher", answer, ...options }).pipe(
        Effect.provide(context),
        Effect.withRandom(Random.make("link")),
        Scope.extend(scope)
      )
      const states: Array<Link.State> = []
      const watching = yield* Effect.forkDaemon(
        Stream.runForEach(link.changes, (state) => Effect.sync(() => void states.push(state)))
      )
      yield* settle
      const close = Scope.close(scope, Exit.void)
      const rig = { link, dialer, sessions, states, close, peer: dialer.peer }
      yield* Effect.onError(body(rig), () => Effect.ignore(Effect.forkDaemon(close)))
      const closing = yield* Effect.forkDaemon(close)
      for (let i = 0; i < 10 && isRunning(closing); i++) yield* advance("5 seconds")
      assert.isFalse(isRunning(closing), "closing the link took longer than it may")
      yield* settle
      assert.strictEqual(link.state, "closed")
      assert.isFalse(isRunning(watching), "the stream of states ends")
      assert.strictEqual(sessions.size, 0)
      const { connections, timers } = yield* dialer.pending
      assert.deepStrictEqual([connections, timers, link.stats.pending], [0, 0, 0])
      assert.deepStrictEqual(yield* dialer.defects, [])
    }))

/** Times between dials, in milliseconds. */
const gaps = (dialledAt: ReadonlyArray<number>) => dialledAt.slice(1).map((at, index) => at - dialledAt[index]!)

const isWithin = (gap: number, millis: number) => gap >= 0.75 * millis - 1 && gap <= 1.25 * millis + 1

describe("reconnect", () => {
  test(
    "A119 lost, it dials again after delays of 0.75 to 1.25 times 1, 2, 4 … s, six times, and is degraded",
    {},
    (rig) =>
      Effect.gen(function*() {
        const peer = yield* rig.peer
        yield* advance("10 seconds")
        yield* rig.dialer.setBehaviour("refuses")
        yield* peer.reset
        yield* advance("2 minutes")
        const dialledAt = yield* rig.dialer.dialledAt
        assert.isTrue(isWithin(dialledAt[1]! - 10_000, 1_000))
        const between = gaps(dialledAt).slice(1, 6)
        assert.deepStrictEqual(between.map((gap, n) => isWithin(gap, 2_000 * 2 ** n)), [true, true, true, true, true])
        assert.deepStrictEqual(rig.states, ["reconnect_backoff", "connected", "reconnect_backoff", "degraded"])
        assert.strictEqual(rig.link.stats.failures, 6)
      })
  )

  it("A119 every delay is within [0.75, 1.25] of min(1 · 2ⁿ, 60) s", () => {
    const options = { ...Link.defaults }
    FastCheck.assert(FastCheck.property(
      FastCheck.integer({ min: 0, max: 40 }),
      FastCheck.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
      (n, random) => {
        const delay = delayMillis(n, random, options)
        const middle = Math.min(1_000 * 2 ** n, 60_000)
        assert.isTrue(delay >= 0.75 * middle && delay <= 1.25 * middle)
      }
    ))
    assert.strictEqual(delayMillis(0, 0, options), 750)
    assert.closeTo(delayMillis(30, 0.999999, options), 75_000, 1)
  })

  test("A119 degraded, it probes after 60 s: degraded again, or connected", {}, (rig) =>
    Effect.gen(function*() {
      // Six attempts from the start: none, 2, 4, 8, 16, 32 s.
      yield* advance("80 seconds")
      assert.strictEqual(rig.link.state, "degraded")
      const before = (yield* rig.dialer.dialledAt).length
      assert.strictEqual(before, 6)
      yield* advance("60 seconds")
      assert.strictEqual((yield* rig.dialer.dialledAt).length, 7)
      assert.deepStrictEqual(rig.states.slice(-3), ["degraded", "half_open_probe", "degraded"])
      yield* rig.dialer.setBehaviour("connects")
      yield* advance("60 seconds")
      assert.strictEqual(rig.link.state, "connected")
      yield* rig.peer
    }), "refuses")

  test("A119 an open breaker degrades it at once, without using up attempts", {}, (rig) =>
    Effect.gen(function*() {
      const breaker = yield* Breaker.make({ label, mode: { _tag: "consecutive", failures: 1 } })
      yield* Effect.exit(breaker.guard(Effect.fail(new Error("down") as never)))
      yield* Effect.scoped(Effect.gen(function*() {
        const link = yield* Link.make({ label, url: "ws://pusher", breaker })
        yield* settle
        assert.strictEqual(link.state, "degraded")
        assert.strictEqual(link.stats.failures, 0)
        assert.strictEqual((yield* rig.dialer.dialledAt).length, 1, "only the rig's own link has dialled")
      })).pipe(
        Effect.provideService(Sessions.Sessions, rig.sessions),
        Effect.provideService(Dialer, { kind: "none", dial: () => Effect.dieMessage("was called") })
      )
    }))

  for (
    const [state, behaviour, wait] of [
      ["reconnect_backoff", "refuses", 10_000],
      ["reconnect_backoff", "hangs", 1],
      ["degraded", "refuses", 90_000]
    ] as const
  ) {
    const shutdown = Effect.runSync(Tasks.makeShutdown)
    test(
      `A119 shutdown wakes it at once while ${state} (a dial ${behaviour})`,
      { shutdown },
      (rig) =>
        Effect.gen(function*() {
          yield* advance(wait)
          assert.strictEqual(rig.link.state, state)
          yield* shutdown.signal
          yield* settle
          assert.strictEqual(rig.link.state, "closed")
          const dials = (yield* rig.dialer.dialledAt).length
          yield* advance("10 minutes")
          assert.strictEqual((yield* rig.dialer.dialledAt).length, dials, "no retry after the shutdown")
        }),
      behaviour
    )
  }

  test(
    "A119 an attempt that nobody answers is over after its time, and leaves nothing",
    { dialTimeout: "3 seconds" },
    (rig) =>
      Effect.gen(function*() {
        yield* advance("2999 millis")
        assert.strictEqual(rig.link.stats.failures, 0)
        yield* advance(1)
        assert.strictEqual(rig.link.stats.failures, 1)
      }),
    "hangs"
  )

  test("A119 there is one loop: never two connections, whatever ends them", {}, (rig) =>
    Effect.gen(function*() {
      for (const end of ["reset", "eof", "close"] as const) {
        const peer = yield* rig.peer
        assert.strictEqual(rig.sessions.size, 1)
        yield* advance("6 seconds")
        yield* end === "close" ? peer.close(1012, "restart") : peer[end]
        yield* settle
        assert.strictEqual(rig.link.state, "reconnect_backoff")
        yield* advance("1250 millis")
        assert.strictEqual(rig.link.state, "connected")
        assert.strictEqual(rig.sessions.size, 1)
      }
      assert.strictEqual(rig.link.stats.connects, 4)
    }))

  test(
    "a connection that is lost at once counts as a failed attempt, so that it ends in degraded too",
    { stableAfter: "1 hour" },
    (rig) =>
      Effect.gen(function*() {
        for (let n = 0; n < 6; n++) {
          yield* (yield* rig.peer).reset
          yield* settle
          if (n < 5) yield* advance(1.25 * 1_000 * 2 ** (n + 1))
        }
        assert.strictEqual(rig.link.state, "degraded")
        assert.strictEqual(rig.link.stats.connects, 6)
      })
  )

  test("closing the scope flushes and closes the connection with 1000", {}, (rig) =>
    Effect.gen(function*() {
      const peer = yield* rig.peer
      yield* rig.link.send(Message.text("last words"))
      const closing = yield* Effect.fork(rig.close)
      yield* settle
      yield* Fiber.join(closing)
      assert.strictEqual((yield* peer.take).text, "last words")
      assert.strictEqual((yield* peer.awaitEnd).code, 1000)
      assert.deepStrictEqual(yield* rig.link.send(Message.text("late")), { _tag: "Rejected", reason: "Closed" })
      assert.deepInclude(yield* Effect.flip(rig.link.request(ask("late"))), { _tag: "RequestLost", why: "closed" })
    }))

  it.scoped("A119 a dialer that ignores interruption holds up neither the next attempt nor the shutdown", () =>
    Effect.gen(function*() {
      let dials = 0
      const dial = () => Effect.zipRight(Effect.sync(() => dials++), Effect.uninterruptible(Effect.never))
      const shutdown = yield* Tasks.makeShutdown
      const link = yield* Link.make({ label, url: "ws://pusher", dialTimeout: "3 seconds", shutdown }).pipe(
        Effect.provideService(Dialer, { kind: "deaf", dial }),
        Effect.provide(services)
      )
      yield* advance("3 seconds")
      assert.deepInclude(link.stats, { state: "reconnect_backoff", failures: 1 })
      yield* advance("2500 millis")
      assert.strictEqual(dials, 2)
      yield* shutdown.signal
      yield* settle
      assert.strictEqual(link.state, "closed")
    }))
})

describe("requests", () => {
  test(
    "A120 made while disconnected, they are kept and sent in order on reconnect; answers settle them",
    {},
    (rig) =>
      Effect.gen(function*() {
        const asked = yield* Effect.forEach(["a", "b", "c"], (text) => Effect.fork(rig.link.request(ask(text))))
        yield* settle
        assert.strictEqual(rig.link.stats.pending, 3)
        yield* rig.dialer.setBehaviour("connects")
        yield* advance("2500 millis")
        const peer = yield* rig.peer
        assert.deepStrictEqual((yield* peer.takeN(3)).map(({ text }) => text), ["1 a", "2 b", "3 c"])
        for (const text of ["3=C", "1=A", "9=nobody", "2=B", "2=again"]) yield* peer.send(text)
        yield* settle
        assert.deepStrictEqual(yield* Fiber.joinAll(asked), ["A", "B", "C"])
        assert.deepInclude(rig.link.stats, { pending: 0, answered: 3, unmatched: 2, retried: 0 })
      }),
    "refuses"
  )

  test(
    "A120 what was sent and not answered when the connection broke is sent again, before what is new",
    {},
    (rig) =>
      Effect.gen(function*() {
        const first = yield* rig.peer
        const old = yield* Effect.fork(rig.link.request(ask("old")))
        yield* advance("6 seconds")
        assert.strictEqual((yield* first.take).text, "1 old")
        yield* first.reset
        yield* settle
        const fresh = yield* Effect.fork(rig.link.request(ask("new")))
        yield* advance("1250 millis")
        const second = yield* rig.peer
        assert.deepStrictEqual((yield* second.takeN(2)).map(({ text }) => text), ["1 old", "2 new"])
        yield* second.send("1=x")
        yield* second.send("2=y")
        yield* settle
        assert.deepStrictEqual([yield* Fiber.join(old), yield* Fiber.join(fresh)], ["x", "y"])
        assert.strictEqual(rig.link.stats.retried, 0)
      })
  )

  test(
    "A120 at most 100 wait: one more drops the oldest, which is told and counted",
    {},
    (rig) =>
      Effect.gen(function*() {
        const texts = Array.from({ length: 103 }, (_, index) => String(index))
        const asked = yield* Effect.forEach(texts, (text) => Effect.fork(Effect.either(rig.link.request(ask(text)))))
        yield* settle
        assert.deepInclude(rig.link.stats, { pending: 100, dropped: 3 })
        for (const [index, fiber] of asked.slice(0, 3).entries()) {
          const lost = yield* Effect.flip(Effect.flatten(Fiber.join(fiber)))
          assert.deepInclude(lost, { _tag: "RequestLost", id: index + 1, why: "dropped" })
        }
        yield* rig.dialer.setBehaviour("connects")
        yield* advance("2500 millis")
        const peer = yield* rig.peer
        assert.deepStrictEqual(
          (yield* peer.takeN(100)).map(({ text }) => text),
          texts.slice(3).map((text, i) => `${i + 4} ${text}`)
        )
      }),
    "refuses"
  )

  test(
    "A120 unanswered for 120 s it is sent again, three times, and then is lost",
    {},
    (rig) =>
      Effect.gen(function*() {
        const peer = yield* rig.peer
        const asked = yield* timed(rig.link.request(ask("x")))
        yield* advance("119999 millis")
        assert.strictEqual(yield* peer.receivedCount, 1)
        yield* advance(1)
        assert.strictEqual(yield* peer.receivedCount, 2)
        yield* advance("120 seconds")
        assert.strictEqual(yield* peer.receivedCount, 3)
        yield* advance("120 seconds")
        assert.strictEqual(yield* peer.receivedCount, 4)
        yield* advance("119 seconds")
        assert.strictEqual(rig.link.stats.pending, 1)
        yield* advance("1 second")
        assert.strictEqual(yield* peer.receivedCount, 4)
        const { exit } = yield* Fiber.join(asked)
        assert.deepInclude(yield* Effect.flip(exit), { _tag: "RequestLost", why: "unanswered" })
        assert.deepInclude(rig.link.stats, { retried: 3, unanswered: 1, pending: 0 })
      })
  )

  test(
    "an interrupted request is forgotten, and one that is larger than the outbox is refused",
    {},
    (rig) =>
      Effect.gen(function*() {
        yield* rig.peer
        const asked = yield* Effect.fork(rig.link.request(ask("x")))
        yield* settle
        yield* Fiber.interrupt(asked)
        assert.strictEqual(rig.link.stats.pending, 0)
        const lost = yield* Effect.flip(rig.link.request(ask("x".repeat(1_100_000))))
        assert.deepInclude(lost, { _tag: "RequestLost", why: "refused" })
      })
  )

  test(
    "counter-test: a message that is not a request is lost with the connection that took it",
    {},
    (rig) =>
      Effect.gen(function*() {
        const first = yield* rig.peer
        yield* advance("6 seconds")
        yield* first.stall
        yield* rig.link.send(Message.text("fire and forget"))
        yield* first.reset
        yield* advance("1250 millis")
        const second = yield* rig.peer
        yield* advance("5 minutes")
        assert.deepStrictEqual([yield* first.receivedCount, yield* second.receivedCount], [0, 0])
      })
  )
})

test(
  "what is degraded, connected and lost are metrics with the label of the link",
  {},
  (rig) =>
    Effect.gen(function*() {
      const read = Effect.map(readMetrics, (metrics) =>
        ["links_degraded", "link_connects_total", "link_requests_lost_total"]
          .map((name) =>
            metrics.get(`spillway_${name} label=link_test`) ?? 0
          ))
      yield* advance("80 seconds")
      const [degraded, connects, lost] = yield* read
      const request = Effect.ignore(rig.link.request(ask("x")))
      yield* Effect.replicateEffect(Effect.forkDaemon(request), 101, { discard: true })
      yield* settle
      yield* rig.dialer.setBehaviour("connects")
      yield* advance("60 seconds")
      assert.deepStrictEqual(yield* read, [0, connects! + 1, lost! + 1])
      assert.strictEqual(degraded, 1)
    }),
  "refuses"
)

it.scoped("options that are not usable are refused by name", () =>
  Effect.gen(function*() {
    const key = (options: Omit<Partial<Link.Options<string>>, "label">) =>
      Effect.map(Effect.flip(Effect.scoped(Link.make({ label, url: "", ...options }))), ({ key }) => key)
    assert.strictEqual(yield* key({ attemptsMax: 0 }), "attemptsMax")
    assert.strictEqual(yield* key({ requestsMax: 1.5 }), "requestsMax")
    assert.strictEqual(yield* key({ retriesMax: -1 }), "retriesMax")
    assert.strictEqual(yield* key({ backoff: 0 }), "backoff")
    assert.strictEqual(yield* key({ answerTimeout: Infinity }), "answerTimeout")
  }).pipe(Effect.provide(services)))
