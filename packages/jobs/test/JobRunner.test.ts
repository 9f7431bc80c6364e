import { assert, describe, it } from "@effect/vitest"
import * as Leaks from "@spillway/testing/Leaks"
import { advance, settle } from "@spillway/testing/Settle"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { makeMemory } from "../src/internal/memoryStore.js"
import * as Job from "../src/Job.js"
import { StoreFailed } from "../src/JobError.js"
import * as JobEvent from "../src/JobEvent.js"
import * as JobMetrics from "../src/JobMetrics.js"
import { node, Work, type World, world } from "./runnerSupport.js"

const statusOf = (at: World, jobId: string) =>
  Effect.map(at.store.get(jobId), (record) => Option.getOrThrow(record).state)

const kindsOf = (at: World, jobId: string) =>
  Effect.map(at.store.read(jobId, 0, { itemsMax: 1_000, bytesMax: 1e9 }), (events) => events.map(({ kind }) => kind))

describe("a job", () => {
  it.effect("runs, emits, and succeeds with its output", () =>
    world((at) =>
      Effect.gen(function*() {
        const { runner } = yield* node(at, (_, job) =>
          Effect.gen(function*() {
            yield* job.progress(0.5, { stage: "half" })
            yield* job.log("a line")
            assert.strictEqual(yield* job.emit("an event"), 4)
            return "out"
          }))
        const { id, state } = yield* runner.create(Work, "in")
        assert.strictEqual(state.status, "PENDING")
        const record = yield* runner.awaitEnd(id)
        assert.deepInclude(record.state, { status: "SUCCEEDED", result: "out", progress: 1, stage: "half", attempt: 1 })
        assert.deepStrictEqual(yield* kindsOf(at, id), ["STARTED", "PROGRESS", "LOG", "MESSAGE", "RESULT"])
        yield* settle
        assert.deepInclude(runner.snapshot, { running: [], queued: 0, stuck: 0 })
      })
    ))

  it.effect("that fails, throws or dies ends FAILED with an ERROR event that says why (A069)", () =>
    world((at) =>
      Effect.gen(function*() {
        const { runner } = yield* node(at, (input) =>
          input === "fails"
            ? Effect.fail(new Error("no luck"))
            : input === "dies"
            ? Effect.die(new Error("a mistake"))
            : input === "interrupts"
            ? Effect.interrupt
            : Effect.sync(() => {
              throw new Error("thrown")
            }))
        const reasons = yield* Effect.forEach(["fails", "dies", "throws", "interrupts"], (input) =>
          Effect.flatMap(runner.create(Work, input), ({ id }) =>
            Effect.map(runner.awaitEnd(id), ({ state }) => {
              assert.strictEqual(state.status, "FAILED")
              return [state.error!.reason, state.error!.message.split("\n")[0]]
            })))
        assert.deepStrictEqual(reasons, [
          ["failed", "no luck"],
          ["died", "Error: a mistake"],
          ["died", "Error: thrown"],
          ["died", "interrupted"]
        ])
      })
    ))

  it.effect("that takes longer than it may is interrupted at 600 s and not before, with an ERROR that names the limit (A067)", () =>
    world((at) =>
      Effect.gen(function*() {
        let released = false
        const { runner } = yield* node(at, () =>
          Effect.acquireRelease(Effect.void, () =>
            Effect.sync(() => {
              released = true
            })).pipe(Effect.zipRight(Effect.never)))
        const { id } = yield* runner.create(Work, "")
        yield* advance("599 seconds")
        assert.strictEqual((yield* statusOf(at, id)).status, "RUNNING")
        yield* advance("1 seconds")
        const state = yield* statusOf(at, id)
        assert.deepInclude(state, { status: "FAILED", completedAt: 600_000 })
        assert.deepStrictEqual(state.error, {
          reason: "timeout",
          message: "the job exceeded its maximum duration of 600 seconds"
        })
        assert.isTrue(released)
      })
    ))

  it.effect("is started once, however many ask at once, and never again after its end (A060, A061)", () =>
    world((at) =>
      Effect.gen(function*() {
        let runs = 0
        const { runner } = yield* node(at, () => Effect.sync(() => String(++runs)))
        const { id } = yield* runner.create(Work, "", { start: false })
        yield* advance("1 minute")
        assert.strictEqual(runs, 0)
        const asked = yield* Effect.all([runner.start(id), runner.start(id), runner.start(id)], {
          concurrency: "unbounded"
        })
        assert.deepStrictEqual([...asked].sort(), ["existing", "existing", "started"])
        yield* runner.awaitEnd(id)
        assert.strictEqual((yield* Effect.flip(runner.start(id)))._tag, "JobOver")
        yield* advance("10 minutes")
        assert.strictEqual(runs, 1)
      })
    ))

  it.effect("whose append fails sees it, and has failed unless it copes (A075)", () =>
    world((at) =>
      Effect.gen(function*() {
        const { runner } = yield* node(at, (input, job) =>
          Effect.gen(function*() {
            yield* Effect.sync(() => {
              at.fails = new StoreFailed({ operation: "commit", why: "full" })
            })
            const emitted = input === "copes" ? Effect.ignore(job.emit("x")) : job.emit("x")
            yield* Effect.ensuring(
              emitted,
              Effect.sync(() => {
                at.fails = undefined
              })
            )
            return "done"
          }))
        const bad = yield* Effect.flatMap(runner.create(Work, ""), ({ id }) => runner.awaitEnd(id))
        assert.deepInclude(bad.state, { status: "FAILED" })
        assert.strictEqual(bad.state.error!.message, "the job store could not commit (full)")
        const good = yield* Effect.flatMap(runner.create(Work, "copes"), ({ id }) => runner.awaitEnd(id))
        assert.strictEqual(good.state.status, "SUCCEEDED")
      })
    ))

  it.effect("progress that says nothing new appends nothing (A083)", () =>
    world((at) =>
      Effect.gen(function*() {
        const { runner } = yield* node(at, (_, job) =>
          Effect.gen(function*() {
            for (let step = 0; step <= 10_000; step++) yield* job.progress(step / 10_000)
            yield* job.progress(0.2)
            return ""
          }))
        const { id } = yield* runner.create(Work, "")
        yield* runner.awaitEnd(id)
        const events = (yield* kindsOf(at, id)).filter((kind) => kind === "PROGRESS").length
        assert.isTrue(events >= 98 && events <= 101, `${events} events`)
      })
    ))

  it.effect("is measured: running, ended by status, its events by kind, and who follows it", () =>
    world((at) =>
      Effect.gen(function*() {
        const { log, runner } = yield* node(at, (_, job) =>
          Effect.as(Effect.zipRight(job.emit("x"), Effect.sleep(1)), ""))
        const read = Effect.all({
          active: Effect.map(Metric.value(JobMetrics.active), ({ value }) =>
            value),
          followers: Effect.map(Metric.value(JobMetrics.followers), ({ value }) => value),
          succeeded: Effect.map(Metric.value(JobMetrics.jobs("SUCCEEDED")), ({ count }) => count),
          durations: Effect.map(Metric.value(JobMetrics.duration("SUCCEEDED")), ({ count }) => count),
          messages: Effect.map(Metric.value(JobMetrics.events("MESSAGE")), ({ count }) => count)
        })
        const before = yield* read
        const { id } = yield* runner.create(Work, "")
        yield* Effect.scoped(Effect.gen(function*() {
          yield* log.reader(id, 0)
          yield* settle
          assert.deepStrictEqual(yield* read, {
            ...before,
            active: before.active + 1,
            followers: before.followers + 1,
            messages: before.messages + 1
          })
        }))
        yield* advance("1 seconds")
        assert.deepStrictEqual(yield* read, {
          ...before,
          succeeded: before.succeeded + 1,
          durations: before.durations + 1,
          messages: before.messages + 1
        })
      })
    ))

  it.effect("input that does not fit, and a name that nobody runs, are refused", () =>
    world((at) =>
      Effect.gen(function*() {
        const { runner } = yield* node(at, () => Effect.succeed(""))
        const Other = Job.make("other", { input: Schema.String, event: Schema.String, output: Schema.String })
        assert.strictEqual((yield* Effect.flip(runner.createEncoded("work", 7)))._tag, "InvalidInput")
        assert.strictEqual((yield* Effect.flip(runner.createEncoded("nobody", "")))._tag, "UnknownJob")
        assert.strictEqual((yield* Effect.flip(runner.create(Other, "")))._tag, "UnknownJob")
        assert.strictEqual((yield* Effect.flip(runner.create(Work, "", { id: "a b" })))._tag, "InvalidInput")
        yield* runner.create(Work, "", { id: "a" })
        assert.strictEqual((yield* Effect.flip(runner.create(Work, "", { id: "a" })))._tag, "JobExists")
      })
    ))
})

describe("cancelling", () => {
  it.effect("interrupts the work, leaves a CANCELLED event, and nothing succeeds afterwards (A070)", () =>
    world((at) =>
      Effect.gen(function*() {
        let exit: Exit.Exit<unknown, unknown> | undefined
        const { runner } = yield* node(at, () =>
          Effect.onExit(Effect.as(Effect.sleep("1 hour"), "too late"), (e) =>
            Effect.sync(() => {
              exit = e
            })))
        const { id } = yield* runner.create(Work, "")
        yield* settle
        const record = yield* runner.cancel(id, "enough")
        assert.deepInclude(record.state, { status: "CANCELLED", message: "enough" })
        assert.isTrue(exit !== undefined && Exit.isFailure(exit) && Cause.isInterrupted(exit.cause))
        yield* advance("2 hours")
        assert.deepStrictEqual(yield* kindsOf(at, id), ["STARTED", "CANCELLED"])
        assert.strictEqual((yield* Effect.flip(runner.cancel(id)))._tag, "JobOver")
        assert.strictEqual((yield* Effect.flip(runner.cancel("nobody")))._tag, "JobNotFound")
      })
    ))

  it.effect("racing the end yields exactly one terminal event (A062)", () =>
    world((at) =>
      Effect.gen(function*() {
        const { runner } = yield* node(
          at,
          (input) => Effect.as(Effect.replicateEffect(Effect.yieldNow(), Number(input)), "")
        )
        const seen = new Set<string>()
        for (let turns = 0; turns < 40; turns++) {
          const { id } = yield* runner.create(Work, "15")
          yield* Effect.replicateEffect(Effect.yieldNow(), turns)
          const cancelled = yield* Effect.either(runner.cancel(id))
          yield* settle
          const kinds = yield* kindsOf(at, id)
          const terminal = kinds.filter(JobEvent.isTerminal)
          assert.strictEqual(terminal.length, 1)
          assert.strictEqual(terminal[0] === "CANCELLED", cancelled._tag === "Right")
          seen.add(terminal[0]!)
        }
        assert.deepStrictEqual([...seen].sort(), ["CANCELLED", "RESULT"])
      })
    ))

  it.effect("a handler that ignores it is given up after 5 s, counted, and refused what it emits later (A068)", () =>
    world((at) =>
      Effect.gen(function*() {
        const free = yield* Deferred.make<void>()
        const late = yield* Deferred.make<string>()
        const { runner } = yield* node(at, (input, job) =>
          input === "stuck"
            ? Effect.uninterruptible(Effect.zipRight(
              Deferred.await(free),
              Effect.flatMap(Effect.flip(job.emit("late")), ({ _tag }) => Effect.as(Deferred.succeed(late, _tag), ""))
            ))
            : Effect.succeed("next"), { concurrencyMax: 1 })
        const { id } = yield* runner.create(Work, "stuck")
        yield* settle
        const next = yield* runner.create(Work, "")
        const cancelling = yield* Effect.fork(runner.cancel(id))
        yield* advance("4 seconds")
        assert.isNull(cancelling.unsafePoll())
        yield* advance("1 seconds")
        assert.strictEqual((yield* Fiber.join(cancelling)).state.status, "CANCELLED")
        assert.deepInclude(runner.snapshot, { running: [], stuck: 1 })
        assert.strictEqual((yield* statusOf(at, next.id)).status, "SUCCEEDED")
        yield* Deferred.succeed(free, undefined)
        assert.strictEqual(yield* Deferred.await(late), "JobOver")
        assert.deepStrictEqual(yield* kindsOf(at, id), ["STARTED", "CANCELLED"])
      })
    ))

  it.effect("of three jobs stops one, and leaves the others with their own logs and states (A081)", () =>
    world((at) =>
      Effect.gen(function*() {
        const { log, runner } = yield* node(at, (input, job) =>
          Effect.as(
            Effect.zipRight(Effect.zipRight(job.emit(input), Effect.sleep("10 seconds")), job.emit(input)),
            input
          ))
        const ids = ["a", "b", "c"] as const
        for (const id of ids) {
          yield* runner.create(Work, id, { id })
        }
        yield* settle
        yield* runner.cancel("b")
        yield* advance("10 seconds")
        const kinds = yield* Effect.forEach(ids, (id) => kindsOf(at, id))
        assert.deepStrictEqual(kinds, [
          ["STARTED", "MESSAGE", "MESSAGE", "RESULT"],
          ["STARTED", "MESSAGE", "CANCELLED"],
          ["STARTED", "MESSAGE", "MESSAGE", "RESULT"]
        ])
        // Nothing is held of a job that has ended (A082).
        assert.deepInclude(log.stats, { followedJobs: 0, tailItems: 0, queuedItems: 0 })
        assert.strictEqual((yield* log.read("a", 0)).length, 4)
      })
    ))

  it.effect("one that waits for a place never runs", () =>
    world((at) =>
      Effect.gen(function*() {
        const ran: Array<string> = []
        const { runner } = yield* node(
          at,
          (input) => Effect.zipRight(Effect.sync(() => ran.push(input)), Effect.as(Effect.sleep("1 minute"), "")),
          {
            concurrencyMax: 1
          }
        )
        yield* runner.create(Work, "a", { id: "a" })
        yield* runner.create(Work, "b", { id: "b" })
        yield* settle
        assert.strictEqual((yield* runner.cancel("b")).state.status, "CANCELLED")
        yield* runner.remove("a")
        yield* advance("2 minutes")
        assert.deepStrictEqual(ran, ["a"])
        assert.isTrue(Option.isNone(yield* at.store.get("a")))
        assert.strictEqual((yield* Effect.flip(runner.remove("a")))._tag, "JobNotFound")
      })
    ))
})

describe("places", () => {
  it.effect("at most so many run at once, and turns go round (fair queue)", () =>
    world((at) =>
      Effect.gen(function*() {
        const order: Array<string> = []
        let now = 0
        let most = 0
        const { runner } = yield* node(at, (input) =>
          Effect.gen(function*() {
            order.push(input)
            most = Math.max(most, ++now)
            yield* Effect.sleep("1 seconds")
            now--
            return ""
          }), { concurrencyMax: 2 })
        for (const input of ["a1", "a2", "a3", "a4"]) yield* runner.create(Work, input, { turn: "a" })
        yield* runner.create(Work, "b1", { turn: "b" })
        yield* advance("10 seconds")
        // First come, first served would have it last.
        assert.isTrue(order.indexOf("b1") <= 2, order.join())
        assert.deepStrictEqual([most, order.length], [2, 5])
      })
    ))

  it.effect("the queue is bounded, and one more is refused", () =>
    world((at) =>
      Effect.gen(function*() {
        const { runner } = yield* node(at, () => Effect.never, { concurrencyMax: 1, queuedJobsMax: 2 })
        yield* runner.create(Work, "")
        yield* settle
        yield* runner.create(Work, "")
        yield* runner.create(Work, "")
        const error = yield* Effect.flip(runner.create(Work, ""))
        assert.deepInclude(error, { _tag: "JobQueueFull", jobsMax: 2 })
        assert.strictEqual((yield* at.store.list({ offset: 0, limit: 1 })).total, 3)
      })
    ))
})

describe("after its owner is gone", () => {
  it.effect("a job of a store that one process has is resumed at the next start, and goes on where it was (TL8)", () =>
    world((at) =>
      Effect.gen(function*() {
        const work = (input: string, job: Job.JobContext<string>) =>
          Effect.gen(function*() {
            const done = yield* Stream.runCount(Stream.filter(job.history, ({ kind }) => kind === "MESSAGE"))
            for (let step = done; step < 4; step++) {
              yield* job.emit(`step ${step}`, { id: `step ${step}` })
              yield* Effect.sleep("10 seconds")
            }
            return `${input} in attempt ${job.attempt}`
          })
        const first = yield* node(at, work)
        const { id } = yield* first.runner.create(Work, "all")
        yield* advance("15 seconds")
        first.kill()
        const second = yield* node(at, work)
        yield* advance("20 seconds")
        const { state } = yield* second.runner.awaitEnd(id)
        assert.deepInclude(state, { status: "SUCCEEDED", result: "all in attempt 2", attempt: 2 })
        const events = yield* at.store.read(id, 0, { itemsMax: 99, bytesMax: 1e9 })
        const steps = events.filter(({ kind }) => kind === "MESSAGE").map(({ data }) => data)
        assert.deepStrictEqual(steps, ["step 0", "step 1", "step 2", "step 3"])
      })
    ))

  it.effect("one whose policy is to fail, or that had its attempts, is marked lost; none is left silent (TL8)", () =>
    world((at) =>
      Effect.gen(function*() {
        const options = { job: { onLost: "fail" as const } }
        const first = yield* node(at, () => Effect.never, options)
        const { id } = yield* first.runner.create(Work, "")
        const waits = yield* first.runner.create(Work, "", { start: false })
        yield* settle
        first.kill()
        yield* node(at, () => Effect.never, options)
        yield* settle
        assert.deepInclude((yield* statusOf(at, id)).error, { reason: "lost" })
        assert.strictEqual((yield* statusOf(at, waits.id)).status, "PENDING")

        const again = yield* node(at, () => Effect.never)
        const loops = yield* again.runner.create(Work, "")
        yield* settle
        again.kill()
        for (let attempt = 2; attempt <= 4; attempt++) {
          const next = yield* node(at, () => Effect.never)
          yield* settle
          const state = yield* statusOf(at, loops.id)
          if (attempt <= 3) assert.deepInclude(state, { status: "RUNNING", attempt })
          else assert.deepInclude(state.error, { reason: "lost" })
          next.kill()
        }
      })
    ))

  it.effect("of a shared store is taken over when the lease has run out, and the old owner is fenced (TL8, TL12)", () =>
    world((at) =>
      Effect.gen(function*() {
        const fenced = yield* Deferred.make<string>()
        const interrupted = yield* Deferred.make<void>()
        const first = yield* node(at, (_, job) =>
          Effect.gen(function*() {
            yield* Effect.sleep("20 seconds")
            // Not to be interrupted, so that it is the log that refuses it.
            const refused = Effect.flatMap(Effect.flip(job.emit("I am back")), (e) => Deferred.succeed(fenced, e._tag))
            yield* Effect.uninterruptible(refused)
            return yield* Effect.never
          }).pipe(Effect.onInterrupt(() => Deferred.succeed(interrupted, undefined))))
        const { id } = yield* first.runner.create(Work, "")
        yield* settle
        // It stops renewing, as a process does that is paused, and then goes on as if nothing had been.
        first.pause()
        const second = yield* node(at, (_, job) => Effect.as(job.emit("mine"), "taken over"))
        yield* advance("29 seconds")
        assert.deepInclude(yield* statusOf(at, id), { status: "RUNNING", attempt: 1 })
        yield* advance("2 seconds")
        const { state } = yield* second.runner.awaitEnd(id)
        assert.deepInclude(state, { status: "SUCCEEDED", result: "taken over", attempt: 2 })
        first.resume()
        yield* advance("1 seconds")
        assert.strictEqual(yield* Deferred.await(fenced), "Fenced")
        yield* Deferred.await(interrupted)
        assert.deepStrictEqual(yield* kindsOf(at, id), ["STARTED", "STARTED", "MESSAGE", "RESULT"])
      }), makeMemory({ isShared: true })))

  it.effect("of a shared store is cancelled through another process", () =>
    world((at) =>
      Effect.gen(function*() {
        const first = yield* node(at, () => Effect.never)
        const second = yield* node(at, () => Effect.never)
        const { id } = yield* first.runner.create(Work, "")
        yield* settle
        const cancelling = yield* Effect.fork(second.runner.cancel(id))
        yield* advance("2 seconds")
        assert.strictEqual((yield* Fiber.join(cancelling)).state.status, "CANCELLED")
        assert.deepStrictEqual([first.runner.snapshot.running, second.runner.snapshot.running], [[], []])
      }), makeMemory({ isShared: true })))

  it.effect("a server that stops gives a job back to be resumed, or marks it lost, by policy", () =>
    world((at) =>
      Effect.gen(function*() {
        const first = yield* node(at, () => Effect.never)
        const { id } = yield* first.runner.create(Work, "")
        yield* settle
        yield* first.stop
        assert.deepInclude(Option.getOrThrow(yield* at.store.get(id)), { owner: undefined, leaseUntil: 0 })
        const second = yield* node(at, () => Effect.never, { job: { onLost: "fail" } })
        yield* settle
        assert.strictEqual((yield* statusOf(at, id)).error?.reason, "lost")
        const own = yield* second.runner.create(Work, "")
        yield* settle
        yield* second.stop
        assert.deepInclude((yield* statusOf(at, own.id)).error, { reason: "lost", message: "the server stopped" })
      })
    ))

  it.effect("a server that stops leaves no fiber behind, and takes no time when no job runs", () =>
    Leaks.assertNoLeaks(
      world((at) =>
        Effect.gen(function*() {
          const { runner, stop } = yield* node(at, () => Effect.succeed(""))
          const { id } = yield* runner.create(Work, "")
          yield* runner.awaitEnd(id)
          const before = yield* Clock.currentTimeMillis
          yield* stop
          assert.strictEqual(yield* Clock.currentTimeMillis, before)
        })
      ),
      { rest: settle }
    ))

  it.effect("one whose end could not be written is found as lost when the store is back (TL8)", () =>
    world((at) =>
      Effect.gen(function*() {
        const { runner } = yield* node(at, () => Effect.as(Effect.sleep("1 seconds"), "out"))
        const { id } = yield* runner.create(Work, "")
        yield* settle
        at.fails = new StoreFailed({ operation: "commit", why: "io" })
        yield* advance("2 minutes")
        assert.deepStrictEqual(runner.snapshot.running, [])
        at.fails = undefined
        yield* advance("1 minute")
        assert.deepInclude(yield* statusOf(at, id), { status: "SUCCEEDED", attempt: 2 })
      })
    ))
})
