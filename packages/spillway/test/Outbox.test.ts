import { assert, describe, it } from "@effect/vitest"
import * as Array_ from "effect/Array"
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import * as Scheduler from "effect/Scheduler"
import * as TestClock from "effect/TestClock"
import type { Lane } from "../src/Lane.js"
import * as Outbox from "../src/Outbox.js"
import * as Outcome from "../src/Outcome.js"
import * as Overflow from "../src/Overflow.js"
import { InvalidOption, OutboxClosed } from "../src/SpillwayError.js"

const noEarlyRefusal: Overflow.Options = { refuseBulkAbove: 1 }

const make = (options: Outbox.Options = {}, policy: Overflow.Options = noEarlyRefusal) =>
  Effect.provide(Outbox.make<string>(options), Overflow.layer(policy))

const message = (item: string, lane: Lane, bytes = 1): Outbox.Offer<string> => ({ item, lane, bytes })

const fill = (outbox: Outbox.Outbox<string>, count: number, lane: Lane) => {
  for (let i = 1; i <= count; i++) assert.strictEqual(outbox.unsafeOffer(message(`${lane} ${i}`, lane)), Outcome.queued)
}

/** Lets every other fiber run until nothing more can. */
const settle = Effect.repeatN(Effect.yieldNow(), 200)

const items = (taken: Iterable<Outbox.Taken<string>>) => Array.from(taken, ({ item }) => item)

const pollAll = (outbox: Outbox.Outbox<string>) =>
  items(Array_.unfold(undefined, () => Option.map(outbox.unsafePoll(), (taken) => [taken, undefined] as const)))

describe("Outbox", () => {
  it.scoped("offer says what became of the message", () =>
    Effect.gen(function*() {
      const outbox = yield* make({ itemsMax: 2, bytesMax: 100 }, {})
      assert.deepStrictEqual(yield* outbox.offer(message("b", "bulk")), { _tag: "Queued" })
      assert.deepStrictEqual(yield* outbox.offer({ ...message("i", "important"), key: 1 }), { _tag: "Queued" })
      assert.deepStrictEqual(yield* outbox.offer({ ...message("i2", "important"), key: 1 }), { _tag: "Conflated" })
      assert.deepStrictEqual(yield* outbox.offer(message("b2", "bulk")), { _tag: "Rejected", reason: "Pressure" })
      assert.deepStrictEqual(yield* outbox.offer(message("c", "critical")), { _tag: "QueuedEvicting", evicted: 1 })
      assert.deepStrictEqual(yield* outbox.offer(message("big", "critical", 101)), {
        _tag: "Rejected",
        reason: "TooLarge"
      })
      assert.deepStrictEqual(pollAll(outbox), ["c", "i2"])
    }))

  it.scoped("A010 take yields the most urgent message and describes it", () =>
    Effect.gen(function*() {
      const outbox = yield* make()
      for (const lane of ["bulk", "critical", "important", "control"] as const) {
        yield* outbox.offer(message(lane, lane, 7))
      }
      assert.deepStrictEqual(yield* outbox.take, { item: "control", lane: "control", bytes: 7, seq: 1 })
      assert.deepStrictEqual(pollAll(outbox), ["critical", "important", "bulk"])
    }))

  it.scoped("A018 a critical offer on a full queue waits and completes as soon as one is taken; nothing is lost", () =>
    Effect.gen(function*() {
      const outbox = yield* make({ itemsMax: 2 })
      fill(outbox, 2, "critical")
      const waiting = yield* Effect.fork(outbox.offer(message("late", "critical")))
      yield* settle
      assert.isTrue(Option.isNone(yield* Fiber.poll(waiting)))
      assert.strictEqual((yield* outbox.take).item, "critical 1")
      assert.deepStrictEqual(yield* Fiber.join(waiting), Outcome.queued)
      assert.deepStrictEqual(pollAll(outbox), ["critical 2", "late"])
    }))

  it.scoped("A018 where offer would wait, unsafeOffer is rejected with LaneFull and counted", () =>
    Effect.gen(function*() {
      const outbox = yield* make({ itemsMax: 2 })
      fill(outbox, 2, "critical")
      assert.deepStrictEqual(outbox.unsafeOffer(message("late", "critical")), Outcome.rejected("LaneFull"))
      assert.strictEqual((yield* outbox.stats).lanes.critical.rejected, 1)
    }))

  it.scoped("I3 nobody barges: while one waits, newcomers of the lane wait behind it and immediate offers are rejected", () =>
    Effect.gen(function*() {
      const outbox = yield* make({ itemsMax: 4, bytesMax: 10 })
      fill(outbox, 2, "critical")
      const large = yield* Effect.fork(outbox.offer(message("large", "critical", 9)))
      yield* settle
      assert.deepStrictEqual(outbox.unsafeOffer(message("small", "critical")), Outcome.rejected("LaneFull"))
      const small = yield* Effect.fork(outbox.offer(message("small", "critical")))
      yield* settle
      assert.strictEqual((yield* outbox.stats).waiters, 2)
      assert.strictEqual((yield* outbox.take).item, "critical 1")
      yield* Fiber.join(large)
      assert.strictEqual((yield* outbox.take).item, "critical 2")
      yield* Fiber.join(small)
      assert.deepStrictEqual(pollAll(outbox), ["large", "small"])
    }))

  it.scoped("offers that wait are admitted urgent lane first, and in order inside a lane", () =>
    Effect.gen(function*() {
      const outbox = yield* make({ itemsMax: 2 }, { ...noEarlyRefusal, lanes: { important: { whenFull: "suspend" } } })
      fill(outbox, 2, "critical")
      const done: Array<string> = []
      const offer = (item: string, lane: Lane) =>
        Effect.fork(Effect.map(outbox.offer(message(item, lane)), () => void done.push(item)))
      yield* offer("i1", "important")
      yield* offer("i2", "important")
      yield* settle
      yield* offer("c3", "critical")
      yield* offer("c4", "critical")
      yield* settle
      for (let i = 0; i < 4; i++) {
        yield* outbox.take
        yield* settle
      }
      assert.deepStrictEqual(done, ["c3", "c4", "i1", "i2"])
    }))

  it.scoped("at most waitersMax offers wait; beyond that they are rejected", () =>
    Effect.gen(function*() {
      const outbox = yield* make({ itemsMax: 1, waitersMax: 2 })
      fill(outbox, 1, "critical")
      for (let i = 0; i < 2; i++) yield* Effect.fork(outbox.offer(message("waits", "critical")))
      yield* settle
      assert.deepStrictEqual(yield* outbox.offer(message("late", "critical")), Outcome.rejected("LaneFull"))
      assert.strictEqual((yield* outbox.stats).lanes.critical.rejected, 1)
    }))

  it.scoped("a suspended bulk offer is not refused early when it is its turn", () =>
    Effect.gen(function*() {
      const outbox = yield* make({ itemsMax: 10, bytesMax: 10 }, { lanes: { bulk: { whenFull: "suspend" } } })
      outbox.unsafeOffer(message("first", "bulk", 9))
      const waiting = yield* Effect.fork(outbox.offer(message("second", "bulk", 2)))
      yield* settle
      outbox.unsafeOffer(message("c", "critical", 1))
      assert.strictEqual((yield* outbox.stats).waiters, 1)
      assert.deepStrictEqual(outbox.unsafeOffer(message("late", "bulk", 1)), Outcome.rejected("LaneFull"))
      assert.deepStrictEqual(pollAll(outbox), ["c", "first", "second"])
      assert.deepStrictEqual(yield* Fiber.join(waiting), Outcome.queued)
    }))

  it.scoped("when all that was queued has expired, take finds those who waited behind it", () =>
    Effect.gen(function*() {
      const outbox = yield* make({ itemsMax: 1 })
      outbox.unsafeOffer({ ...message("old", "critical"), maxAge: "1 second" })
      yield* Effect.fork(outbox.offer(message("waited", "critical")))
      yield* settle
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* outbox.take).item, "waited")
      assert.strictEqual((yield* outbox.stats).lanes.critical.expired, 1)
    }))

  it.scoped("a suspended take is woken by the next offer", () =>
    Effect.gen(function*() {
      const outbox = yield* make()
      const taking = yield* Effect.fork(outbox.take)
      yield* settle
      yield* outbox.offer(message("m", "bulk"))
      assert.strictEqual((yield* Fiber.join(taking)).item, "m")
    }))

  it.scoped("each of several suspended takes gets its own message", () =>
    Effect.gen(function*() {
      const outbox = yield* make()
      const taking = yield* Effect.forEach([1, 2, 3], () => Effect.fork(outbox.take))
      yield* settle
      fill(outbox, 2, "bulk")
      yield* settle
      fill(outbox, 1, "critical")
      assert.sameMembers(items(yield* Fiber.joinAll(taking)), ["bulk 1", "bulk 2", "critical 1"])
    }))

  it.scoped("takeBatch stops before the next message would exceed the bytes, and at the items", () =>
    Effect.gen(function*() {
      const outbox = yield* make()
      for (const bytes of [4, 4, 4, 20, 1]) yield* outbox.offer(message(`${bytes}`, "bulk", bytes))
      const batch = (itemsMax: number) => Effect.map(outbox.takeBatch({ itemsMax, bytesMax: 10 }), items)
      assert.deepStrictEqual(yield* batch(64), ["4", "4"])
      assert.deepStrictEqual(yield* batch(1), ["4"])
      assert.deepStrictEqual(yield* batch(64), ["20"])
      const suspended = yield* Effect.fork(Effect.zip(batch(64), batch(64)))
      yield* settle
      yield* outbox.offer(message("next", "bulk"))
      assert.deepStrictEqual(yield* Fiber.join(suspended), [["1"], ["next"]])
    }))

  it.scoped("awaitEmpty suspends until the last message was taken, expired or returned", () =>
    Effect.gen(function*() {
      const outbox = yield* make()
      yield* outbox.awaitEmpty
      fill(outbox, 2, "bulk")
      const waiting = yield* Effect.fork(outbox.awaitEmpty)
      yield* outbox.take
      yield* settle
      assert.isTrue(Option.isNone(yield* Fiber.poll(waiting)))
      yield* outbox.take
      yield* Fiber.join(waiting)
      outbox.unsafeOffer({ ...message("old", "bulk"), maxAge: 10 })
      const second = yield* Effect.fork(outbox.awaitEmpty)
      yield* TestClock.adjust(10)
      assert.isTrue(Option.isNone(outbox.unsafePoll()))
      yield* Fiber.join(second)
    }))

  it.scoped("A024 shutdown returns the rest, most urgent lane first, and fails those who are suspended", () =>
    Effect.gen(function*() {
      const outbox = yield* make({ itemsMax: 2 })
      outbox.unsafeOffer(message("i", "important"))
      outbox.unsafeOffer(message("c", "critical"))
      outbox.unsafeOffer(message("c2", "critical"))
      const offering = yield* Effect.fork(outbox.offer(message("c3", "critical")))
      yield* settle
      assert.deepStrictEqual(yield* outbox.shutdown, [
        { item: "c", lane: "critical", bytes: 1, seq: 1 },
        { item: "c2", lane: "critical", bytes: 1, seq: 2 }
      ])
      assert.deepStrictEqual(yield* Fiber.await(offering), Exit.fail(new OutboxClosed()))
      assert.deepStrictEqual(yield* outbox.shutdown, [])
    }))

  it.scoped("A024 Q12 shutdown ends a suspended take; later takes and offers fail, unsafeOffer is rejected as Closed", () =>
    Effect.gen(function*() {
      const outbox = yield* make()
      const taking = yield* Effect.fork(outbox.take)
      const batching = yield* Effect.fork(outbox.takeBatch({ itemsMax: 1, bytesMax: 1 }))
      yield* settle
      yield* outbox.shutdown
      assert.deepStrictEqual(yield* Fiber.await(taking), Exit.fail(new OutboxClosed()))
      assert.deepStrictEqual(yield* Fiber.await(batching), Exit.fail(new OutboxClosed()))
      assert.deepStrictEqual(yield* Effect.exit(outbox.take), Exit.fail(new OutboxClosed()))
      assert.deepStrictEqual(yield* Effect.exit(outbox.offer(message("m", "bulk"))), Exit.fail(new OutboxClosed()))
      assert.deepStrictEqual(outbox.unsafeOffer(message("m", "bulk")), Outcome.rejected("Closed"))
      yield* outbox.awaitEmpty
    }))

  it.effect("closing the scope shuts the outbox down", () =>
    Effect.gen(function*() {
      const outbox = yield* Effect.scoped(make())
      assert.deepStrictEqual(yield* Effect.exit(outbox.take), Exit.fail(new OutboxClosed()))
    }))

  it.scoped("A024 a suspended take does not look at the clock and keeps no timer", () =>
    Effect.gen(function*() {
      const clock = yield* Effect.clock
      let reads = 0
      const counting: Clock.Clock = {
        ...clock,
        [Clock.ClockTypeId]: Clock.ClockTypeId,
        unsafeCurrentTimeMillis: () => (reads++, clock.unsafeCurrentTimeMillis())
      }
      const outbox = yield* Effect.withClock(make(), counting)
      yield* Effect.fork(outbox.take)
      yield* settle
      const before = reads
      assert.deepStrictEqual(Chunk.toReadonlyArray(yield* TestClock.sleeps()), [])
      yield* TestClock.adjust("1 day")
      assert.strictEqual(reads, before)
    }))

  it.scoped("stats are a frozen record whose counters add up", () =>
    Effect.gen(function*() {
      const outbox = yield* make({ itemsMax: 4 })
      fill(outbox, 4, "bulk")
      outbox.unsafeOffer(message("late", "bulk"))
      outbox.unsafeOffer(message("i", "important", 5))
      yield* outbox.take
      const stats = yield* outbox.stats
      assert.isTrue(Object.isFrozen(stats) && Object.isFrozen(stats.lanes) && Object.isFrozen(stats.lanes.bulk))
      assert.deepInclude(stats.lanes.bulk, { offered: 5, evicted: 1, rejected: 1, queuedItems: 3, queuedBytes: 3 })
      assert.deepInclude(stats.lanes.important, { offered: 1, taken: 1, queuedItems: 0 })
      assert.deepInclude(stats, {
        queuedItems: 3,
        queuedBytes: 3,
        peakItems: 4,
        peakBytes: 8,
        fillRatio: 0.75,
        waiters: 0
      })
    }))

  it.effect("bounds below 1, and those that are no whole numbers, are refused by name", () =>
    Effect.gen(function*() {
      for (const key of ["itemsMax", "bytesMax", "reserveItems", "reserveBytes"] as const) {
        for (const value of [0, -1, 1.5, NaN, Infinity]) {
          const error = yield* Effect.flip(Effect.scoped(make({ [key]: value })))
          assert.instanceOf(error, InvalidOption)
          assert.deepInclude({ ...error }, { module: "Outbox", key, value })
        }
      }
    }))

  it("the defaults are 1 MiB and 1024 messages, with a reserve of 64 KiB and 100 messages", () => {
    const { bytesMax, itemsMax, reserveBytes, reserveItems } = Outbox.defaults
    assert.deepStrictEqual([itemsMax, bytesMax, reserveItems, reserveBytes], [1024, 1 << 20, 100, 1 << 16])
  })

  it.scoped("the policy layer changes outcomes, not the code that offers", () =>
    Effect.gen(function*() {
      const program = Effect.gen(function*() {
        const outbox = yield* Outbox.make<string>({ itemsMax: 2 })
        fill(outbox, 2, "bulk")
        return (yield* outbox.offer(message("i", "important")))._tag
      })
      assert.strictEqual(yield* Effect.provide(program, Overflow.layerDefault), "QueuedEvicting")
      assert.strictEqual(yield* Effect.provide(program, Overflow.layerRejectNewest), "Rejected")
    }))
})

describe("interruption (A023, I6)", () => {
  it.scoped("an interrupted offer leaves no waiter and no message, and the next one moves up at once", () =>
    Effect.gen(function*() {
      const outbox = yield* make({ itemsMax: 4, bytesMax: 10 })
      outbox.unsafeOffer(message("c", "critical", 5))
      const large = yield* Effect.fork(outbox.offer(message("large", "critical", 9)))
      yield* settle
      const small = yield* Effect.fork(outbox.offer(message("small", "critical", 5)))
      yield* settle
      yield* Fiber.interrupt(large)
      assert.deepStrictEqual(yield* Fiber.join(small), Outcome.queued)
      assert.strictEqual((yield* outbox.stats).waiters, 0)
      assert.deepStrictEqual(pollAll(outbox), ["c", "small"])
    }))

  it.scoped("an offer that is interrupted after shutdown changes nothing", () =>
    Effect.gen(function*() {
      const outbox = yield* make({ itemsMax: 1 })
      fill(outbox, 1, "critical")
      const waiting = yield* Effect.fork(outbox.offer(message("late", "critical")))
      yield* settle
      assert.lengthOf(yield* outbox.shutdown, 1)
      yield* Fiber.interrupt(waiting)
      assert.strictEqual((yield* outbox.stats).waiters, 0)
      assert.strictEqual((yield* outbox.stats).lanes.critical.offered, 1)
    }))

  it.scoped("a take that is woken and interrupted in the same turn has taken nothing", () =>
    Effect.gen(function*() {
      const outbox = yield* make()
      const taking = yield* Effect.fork(outbox.take)
      yield* settle
      outbox.unsafeOffer(message("m", "critical"))
      yield* Fiber.interrupt(taking)
      assert.deepStrictEqual(pollAll(outbox), ["m"])
    }))

  it.scoped("when one of two woken takes is interrupted the other one gets the message", () =>
    Effect.gen(function*() {
      const outbox = yield* make()
      const first = yield* Effect.fork(outbox.take)
      const second = yield* Effect.fork(outbox.take)
      yield* settle
      outbox.unsafeOffer(message("m", "critical"))
      yield* Fiber.interrupt(first)
      assert.strictEqual((yield* Fiber.join(second)).item, "m")
    }))

  const stepsMax = 60

  /** Runs with a fiber that is interrupted at step 0, 1, 2 and so on, beyond its end. */
  const atEveryStep = (
    run: (step: number) => Effect.Effect<{ readonly interrupted: boolean }>
  ): Effect.Effect<number> =>
    Effect.gen(function*() {
      let interrupted = 0
      for (let step = 0; step < stepsMax; step++) if ((yield* run(step)).interrupted) interrupted++
      assert.isAbove(interrupted, 5, "there were steps to interrupt at")
      assert.isBelow(interrupted, stepsMax, "the last steps lie beyond the end")
      return interrupted
    })

  /** Takes in a way that loses nothing between the take and what follows, and records it. */
  const recording = (take: Effect.Effect<Outbox.Taken<string>, OutboxClosed>, got: Array<string>) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(restore(take), ({ item }) => Effect.sync(() => void got.push(item)))
    )

  const assertAllTakenArrived = (outbox: Outbox.Outbox<string>, got: ReadonlyArray<string>, step: number) =>
    Effect.map(outbox.stats, ({ lanes, waiters }) => {
      assert.strictEqual(lanes.critical.taken, got.length, `step ${step}: whatever left the outbox reached its taker`)
      assert.strictEqual(waiters, 0, `step ${step}: no waiter is left`)
    })

  const runTake = (step: number, isQueuedBefore: boolean) =>
    Effect.scoped(Effect.gen(function*() {
      const outbox = yield* make()
      const got: Array<string> = []
      if (isQueuedBefore) fill(outbox, 1, "critical")
      const fiber = yield* forkInterruptedAt(recording(outbox.take, got), step)
      yield* settle
      if (!isQueuedBefore) fill(outbox, 1, "critical")
      yield* settle
      yield* assertAllTakenArrived(outbox, got, step)
      assert.deepStrictEqual([...got, ...pollAll(outbox)], ["critical 1"])
      return { interrupted: Exit.isInterrupted(yield* Fiber.await(fiber)) || got.length === 0 }
    })).pipe(Effect.orDie)

  it.effect("I6 a take that is interrupted at any step has taken nothing, or has got it", () =>
    Effect.gen(function*() {
      yield* atEveryStep((step) => runTake(step, true))
      yield* atEveryStep((step) => runTake(step, false))
    }))

  it.effect("I6 an offer that is interrupted at any step leaves no waiter, and its message is queued once or not at all", () =>
    atEveryStep((step) =>
      Effect.scoped(Effect.gen(function*() {
        const outbox = yield* make({ itemsMax: 1 })
        fill(outbox, 1, "critical")
        const fiber = yield* forkInterruptedAt(outbox.offer(message("m", "critical")), step)
        yield* settle
        const { waiters } = yield* outbox.stats
        const isSuspended = Option.isNone(yield* Fiber.poll(fiber))
        assert.strictEqual(waiters, isSuspended ? 1 : 0, `step ${step}: only a fiber that is still there waits`)
        assert.deepStrictEqual(Option.map(outbox.unsafePoll(), ({ item }) => item), Option.some("critical 1"))
        yield* settle
        const exit = yield* Fiber.await(fiber)
        const admitted = pollAll(outbox)
        assert.deepStrictEqual(admitted, waiters === 1 ? ["m"] : [], `step ${step}: who waited was admitted`)
        if (Exit.isSuccess(exit)) assert.deepStrictEqual(admitted, ["m"])
        assert.strictEqual((yield* outbox.stats).waiters, 0)
        fill(outbox, 1, "critical")
        return { interrupted: Exit.isInterrupted(exit) }
      })).pipe(Effect.orDie)
    ))

  it.effect("counter-test: a take that passes its message through one more step loses it when interrupted there", () =>
    Effect.gen(function*() {
      let lost = 0
      for (let step = 0; step < stepsMax; step++) {
        yield* Effect.scoped(Effect.gen(function*() {
          const outbox = yield* make()
          fill(outbox, 1, "critical")
          const got: Array<string> = []
          const naive = Effect.suspend(() => Effect.succeed(Option.getOrThrow(outbox.unsafePoll())))
          yield* forkInterruptedAt(recording(naive, got), step)
          yield* settle
          lost += (yield* outbox.stats).lanes.critical.taken - got.length
        }))
      }
      assert.isAbove(lost, 0)
    }))

  /** What a fiber of the plan does, at which of its steps it is interrupted, and for how long others run before the next. */
  const plan = FastCheck.array(
    FastCheck.record({
      takes: FastCheck.boolean(),
      step: FastCheck.oneof(FastCheck.nat(40), FastCheck.constant(Infinity)),
      turns: FastCheck.nat(20)
    }),
    { minLength: 10, maxLength: 60 }
  )

  it.effect("A023 I6 takes and offers interrupted at random lose nothing, repeat nothing and leave no waiter", () =>
    Effect.gen(function*() {
      const seed = 20_240_229
      let interrupted = 0
      for (const [index, actions] of FastCheck.sample(plan, { seed, numRuns: 150 }).entries()) {
        const replay = `plan ${index} of seed ${seed}`
        yield* Effect.scoped(Effect.gen(function*() {
          const outbox = yield* make({ itemsMax: 2 })
          const got: Array<string> = []
          const fibers = yield* Effect.forEach(actions, ({ step, takes, turns }, id) => {
            const action = takes
              ? recording(outbox.take, got)
              : Effect.asVoid(outbox.offer(message(`${id}`, "critical")))
            return Effect.zipLeft(forkInterruptedAt(action, step), Effect.repeatN(Effect.yieldNow(), turns))
          })
          yield* settle
          const { lanes } = yield* outbox.stats
          const rest = items(yield* outbox.shutdown)
          const left = [...got, ...rest]
          assert.strictEqual(new Set(left).size, left.length, `${replay}: nothing is delivered twice`)
          assert.deepStrictEqual(got.map(Number), got.map(Number).sort((a, b) => a - b), `${replay}: I3`)
          assert.strictEqual(lanes.critical.taken, got.length, `${replay}: whatever left the outbox reached its taker`)
          assert.strictEqual(lanes.critical.offered, got.length + rest.length, `${replay}: nothing is lost`)
          const exits = yield* Effect.forEach(fibers, Fiber.await)
          interrupted += exits.filter(Exit.isInterrupted).length
          assert.strictEqual((yield* outbox.stats).waiters, 0, `${replay}: no waiter is left`)
          for (const [id, exit] of exits.entries()) {
            if (!actions[id]!.takes && Exit.isSuccess(exit)) {
              assert.include(left, `${id}`, `${replay}: ${id} was taken in`)
            }
          }
        }))
      }
      assert.isAbove(interrupted, 300, "the campaign really interrupted")
    }))
})

/** Forks a fiber that is interrupted at the given one of its steps, between two operations of its run loop. */
const forkInterruptedAt = <A, E>(
  effect: Effect.Effect<A, E>,
  step: number
): Effect.Effect<Fiber.RuntimeFiber<A, E>> => {
  let steps = 0
  const scheduler: Scheduler.Scheduler = {
    scheduleTask: (task, priority) => Scheduler.defaultScheduler.scheduleTask(task, priority),
    shouldYield: (fiber) => {
      if (steps++ !== step) return false
      fiber.unsafeInterruptAsFork(FiberId.none)
      return 0
    }
  }
  return Effect.fork(Effect.withScheduler(effect, scheduler))
}
