import { assert, describe, it } from "@effect/vitest"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Frame from "spillway/Frame"
import type * as Message from "spillway/Message"
import * as Outcome from "spillway/Outcome"
import type * as Session from "spillway/Session"
import { Sessions } from "spillway/Sessions"
import * as Topics from "../src/Topics.js"

/** A session of which only the outbox matters: it keeps what it is offered and answers with the given outcome. */
const fakeSession = (outcome: Outcome.Outcome = Outcome.queued) => {
  const offered: Array<Message.Message> = []
  const session = {
    unsafeOffer: (message: Message.Message) => {
      offered.push(message)
      return outcome
    }
  } as unknown as Session.Session
  return { session, offered, texts: () => offered.map((message) => Frame.toText(message.frame, 1)) }
}

/** Nothing here publishes to all sessions, which is all that the hub wants their owner for. */
const makeTopics = (topicsMax: number) =>
  Effect.provideService(Topics.make(topicsMax), Sessions, {} as Context.Tag.Service<typeof Sessions>)

const content = { lane: "important", data: 1 } as const

describe("Topics", () => {
  it.scoped("a publication reaches every subscriber of its topic once, and nobody else, with one frame", () =>
    Effect.gen(function*() {
      const topics = yield* makeTopics(10)
      const [a, b, c] = [fakeSession(), fakeSession(), fakeSession()]
      for (const { session } of [a, b, c]) yield* topics.join(session)
      yield* topics.subscribe(a.session, ["x", "y"])
      yield* topics.subscribe(b.session, ["x", "x"])
      yield* topics.subscribe(c.session, ["y"])
      const published = yield* topics.publish("x", content)
      assert.deepStrictEqual(published, { sessions: 2, queued: 2, evicted: 0, conflated: 0, rejected: 0 })
      assert.deepStrictEqual([a, b, c].map(({ offered }) => offered.length), [1, 1, 0])
      assert.strictEqual(a.offered[0], b.offered[0])
    }))

  it.scoped("the result counts what became of each offer", () =>
    Effect.gen(function*() {
      const topics = yield* makeTopics(10)
      const outcomes = [Outcome.queued, Outcome.queuedEvicting(3), Outcome.conflated, Outcome.rejected("LaneFull")]
      for (const outcome of outcomes) {
        const { session } = fakeSession(outcome)
        yield* topics.join(session)
        yield* topics.subscribe(session, ["x"])
      }
      assert.deepStrictEqual(yield* topics.publish("x", content), {
        sessions: 4,
        queued: 3,
        evicted: 3,
        conflated: 1,
        rejected: 1
      })
    }))

  it.effect("membership is released when the session's scope ends, and nothing is left", () =>
    Effect.gen(function*() {
      const topics = yield* makeTopics(10)
      const scope = yield* Scope.make()
      const { offered, session } = fakeSession()
      yield* Scope.extend(topics.join(session), scope)
      yield* topics.subscribe(session, ["x", "y"])
      assert.deepStrictEqual(yield* topics.stats, { topics: 2, subscriptions: 2 })
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* topics.stats, { topics: 0, subscriptions: 0 })
      yield* topics.subscribe(session, ["x"])
      assert.strictEqual((yield* topics.publish("x", content)).sessions, 0)
      assert.deepStrictEqual(offered, [])
    }))

  it.scoped("unsubscribing ends the messages of that topic; of an unknown topic it does nothing", () =>
    Effect.gen(function*() {
      const topics = yield* makeTopics(10)
      const { offered, session } = fakeSession()
      yield* topics.join(session)
      yield* topics.subscribe(session, ["x", "y"])
      yield* topics.unsubscribe(session, ["x", "never"])
      yield* topics.publish("x", content)
      yield* topics.publish("y", content)
      assert.strictEqual(offered.length, 1)
      assert.deepStrictEqual(yield* topics.stats, { topics: 1, subscriptions: 1 })
    }))

  it.scoped("a session has at most 128 topics; a subscription beyond is refused whole", () =>
    Effect.gen(function*() {
      const topics = yield* makeTopics(1000)
      const { session } = fakeSession()
      yield* topics.join(session)
      yield* topics.subscribe(session, Array.from({ length: 127 }, (_, i) => `t${i}`))
      const error = yield* Effect.flip(topics.subscribe(session, ["u", "v"]))
      assert.strictEqual(error.limit, "session")
      assert.deepStrictEqual(yield* topics.stats, { topics: 127, subscriptions: 127 })
      yield* topics.subscribe(session, ["t0", "u"])
      assert.strictEqual((yield* topics.stats).topics, 128)
    }))

  it.scoped("the server has a bounded number of topics, and unused ones make room", () =>
    Effect.gen(function*() {
      const topics = yield* makeTopics(2)
      const { session } = fakeSession()
      yield* topics.join(session)
      yield* topics.subscribe(session, ["x", "y"])
      assert.strictEqual((yield* Effect.flip(topics.subscribe(session, ["z"]))).limit, "server")
      yield* topics.unsubscribe(session, ["x"])
      yield* topics.subscribe(session, ["z"])
      assert.strictEqual((yield* topics.stats).topics, 2)
    }))

  it.scoped("a later subscriber gets the values that are kept, the latest of each name", () =>
    Effect.gen(function*() {
      const topics = yield* makeTopics(10)
      const { session, texts } = fakeSession()
      yield* topics.join(session)
      for (const [name, data] of [["a", 1], ["b", 2], ["a", 3]] as const) {
        yield* topics.publishKept("x", name, { lane: "bulk", data })
      }
      yield* topics.forget("x", "b")
      yield* topics.subscribe(session, ["x"])
      assert.deepStrictEqual(texts(), [`{"type":"message","topic":"x","lane":"bulk","seq":1,"data":3}`])
    }))
})
