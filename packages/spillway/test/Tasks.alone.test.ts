import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as HashMap from "effect/HashMap"
import * as Option from "effect/Option"
import * as Tasks from "../src/Tasks.js"
import {
  advance,
  drained,
  ended,
  fibers,
  growth,
  isRunning,
  label,
  type Logged,
  logging,
  readMetrics,
  settle,
  stubborn,
  timed
} from "./taskSupport.js"

const receive = (run: Effect.Effect<unknown, string>) => ({ name: "receive", run })

const supervised = (options: Omit<Tasks.SuperviseOptions<string, never>, "label">) =>
  Effect.scoped(Tasks.superviseTasks({ ...options, label }))

describe("superviseTasks", () => {
  it.effect("A085 receive that ends is a disconnect with its name, also without background", () =>
    Effect.gen(function*() {
      const alone = yield* supervised({ receive: receive(Effect.void) })
      assert.deepStrictEqual(alone, { _tag: "Disconnect", task: "receive", cause: undefined })
      const exit = yield* supervised({
        mode: "cancel",
        receive: receive(Effect.void),
        background: [{ name: "ping", kind: "lifetime", run: Effect.never }]
      })
      assert.deepStrictEqual(exit, { _tag: "Disconnect", task: "receive", cause: undefined })
    }))

  it.effect("A085 receive that fails is a disconnect with the cause attached, and the grace is not skipped", () =>
    Effect.gen(function*() {
      let finished = false
      const work = Effect.zipRight(Effect.sleep("20 seconds"), Effect.sync(() => (finished = true)))
      const fiber = yield* timed(supervised({
        receive: receive(Effect.fail("reset")),
        background: [{ name: "upload", kind: "finite", run: work }]
      }))
      yield* advance("20 seconds")
      const { exit, took } = yield* ended(fiber)
      assert.deepStrictEqual(yield* exit, { _tag: "Disconnect", task: "receive", cause: Cause.fail("reset") })
      assert.deepStrictEqual([finished, took], [true, 20_000])
    }))

  it.effect("A086 a failure or defect of a background task is a crash within the same instant, logged with task and label", () =>
    Effect.gen(function*() {
      for (const boom of [Effect.fail("boom"), Effect.die("boom")]) {
        const logged: Array<Logged> = []
        const fiber = yield* timed(Effect.provide(
          supervised({
            receive: receive(Effect.never),
            background: [{ name: "upload", kind: "finite", run: Effect.zipRight(Effect.sleep("7 seconds"), boom) }]
          }),
          logging(logged)
        ))
        yield* advance("7 seconds")
        const { exit, took } = yield* ended(fiber)
        const outcome = yield* exit
        assert.deepInclude(outcome, { _tag: "Crash", task: "upload" })
        assert.strictEqual(outcome._tag === "Crash" && Cause.squash(outcome.cause), "boom")
        assert.strictEqual(took, 7_000)
        assert.deepStrictEqual(
          logged.filter(({ level }) => level === "ERROR" || level === "Error").map(({ annotations }) => annotations),
          [{ label: "tasks_test", task: "upload" }]
        )
      }
    }))

  it.effect("A087 lifetime ends it, finite does not, completion completes it", () =>
    Effect.gen(function*() {
      const of = (kind: Tasks.TaskKind) =>
        supervised({
          receive: receive(Effect.zipRight(Effect.sleep("1 hour"), Effect.void)),
          background: [{ name: "bg", kind, run: Effect.void }]
        })
      assert.deepStrictEqual(yield* of("lifetime"), { _tag: "LifetimeDone", task: "bg" })
      assert.deepStrictEqual(yield* of("completion"), { _tag: "Completed", task: "bg" })
      const finite = yield* timed(of("finite"))
      yield* advance("59 minutes")
      assert.isTrue(isRunning(finite))
      yield* advance("1 minute")
      assert.deepInclude(yield* (yield* ended(finite)).exit, { _tag: "Disconnect" })
    }))

  it.effect("A087 without receive: nothing is Empty, and when nothing is left it is AllDone; neither is counted", () =>
    Effect.gen(function*() {
      const { grown, value } = yield* growth(Effect.all([
        supervised({}),
        supervised({ background: [{ name: "bg", kind: "finite", run: Effect.void }] })
      ]))
      assert.deepStrictEqual(value.map(({ _tag }) => _tag), ["Empty", "AllDone"])
      const reasons = ["disconnect", "crash", "lifetime_done", "completed"]
      assert.deepStrictEqual(reasons.map((reason) => grown("async_supervisor_exit_total", reason)), [0, 0, 0, 0])
    }))

  it.effect("A088 an interrupted background task alone never ends supervision", () =>
    Effect.gen(function*() {
      const fiber = yield* timed(supervised({
        receive: receive(Effect.never),
        background: [{ name: "bg", kind: "lifetime", run: Effect.interrupt }]
      }))
      yield* advance("1 hour")
      assert.isTrue(isRunning(fiber))
      yield* Fiber.interrupt(fiber)
    }))

  it.effect("A089 each exit is counted once, under its reason", () =>
    Effect.gen(function*() {
      const { grown } = yield* growth(Effect.all([
        supervised({ receive: receive(Effect.void) }),
        supervised({ background: [{ name: "a", kind: "lifetime", run: Effect.fail("no") }] }),
        supervised({ background: [{ name: "a", kind: "lifetime", run: Effect.void }] }),
        supervised({ background: [{ name: "a", kind: "completion", run: Effect.void }] })
      ]))
      for (const reason of ["disconnect", "crash", "lifetime_done", "completed"]) {
        assert.strictEqual(grown("async_supervisor_exit_total", reason), 1, reason)
      }
    }))

  it.effect("it interrupts nothing; the scope signals, interrupts receive at once and drains the others", () =>
    Effect.gen(function*() {
      const shutdown = yield* Tasks.makeShutdown
      const reports: Array<Tasks.DrainReport> = []
      const seen: Array<string> = []
      const note = (what: string) => Effect.sync(() => void seen.push(what))
      const fiber = yield* timed(Effect.scoped(Effect.zipLeft(
        Tasks.superviseTasks({
          label,
          shutdown,
          onDrained: (report) => Effect.sync(() => void reports.push(report)),
          receive: receive(Effect.onInterrupt(Effect.never, () => note("receive interrupted"))),
          background: [
            { name: "done", kind: "lifetime", run: Effect.void },
            { name: "poller", kind: "finite", run: Effect.zipRight(shutdown.awaitSignal, note("poller woke")) },
            { name: "hung", kind: "finite", run: Effect.onInterrupt(Effect.never, () => note("hung forced")) }
          ]
        }),
        Effect.zipRight(note("decided"), Effect.sleep("1 second"))
      )))
      assert.deepStrictEqual(seen, ["decided"])
      yield* advance("1 second")
      assert.sameMembers(seen, ["decided", "receive interrupted", "poller woke"])
      yield* advance("30 seconds")
      assert.strictEqual(seen.at(-1), "hung forced")
      assert.deepStrictEqual(reports, [{ drained: 2, forced: 1, stuck: [], durationMillis: 30_000 }])
      assert.strictEqual((yield* ended(fiber)).took, 31_000)
    }))

  it.effect("A095 a caller that is interrupted drains too: code after supervise does not run, the scope does", () =>
    Effect.gen(function*() {
      const reports: Array<Tasks.DrainReport> = []
      const fiber = yield* timed(Effect.scoped(Tasks.superviseTasks({
        label,
        onDrained: (report) => Effect.sync(() => void reports.push(report)),
        receive: receive(Effect.never),
        background: [
          { name: "healthy", kind: "lifetime", run: Effect.sleep("10 seconds") },
          { name: "deaf", kind: "finite", run: stubborn("1 hour") }
        ]
      })))
      yield* Fiber.interruptFork(fiber)
      yield* advance("34999 millis")
      assert.isTrue(isRunning(fiber))
      yield* advance(1)
      assert.isFalse(isRunning(fiber))
      assert.deepStrictEqual(reports, [{ drained: 2, forced: 1, stuck: ["deaf"], durationMillis: 35_000 }])
      yield* advance("1 hour")
    }))
})

describe("drainTasks", () => {
  it.effect("A090 nothing, or what has ended already: none forced, nothing observed", () =>
    Effect.gen(function*() {
      const done = yield* fibers({ a: Effect.void, b: Effect.fail("no") })
      const { grown, value } = yield* growth(Effect.all([
        Tasks.drainTasks([], { label, mode: "cancel" }),
        Tasks.drainTasks(done, { label, mode: "grace" })
      ]))
      for (const report of value) {
        assert.deepStrictEqual(report, { drained: 0, forced: 0, stuck: [], durationMillis: 0 })
      }
      assert.strictEqual(grown("async_drain_duration_seconds"), 0)
    }))

  it.effect("A091 cancel: cooperative tasks have ended, none was forced", () =>
    Effect.gen(function*() {
      const tasks = yield* fibers({ a: Effect.never, b: Effect.sleep("1 hour") })
      const { report, took } = yield* drained(tasks, { mode: "cancel" }, 0)
      assert.deepStrictEqual(report, { drained: 2, forced: 0, stuck: [], durationMillis: 0 })
      assert.strictEqual(took, 0)
      assert.isTrue(tasks.every((task) => Exit.isInterrupted(task.unsafePoll()!)))
    }))

  it.effect("A091 grace: a task that finishes in time completes, and none was forced", () =>
    Effect.gen(function*() {
      const tasks = yield* fibers({ upload: Effect.as(Effect.sleep("29 seconds"), "stored") })
      const { report, took } = yield* drained(tasks, { mode: "grace" })
      assert.deepStrictEqual(report, { drained: 1, forced: 0, stuck: [], durationMillis: 29_000 })
      assert.strictEqual(took, 29_000)
      assert.deepStrictEqual(tasks[0]!.unsafePoll(), Exit.succeed("stored"))
    }))

  it.effect("A092 grace: hung tasks are interrupted at the timeout and counted, healthy ones complete", () =>
    Effect.gen(function*() {
      const tasks = yield* fibers({
        hung1: Effect.never,
        healthy: Effect.sleep("5 seconds"),
        hung2: Effect.never,
        hung3: Effect.sleep("1 hour")
      })
      const { grown, value: { report, took } } = yield* growth(drained(tasks, { mode: "grace" }))
      assert.deepStrictEqual(report, { drained: 1, forced: 3, stuck: [], durationMillis: 30_000 })
      assert.strictEqual(took, 30_000)
      assert.deepStrictEqual(tasks.map((task) => Exit.isSuccess(task.unsafePoll()!)), [false, true, false, false])
      assert.strictEqual(grown("async_drain_timeout_total"), 1)
      assert.strictEqual(grown("async_drain_duration_seconds"), 1)
    }))

  it.effect("A093 tasks that ignore interruption: over at timeout + 5 s, named, and in the gauge until they really end", () =>
    Effect.gen(function*() {
      const release = yield* Deferred.make<void>()
      const tasks = yield* fibers({
        deaf: Effect.uninterruptible(Deferred.await(release)),
        late: Effect.onInterrupt(Effect.never, () => Effect.sleep("3 seconds"))
      })
      const logged: Array<Logged> = []
      const { report, took } = yield* Effect.provide(drained(tasks, { mode: "grace" }), logging(logged))
      assert.deepStrictEqual(report, { drained: 0, forced: 2, stuck: ["deaf"], durationMillis: 35_000 })
      assert.strictEqual(took, 35_000)
      assert.include(logged.map(({ message }) => message).join(), "given up: deaf")
      const gauge = Effect.map(readMetrics, (metrics) => metrics.get("async_stuck_tasks label=tasks_test"))
      assert.strictEqual(yield* gauge, 1)
      // A second drain of the same task does not count it again.
      yield* drained(tasks, { mode: "cancel", timeout: 0 })
      assert.strictEqual(yield* gauge, 1)
      yield* Deferred.succeed(release, undefined)
      yield* settle
      assert.strictEqual(yield* gauge, 0)
    }))

  it.effect("A094 zero and negative timeouts force at once and never hang", () =>
    Effect.gen(function*() {
      for (const timeout of [0, -5, "0 seconds", NaN] as const) {
        for (const mode of ["grace", "cancel"] as const) {
          const tasks = yield* fibers({ a: Effect.never, b: Effect.never })
          const { report, took } = yield* drained(tasks, { mode, timeout, ackTimeout: -1 })
          assert.deepStrictEqual(report, { drained: 0, forced: 2, stuck: [], durationMillis: 0 })
          assert.strictEqual(took, 0)
        }
      }
    }))

  const way = {
    "from the finalizer of a scope that closes normally": (drain: Effect.Effect<void>) =>
      timed(Effect.scoped(Effect.addFinalizer(() => drain))),
    "from a finalizer of a fiber that was interrupted": (drain: Effect.Effect<void>) =>
      Effect.tap(
        timed(Effect.scoped(Effect.zipRight(Effect.addFinalizer(() => drain), Effect.never))),
        Fiber.interruptFork
      ),
    "under uninterruptible": (drain: Effect.Effect<void>) => timed(Effect.uninterruptible(drain)),
    "in a caller that is interrupted while it drains": (drain: Effect.Effect<void>) =>
      Effect.tap(timed(drain), Fiber.interruptFork)
  }
  for (const [name, start] of Object.entries(way)) {
    it.effect(`A095 A093 holds ${name}`, () =>
      Effect.gen(function*() {
        const tasks = yield* fibers({ deaf: stubborn("1 hour"), hung: Effect.never, healthy: Effect.sleep(9_000) })
        const fiber = yield* start(Effect.asVoid(Tasks.drainTasks(tasks, { label, mode: "grace" })))
        yield* advance("29999 millis")
        assert.deepStrictEqual(tasks.map(isRunning), [true, true, false])
        assert.isTrue(Exit.isSuccess(tasks[2]!.unsafePoll()!), "the healthy one completes")
        yield* advance(1)
        assert.deepStrictEqual(tasks.map(isRunning), [true, false, false])
        yield* advance("4999 millis")
        assert.isTrue(isRunning(fiber))
        yield* advance(1)
        assert.isFalse(isRunning(fiber))
        assert.strictEqual((yield* readMetrics).get("async_stuck_tasks label=tasks_test"), 1)
        yield* advance("1 hour")
        assert.strictEqual((yield* readMetrics).get("async_stuck_tasks label=tasks_test"), 0)
      }))
  }

  it.effect("a task that drains its own set does not wait for itself", () =>
    Effect.gen(function*() {
      const report = yield* Effect.scoped(Effect.gen(function*() {
        const tasks = yield* Tasks.makeSet({ label, timeout: "1 second" })
        const self = yield* Tasks.createNamedTask(Tasks.drainTasks(tasks, { label, mode: "cancel" }), {
          name: "self",
          tasks
        })
        return yield* Fiber.join(self)
      }))
      assert.strictEqual(report.drained, 0)
    }))
})

describe("createNamedTask", () => {
  it.effect("A101 the name is in the log annotations of the task and of its fiber, the task in the set while it runs", () =>
    Effect.scoped(Effect.gen(function*() {
      const tasks = yield* Tasks.makeSet({ label })
      const logged: Array<Logged> = []
      const stop = yield* Deferred.make<void, string>()
      const work = Effect.zipRight(Effect.provide(Effect.logInfo("hello"), logging(logged)), Deferred.await(stop))
      const fiber = yield* work.pipe(Tasks.createNamedTask({ name: "upload", tasks }))
      yield* settle
      assert.deepStrictEqual(logged.map(({ annotations }) => annotations), [{ task: "upload" }])
      assert.strictEqual(Tasks.fiberName(fiber), "upload")
      assert.deepStrictEqual(
        Option.getOrUndefined(HashMap.get(fiber.getFiberRef(FiberRef.currentLogAnnotations), "task")),
        "upload"
      )
      assert.deepStrictEqual([tasks.count, tasks.names, [...tasks]], [1, ["upload"], [fiber]])
      yield* Deferred.succeed(stop, undefined)
      yield* settle
      assert.deepStrictEqual([tasks.count, tasks.names], [0, []])
    })))

  it.effect("A101 it is gone after success, failure, defect and interruption", () =>
    Effect.scoped(Effect.gen(function*() {
      const tasks = yield* Tasks.makeSet({ label })
      const start = (run: Effect.Effect<unknown, string>) => Tasks.createNamedTask(run, { name: "bg", tasks })
      for (const run of [Effect.void, Effect.fail("no"), Effect.die("no"), Effect.interrupt]) {
        yield* start(Effect.zipRight(Effect.sleep(1), run))
      }
      const interrupted = yield* start(Effect.never)
      yield* settle
      assert.strictEqual(tasks.count, 5)
      yield* advance(1)
      yield* Fiber.interrupt(interrupted)
      assert.strictEqual(tasks.count, 0)
    })))

  it.effect("a set whose scope closes signals and drains; a task started afterwards does nothing", () =>
    Effect.gen(function*() {
      let ran = false
      const { tasks, took } = yield* Effect.gen(function*() {
        const scoped = Effect.scoped(Effect.gen(function*() {
          const tasks = yield* Tasks.makeSet({ label })
          const nap = Tasks.sleepUntilShutdown(tasks.shutdown, "1 hour")
          yield* Tasks.createNamedTask(nap, { name: "poller", tasks })
          yield* Tasks.createNamedTask(Effect.sleep("4 seconds"), { name: "healthy", tasks })
          return tasks
        }))
        const fiber = yield* timed(scoped)
        yield* advance("1 minute")
        const { exit, took } = yield* ended(fiber)
        return { tasks: yield* exit, took }
      })
      assert.strictEqual(took, 4_000)
      const late = yield* Tasks.createNamedTask(Effect.sync(() => (ran = true)), { name: "late", tasks })
      assert.isTrue(Exit.isInterrupted(yield* Fiber.await(late)))
      assert.deepStrictEqual([ran, tasks.count], [false, 0])
    }))

  it.effect("a task that a finalizer starts can be interrupted", () =>
    Effect.scoped(Effect.gen(function*() {
      const tasks = yield* Tasks.makeSet({ label })
      const fiber = yield* Effect.uninterruptible(Tasks.createNamedTask(Effect.never, { name: "bg", tasks }))
      yield* Fiber.interrupt(fiber)
      assert.isFalse(isRunning(fiber))
    })))
})

describe("sleepUntilShutdown", () => {
  it.effect("A102 not signalled: false after the full time", () =>
    Effect.gen(function*() {
      const fiber = yield* timed(Tasks.sleepUntilShutdown(yield* Tasks.makeShutdown, "10 seconds"))
      yield* advance("9999 millis")
      assert.isTrue(isRunning(fiber))
      yield* advance(1)
      assert.deepStrictEqual(yield* ended(fiber), { exit: Exit.succeed(false), took: 10_000 })
    }))

  it.effect("A102 signalled before: true at once, also for zero and negative durations; those without: false at once", () =>
    Effect.gen(function*() {
      const shutdown = yield* Tasks.makeShutdown
      for (const duration of [0, -1]) assert.isFalse(yield* Tasks.sleepUntilShutdown(shutdown, duration))
      yield* shutdown.signal
      for (const duration of [0, -1, "1 hour"] as const) {
        assert.isTrue(yield* Tasks.sleepUntilShutdown(shutdown, duration))
      }
    }))

  it.effect("A102 signalled meanwhile: true at that instant", () =>
    Effect.gen(function*() {
      const shutdown = yield* Tasks.makeShutdown
      const fiber = yield* timed(Tasks.sleepUntilShutdown(shutdown, "10 seconds"))
      yield* advance("3 seconds")
      yield* shutdown.signal
      yield* settle
      assert.deepStrictEqual(yield* ended(fiber), { exit: Exit.succeed(true), took: 3_000 })
    }))

  it.effect("A103 polling loops with a 60 s sleep are all over in the instant of the shutdown", () =>
    Effect.gen(function*() {
      const shutdown = yield* Tasks.makeShutdown
      const loop = Effect.repeat(Tasks.sleepUntilShutdown(shutdown, "60 seconds"), { until: (isOver) => isOver })
      const loops = yield* Effect.replicateEffect(timed(loop), 20)
      yield* advance("130 seconds")
      yield* shutdown.signal
      yield* settle
      for (const fiber of loops) assert.strictEqual((yield* ended(fiber)).took, 130_000)
    }))

  it.live("A103 live: the wake-up takes nothing like the time of the sleep", () =>
    Effect.gen(function*() {
      const took: Array<number> = []
      for (let i = 0; i < 200; i++) {
        const shutdown = yield* Tasks.makeShutdown
        const fiber = yield* Effect.fork(Tasks.sleepUntilShutdown(shutdown, "1 minute"))
        yield* Effect.sleep(0)
        const signalledAt = performance.now()
        yield* shutdown.signal
        assert.isTrue(yield* Fiber.join(fiber))
        took.push(performance.now() - signalledAt)
      }
      const sorted = took.sort((a, b) => a - b)
      // Less than 5 ms at p99 where nothing else runs: `bench/src/tasks.bench.ts` prints it.
      assert.isBelow(sorted[100]!, 100)
      assert.isBelow(sorted[197]!, 2_000)
    }))

  it.effect("an interrupted sleep leaves no waiter", () =>
    Effect.gen(function*() {
      const shutdown = yield* Tasks.makeShutdown
      const waiters = () => (shutdown as unknown as { readonly waiters: Set<unknown> }).waiters.size
      const fiber = yield* timed(Tasks.sleepUntilShutdown(shutdown, "1 hour"))
      assert.strictEqual(waiters(), 1)
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(waiters(), 0)
    }))
})
