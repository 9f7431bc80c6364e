import { assert, describe, it } from "@effect/vitest"
import type { MemoryClient } from "@spillway/testing/MemoryClient"
import * as MemoryDialer from "@spillway/testing/MemoryDialer"
import { advance, provide, settle } from "@spillway/testing/Settle"
import * as VirtualClock from "@spillway/testing/VirtualClock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as Stream from "effect/Stream"
import { Dialer } from "spillway"
import * as JobClient from "../src/JobClient.js"
import * as JobEvent from "../src/JobEvent.js"
import * as JobState from "../src/JobState.js"
import * as JobWire from "../src/JobWire.js"

const event = (seq: number, kind: JobEvent.Kind = "MESSAGE"): JobWire.Frame => ({
  type: "event",
  data: JobWire.fromEvent({ jobId: "a", seq, id: String(seq), at: 0, kind, data: seq })
})

const state = (seq: number, status: JobState.Status): JobWire.Frame => ({
  type: "state",
  data: JobWire.fromState("a", { ...JobState.initial, seq, status })
})

const test = (
  name: string,
  body: (rig: {
    readonly follow: (options?: Partial<JobClient.Options>) => Stream.Stream<JobWire.Frame, unknown, Dialer.Dialer>
    readonly urls: ReadonlyArray<string>
    readonly send: (peer: MemoryClient, ...frames: ReadonlyArray<JobWire.Frame>) => Effect.Effect<void>
  }) => Effect.Effect<void, unknown, Dialer.Dialer | MemoryDialer.MemoryDialer>
) =>
  it.effect(name, () => {
    const urls: Array<string> = []
    const url = (jobId: string, since: number): string => {
      urls.push(`${jobId} ${since}`)
      return `ws://test/${jobId}?since=${since}`
    }
    const send = (peer: MemoryClient, ...frames: ReadonlyArray<JobWire.Frame>) =>
      Effect.zipRight(
        Effect.orDie(Effect.forEach(frames, (frame) => peer.send(JSON.stringify(frame)), { discard: true })),
        settle
      )
    return body({ follow: (options) => JobClient.follow("a", { url, ...options }), urls, send }).pipe(
      provide(Layer.scopedContext(MemoryDialer.make())),
      Effect.withRandom(Random.make("client")),
      Effect.withClock(VirtualClock.make())
    )
  })

const seqs = (frames: Iterable<JobWire.Frame>) =>
  [...frames].flatMap((frame) => frame.type === "event" ? [frame.data.seq] : [])

describe("following a job", () => {
  test("survives lost connections without a gap and without a duplicate, and ends with the job (A073, A074)", ({ follow, send, urls }) =>
    Effect.gen(function*() {
      const { peer, pending } = yield* MemoryDialer.MemoryDialer
      const all = yield* Effect.fork(Stream.runCollect(follow()))
      const first = yield* peer
      yield* send(first, { type: "connected", data: { task_id: "a", message: "" } }, event(1), event(2))
      yield* first.reset
      yield* advance("1 seconds")
      const second = yield* peer
      // A server that repeats what was seen changes nothing.
      yield* send(second, event(2), event(3), state(3, "RUNNING"))
      yield* second.close(1012)
      yield* advance("2 seconds")
      const third = yield* peer
      yield* send(third, event(4, "RESULT"), state(4, "SUCCEEDED"))
      const frames = yield* Fiber.join(all)
      assert.deepStrictEqual(seqs(frames), [1, 2, 3, 4])
      assert.strictEqual([...frames].at(-1)!.type, "state")
      assert.deepStrictEqual(urls, ["a 0", "a 2", "a 3"])
      yield* advance("1 seconds")
      assert.deepInclude(yield* pending, { connections: 0 })
    }))

  test("fails with JobNotFound when there is no such job, and does not come back", ({ follow, send, urls }) =>
    Effect.gen(function*() {
      const { peer } = yield* MemoryDialer.MemoryDialer
      const all = yield* Effect.fork(Effect.flip(Stream.runDrain(follow())))
      const first = yield* peer
      yield* send(first, { type: "error", data: { message: "job a not found" } })
      yield* first.close(1008)
      yield* advance("1 minute")
      assert.deepInclude(yield* Fiber.join(all), { _tag: "JobNotFound" })
      assert.strictEqual(urls.length, 1)
    }))

  test("comes back more and more slowly, and gives up after so many attempts", ({ follow }) =>
    Effect.gen(function*() {
      const { dialledAt, setBehaviour } = yield* MemoryDialer.MemoryDialer
      yield* setBehaviour("refuses")
      const all = yield* Effect.fork(Effect.flip(Stream.runDrain(follow({ attemptsMax: 8 }))))
      yield* advance("5 minutes")
      assert.deepInclude(yield* Fiber.join(all), { _tag: "DialFailed" })
      const at = yield* dialledAt
      assert.strictEqual(at.length, 8)
      for (const [index, time] of at.entries()) {
        if (index > 0) assert.isAtMost(time - at[index - 1]!, Math.min(500 * 2 ** (index - 1), 20_000))
      }
    }))

  test("takes a silent connection to be dead after a minute, unless it is pinged; dials at most 10 s", ({ follow, send, urls }) =>
    Effect.gen(function*() {
      const { peer, setBehaviour } = yield* MemoryDialer.MemoryDialer
      const all = yield* Effect.fork(Stream.runCollect(follow()))
      const first = yield* peer
      yield* send(first, event(1))
      yield* first.halfOpen
      yield* advance("59 seconds")
      assert.strictEqual(urls.length, 1)
      yield* setBehaviour("hangs")
      yield* advance("2 seconds")
      assert.strictEqual(urls.length, 2)
      yield* setBehaviour("connects")
      yield* advance("11 seconds")
      const second = yield* peer
      yield* send(second, event(2, "RESULT"), state(2, "SUCCEEDED"))
      assert.deepStrictEqual(seqs(yield* Fiber.join(all)), [1, 2])
    }))

  test("a server that speaks something else is an InvalidMessage", ({ follow }) =>
    Effect.gen(function*() {
      const { peer } = yield* MemoryDialer.MemoryDialer
      const all = yield* Effect.fork(Effect.flip(Stream.runDrain(follow())))
      yield* Effect.orDie((yield* peer).send("{\"type\":\"hello\"}"))
      yield* settle
      assert.deepInclude(yield* Fiber.join(all), { _tag: "InvalidMessage" })
    }))
})
