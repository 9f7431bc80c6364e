import { assert, describe } from "@effect/vitest"
import { settle } from "@spillway/testing/Settle"
import * as WorkerPool from "@spillway/workers/WorkerPool"
import * as WorkerState from "@spillway/workers/WorkerState"
import { WorkerTransport } from "@spillway/workers/WorkerTransport"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { makePool, makeRig, test } from "./support.js"

const conserved = (status: WorkerPool.Status) =>
  assert.strictEqual(status.live, status.idle + status.busy + status.starting + status.stopping)

const statesOf = (pool: WorkerPool.WorkerPoolShape) =>
  Effect.map(pool.workers, (workers) => workers.map(({ machine }) => machine.state))

/** Makes a pool whose workers take time to start. */
const forked = (options: WorkerPool.Options, rig = makeRig({ startTime: "200 millis" })) =>
  Effect.fork(makePool(options, rig))

/** Runs an operation to its end while time passes. */
const after = <A, E>(effect: Effect.Effect<A, E>, time: Duration.DurationInput) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(Effect.exit(effect))
    yield* TestClock.adjust(time)
    return fiber.unsafePoll() === null ? undefined : yield* Fiber.join(fiber)
  })

const failureOf = (exit: Exit.Exit<unknown, unknown> | undefined) => {
  assert.isTrue(exit !== undefined && Exit.isFailure(exit), `ended with a failure: ${exit?.toString()}`)
  return Cause.squash((exit as Exit.Failure<unknown, unknown>).cause) as { readonly _tag: string }
}

describe("WorkerPool", () => {
  test("A128 make waits until each worker is ready, and executes", () =>
    Effect.gen(function*() {
      const fiber = yield* forked({ size: 3 })
      yield* TestClock.adjust("199 millis")
      assert.isNull(fiber.unsafePoll())
      yield* TestClock.adjust("1 millis")
      const pool = yield* Fiber.join(fiber)
      const status = yield* pool.status
      assert.deepInclude(status, { size: 3, live: 3, idle: 3, busy: 0, starting: 0, stopping: 0, failed: 0 })
      assert.deepStrictEqual(yield* pool.execute("echo", { a: 1 }), { a: 1 })
    }))

  test("A128 workers start in batches", () =>
    Effect.gen(function*() {
      const rig = makeRig({ startTime: "200 millis" })
      const fiber = yield* forked({ size: 5, startBatch: 2, startBatchDelay: "1 second" }, rig)
      yield* settle
      assert.strictEqual(rig.links.size, 2)
      yield* TestClock.adjust("1199 millis")
      assert.strictEqual(rig.links.size, 2)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(rig.links.size, 4)
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual((yield* (yield* Fiber.join(fiber)).status).idle, 5)
    }))

  test("A128 a start that fails or takes over 5 s is given up and tried again with growing pauses, while the others serve", () =>
    Effect.gen(function*() {
      const rig = makeRig()
      rig.refusals = 3
      const pool = yield* makePool({ size: 1 }, rig)
      assert.deepInclude(yield* pool.status, { live: 0, failed: 1 })
      // After 50 ms, 100 ms and 200 ms.
      yield* TestClock.adjust("349 millis")
      assert.strictEqual((yield* pool.status).totals.startFailures, 3)
      yield* TestClock.adjust("1 millis")
      assert.deepInclude(yield* pool.status, { live: 1, idle: 1, failed: 0 })
    }))

  test("A128 a worker that never answers its first ping is killed after 5 s", () =>
    Effect.gen(function*() {
      const slow = makeRig({ startTime: "6 seconds" })
      const fiber = yield* forked({ size: 1 }, slow)
      yield* TestClock.adjust("4999 millis")
      assert.isNull(fiber.unsafePoll())
      yield* TestClock.adjust("1 millis")
      const pool = yield* Fiber.join(fiber)
      assert.strictEqual((yield* pool.status).totals.startFailures, 1)
      const exit = yield* after(pool.execute("echo", 1, { checkoutTimeout: 1 }), "1 millis")
      assert.strictEqual(failureOf(exit)._tag, "CheckoutTimeout")
    }))

  test("A128 closing asks each worker to end, and kills after 1 s the one that does not", () =>
    Effect.gen(function*() {
      const rig = makeRig()
      const gate = yield* Deferred.make<void>()
      const fiber = yield* Effect.fork(Effect.scoped(Effect.gen(function*() {
        const pool = yield* makePool({ size: 2 }, rig)
        const events = yield* Effect.forkDaemon(Stream.runCollect(pool.events))
        rig.inject("w-0.0", { _tag: "hang" })
        yield* Deferred.await(gate)
        return events
      })))
      yield* settle
      yield* Deferred.succeed(gate, undefined)
      yield* TestClock.adjust("999 millis")
      assert.isNull(fiber.unsafePoll())
      yield* TestClock.adjust("1 millis")
      const ended = [...(yield* Fiber.join(yield* Fiber.join(fiber)))].filter((event) => event._tag === "WorkerEnded")
      assert.deepStrictEqual(ended.map(({ exit, workerId }) => [workerId, exit?.code ?? exit?.signal]), [
        ["w-1.0", 0],
        ["w-0.0", "SIGKILL"]
      ])
    }))

  test("A129 there are at most size and overflow workers; overflow ends after 10 s without work", () =>
    Effect.gen(function*() {
      const pool = yield* makePool({ size: 2, overflow: 1 })
      const fibers = yield* Effect.replicateEffect(Effect.fork(pool.execute("sleep", { millis: 1000 })), 6)
      yield* settle
      assert.deepInclude(yield* pool.status, { live: 3, busy: 3, overflow: 1, waiting: 3 })
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.joinAll(fibers)
      yield* TestClock.adjust("9 seconds")
      assert.deepInclude(yield* pool.status, { live: 3, idle: 3 })
      yield* TestClock.adjust("1 second")
      assert.deepInclude(yield* pool.status, { live: 2, idle: 2, overflow: 0 })
    }))

  test("A129 a checkout waits 5 s at most, and at most queueItemsMax wait", () =>
    Effect.gen(function*() {
      const pool = yield* makePool({ size: 1, queueItemsMax: 1 })
      const long = yield* Effect.fork(pool.execute("sleep", { millis: 20_000 }))
      yield* settle
      const waiting = yield* Effect.fork(Effect.flip(pool.execute("echo", 1)))
      yield* settle
      const refused = yield* Effect.flip(pool.execute("echo", 2))
      assert.deepInclude(refused, { _tag: "PoolSaturated", queueItemsMax: 1 })
      yield* TestClock.adjust("4999 millis")
      assert.isNull(waiting.unsafePoll())
      yield* TestClock.adjust("1 millis")
      assert.deepInclude(yield* Fiber.join(waiting), { _tag: "CheckoutTimeout", waitedMillis: 5000 })
      yield* Fiber.interrupt(long)
    }))

  test("A129 an operation has 30 s; then its worker is replaced", () =>
    Effect.gen(function*() {
      const pool = yield* makePool({ size: 1 })
      const fiber = yield* Effect.fork(Effect.flip(pool.execute("sleep", { millis: 60_000 })))
      yield* TestClock.adjust("29999 millis")
      assert.isNull(fiber.unsafePoll())
      yield* TestClock.adjust("1 millis")
      const error = yield* Fiber.join(fiber)
      assert.deepInclude(error, { _tag: "OperationTimeout", workerId: "w-0.0", timeoutMillis: 30_000 })
      yield* pool.awaitFull
      assert.strictEqual(yield* pool.execute("whoami", {}), "w-0.1")
    }))

  test("A129 a reply that cannot be decoded, one to a request that nobody made, and an exit cost the worker", () =>
    Effect.gen(function*() {
      const rig = makeRig()
      const pool = yield* makePool({ size: 1, restartsMax: 100 }, rig)
      const during = (act: () => void) =>
        Effect.gen(function*() {
          const fiber = yield* Effect.fork(Effect.flip(pool.execute("sleep", { millis: 1000 })))
          yield* settle
          act()
          yield* TestClock.adjust("1 second")
          yield* pool.awaitFull
          return yield* Fiber.join(fiber)
        })
      const first = yield* during(() => rig.inject("w-0.0", { _tag: "corrupt" }))
      assert.deepInclude(first, { _tag: "ProtocolViolation", workerId: "w-0.0" })
      const second = yield* during(() => rig.inject("w-0.1", { _tag: "kill" }))
      assert.deepInclude(second, { _tag: "WorkerCrashed", workerId: "w-0.1", signal: "SIGKILL" })
      assert.strictEqual(yield* pool.execute("whoami", {}), "w-0.2")
    }))

  test("A129 an error that the worker answers keeps the worker, also a defect of its handler and an unknown command", () =>
    Effect.gen(function*() {
      const pool = yield* makePool({ size: 1 })
      assert.deepInclude(yield* Effect.flip(pool.execute("fail", {})), { _tag: "RemoteError", type: "Refused" })
      assert.deepInclude(yield* Effect.flip(pool.execute("die", {})), { _tag: "RemoteError", type: "Defect" })
      assert.deepInclude(yield* Effect.flip(pool.execute("nonsense", {})), {
        _tag: "RemoteError",
        type: "UnknownCommand"
      })
      assert.strictEqual(yield* pool.execute("whoami", {}), "w-0.0")
    }))

  test("A126 a degraded worker is probed after 5 s, is ready and healthy again, and takes work", () =>
    Effect.gen(function*() {
      const pool = yield* makePool({ size: 1, isWorkerFault: ({ type }) => type === "Refused" })
      yield* Effect.flip(pool.execute("fail", {}))
      assert.deepStrictEqual(yield* statesOf(pool), ["degraded"])
      assert.deepInclude(yield* pool.status, { live: 1, idle: 1, degraded: 1 })
      const waiting = yield* Effect.fork(pool.execute("whoami", {}, { checkoutTimeout: "10 seconds" }))
      yield* TestClock.adjust("4999 millis")
      assert.isNull(waiting.unsafePoll())
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* Fiber.join(waiting), "w-0.0")
      assert.deepInclude((yield* pool.workers)[0]!.machine, { state: "ready", health: "healthy" })
    }))

  test("A126 a checkin with an error degrades, the first and the second time; the third in a row removes", () =>
    Effect.gen(function*() {
      const pool = yield* makePool({ size: 1, isWorkerFault: ({ type }) => type === "Refused" })
      const failing = (times: number) =>
        Effect.gen(function*() {
          const failures: Array<number> = []
          for (let count = 0; count < times; count++) {
            assert.strictEqual((yield* Effect.flip(pool.execute("fail", {})))._tag, "RemoteError")
            failures.push((yield* pool.workers)[0]!.failures)
            yield* TestClock.adjust("5 seconds")
          }
          return failures
        })
      assert.deepStrictEqual(yield* failing(2), [1, 2])
      yield* pool.execute("echo", 1)
      assert.strictEqual((yield* pool.workers)[0]!.failures, 0, "a success starts anew")
      assert.deepStrictEqual(yield* failing(3), [1, 2, 3])
      assert.strictEqual(yield* pool.execute("whoami", {}), "w-0.1")
    }))

  test("A127 a worker that does nothing is probed every 30 s; three probes without an answer in 5 s replace it", () =>
    Effect.gen(function*() {
      const rig = makeRig()
      const pool = yield* makePool({ size: 2 }, rig)
      yield* TestClock.adjust("30 seconds")
      assert.deepStrictEqual((yield* pool.workers).map(({ probes }) => probes), [1, 1])
      rig.inject("w-0.0", { _tag: "hang" })
      yield* TestClock.adjust("35 seconds")
      assert.deepStrictEqual(yield* statesOf(pool), ["degraded", "ready"])
      // Again after 5 s each, with 5 s for the answer.
      yield* TestClock.adjust("19 seconds")
      assert.deepStrictEqual(yield* statesOf(pool), ["degraded", "ready"])
      yield* TestClock.adjust("1 second")
      yield* pool.awaitFull
      assert.deepStrictEqual((yield* pool.workers).map(({ id }) => id).sort(), ["w-0.1", "w-1.0"])
      assert.deepStrictEqual(rig.links.get("w-0.0")!.faults, { hang: 1 })
    }))

  test("A127 probes and operations never take each other's answers", () =>
    Effect.gen(function*() {
      const pool = yield* makePool({ size: 1, healthInterval: "7 millis", healthTimeout: "100 millis" })
      const client = Effect.gen(function*() {
        for (let round = 0; round < 60; round++) {
          assert.deepStrictEqual(yield* pool.execute("echo", { round }), { round })
          yield* Effect.sleep(round % 13)
          yield* pool.check
        }
      })
      const fiber = yield* Effect.fork(client)
      yield* TestClock.adjust("500 millis")
      yield* Fiber.join(fiber)
      const [worker] = yield* pool.workers
      assert.isAbove(worker!.probes, 30)
      assert.strictEqual(worker!.probeFailures, 0)
      assert.strictEqual(worker!.id, "w-0.0")
    }))

  test("A125 an observer that throws changes no transition and no result", () =>
    Effect.gen(function*() {
      const told: Array<string> = []
      const pool = yield* makePool({
        size: 1,
        onTransition: ({ entry }) => {
          told.push(`${entry.from} ${entry.to}`)
          throw new Error("the metrics are down")
        }
      })
      assert.strictEqual(yield* pool.execute("echo", 1), 1)
      const onProgress = () => {
        throw new Error("the listener is broken")
      }
      assert.strictEqual(yield* pool.execute("progress", { items: 3 }, { onProgress }), "done")
      const [worker] = yield* pool.workers
      assert.strictEqual(worker!.machine.state, "ready")
      assert.deepStrictEqual(told, ["initializing ready", "ready busy", "busy ready", "ready busy", "busy ready"])
      assert.lengthOf(WorkerState.history(worker!.machine), 5)
    }))

  test("A140 k operations of d on k workers take d", () =>
    Effect.gen(function*() {
      const k = 5
      const pool = yield* makePool({ size: k })
      const fibers = yield* Effect.replicateEffect(Effect.fork(pool.execute("sleep", { millis: 1000 })), k)
      yield* TestClock.adjust("999 millis")
      assert.strictEqual((yield* pool.status).busy, k, "they overlap")
      yield* TestClock.adjust("1 millis")
      assert.lengthOf(new Set(yield* Fiber.joinAll(fibers)), k, "each on a worker of its own")
    }))

  test("A140 counter: a pool that serialises does not pass", () =>
    Effect.gen(function*() {
      const pool = yield* makePool({ size: 5 })
      const lock = yield* Effect.makeSemaphore(1)
      const fibers = yield* Effect.replicateEffect(
        Effect.fork(lock.withPermits(1)(pool.execute("sleep", { millis: 1000 }))),
        5
      )
      yield* TestClock.adjust("999 millis")
      assert.strictEqual((yield* pool.status).busy, 1)
      yield* TestClock.adjust("1 millis")
      assert.lengthOf(fibers.filter((fiber) => fiber.unsafePoll() === null), 4)
      yield* Fiber.interruptAll(fibers)
    }))

  test("A130 an interruption in the instant of the answer costs the worker nothing", () =>
    Effect.gen(function*() {
      let interrupt = (): void => {}
      const pool = yield* makePool({
        size: 1,
        // The answer is there, and its caller has not seen it yet.
        onTransition: ({ entry }) => entry.reason === "checkin_success" && interrupt()
      })
      const before = yield* pool.workers
      const fiber = yield* Effect.fork(pool.execute("sleep", { millis: 10 }))
      yield* settle
      interrupt = () => fiber.unsafeInterruptAsFork(FiberId.none)
      yield* TestClock.adjust("10 millis")
      assert.isTrue(Exit.isInterrupted(yield* Fiber.await(fiber)))
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual((yield* pool.workers).map(({ id }) => id), before.map(({ id }) => id))
      const { totals } = yield* pool.status
      assert.strictEqual(totals.succeeded + totals.failed + totals.interrupted, 1)
    }))

  test("A130 an interrupted operation returns its worker when it answers within 1 s, and else replaces it", () =>
    Effect.gen(function*() {
      const pool = yield* makePool({ size: 2 })
      const short = yield* Effect.fork(pool.execute("sleep", { millis: 500 }))
      const long = yield* Effect.fork(pool.execute("sleep", { millis: 5000 }))
      yield* settle
      yield* Fiber.interruptAll([short, long])
      assert.deepInclude(yield* pool.status, { live: 2, busy: 2, idle: 0 })
      yield* TestClock.adjust("500 millis")
      assert.deepInclude(yield* pool.status, { busy: 1, idle: 1 })
      yield* TestClock.adjust("500 millis")
      yield* pool.awaitFull
      const status = yield* pool.status
      assert.deepInclude(status, { live: 2, busy: 0, idle: 2 })
      assert.strictEqual(status.totals.interrupted, 2)
      assert.deepStrictEqual((yield* pool.workers).map(({ id }) => id).sort(), ["w-0.0", "w-1.1"])
    }))

  test("A130 a checkout keeps others out until its scope closes, however that ends", () =>
    Effect.gen(function*() {
      const pool = yield* makePool({ size: 1 })
      const use = (end: Effect.Effect<unknown, string>) =>
        Effect.scoped(Effect.flatMap(pool.checkout(), (worker) => Effect.zipRight(worker.execute("count", {}), end)))
      assert.deepStrictEqual(yield* use(Effect.void), undefined)
      const fiber = yield* Effect.fork(use(Effect.never))
      yield* settle
      const other = yield* Effect.fork(pool.execute("whoami", {}))
      yield* settle
      assert.deepInclude(yield* pool.status, { busy: 1, waiting: 1 })
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(yield* Fiber.join(other), "w-0.0")
      yield* Effect.exit(use(Effect.fail("the scope failed")))
      assert.deepStrictEqual(yield* statesOf(pool), ["degraded"])
      conserved(yield* pool.status)
    }))

  test("a worker that dies again and again makes its place rest, and the pool says so and serves with the others", () =>
    Effect.gen(function*() {
      const rig = makeRig()
      const pool = yield* makePool({ size: 2, restartsMax: 3 }, rig)
      for (let count = 0; count < 4; count++) {
        rig.inject(`w-0.${count}`, { _tag: "kill" })
        yield* TestClock.adjust("400 millis")
        conserved(yield* pool.status)
      }
      assert.deepInclude(yield* pool.status, { isDegraded: true, failed: 1, live: 1, idle: 1 })
      assert.strictEqual(yield* pool.execute("whoami", {}), "w-1.0")
      yield* TestClock.adjust("3 seconds")
      assert.deepInclude(yield* pool.status, { isDegraded: false, failed: 0, idle: 2 })
    }))

  test("a worker is recycled by age, by operations and by memory, without a pause", () =>
    Effect.gen(function*() {
      const rig = makeRig()
      const pool = yield* makePool({ size: 1, recycle: { operationsMax: 2, memoryBytesMax: 1000, age: "1 hour" } }, rig)
      const whoami = pool.execute("whoami", {})
      assert.deepStrictEqual([yield* whoami, yield* whoami, yield* whoami], ["w-0.0", "w-0.0", "w-0.1"])
      rig.inject("w-0.1", { _tag: "exhaustMemory", bytes: 2000 })
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual(yield* whoami, "w-0.2")
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(yield* whoami, "w-0.3")
      assert.strictEqual((yield* pool.status).isDegraded, false)
    }))

  test("closing refuses who waits and ends who works, each with PoolClosed", () =>
    Effect.gen(function*() {
      const made = yield* Deferred.make<WorkerPool.WorkerPoolShape>()
      const owner = yield* Effect.fork(Effect.scoped(
        Effect.flatMap(makePool({ size: 1 }), (pool) => Effect.zipRight(Deferred.succeed(made, pool), Effect.never))
      ))
      const pool = yield* Deferred.await(made)
      const working = yield* Effect.fork(Effect.flip(pool.execute("sleep", { millis: 60_000 })))
      yield* settle
      const waiting = yield* Effect.fork(Effect.flip(pool.execute("echo", 1)))
      yield* settle
      const closing = yield* Effect.fork(Fiber.interrupt(owner))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(closing)
      assert.strictEqual((yield* Fiber.join(working))._tag, "PoolClosed")
      assert.strictEqual((yield* Fiber.join(waiting))._tag, "PoolClosed")
      assert.strictEqual((yield* Effect.flip(pool.execute("echo", 1)))._tag, "PoolClosed")
      assert.deepInclude(yield* pool.status, { live: 0, waiting: 0 })
    }))

  test("an option that is not usable is refused by name", () =>
    Effect.gen(function*() {
      const wrong: ReadonlyArray<readonly [string, WorkerPool.Options]> = [
        ["size", { size: 0 }],
        ["overflow", { overflow: -1 }],
        ["queueItemsMax", { queueItemsMax: 1.5 }],
        ["operationTimeout", { operationTimeout: 0 }],
        ["backoffMax", { backoffMin: 100, backoffMax: 50 }],
        ["affinity.ttl", { affinity: { ttl: 0 } }]
      ]
      for (const [key, options] of wrong) {
        const error = yield* Effect.flip(WorkerPool.make(options)).pipe(
          Effect.provideService(WorkerTransport, makeRig().transport)
        )
        assert.deepInclude(error, { _tag: "InvalidOption", module: "WorkerPool", key })
      }
    }))
})
