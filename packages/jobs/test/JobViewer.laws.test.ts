/** Whatever a job appends and however its viewers take it: each of them is sent the log. */
import { assert, describe, it } from "@effect/vitest"
import { advance } from "@spillway/testing/Settle"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as JobViewer from "../src/JobViewer.js"
import { node, Work, world } from "./runnerSupport.js"
import { seqsOf, statesOf, viewing } from "./viewerSupport.js"

const plan = FastCheck.record({
  /** What is appended together, and the time after it. */
  bursts: FastCheck.array(
    FastCheck.record({
      kinds: FastCheck.array(FastCheck.constantFrom("emit", "emit", "log", "progress"), {
        minLength: 1,
        maxLength: 40
      }),
      pauseMillis: FastCheck.constantFrom(0, 1, 50, 400)
    }),
    { minLength: 1, maxLength: 12 }
  ),
  outboxItemsMax: FastCheck.constantFrom(8, 64, 1024),
  /** When a client joins, after which event, and what its link takes. */
  viewers: FastCheck.array(
    FastCheck.record({
      joinMillis: FastCheck.nat(900),
      since: FastCheck.constantFrom(0, 0, 7),
      bytesPerSecond: FastCheck.constantFrom(undefined, undefined, 20_000, 200_000)
    }),
    { minLength: 1, maxLength: 5 }
  )
})

describe("viewers of a job", () => {
  it.effect(
    "are each sent the log from their place, in order and without gap, progress that never falls, and one end (A072, A073, A074, A083)",
    () =>
      Effect.forEach(
        FastCheck.sample(plan, { seed: 72, numRuns: 12 }),
        ({ bursts, outboxItemsMax, viewers }) =>
          world((at) =>
            Effect.gen(function*() {
              const { context, runner } = yield* node(at, (_, job) =>
                Effect.gen(function*() {
                  let n = 0
                  for (const { kinds, pauseMillis } of bursts) {
                    yield* Effect.sleep(pauseMillis)
                    const together = kinds.map((kind) => {
                      n++
                      if (kind === "emit") return Effect.asVoid(job.emit("x".repeat(n % 50)))
                      return kind === "log" ? job.log(String(n)) : job.progress(n / 500)
                    })
                    yield* Effect.all(together, { concurrency: "unbounded" })
                  }
                  return ""
                }))
              const { view } = yield* viewing(at, context, { ...JobViewer.sessionOptions(), outboxItemsMax })
              const { id } = yield* runner.create(Work, "")
              const joined: Array<readonly [since: number, Effect.Effect.Success<ReturnType<typeof view>>]> = []
              let now = 0
              for (
                const { bytesPerSecond, joinMillis, since } of [...viewers].sort((a, b) => a.joinMillis - b.joinMillis)
              ) {
                yield* advance(joinMillis - now)
                now = joinMillis
                const link = bytesPerSecond === undefined ? {} : { bytesPerSecond, capacityBytes: 2_000 }
                joined.push([since, yield* view(id, { since, behindEventsMax: Infinity }, link)])
              }
              yield* advance("30 seconds")
              const { state } = yield* runner.awaitEnd(id)
              for (const [since, { client, frames, session }] of joined) {
                const all = yield* frames
                const expected = Array.from({ length: Math.max(0, state.seq - since) }, (_, index) => since + index + 1)
                assert.deepStrictEqual(seqsOf(all), expected)
                const states = statesOf(all)
                const progress = states.map((told) => told.progress)
                assert.deepStrictEqual(progress, [...progress].sort((a, b) => a - b))
                assert.deepStrictEqual(states.filter(({ status }) => status === "SUCCEEDED").length, 1)
                assert.deepInclude(all.at(-1), { type: "state" })
                assert.deepInclude(states.at(-1), { status: "SUCCEEDED", seq: state.seq })
                assert.deepInclude(yield* client.ended, { code: 1000 })
                assert.strictEqual(session.stats.lanes.important.evicted, 0)
              }
            })
          ),
        { discard: true }
      )
  )
})
