/**
 * What the naive port of each utility does under the fault that the utility is for. These tests are not about Spillway:
 * they show that the faults are real, and that the tests of the utilities can fail.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Tasks from "../src/Tasks.js"
import { advance, ended, fibers, isRunning, label, settle, stubborn, timed } from "./taskSupport.js"

/** Whether the effect is over after an hour, interrupted at once if so asked. */
const isOverAfterAnHour = (effect: Effect.Effect<unknown, unknown>, interrupt = false) =>
  Effect.gen(function*() {
    const fiber = yield* timed(effect)
    if (interrupt) yield* Fiber.interruptFork(fiber)
    yield* advance("1 hour")
    return !isRunning(fiber)
  })

const hung = Effect.never
const deaf = stubborn("10 hours")

describe("the naive port", () => {
  it.effect("A085 A106 waiting for receive and background together never sees the disconnect under a hung task", () =>
    Effect.gen(function*() {
      let gauge = 1
      const disconnected = Effect.void
      const naive = Effect.ensuring(
        Effect.all([disconnected, hung], { concurrency: "unbounded" }),
        Effect.sync(() => gauge--)
      )
      assert.isFalse(yield* isOverAfterAnHour(naive))
      assert.strictEqual(gauge, 1, "a ghost")
      const supervised = Effect.ensuring(
        Effect.scoped(Tasks.superviseTasks({
          label,
          receive: { name: "receive", run: disconnected },
          background: [{ name: "hung", kind: "lifetime", run: hung }]
        })),
        Effect.sync(() => gauge--)
      )
      assert.isTrue(yield* isOverAfterAnHour(supervised))
      assert.strictEqual(gauge, 0)
    }))

  it.effect("A086 a race sees the first end, and calls a finite task that is done the end of everything", () =>
    Effect.gen(function*() {
      const done = Effect.as(Effect.void, "finite task")
      assert.strictEqual(yield* Effect.raceFirst(done, Effect.never), "finite task")
      const goesOn = Tasks.superviseTasks({
        label,
        receive: { name: "receive", run: Effect.never },
        background: [{ name: "finite", kind: "finite", run: done }]
      })
      assert.isFalse(yield* isOverAfterAnHour(Effect.scoped(goesOn)))
    }))

  it.effect("A091 A095 code after the wait is skipped when the caller is interrupted: nothing is drained", () =>
    Effect.gen(function*() {
      const ran: Array<string> = []
      const note = (what: string) => Effect.sync(() => void ran.push(what))
      const naive = Effect.zipRight(hung, note("drained"))
      assert.isTrue(yield* isOverAfterAnHour(naive, true))
      assert.deepStrictEqual(ran, [])
      const supervised = Effect.scoped(Tasks.superviseTasks({
        label,
        receive: { name: "receive", run: hung },
        background: [{ name: "bg", kind: "finite", run: Effect.zipRight(Effect.sleep("9 seconds"), note("drained")) }]
      }))
      assert.isTrue(yield* isOverAfterAnHour(supervised, true))
      assert.deepStrictEqual(ran, ["drained"])
    }))

  it.effect("A095 a timeout in a finalizer that is not re-opened bounds nothing", () =>
    Effect.gen(function*() {
      const tasks = yield* fibers({ hung })
      const wait = Fiber.await(tasks[0]!)
      const inFinalizer = (drain: Effect.Effect<unknown>) => Effect.scoped(Effect.addFinalizer(() => drain))
      assert.isFalse(yield* isOverAfterAnHour(inFinalizer(Effect.timeoutOption(wait, "30 seconds"))))
      assert.isFalse(
        yield* isOverAfterAnHour(inFinalizer(Effect.timeoutOption(Effect.disconnect(wait), "30 seconds")))
      )
      assert.isTrue(yield* isOverAfterAnHour(inFinalizer(Tasks.drainTasks(tasks, { label, mode: "grace" }))))
    }))

  it.effect("A095 one that is re-opened waits for nothing at all in a fiber that was interrupted: the grace is lost", () =>
    Effect.gen(function*() {
      const finalized = (drain: Effect.Effect<unknown>) =>
        Effect.scoped(Effect.zipRight(Effect.addFinalizer(() => drain), Effect.never))
      const naive = yield* fibers({ healthy: Effect.sleep("10 seconds") })
      const wait = Effect.interruptible(Effect.timeoutOption(Fiber.await(naive[0]!), "30 seconds"))
      const skipped = yield* timed(finalized(wait))
      yield* Fiber.interruptFork(skipped)
      yield* settle
      assert.deepStrictEqual([isRunning(skipped), isRunning(naive[0]!)], [false, true])
      const tasks = yield* fibers({ healthy: Effect.sleep("10 seconds") })
      const waits = yield* timed(finalized(Tasks.drainTasks(tasks, { label, mode: "grace" })))
      yield* Fiber.interruptFork(waits)
      yield* advance("9999 millis")
      assert.isTrue(isRunning(waits))
      yield* advance(1)
      assert.deepStrictEqual([isRunning(waits), tasks[0]!.unsafePoll()?._tag], [false, "Success"])
    }))

  it.effect("A093 background work that a scope owns keeps the scope from closing while it ignores interruption", () =>
    Effect.gen(function*() {
      const naive = Effect.scoped(Effect.zipRight(Effect.forkScoped(deaf), Effect.sleep(1)))
      assert.isFalse(yield* isOverAfterAnHour(naive))
      const owned = Effect.scoped(Effect.gen(function*() {
        const tasks = yield* Tasks.makeSet({ label })
        yield* Tasks.createNamedTask(deaf, { name: "deaf", tasks })
        yield* Effect.sleep(1)
      }))
      assert.isTrue(yield* isOverAfterAnHour(owned))
    }))

  it.effect("A091 background work that a scope owns is interrupted at once: there is no grace", () =>
    Effect.gen(function*() {
      const stored: Array<string> = []
      const upload = (name: string) => Effect.zipRight(Effect.sleep("3 seconds"), Effect.sync(() => stored.push(name)))
      const naive = Effect.scoped(Effect.zipRight(Effect.forkScoped(upload("naive")), Effect.sleep(1)))
      assert.isTrue(yield* isOverAfterAnHour(naive))
      const owned = Effect.scoped(Effect.gen(function*() {
        const tasks = yield* Tasks.makeSet({ label })
        yield* Tasks.createNamedTask(upload("owned"), { name: "upload", tasks })
      }))
      assert.isTrue(yield* isOverAfterAnHour(owned))
      assert.deepStrictEqual(stored, ["owned"])
    }))

  it.effect("A096 a straight gather loses every result to one failure", () =>
    Effect.gen(function*() {
      const items = [Effect.succeed(1), Effect.fail("no"), Effect.succeed(3)]
      const naive = yield* Effect.exit(Effect.all(items, { concurrency: "unbounded" }))
      assert.strictEqual(naive._tag, "Failure")
      const gathered = yield* Tasks.gatherWithLogging(items, { label })
      assert.deepStrictEqual(gathered.map(({ exit }) => exit._tag), ["Success", "Failure", "Success"])
    }))

  it.effect("A098 A099 a straight gather is held by an item that ignores its timeout, and cannot be interrupted", () =>
    Effect.gen(function*() {
      const naive = Effect.forEach([deaf], (item) => Effect.timeoutOption(item, "1 second"), { concurrency: 10 })
      assert.isFalse(yield* isOverAfterAnHour(naive))
      assert.isFalse(yield* isOverAfterAnHour(naive, true))
      const gathered = Tasks.gatherWithLogging([deaf], { label, timeout: "1 second" })
      assert.isTrue(yield* isOverAfterAnHour(gathered))
      assert.isTrue(yield* isOverAfterAnHour(Tasks.gatherWithLogging([deaf], { label }), true))
    }))

  it.effect("A100 a gather over all items takes the whole iterable before the first item runs", () =>
    Effect.gen(function*() {
      let taken = 0
      const items = function*() {
        for (; taken < 1_000; taken++) yield Effect.sync(() => taken)
      }
      const first = yield* Effect.forEach(items(), (item) => item, { concurrency: 10 })
      assert.strictEqual(first[0], 1_000)
      taken = 0
      const chunked = yield* Tasks.gatherChunked(items(), { label })
      assert.isAtMost(chunked[0]!.exit._tag === "Success" ? chunked[0]!.exit.value : 1_000, 10)
    }))

  it.effect("A101 a set that is only added to, and cleaned up after the work, keeps what was interrupted", () =>
    Effect.gen(function*() {
      const naive = new Set<string>()
      const work = Effect.zipRight(
        Effect.sync(() => naive.add("bg")),
        Effect.zipRight(hung, Effect.sync(() => naive.clear()))
      )
      const fiber = yield* Effect.forkDaemon(work)
      yield* settle
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(naive.size, 1)
    }))

  it.effect("A103 a plain sleep is slept to its end by whoever waits for the loop to see the signal", () =>
    Effect.gen(function*() {
      const shutdown = yield* Tasks.makeShutdown
      const loop = (nap: Effect.Effect<unknown>) => timed(Effect.repeat(nap, { until: () => shutdown.isSignalled }))
      const naive = yield* loop(Effect.sleep("60 seconds"))
      const woken = yield* loop(Tasks.sleepUntilShutdown(shutdown, "60 seconds"))
      yield* advance("1 second")
      yield* shutdown.signal
      yield* settle
      assert.deepStrictEqual([isRunning(naive), isRunning(woken)], [true, false])
      yield* advance("59 seconds")
      assert.strictEqual((yield* ended(naive)).took, 60_000)
    }))

  it.effect("A102 a race alone may sleep although the signal was given: zero durations come first", () =>
    Effect.gen(function*() {
      const latch = yield* Deferred.make<void>()
      yield* Deferred.succeed(latch, undefined)
      const naive = Effect.raceFirst(Effect.as(Effect.sleep(0), false), Effect.as(Deferred.await(latch), true))
      assert.isFalse(yield* naive)
      const shutdown = yield* Tasks.makeShutdown
      yield* shutdown.signal
      assert.isTrue(yield* Tasks.sleepUntilShutdown(shutdown, 0))
    }))
})
