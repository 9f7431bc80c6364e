/**
 * The same run, again and again: what viewers are sent is a function of the seed and of nothing else, and when all has ended
 * nothing of it is open. In a process of its own, whose handles are its own.
 */
import { assert, describe, it } from "@effect/vitest"
import { advance, settle } from "@spillway/testing/Settle"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import { node, world } from "./runnerSupport.js"
import { viewing } from "./viewerSupport.js"

/** Three jobs with viewers of each, one that is cancelled, one that fails, one that succeeds, and a late viewer. */
const run = Effect.gen(function*() {
  const recorded: Array<unknown> = []
  yield* world((world) =>
    Effect.gen(function*() {
      const { context, runner } = yield* node(world, (input, job) =>
        Effect.gen(function*() {
          for (let n = 1; n <= 20; n++) {
            yield* job.emit(`${input} ${n}`)
            yield* job.progress(n / 20, { stage: n < 10 ? "scan" : "report" })
            yield* Effect.sleep(100)
            if (input === "fails" && n === 15) return yield* Effect.fail("enough")
          }
          return input
        }))
      const { view } = yield* viewing(world, context)
      const ids: Array<string> = []
      for (const input of ["fails", "succeeds", "stops"]) ids.push((yield* runner.createEncoded("work", input)).id)
      const viewers = yield* Effect.forEach([...ids, ...ids], (id) => view(id))
      yield* advance("1 second")
      viewers.push(yield* view(ids[1]!, { since: 5 }))
      yield* Effect.fork(runner.cancel(ids[2]!, "no longer needed"))
      for (let n = 0; n < 20; n++) yield* advance("200 millis")
      yield* settle
      for (const { frames } of viewers) recorded.push(yield* frames)
    })
  )
  return recorded
}).pipe(Logger.withMinimumLogLevel(LogLevel.None))

const handles = () => process.getActiveResourcesInfo().filter((name) => name !== "Immediate").sort()

describe("a run of jobs with viewers", () => {
  it.live("is the same twenty times, and leaves no handle open (A084)", () =>
    Effect.gen(function*() {
      const first = yield* run
      const text = JSON.stringify(first)
      assert.strictEqual(first.length, 7)
      for (const status of ["SUCCEEDED", "FAILED", "CANCELLED"]) assert.include(text, status)
      const before = handles()
      for (let n = 2; n <= 20; n++) assert.deepStrictEqual(yield* run, first, `run ${n}`)
      assert.deepStrictEqual(handles(), before)
    }))

  it("a timer that it left would be seen (A084)", () => {
    const before = handles()
    const timer = setTimeout(() => {}, 60_000)
    assert.notDeepEqual(handles(), before)
    clearTimeout(timer)
    assert.deepStrictEqual(handles(), before)
  })
})
