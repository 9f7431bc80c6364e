/**
 * What a session does about a peer that sends too much, about permission that expires, and about an identity that is
 * revoked.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import type * as Session from "../src/Session.js"
import type { OpenOptions } from "../src/Sessions.js"
import { advance, endOf, type Handler, idle, type Rig, settle, test, watch, withRig } from "./support.js"

/** Reads everything, and notes when. */
const recorder = () => {
  const seen: Array<{ readonly text: string; readonly at: number }> = []
  const handler: Handler = (session) =>
    session.runForEach(({ text }) => Effect.map(Clock.currentTimeMillis, (at) => void seen.push({ text, at })))
  return { seen, handler }
}

const open = (rig: Rig, options: OpenOptions, handler: Handler = idle) =>
  Effect.gen(function*() {
    const { client, connection } = yield* rig.connect()
    const session = yield* rig.sessions.open(connection, handler, options)
    yield* settle
    return { client, session, connection }
  })

describe("inbound rate limit", () => {
  const tenPerSecond = { inboundMessagesPerSecond: 10, inboundBurst: "1 second" } as const

  test("FR7 a flood is slowed down to the rate: nothing is lost, nothing reordered, the session lives", {
    session: tenPerSecond
  }, (rig) =>
    Effect.gen(function*() {
      const { handler, seen } = recorder()
      const { client, session } = yield* rig.open(handler)
      for (let i = 0; i < 100; i++) yield* client.send(`${i}`)
      yield* settle
      const atOnce = seen.length
      assert.isAtMost(atOnce, 13)
      yield* advance("20 seconds")
      assert.deepStrictEqual(seen.map(({ text }) => text), Array.from({ length: 100 }, (_, i) => `${i}`))
      // The burst is free, and so is half of it each time that reading starts again.
      const last = seen.at(-1)!.at - seen[0]!.at
      assert.isAtLeast(last, (100 - 11 - 2) * 100)
      assert.isAtMost(last, 100 * 100)
      assert.strictEqual(session.state, "open")
    }))

  test("counter-test: without the limit the same flood is there at once", {}, (rig) =>
    Effect.gen(function*() {
      const { handler, seen } = recorder()
      const { client } = yield* rig.open(handler)
      for (let i = 0; i < 100; i++) yield* client.send(`${i}`)
      yield* settle
      assert.strictEqual(seen.length, 100)
    }))

  test("bytes are limited like messages, and one message larger than the burst passes", {
    session: { inboundBytesPerSecond: 1000, inboundBurst: "1 second" }
  }, (rig) =>
    Effect.gen(function*() {
      const { handler, seen } = recorder()
      const { client } = yield* rig.open(handler)
      yield* client.send("x".repeat(5000))
      yield* client.send("y")
      yield* client.send("z")
      yield* settle
      assert.strictEqual(seen.at(-1)!.text, "y")
      yield* advance("4 seconds")
      assert.strictEqual(seen.at(-1)!.text, "y")
      yield* advance("1 second")
      assert.strictEqual(seen.at(-1)!.text, "z")
    }))

  test("a peer that keeps within the rate is never paused", { session: tenPerSecond }, (rig) =>
    Effect.gen(function*() {
      const { handler, seen } = recorder()
      const { client } = yield* rig.open(handler)
      for (let i = 0; i < 50; i++) {
        yield* client.send(`${i}`)
        yield* advance(100)
        assert.strictEqual(seen.length, i + 1)
      }
    }))

  test("a peer that is not read from is not blamed for its silence, nor for its pongs", {
    session: {
      inboundBytesPerSecond: 10,
      receiveTimeout: "20 seconds",
      idleTimeout: "20 seconds",
      pingInterval: "5 seconds",
      pongTimeout: "1 second"
    }
  }, (rig) =>
    Effect.gen(function*() {
      const { handler, seen } = recorder()
      const { client, session } = yield* rig.open(handler)
      yield* client.send("x".repeat(600))
      yield* client.send("y")
      yield* client.send("z")
      yield* advance("55 seconds")
      assert.strictEqual(session.state, "open")
      assert.strictEqual(seen.at(-1)!.text, "y")
      yield* advance("10 seconds")
      assert.strictEqual(seen.at(-1)!.text, "z")
      yield* client.close(1000)
    }))

  test("told to disconnect, the session ends as RateLimited with 4029", {
    session: { ...tenPerSecond, inboundExcess: "disconnect" }
  }, (rig) =>
    Effect.gen(function*() {
      const { handler } = recorder()
      const { client, session } = yield* rig.open(handler)
      const awaitEnding = yield* watch(session)
      for (let i = 0; i < 11; i++) yield* client.send(`${i}`)
      yield* settle
      assert.strictEqual(session.state, "open")
      yield* client.send("one more")
      assert.deepStrictEqual((yield* awaitEnding).report.exit, { _tag: "RateLimited" })
      assert.strictEqual((yield* client.ended)?.code, 4029)
    }))

  it.effect.prop(
    "whatever a peer sends when, it is all read, in order, and never faster than burst and rate",
    [FastCheck.array(FastCheck.record({ wait: FastCheck.nat(300), bytes: FastCheck.integer({ min: 1, max: 400 }) }), {
      minLength: 1,
      maxLength: 20
    })],
    ([sends]) =>
      withRig(
        { session: { inboundBytesPerSecond: 1000, inboundBurst: "500 millis" } },
        (rig) =>
          Effect.gen(function*() {
            const { handler, seen } = recorder()
            const { client } = yield* rig.open(handler)
            for (const [i, { bytes, wait }] of sends.entries()) {
              yield* advance(wait)
              yield* client.send(`${i}:`.padEnd(bytes, "."))
            }
            yield* advance("60 seconds")
            assert.deepStrictEqual(seen.map(({ text }) => Number.parseInt(text, 10)), sends.map((_, i) => i))
            for (let from = 0; from < seen.length; from++) {
              let bytes = 0
              for (const { at, text } of seen.slice(from)) {
                // The last two messages are the ones that go beyond what was free, whatever their size.
                assert.isAtMost(bytes, 500 + 2 * 400 + (at - seen[from]!.at))
                bytes += text.length
              }
            }
          })
      ),
    { fastCheck: { numRuns: 8 } }
  )
})

describe("permission that expires", () => {
  test(
    "AU1 the session ends at that very time, as Expired with 4010, however lively the peer is",
    {},
    (rig) =>
      Effect.gen(function*() {
        const now = yield* Clock.currentTimeMillis
        const { client, session } = yield* open(
          rig,
          { expiresAt: now + 90_000 },
          (session) => session.runForEach(() => {})
        )
        assert.strictEqual(session.expiresAt, now + 90_000)
        const { report, tookMillis } = yield* endOf(
          session,
          Effect.repeatN(Effect.zipRight(Effect.ignore(client.send("here")), advance("10 seconds")), 8)
        )
        assert.deepStrictEqual(report.exit, { _tag: "Expired" })
        assert.strictEqual(tookMillis, 90_000)
        assert.strictEqual((yield* client.ended)?.code, 4010)
      })
  )

  test("AU1 renewed in time it lives on, until the new time", {}, (rig) =>
    Effect.gen(function*() {
      const now = yield* Clock.currentTimeMillis
      const { session } = yield* open(rig, { expiresAt: now + 10_000 })
      const awaitEnding = yield* watch(session)
      yield* advance(9_999)
      assert.isTrue(yield* session.renew(now + 20_000))
      yield* advance(10_000)
      assert.strictEqual(session.state, "open")
      assert.strictEqual((yield* awaitEnding).tookMillis, 20_000)
      assert.isFalse(yield* session.renew(now + 90_000))
    }))

  test("renewed to an earlier time it ends then; without a time it never does", {}, (rig) =>
    Effect.gen(function*() {
      const now = yield* Clock.currentTimeMillis
      const early = yield* open(rig, { expiresAt: now + 100_000 })
      const never = yield* open(rig, { expiresAt: now + 1_000 })
      yield* early.session.renew(now + 2_000)
      yield* never.session.renew(undefined)
      assert.strictEqual(never.session.expiresAt, undefined)
      yield* advance("2 seconds")
      assert.strictEqual((yield* early.session.awaitExit).exit._tag, "Expired")
      yield* advance("1 hour")
      assert.strictEqual(never.session.state, "open")
    }))

  test("permission that had expired before the session was open ends it at once", {}, (rig) =>
    Effect.gen(function*() {
      const { session } = yield* open(rig, { expiresAt: (yield* Clock.currentTimeMillis) - 1 })
      assert.strictEqual((yield* session.awaitExit).exit._tag, "Expired")
    }))
})

describe("endAll", () => {
  const openAs = (rig: Rig, identity: string) => open(rig, { identity })

  test("AU2 ends every session of the identity at once with 4503, and no other", {}, (rig) =>
    Effect.gen(function*() {
      const mine = yield* Effect.all([openAs(rig, "me"), openAs(rig, "me"), openAs(rig, "me")])
      const yours = yield* openAs(rig, "you")
      const nobodys = yield* rig.open()
      assert.strictEqual(mine[0].session.identity, "me")
      assert.strictEqual(nobodys.session.identity, undefined)
      assert.strictEqual(yield* rig.sessions.endAll("me"), 3)
      assert.strictEqual(yield* rig.sessions.endAll("me"), 0)
      yield* settle
      for (const { client } of mine) assert.strictEqual((yield* client.ended)?.code, 4503)
      assert.strictEqual(yours.session.state, "open")
      assert.strictEqual(nobodys.session.state, "open")
    }))

  test("ends those for which a predicate holds, with the reason that is given", {}, (rig) =>
    Effect.gen(function*() {
      const [first, second] = yield* Effect.all([openAs(rig, "a"), openAs(rig, "b")])
      const isFirst = (session: Session.Session) => session.id === first.session.id
      assert.strictEqual(yield* rig.sessions.endAll(isFirst, { code: 4101, reason: "out" }), 1)
      yield* settle
      assert.deepInclude(yield* first.client.ended, { code: 4101, reason: "out" })
      assert.strictEqual(second.session.state, "open")
    }))

  test("a predicate that throws ends nobody", {}, (rig) =>
    Effect.gen(function*() {
      const pairs = yield* Effect.all([openAs(rig, "a"), openAs(rig, "b")])
      let asked = 0
      const exit = yield* Effect.exit(rig.sessions.endAll(() => {
        if (++asked === 2) throw new Error("no")
        return true
      }))
      assert.isTrue(Exit.isFailure(exit))
      assert.strictEqual(asked, 2)
      for (const { session } of pairs) assert.strictEqual(session.state, "open")
    }))
})

test(
  "onEnded is called once, after the session has left the gauge, also when its ending was forced",
  {},
  (rig) =>
    Effect.gen(function*() {
      const sizes: Array<number> = []
      const onEnded = () => void sizes.push(rig.sessions.size)
      const { client } = yield* open(rig, { onEnded })
      yield* client.reset
      yield* settle
      const second = yield* open(rig, { onEnded }, () => Effect.never)
      yield* endOf(second.session, Effect.zipRight(second.client.halfOpen, second.session.close()))
      assert.deepStrictEqual(sizes, [0, 0])
    })
)
