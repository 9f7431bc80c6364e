import { assert, describe } from "@effect/vitest"
import { settle } from "@spillway/testing/Settle"
import * as Provider from "@spillway/workers/Provider"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/TestClock"
import { test } from "./support.js"

/** What a request of the tests does: takes time, then answers or fails. */
interface Request {
  readonly id: number
  readonly millis?: number
  readonly fails?: boolean
  readonly stubborn?: boolean
}

const make = (options: Partial<Provider.Options> = {}) => {
  const seen = { running: 0, peak: 0, order: [] as Array<number> }
  const run = ({ fails = false, id, millis = 100, stubborn = false }: Request) => {
    const work = Effect.sleep(millis)
    return Effect.acquireUseRelease(
      Effect.sync(() => {
        seen.order.push(id)
        seen.peak = Math.max(seen.peak, ++seen.running)
      }),
      () =>
        Effect.zipRight(
          stubborn ? Effect.uninterruptible(work) : work,
          fails ? Effect.fail(`no ${id}`) : Effect.succeed(id)
        ),
      () => Effect.sync(() => seen.running--)
    )
  }
  return Effect.map(Effect.orDie(Provider.make({ name: "p", ...options }, run)), (provider) => ({ provider, seen }))
}

const submitAll = (provider: Provider.Provider<Request, number, string>, requests: ReadonlyArray<Request>) =>
  Effect.forEach(requests, (request) => Effect.zipLeft(Effect.fork(Effect.either(provider.submit(request))), settle))

const ids = (count: number, rest: Omit<Request, "id"> = {}): ReadonlyArray<Request> =>
  Array.from({ length: count }, (_, id) => ({ id, ...rest }))

const statusOf = (provider: Provider.Provider<Request, number, string>) =>
  Effect.map(provider.stats, ({ status }) => status)

describe("Provider", () => {
  test("A049 at most four run, the rest wait in order, and above 80 of 100 waiting one more is refused", () =>
    Effect.gen(function*() {
      const { provider, seen } = yield* make({ timeout: "1 minute" })
      const fibers = yield* submitAll(provider, ids(86))
      assert.deepInclude(yield* provider.stats, { running: 4, waiting: 81, refused: 1, status: "overloaded" })
      const refused = yield* Fiber.join(fibers[85]!)
      assert.isTrue(refused._tag === "Left" && refused.left instanceof Provider.Overloaded)
      yield* TestClock.adjust("3 seconds")
      const answers = yield* Fiber.joinAll(fibers.slice(0, 85))
      assert.deepStrictEqual(
        answers.map((answer) => answer._tag === "Right" && answer.right),
        ids(85).map(({ id }) => id)
      )
      assert.deepStrictEqual(seen.order, ids(85).map(({ id }) => id))
      assert.strictEqual(seen.peak, 4)
    }))

  test("A050 each requester has its own answer or its own error", () =>
    Effect.gen(function*() {
      const { provider } = yield* make()
      const fibers = yield* submitAll(provider, [
        { id: 1 },
        { id: 2, fails: true },
        { id: 3, millis: 50 },
        { id: 4, millis: 9000 }
      ])
      yield* TestClock.adjust("5 seconds")
      const [one, two, three, four] = yield* Fiber.joinAll(fibers)
      assert.deepInclude(one, { _tag: "Right", right: 1 })
      assert.deepInclude(two, { _tag: "Left", left: "no 2" })
      assert.deepInclude(three, { _tag: "Right", right: 3 })
      assert.isTrue(four?._tag === "Left" && four.left instanceof Provider.RequestTimeout)
    }))

  test("A050 a thousand requests that time out leave nothing, and the provider still serves", () =>
    Effect.gen(function*() {
      const { provider, seen } = yield* make({ samplesMin: 10_000, windowItems: 10_000, queueItemsMax: 1000 })
      for (let round = 0; round < 5; round++) {
        const fibers = yield* Effect.forEach(
          ids(200, { millis: 60_000 }),
          (request) => Effect.fork(Effect.either(provider.submit(request)))
        )
        yield* TestClock.adjust("5 seconds")
        const results = yield* Fiber.joinAll(fibers)
        assert.isTrue(results.every(({ _tag }) => _tag === "Left"))
        assert.deepInclude(yield* provider.stats, { running: 0, waiting: 0 })
      }
      assert.strictEqual(seen.running, 0)
      const fiber = yield* Effect.fork(provider.submit({ id: 7, millis: 1 }))
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* Fiber.join(fiber), 7)
    }))

  test("A050 the deadline holds against a request that ignores interruption, which keeps its place until it ends", () =>
    Effect.gen(function*() {
      const { provider } = yield* make({ concurrency: 1 })
      const fiber = yield* Effect.fork(Effect.flip(provider.submit({ id: 1, millis: 8000, stubborn: true })))
      yield* TestClock.adjust("5 seconds")
      assert.isTrue((yield* Fiber.join(fiber)) instanceof Provider.RequestTimeout)
      assert.strictEqual((yield* provider.stats).running, 1)
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual((yield* provider.stats).running, 0)
    }))

  test("A050 interrupting a requester at any point frees its place and counts as nothing", () =>
    Effect.gen(function*() {
      const { provider } = yield* make({ concurrency: 1 })
      const fibers = yield* submitAll(provider, ids(3))
      yield* Fiber.interrupt(fibers[1]!)
      yield* Fiber.interrupt(fibers[0]!)
      yield* TestClock.adjust("100 millis")
      const last = yield* Fiber.join(fibers[2]!)
      assert.deepInclude(last, { _tag: "Right", right: 2 })
      assert.deepInclude(yield* provider.stats, { running: 0, waiting: 0, succeeded: 1, failed: 0, samples: 1 })
    }))

  test("A051 busy at the limit, slow when the mean is above 2 s", () =>
    Effect.gen(function*() {
      const { provider } = yield* make({ timeout: "10 seconds" })
      assert.strictEqual(yield* statusOf(provider), "available")
      const fibers = yield* submitAll(provider, ids(4, { millis: 2001 }))
      assert.strictEqual(yield* statusOf(provider), "busy")
      yield* TestClock.adjust("2001 millis")
      yield* Fiber.joinAll(fibers)
      assert.strictEqual(yield* statusOf(provider), "slow")
    }))

  test("A051 offline above 10 % errors of at least the minimum sample; a probe brings it back, or does not", () =>
    Effect.gen(function*() {
      const { provider } = yield* make({ samplesMin: 10, cooldown: "30 seconds" })
      const ask = (request: Request) =>
        Effect.gen(function*() {
          const fiber = yield* Effect.fork(Effect.either(provider.submit({ millis: 1, ...request })))
          yield* TestClock.adjust("1 millis")
          return yield* Fiber.join(fiber)
        })
      for (const { id } of ids(9)) yield* ask({ id, fails: true })
      assert.strictEqual(yield* statusOf(provider), "available", "nine errors say nothing yet")
      yield* ask({ id: 9, fails: true })
      assert.strictEqual(yield* statusOf(provider), "offline")
      const refused = yield* ask({ id: 10 })
      assert.isTrue(refused._tag === "Left" && refused.left instanceof Provider.Offline)
      yield* TestClock.adjust("30 seconds")
      yield* ask({ id: 11, fails: true })
      assert.strictEqual(yield* statusOf(provider), "offline", "the probe failed")
      yield* TestClock.adjust("30 seconds")
      const probe = yield* Effect.fork(provider.submit({ id: 12, millis: 50 }))
      yield* settle
      assert.strictEqual(yield* statusOf(provider), "offline", "one probe at a time")
      yield* TestClock.adjust("50 millis")
      assert.strictEqual(yield* Fiber.join(probe), 12)
      assert.deepInclude(yield* provider.stats, { status: "available", errorRatio: 0, samples: 1 })
    }))

  test("A051 one error of nine does not take a provider offline", () =>
    Effect.gen(function*() {
      const { provider } = yield* make()
      const fibers = yield* submitAll(provider, [...ids(8, { millis: 1 }), { id: 8, millis: 1, fails: true }])
      yield* TestClock.adjust("1 second")
      yield* Fiber.joinAll(fibers)
      assert.strictEqual(yield* statusOf(provider), "available")
    }))

  test("A052 the one with the least to do is asked; one that becomes slow gets no more; none usable is an error", () =>
    Effect.gen(function*() {
      const all = yield* Effect.forEach(
        ["a", "b", "c"],
        (name) => make({ name, queueItemsMax: 1, timeout: "1 minute" })
      )
      const [a, b, c] = all.map(({ provider }) => provider)
      const providers = [a!, b!, c!]
      const first = yield* Effect.fork(Provider.submit(providers, { id: 1, millis: 3000 }))
      yield* settle
      const second = yield* Effect.fork(Provider.submit(providers, { id: 2, millis: 10 }))
      yield* settle
      assert.deepStrictEqual(yield* Effect.forEach(providers, (p) => Effect.map(p.stats, ({ running }) => running)), [
        1,
        1,
        0
      ])
      yield* TestClock.adjust("3 seconds")
      yield* Fiber.joinAll([first, second])
      assert.strictEqual(yield* statusOf(a!), "slow")
      const chosen = new Set<string>()
      for (let index = 0; index < 10; index++) {
        chosen.add((yield* Provider.select(providers)).name)
        yield* submitAll(yield* Provider.select(providers), [{ id: index, millis: 20_000 }])
      }
      assert.deepStrictEqual([...chosen].sort(), ["b", "c"], "also when the others are busy")
      yield* submitAll(a!, ids(6, { millis: 20_000 }))
      const error = yield* Effect.flip(Provider.select(providers))
      assert.deepInclude(error, { _tag: "NoProvider", providers: ["a", "b", "c"] })
    }))

  test("an option that is not usable is refused by name", () =>
    Effect.gen(function*() {
      for (const [key, value] of [["concurrency", 0], ["overloadAt", 1.1], ["timeout", 0]] as const) {
        const error = yield* Effect.flip(Provider.make({ name: "p", [key]: value }, Effect.succeed))
        assert.deepInclude(error, { _tag: "InvalidOption", module: "Provider", key })
      }
    }))
})
