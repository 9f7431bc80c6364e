import { assert, describe, it } from "@effect/vitest"
import { advance, settle } from "@spillway/testing/Settle"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { vi } from "vitest"
import type * as Job from "../src/Job.js"
import { StoreFailed } from "../src/JobError.js"
import * as JobViewer from "../src/JobViewer.js"
import type * as JobWire from "../src/JobWire.js"
import { node, Work, type World, world } from "./runnerSupport.js"
import { seqsOf, statesOf, viewing } from "./viewerSupport.js"

type Handler = (input: string, job: Job.JobContext<string>) => Effect.Effect<string, unknown, Scope.Scope>

const rig = (at: World, work: Handler, options?: Parameters<typeof viewing>[2]) =>
  Effect.gen(function*() {
    const one = yield* node(at, work)
    return { ...one, ...(yield* viewing(at, one.context, options)) }
  })

const upTo = (n: number) => Array.from({ length: n }, (_, index) => index + 1)

describe("a viewer", () => {
  it.effect("gets connected, a state, then events, and at the end one terminal state and 1000 (A057, A060, A063)", () =>
    world((at) =>
      Effect.gen(function*() {
        const go = yield* Deferred.make<void>()
        const { runner, view } = yield* rig(at, (_, job) =>
          Effect.gen(function*() {
            yield* job.emit("one")
            yield* Deferred.await(go)
            yield* job.log("a line")
            yield* job.emit("two")
            return "out"
          }))
        const { id } = yield* runner.create(Work, "", { start: false })
        const first = yield* view(id)
        const second = yield* view(id)
        yield* Deferred.succeed(go, undefined)
        yield* advance("1 seconds")
        const frames = yield* first.frames
        const told = { type: "connected", data: { task_id: id, message: "Task started and connected to event stream" } }
        assert.deepStrictEqual(frames[0] as unknown, told)
        assert.strictEqual(frames[1]!.type, "state")
        assert.deepStrictEqual(seqsOf(frames), upTo(5))
        const [terminal, ...more] = statesOf(frames).filter(({ status }) => status === "SUCCEEDED")
        assert.deepInclude(terminal, {
          seq: 5,
          final_result: "out",
          progress: 1,
          completed_at: "1970-01-01T00:00:00.000Z"
        })
        assert.strictEqual(more.length, 0)
        assert.deepStrictEqual(frames.at(-1) as unknown, { type: "state", data: terminal })
        assert.deepInclude(yield* first.client.ended, { code: 1000, clean: true })
        // The one that came second joined, and saw the same (A072).
        const others = yield* second.frames
        assert.deepInclude(others[0]!.data, { message: "Connected to existing task stream" })
        assert.deepStrictEqual(seqsOf(others), upTo(5))
      })
    ))

  it.effect("of a job that does not exist gets one error and 1008 (A058)", () =>
    world((at) =>
      Effect.gen(function*() {
        const { view } = yield* rig(at, () => Effect.never)
        const { client, frames } = yield* view("nobody")
        yield* advance("1 seconds")
        assert.deepStrictEqual(yield* frames, [{ type: "error", data: { message: "job nobody not found" } }])
        assert.deepInclude(yield* client.ended, { code: 1008 })
      })
    ))

  it.effect("gets an error and 1011 when the store fails, at connect or later, or the job cannot start (A059)", () =>
    world((at) =>
      Effect.gen(function*() {
        const { runner, view } = yield* rig(at, () => Effect.never)
        const { id } = yield* runner.create(Work, "", { start: false })
        const failure = new StoreFailed({ operation: "read a job", why: "io" })
        at.fails = failure
        const { client, frames } = yield* view(id)
        yield* advance("1 seconds")
        assert.deepStrictEqual((yield* frames).map(({ type }) => type), ["error"])
        assert.deepInclude(yield* client.ended, { code: 1011 })

        at.fails = undefined
        at.failsOn = "enqueue"
        const unstarted = yield* view(id)
        yield* advance("1 seconds")
        assert.include(JSON.stringify(yield* unstarted.frames), "failed to start")
        assert.deepInclude(yield* unstarted.client.ended, { code: 1011 })

        at.failsOn = "read"
        const unread = yield* view(id, { autoStart: "never" })
        yield* advance("1 seconds")
        assert.include((yield* unread.frames).map(({ type }) => type), "error")
        assert.deepInclude(yield* unread.client.ended, { code: 1011 })
        at.failsOn = undefined
      })
    ))

  it.effect("of a job that has ended, also before a restart, gets its log, one terminal state and 1000, and starts nothing (A061, A077)", () =>
    world((at) =>
      Effect.gen(function*() {
        let runs = 0
        const work: Handler = (_, job) =>
          Effect.gen(function*() {
            runs++
            for (const n of upTo(300)) yield* job.emit(String(n))
            return yield* Effect.fail("no")
          })
        const before = yield* node(at, work)
        const { id } = yield* before.runner.create(Work, "")
        yield* before.runner.awaitEnd(id)
        yield* before.stop
        const { log, view } = yield* rig(at, work)
        for (const since of [0, 300, 302]) {
          const { client, frames } = yield* view(id, { since })
          yield* advance("1 seconds")
          const all = yield* frames
          assert.strictEqual(all[0]!.type, "connected")
          assert.deepStrictEqual(seqsOf(all), upTo(302).slice(since))
          assert.deepStrictEqual(statesOf(all).map(({ error_message, status }) => [status, error_message]), [
            ["FAILED", "no"]
          ])
          assert.strictEqual(all.at(-1)!.type, "state")
          assert.deepInclude(yield* client.ended, { code: 1000 })
        }
        assert.strictEqual(runs, 1)
        assert.deepInclude(log.stats, { followers: 0, tailItems: 0 })
      })
    ))

  it.effect("sees the end at once, however busy the job was (A064)", () =>
    world((at) =>
      Effect.gen(function*() {
        const { runner, view } = yield* rig(at, (_, job) =>
          Effect.gen(function*() {
            for (const n of upTo(100)) {
              yield* job.emit(String(n))
              yield* Effect.sleep("100 millis")
            }
            return ""
          }))
        const { id } = yield* runner.create(Work, "", { start: false })
        const { client } = yield* view(id)
        yield* advance("9999 millis")
        assert.isUndefined(yield* client.ended)
        yield* advance("1 millis")
        const end = yield* client.ended
        assert.deepInclude(end, { code: 1000 })
        assert.strictEqual(yield* Clock.currentTimeMillis, 10_000)
      })
    ))

  it.effect("whose client takes nothing is given half a second for the last events, and delays nobody (A063)", () =>
    world((at) =>
      Effect.gen(function*() {
        const { runner, view } = yield* rig(at, (_, job) =>
          Effect.gen(function*() {
            yield* Effect.sleep("1 seconds")
            for (const n of upTo(20)) yield* job.emit(`${n}${"x".repeat(60_000)}`)
            return ""
          }))
        const { id } = yield* runner.create(Work, "", { start: false })
        const stalled = yield* view(id, {}, { capacityBytes: 1_000 })
        const healthy = yield* view(id)
        yield* stalled.client.stall
        yield* advance("1 seconds")
        assert.deepInclude(yield* healthy.client.ended, { code: 1000 })
        assert.strictEqual((yield* runner.awaitEnd(id)).state.status, "SUCCEEDED")
        assert.isUndefined(yield* stalled.client.ended)
        yield* advance("20 seconds")
        assert.strictEqual(stalled.session.state, "closed")
      })
    ))

  it.effect("is idle after 30 s without activity, and is closed with 1001; a message starts the time anew (A065)", () =>
    world((at) =>
      Effect.gen(function*() {
        const { runner, view } = yield* rig(at, (input, job) =>
          Effect.zipRight(
            input === "speaks" ? Effect.delay(job.emit("x"), "20 seconds") : Effect.void,
            Effect.as(Effect.sleep("10 minutes"), "")
          ), { ...JobViewer.sessionOptions("events"), pingInterval: "1 hour" })
        const silent = yield* Effect.flatMap(runner.create(Work, "silent"), ({ id }) => view(id))
        const spoken = yield* Effect.flatMap(runner.create(Work, "speaks"), ({ id }) => view(id))
        const speaking = yield* Effect.flatMap(runner.create(Work, "silent"), ({ id }) => view(id))
        yield* advance("20 seconds")
        yield* Effect.orDie(speaking.client.send("still here"))
        yield* advance("9900 millis")
        assert.isUndefined(yield* silent.client.ended)
        yield* advance("200 millis")
        assert.deepInclude(yield* silent.client.ended, { code: 1001 })
        yield* advance("19800 millis")
        assert.deepStrictEqual([yield* spoken.client.ended, yield* speaking.client.ended], [undefined, undefined])
        yield* advance("200 millis")
        assert.deepInclude(yield* spoken.client.ended, { code: 1001 })
        assert.deepInclude(yield* speaking.client.ended, { code: 1001 })
        assert.strictEqual(runner.snapshot.running.length, 3)
      })
    ))

  it.effect("that answers pings stays with a silent job, unless only events count (A066)", () =>
    world((at) =>
      Effect.gen(function*() {
        const sleeps: Handler = () => Effect.as(Effect.sleep("5 minutes"), "")
        const one = yield* rig(at, sleeps)
        const strict = yield* viewing(at, one.context, JobViewer.sessionOptions("events"))
        const { id } = yield* one.runner.create(Work, "")
        const kept = yield* one.view(id)
        const closed = yield* strict.view(id)
        yield* advance("31 seconds")
        assert.deepInclude(yield* closed.client.ended, { code: 1001 })
        yield* advance("4 minutes")
        assert.isUndefined(yield* kept.client.ended)
        yield* advance("1 minute")
        assert.deepInclude(yield* kept.client.ended, { code: 1000 })
      })
    ))

  it.effect("of a job that takes too long sees its ERROR, FAILED and 1000 (A067)", () =>
    world((at) =>
      Effect.gen(function*() {
        const { runner, view } = yield* rig(at, () => Effect.never)
        const { id } = yield* runner.create(Work, "", { start: false })
        const { client, frames } = yield* view(id)
        yield* advance("599 seconds")
        assert.isUndefined(yield* client.ended)
        yield* advance("2 seconds")
        const all = yield* frames
        assert.include(JSON.stringify(all), "the job exceeded its maximum duration of 600 seconds")
        assert.strictEqual(statesOf(all).at(-1)!.status, "FAILED")
        assert.deepInclude(yield* client.ended, { code: 1000 })
      })
    ))

  it.effect("that disconnects is noticed at once, holds nothing, and leaves the job and other viewers alone (A071, A082)", () =>
    world((at) =>
      Effect.gen(function*() {
        const { log, runner, sessions, view } = yield* rig(at, (_, job) =>
          Effect.as(Effect.zipRight(Effect.sleep("10 seconds"), job.emit("x")), ""))
        const { id } = yield* runner.create(Work, "")
        const leaves = yield* view(id)
        const stays = yield* view(id)
        assert.strictEqual(log.stats.followers, 2)
        yield* leaves.client.reset
        yield* settle
        yield* advance("1 millis")
        assert.deepStrictEqual([log.stats.followers, sessions.size], [1, 1])
        yield* advance("10 seconds")
        assert.deepInclude(yield* stays.client.ended, { code: 1000 })
        assert.strictEqual((yield* runner.awaitEnd(id)).state.status, "SUCCEEDED")
        assert.deepInclude(log.stats, { followers: 0, followedJobs: 0, tailItems: 0, tailBytes: 0 })
      })
    ))

  it.effect("that comes back says where it was, and gets what came after, each once (A073, A074)", () =>
    world((at) =>
      Effect.gen(function*() {
        const { runner, view } = yield* rig(at, (_, job) =>
          Effect.gen(function*() {
            for (const n of upTo(50)) {
              yield* Effect.zipRight(Effect.sleep("20 millis"), n % 3 === 0 ? job.log(`${n}`) : job.emit(`${n}`))
            }
            return ""
          }))
        const { id } = yield* runner.create(Work, "", { start: false })
        const seen: Array<number> = []
        for (const millis of [130, 10, 250, 333, 2_000]) {
          const { client, frames } = yield* view(id, { since: seen.at(-1) ?? 0 })
          yield* advance(millis)
          seen.push(...seqsOf(yield* frames))
          yield* client.reset
          yield* settle
        }
        assert.deepStrictEqual(seen, upTo(52))
      })
    ))

  it.effect("that is slow misses lines of text, sees a gap, and no event or last state is missing (A083)", () =>
    world((at) =>
      Effect.gen(function*() {
        const { runner, view } = yield* rig(at, (_, job) =>
          Effect.gen(function*() {
            yield* Effect.sleep("1 seconds")
            for (const n of upTo(100)) {
              yield* job.progress(n / 100)
              for (const line of upTo(10)) yield* job.log(`${line} ${"x".repeat(1_000)}`)
              yield* job.emit(String(n))
            }
            yield* Effect.sleep("5 minutes")
            return ""
          }))
        const { id } = yield* runner.create(Work, "", { start: false })
        const slow = yield* view(id, { behindEventsMax: 100 }, { bytesPerSecond: 20_000, capacityBytes: 4_000 })
        const fast = yield* view(id, { behindEventsMax: 100 })
        yield* advance("2 minutes")
        const frames = yield* slow.frames
        const events = frames.flatMap((frame) => frame.type === "event" ? [frame.data] : [])
        const lines = events.filter(({ event_type }) => event_type === "LOG").length
        assert.isBelow(lines, 500)
        const messages = events.filter(({ event_type }) => event_type === "MESSAGE").map(({ payload }) => payload)
        assert.deepStrictEqual(messages, upTo(100).map(String))
        assert.deepStrictEqual(events.map(({ seq }) => seq), [...events.map(({ seq }) => seq)].sort((a, b) => a - b))
        assert.strictEqual(statesOf(frames).at(-1)!.progress, 1)
        assert.isBelow(slow.session.stats.queuedItems, 200)
        const all = seqsOf(yield* fast.frames)
        assert.deepStrictEqual(all, upTo(all.length))
        assert.strictEqual(all.length, Option.getOrThrow(yield* at.store.get(id)).state.seq)
      })
    ))

  it.effect("shares with all other viewers what it is sent: each event and each state is encoded once for 30 of them", () =>
    world((at) =>
      Effect.gen(function*() {
        const encode = vi.spyOn(JSON, "stringify")
        yield* Effect.addFinalizer(() => Effect.sync(() => encode.mockRestore()))
        const { log, runner, view } = yield* rig(at, (_, job) =>
          Effect.gen(function*() {
            yield* Effect.sleep("1 seconds")
            for (const n of upTo(20)) {
              yield* job.emit(String(n))
              yield* job.log(String(n))
              yield* job.progress(n / 20)
              yield* Effect.sleep("10 millis")
            }
            return ""
          }))
        const { id } = yield* runner.create(Work, "")
        const viewers = yield* Effect.replicateEffect(view(id, { autoStart: "never" }), 30)
        assert.strictEqual(log.stats.followers, 30)
        encode.mockClear()
        yield* advance("2 seconds")
        const counts = new Map<string, number>()
        for (const [value] of encode.mock.calls as ReadonlyArray<ReadonlyArray<Partial<JobWire.Frame> | null>>) {
          if (value?.type === "event" || (value?.type === "state" && value.data?.status === "RUNNING")) {
            counts.set(value.type, (counts.get(value.type) ?? 0) + 1)
          }
        }
        assert.deepStrictEqual([...counts].sort(), [["event", 61], ["state", 20]])
        for (const { client, frames } of viewers) {
          const all = yield* frames
          assert.deepStrictEqual(seqsOf(all), upTo(62))
          const told = statesOf(all).filter(({ progress, status }) => status === "RUNNING" && progress > 0)
          assert.deepStrictEqual(told.map(({ progress }) => progress), upTo(20).map((n) => n / 20))
          assert.deepInclude(yield* client.ended, { code: 1000 })
        }
      })
    ))

  it.effect("gets what is appended together in its order, though its lanes have turns of their own (A072)", () =>
    world((at) =>
      Effect.gen(function*() {
        const { runner, view } = yield* rig(at, (_, job) =>
          Effect.gen(function*() {
            yield* Effect.sleep("1 seconds")
            // Urgent ones let one of the others through after eight.
            const together = upTo(60).map((n) => n % 15 === 0 ? job.log(String(n)) : job.emit(String(n)))
            yield* Effect.all(together, { concurrency: "unbounded" })
            return ""
          }))
        const { id } = yield* runner.create(Work, "")
        const { frames } = yield* view(id, { autoStart: "never" })
        yield* advance("2 seconds")
        assert.deepStrictEqual(seqsOf(yield* frames), upTo(62))
      })
    ))

  it.effect("loses no event where the outbox holds less than a page, in what is replayed and in what comes (A077)", () =>
    world((at) =>
      Effect.gen(function*() {
        const go = yield* Deferred.make<void>()
        const work: Handler = (_, job) =>
          Effect.gen(function*() {
            const many = Effect.all(upTo(300).map((n) => job.emit(String(n))), { concurrency: "unbounded" })
            yield* many
            yield* Deferred.await(go)
            yield* many
            return ""
          })
        const { runner, view } = yield* rig(at, work, { ...JobViewer.sessionOptions(), outboxItemsMax: 10 })
        const { id } = yield* runner.create(Work, "")
        const { client, frames, session } = yield* view(id, {}, { bytesPerSecond: 100_000, capacityBytes: 1_000 })
        yield* advance("5 seconds")
        yield* Deferred.succeed(go, undefined)
        yield* advance("5 seconds")
        assert.deepStrictEqual(seqsOf(yield* frames), upTo(602))
        assert.deepInclude(yield* client.ended, { code: 1000 })
        assert.strictEqual(session.stats.lanes.important.evicted, 0)
      })
    ))
})
