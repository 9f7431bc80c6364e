import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/TestClock"
import * as Breaker from "../src/Breaker.js"
import { BreakerCore } from "../src/internal/breaker.js"
import * as Label from "../src/Label.js"
import { readMetrics, settle } from "./taskSupport.js"

const label = Label.make("breaker_test")

const make = (options: Omit<Breaker.Options<string>, "label"> = {}) =>
  Effect.orDie(Breaker.make<string>({ ...options, label }))

const fail = (breaker: Breaker.Breaker<string>, times: number) =>
  Effect.replicateEffect(Effect.exit(breaker.guard(Effect.fail("down"))), times, { discard: true })

const succeed = (breaker: Breaker.Breaker<string>, times: number) =>
  Effect.replicateEffect(breaker.guard(Effect.void), times, { discard: true })

const stateOf = (breaker: Breaker.Breaker<string>) => Effect.map(breaker.stats, ({ state }) => state)

/** What a call that must be refused fails with. */
const refusal = (breaker: Breaker.Breaker<string>) => Effect.flip(breaker.guard(Effect.dieMessage("was called")))

describe("Breaker", () => {
  it.effect("A121 five failures in a row open it; a success in between starts the count anew", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      yield* fail(breaker, 4)
      yield* succeed(breaker, 1)
      yield* fail(breaker, 4)
      assert.strictEqual(yield* stateOf(breaker), "closed")
      yield* fail(breaker, 1)
      assert.strictEqual(yield* stateOf(breaker), "open")
    }))

  it.effect("A121 open, it refuses at once and says when to try again", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      yield* fail(breaker, 5)
      yield* TestClock.adjust("20 seconds")
      const refused = yield* refusal(breaker)
      assert.deepInclude(refused, { _tag: "BreakerOpen", breaker: "breaker_test", retryAfterMillis: 40_000 })
      assert.deepInclude(yield* breaker.stats, { rejected: 1, opened: 1, retryAfterMillis: 40_000 })
    }))

  it.effect("A121 after 60 s it admits the configured number at once; three successes close it", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      yield* fail(breaker, 5)
      yield* TestClock.adjust("59999 millis")
      assert.strictEqual(yield* stateOf(breaker), "open")
      yield* TestClock.adjust(1)
      assert.strictEqual(yield* stateOf(breaker), "half-open")
      const gate = yield* Deferred.make<void>()
      const probes = yield* Effect.replicateEffect(Effect.fork(breaker.guard(Deferred.await(gate))), 3)
      yield* settle
      assert.deepInclude(yield* refusal(breaker), { _tag: "BreakerOpen", retryAfterMillis: 0 })
      assert.strictEqual((yield* breaker.stats).probes, 3)
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.joinAll(probes)
      assert.strictEqual(yield* stateOf(breaker), "closed")
      yield* fail(breaker, 4)
      assert.strictEqual(yield* stateOf(breaker), "closed", "the failures of before are forgotten")
    }))

  it.effect("A121 any failure in half-open opens it again for the whole cooldown", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      yield* fail(breaker, 5)
      yield* TestClock.adjust("60 seconds")
      yield* succeed(breaker, 2)
      yield* fail(breaker, 1)
      assert.deepInclude(yield* breaker.stats, { state: "open", opened: 2, retryAfterMillis: 60_000 })
    }))

  it.effect("A121 window: the twentieth failure within 30 s opens it, whatever succeeds in between; slower ones do not", () =>
    Effect.gen(function*() {
      const slow = yield* make({ mode: { _tag: "window" } })
      const fast = yield* make({ mode: { _tag: "window" } })
      for (let i = 0; i < 19; i++) {
        yield* fail(slow, 1)
        yield* TestClock.adjust(1_579)
      }
      // The first is 30,001 ms old, so this is the nineteenth within the window.
      yield* fail(slow, 1)
      assert.deepInclude(yield* slow.stats, { state: "closed", failures: 19 })
      yield* fail(slow, 1)
      assert.strictEqual(yield* stateOf(slow), "open")
      for (let i = 0; i < 19; i++) {
        yield* fail(fast, 1)
        yield* succeed(fast, 3)
        yield* TestClock.adjust(1_578)
      }
      assert.strictEqual(yield* stateOf(fast), "closed")
      yield* fail(fast, 1)
      assert.strictEqual(yield* stateOf(fast), "open")
    }))

  it.effect("A121 reset closes it; typed failures count and so do defects, unless isFailure says otherwise", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ mode: { _tag: "consecutive", failures: 2 } })
      yield* Effect.exit(breaker.guard(Effect.die("bug")))
      yield* fail(breaker, 1)
      assert.strictEqual(yield* stateOf(breaker), "open")
      yield* breaker.reset
      assert.deepInclude(yield* breaker.stats, { state: "closed", failures: 0 })
      yield* succeed(breaker, 1)
      const tolerant = yield* make({ mode: { _tag: "consecutive", failures: 1 }, isFailure: () => false })
      yield* fail(tolerant, 9)
      assert.strictEqual(yield* stateOf(tolerant), "closed")
    }))

  it.effect("A122 a hundred callers run at once through a closed breaker, and a call may take an hour", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      let running = 0
      const call = Effect.zipRight(Effect.sync(() => running++), Effect.as(Effect.sleep("1 hour"), "done"))
      const calls = yield* Effect.replicateEffect(Effect.fork(call.pipe(breaker.guard)), 100)
      yield* settle
      assert.strictEqual(running, 100)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual((yield* Fiber.joinAll(calls)).length, 100)
    }))

  it.effect("A122 an interrupted half-open call returns its permit and counts as nothing", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ halfOpenPermits: 1 })
      yield* fail(breaker, 5)
      yield* TestClock.adjust("60 seconds")
      for (let i = 0; i < 10; i++) {
        const probe = yield* Effect.fork(breaker.guard(Effect.never))
        yield* settle
        assert.strictEqual((yield* breaker.stats).probes, 1)
        yield* refusal(breaker)
        yield* Fiber.interrupt(probe)
      }
      assert.deepInclude(yield* breaker.stats, { state: "half-open", probes: 0 })
      yield* succeed(breaker, 3)
      assert.strictEqual(yield* stateOf(breaker), "closed")
    }))

  it.effect("A122 counter-test: a breaker that returns permits after the call, not on exit, is shut for ever by one interruption", () =>
    Effect.gen(function*() {
      let permits = 1
      const naive = <A>(call: Effect.Effect<A>) =>
        Effect.suspend(() =>
          permits === 0 ? Effect.fail("refused") : (permits--, Effect.tap(call, () => void permits++))
        )
      const probe = yield* Effect.fork(naive(Effect.never))
      yield* settle
      yield* Fiber.interrupt(probe)
      assert.deepStrictEqual(yield* Effect.exit(naive(Effect.void)), Exit.fail("refused"))
    }))

  it.effect("a call that was admitted before the state changed no longer counts", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      const gate = yield* Deferred.make<void, string>()
      const old = yield* Effect.fork(Effect.exit(breaker.guard(Deferred.await(gate))))
      yield* settle
      yield* fail(breaker, 5)
      yield* TestClock.adjust("60 seconds")
      assert.strictEqual(yield* stateOf(breaker), "half-open")
      yield* Deferred.fail(gate, "late")
      yield* Fiber.join(old)
      assert.deepInclude(yield* breaker.stats, { state: "half-open", probes: 0 })
    }))

  it.effect("state and rejections are metrics with the label of the breaker", () =>
    Effect.gen(function*() {
      const read = Effect.map(readMetrics, (metrics) => [
        metrics.get("spillway_breaker_state label=breaker_test"),
        metrics.get("spillway_breaker_rejections_total label=breaker_test")!
      ])
      const breaker = yield* make()
      const [closed, before] = yield* read
      yield* fail(breaker, 5)
      yield* refusal(breaker)
      const [open, after] = yield* read
      yield* TestClock.adjust("60 seconds")
      yield* succeed(breaker, 1)
      const [halfOpen] = yield* read
      assert.deepStrictEqual([closed, open, halfOpen, after! - before!], [0, 1, 2, 1])
    }))

  it.effect("options that are not usable are refused by name", () =>
    Effect.gen(function*() {
      const key = (options: Omit<Breaker.Options, "label">) =>
        Effect.map(Effect.flip(Breaker.make({ ...options, label })), ({ key }) => key)
      assert.strictEqual(yield* key({ mode: { _tag: "window", failures: 0 } }), "failures")
      assert.strictEqual(yield* key({ mode: { _tag: "window", window: 0 } }), "window")
      assert.strictEqual(yield* key({ cooldown: 0 }), "cooldown")
      assert.strictEqual(yield* key({ halfOpenPermits: 0.5 }), "halfOpenPermits")
      assert.strictEqual(yield* key({ successesToClose: NaN }), "successesToClose")
    }))
})

const successors: Record<string, Array<string>> = {
  closed: ["open"],
  open: ["half-open"],
  "half-open": ["open", "closed"]
}

describe("laws of the breaker", () => {
  type Command = {
    readonly do: "call" | "end" | "wait"
    readonly success: boolean | undefined
    readonly millis: number
  }
  const command: FastCheck.Arbitrary<Command> = FastCheck.record({
    do: FastCheck.constantFrom<Command["do"]>("call", "call", "end", "end", "wait"),
    success: FastCheck.constantFrom(true, false, undefined),
    millis: FastCheck.constantFrom(1, 5, 10, 60)
  })

  it("A121 A122 any list of calls does what the rule says: permits are bounded and returned, a refusal means open or full", () => {
    FastCheck.assert(
      FastCheck.property(FastCheck.array(command, { maxLength: 80 }), FastCheck.boolean(), (commands, windowed) => {
        const options = {
          failuresMax: 3,
          windowMillis: windowed ? 20 : undefined,
          cooldownMillis: 50,
          halfOpenPermits: 2,
          successesToClose: 2
        }
        const states: Array<string> = ["closed"]
        const core = new BreakerCore(options, (state) => states.push(state))
        const running: Array<NonNullable<ReturnType<BreakerCore["admit"]>>> = []
        let now = 0
        for (const { do: what, millis, success } of commands) {
          if (what === "wait") now += millis
          else if (what === "end" && running.length > 0) core.settle(running.shift()!, success, now)
          else if (what === "call") {
            const state = core.state(now)
            const probes = core.probesRunning
            const permit = core.admit(now)
            assert.strictEqual(permit === undefined, state === "open" || (state === "half-open" && probes === 2))
            if (permit !== undefined) running.push(permit)
          }
          core.check()
          assert.isTrue(core.state(now) !== "open" || core.retryAfterMillis(now) > 0)
        }
        for (const permit of running) core.settle(permit, undefined, now)
        assert.strictEqual(core.probesRunning, 0, "every permit came back")
        for (const [index, state] of states.slice(1).entries()) {
          const before = states[index]
          assert.include(successors[before!]!, state)
        }
      }),
      { numRuns: Number(process.env["LAWS_RUNS"] ?? 300) }
    )
  })
})
