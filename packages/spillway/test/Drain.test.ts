/** How a server ends all its sessions: phases, spread, at most so many at once, one total. */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import type { DrainOptions, DrainSummary } from "../src/Sessions.js"
import {
  advance,
  clog,
  control,
  critical,
  type Handler,
  idle,
  type Pair,
  type Rig,
  settle,
  test,
  withRig
} from "./support.js"

const announce: DrainOptions["announce"] = ({ afterMillis, jitterMillis }) => control(`${afterMillis} ${jitterMillis}`)

const open = (rig: Rig, count: number, handler: Handler = idle, neverCloses = false) =>
  Effect.forEach(Array.from({ length: count }), () => rig.open(handler, { neverCloses }))

/** Drains while time passes. */
const drained = (rig: Rig, options: DrainOptions): Effect.Effect<DrainSummary> =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(rig.sessions.drain(options))
    for (let i = 0; i < 60 && fiber.unsafePoll() === null; i++) yield* advance("500 millis")
    return yield* Fiber.join(fiber)
  })

const sum = (counts: ReadonlyArray<number>): number => counts.reduce((total, count) => total + count, 0)

const hung: Handler = (session) => Effect.zipRight(session.fork("hung", "finite", Effect.never), Effect.never)

const stubborn: Handler = (session) =>
  Effect.zipRight(session.fork("stubborn", "finite", Effect.uninterruptible(Effect.never)), Effect.never)

describe("phases", () => {
  test(
    "each begins at its time, and a stubborn session is over within the total",
    { stuckFibers: 1 },
    (rig) =>
      Effect.gen(function*() {
        yield* open(rig, 1, stubborn, true)
        const seen: Array<readonly [string, number]> = []
        yield* Effect.fork(
          Stream.runForEach(rig.sessions.phases, (phase) =>
            Effect.map(Clock.currentTimeMillis, (now) => seen.push([phase, now])))
        )
        const summary = yield* drained(rig, { announce })
        assert.deepStrictEqual(seen.slice(0, 4), [["accepting", 0], ["lameDuck", 0], ["closing", 2_000], [
          "forcing",
          25_200
        ]])
        assert.deepStrictEqual([seen[4]?.[0], seen.length, rig.sessions.phase], ["done", 5, "done"])
        assert.isAtMost(seen[4]![1], 28_000)
        assert.deepInclude(summary, { stuck: ["stubborn"], forced: 1, exits: { ServerDraining: 1 } })
        assert.deepInclude(summary.phases, { lameDuckMillis: 2_000, closingMillis: 23_200 })
      })
  )

  test("a lame duck refuses newcomers, has told its clients and closes nothing", {}, (rig) =>
    Effect.gen(function*() {
      const [pair] = yield* open(rig, 1)
      const drain = yield* Effect.fork(rig.sessions.drain({ announce, reconnectAfter: 700, reconnectJitter: 900 }))
      yield* advance(1_999)
      assert.deepStrictEqual([rig.sessions.phase, rig.sessions.isAccepting, rig.sessions.size], ["lameDuck", false, 1])
      assert.deepStrictEqual((yield* pair!.client.received).map(({ text }) => text), ["700 900"])
      assert.strictEqual(pair!.session.state, "open")
      yield* advance("1 second")
      yield* Fiber.join(drain)
      assert.strictEqual((yield* pair!.client.ended)?.code, 4001)
    }))

  test(
    "a drain without sessions is over at once, and so is one whose clients follow the hint",
    {},
    (rig) =>
      Effect.gen(function*() {
        const pairs = yield* open(rig, 3)
        const drain = yield* Effect.fork(rig.sessions.drain({ announce }))
        yield* advance(100)
        for (const { client } of pairs) yield* client.close(1000)
        yield* advance(1)
        const summary = yield* Fiber.join(drain)
        assert.deepInclude(summary, { exits: { Disconnected: 3 }, closesPerSecond: [], terminated: 0 })
        assert.isAtMost(summary.durationMillis, 101)
      })
  )

  test(
    "whoever hurries a drain cuts the grace, the spread and the waits of each session",
    {},
    (rig) =>
      Effect.gen(function*() {
        yield* open(rig, 40, hung)
        const drain = yield* Effect.fork(rig.sessions.drain({ announce }))
        yield* advance(500)
        yield* rig.sessions.hurry
        yield* advance(2_000)
        const summary = yield* Fiber.join(drain)
        assert.deepInclude(summary, { exits: { ServerDraining: 40 }, forced: 40, stuck: [] })
        assert.isAtMost(summary.durationMillis, 500 + 4 * 250 + 50)
      })
  )
})

describe("the total", () => {
  test(
    "is the end: a session that was ending before, and takes longer, is terminated at it and counted",
    {},
    (rig) =>
      Effect.gen(function*() {
        const [pair] = yield* open(rig, 1, hung, true)
        yield* pair!.session.close()
        yield* settle
        const drain = yield* Effect.fork(rig.sessions.drain({ total: "1 second" }))
        yield* advance(999)
        assert.isUndefined(yield* pair!.client.ended)
        yield* advance(1)
        assert.deepInclude(yield* Fiber.join(drain), { sessions: 1, terminated: 1, durationMillis: 1_000 })
        assert.isDefined(yield* pair!.client.ended)
        // What is left of its own ending, which was asked to hurry at 900 ms.
        yield* advance("1 second")
        assert.strictEqual(rig.sessions.size, 0)
      })
  )
})

describe("spread", () => {
  test("closes of many sessions are spread with jitter, none in the grace", {}, (rig) =>
    Effect.gen(function*() {
      yield* open(rig, 400)
      const { closesPerSecond, durationMillis, exits } = yield* drained(rig, { announce })
      assert.deepStrictEqual(exits, { ServerDraining: 400 })
      assert.deepStrictEqual([sum(closesPerSecond), sum(closesPerSecond.slice(0, 2))], [400, 0])
      const busy = closesPerSecond.slice(2)
      assert.isAtLeast(busy.length, 8)
      assert.isAtMost(Math.max(...busy), 2 * 400 / busy.length)
      assert.isAtMost(durationMillis, 2_000 + 13_920 + 1_000)
    }))

  test("counter-test: without a spread they all come back in one second", {}, (rig) =>
    Effect.gen(function*() {
      yield* open(rig, 100)
      const { closesPerSecond } = yield* drained(rig, { announce, spread: 0, endingsMax: 1_000 })
      assert.deepStrictEqual(closesPerSecond, [0, 0, 100])
    }))

  test("a few sessions are not made to wait for each other", {}, (rig) =>
    Effect.gen(function*() {
      yield* open(rig, 5)
      assert.isAtMost((yield* drained(rig, { announce })).durationMillis, 2_000 + 5 * 50 + 1)
    }))
})

describe("at most so many at once", () => {
  const deaf = (rig: Rig, count: number): Effect.Effect<ReadonlyArray<Pair>> => open(rig, count, idle, true)

  test("sessions whose peers do not answer the close end sixteen at a time", {}, (rig) =>
    Effect.gen(function*() {
      yield* deaf(rig, 100)
      const summary = yield* drained(rig, { announce, spread: "1 second", endingsMax: 16 })
      assert.strictEqual(summary.endingsMost, 16)
      // Seven batches, the close timeout of two seconds each.
      assert.isAtLeast(summary.durationMillis, 2_000 + 7 * 2_000 - 1)
      assert.deepInclude(summary, { terminated: 0, exits: { ServerDraining: 100 } })
    }))

  test("the default is 128, and what does not get its turn is forced", {}, (rig) =>
    Effect.gen(function*() {
      yield* deaf(rig, 300)
      const drain = yield* Effect.fork(rig.sessions.drain({ total: "5 seconds" }))
      yield* advance(100)
      assert.strictEqual((yield* rig.snapshot).totals.sessions, 300)
      let ending = 0
      rig.sessions.unsafeForEach(() => ending++)
      assert.strictEqual(300 - ending, 128)
      yield* advance("4900 millis")
      const summary = yield* Fiber.join(drain)
      assert.strictEqual(rig.sessions.size, 0)
      assert.isAtMost(summary.durationMillis, 5_000)
    }))
})

describe("whatever the sessions do", () => {
  const handlers = { idle, hung, stubborn, throws: (() => Effect.addFinalizer(() => Effect.die("no"))) as Handler }
  type Kind = keyof typeof handlers
  const kinds = Object.keys(handlers) as ReadonlyArray<Kind>

  const scenario = FastCheck.record({
    seed: FastCheck.nat(),
    peers: FastCheck.array(
      FastCheck.record({
        kind: FastCheck.constantFrom(...kinds),
        neverCloses: FastCheck.boolean(),
        clogged: FastCheck.boolean(),
        queued: FastCheck.nat(3)
      }),
      { maxLength: 12 }
    ),
    total: FastCheck.integer({ min: 200, max: 30_000 }),
    grace: FastCheck.option(FastCheck.nat(10_000), { nil: undefined }),
    spread: FastCheck.option(FastCheck.nat(60_000), { nil: undefined }),
    endingsMax: FastCheck.integer({ min: 1, max: 6 }),
    announced: FastCheck.boolean(),
    hurryAt: FastCheck.option(FastCheck.nat(20_000), { nil: undefined })
  })

  it.effect.prop(
    "the total holds, at most so many end at once, and each session is counted once",
    { given: scenario },
    ({ given }) =>
      withRig(
        { seed: given.seed, stuckFibers: given.peers.filter(({ kind }) => kind === "stubborn").length },
        (rig) =>
          Effect.gen(function*() {
            for (const { clogged, kind, neverCloses, queued } of given.peers) {
              const pair = yield* rig.open(handlers[kind], { neverCloses })
              if (pair.session.state !== "open") continue
              if (clogged) yield* clog(pair)
              for (let i = 0; i < queued; i++) pair.session.unsafeOffer(critical("queued"))
            }
            const sessions = rig.sessions.size
            const { endingsMax, grace, hurryAt, spread, total } = given
            const options: DrainOptions = {
              total,
              endingsMax,
              ...(grace === undefined ? {} : { grace }),
              ...(spread === undefined ? {} : { spread }),
              ...(given.announced ? { announce } : {})
            }
            if (hurryAt !== undefined) yield* Effect.fork(Effect.delay(rig.sessions.hurry, hurryAt))
            const summary = yield* drained(rig, options)
            assert.isAtMost(summary.durationMillis, total)
            assert.strictEqual(summary.terminated + sum(Object.values(summary.exits)), sessions)
            assert.isAtMost(sum(summary.closesPerSecond), sessions)
            if (hurryAt === undefined && summary.phases.forcingMillis === 0) {
              assert.isAtMost(summary.endingsMost, endingsMax)
            }
            yield* advance("6 seconds")
            assert.strictEqual(rig.sessions.size, 0)
          })
      ),
    { fastCheck: { seed: 20_261_125, numRuns: 60 }, timeout: 60_000 }
  )
})
