import * as Settle from "@spillway/testing/Settle"
import * as VirtualClock from "@spillway/testing/VirtualClock"
import * as MemoryWorkers from "@spillway/workers/MemoryWorkers"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { assert, describe, it } from "vitest"
import { play, scenarioNames } from "../src/Play.js"
import type { Story } from "../src/Recording.js"
import { cells, holds, table } from "../src/Table.js"
import { draw } from "../src/Timeline.js"
import { faultOf } from "./xml.js"

const handlers = (): MemoryWorkers.Handlers => ({ echo: (args) => Effect.succeed(args) })

/** All scenarios on workers in memory, in virtual time. */
const played = (seed: string) =>
  Effect.gen(function*() {
    const transport = MemoryWorkers.make({ worker: handlers, startTime: "50 millis" })
    const fiber = yield* Effect.fork(
      play({ seed, size: 4, scenarios: scenarioNames, operationsPerSecond: 40, transport })
    )
    while (fiber.unsafePoll() === null) yield* Settle.advance("10 millis")
    return yield* Fiber.join(fiber)
  }).pipe(Effect.withClock(VirtualClock.make()), Effect.runPromise)

const count = (text: string, pattern: RegExp): number => [...text.matchAll(pattern)].length

describe("the picture", () => {
  it("what looks at the picture refuses what is not well-formed", () => {
    for (const good of ["<a/>", "<a b=\"c\"><d>e &amp; f</d></a>"]) assert.isUndefined(faultOf(good))
    const bad = [
      "",
      "<a>",
      "<a></b>",
      "<a/><b/>",
      "<a>&</a>",
      "<a b=c/>",
      "<a b=\"1\" b=\"2\"/>",
      "text",
      "<a><b></a></b>"
    ]
    for (const text of bad) assert.isString(faultOf(text), text)
  })

  it("A137 all scenarios: it is well-formed, has a row for each place and a mark for each fault that was injected", async () => {
    const result = await played("1")
    const svg = draw(result.story, "four & \"more\" <workers>")
    assert.isUndefined(faultOf(svg))
    for (const place of ["worker-0", "worker-1", "worker-2", "worker-3"]) assert.include(svg, `>${place}</text>`)
    const hits = result.played.reduce((sum, { report }) => sum + report.targeted.length, 0)
    const refused = result.played.reduce((sum, { report }) => sum + report.happened.refuseSpawn, 0)
    assert.strictEqual(count(svg, /class="fault"/g), hits + refused)
    assert.isAbove(refused, 0)
    for (const { kind, workerId } of result.story.faults) {
      assert.include(svg, `data-fault="${kind}" data-worker="${workerId}"`)
    }
    const targeted = result.played.flatMap(({ report }) => report.targeted)
    const marked = result.story.faults.filter(({ kind }) => kind !== "refuseSpawn").map(({ workerId }) => workerId)
    assert.deepStrictEqual(marked, targeted)
    for (const { name } of result.played) assert.include(svg, `>${name}</text>`)
  })

  it("a worker is in one state at a time, from its start to its end, and the places are never shared", async () => {
    const { segments, to } = (await played("2")).story
    const byWorker = new Map<string, Array<(typeof segments)[number]>>()
    for (const segment of segments) {
      byWorker.set(segment.workerId, [...byWorker.get(segment.workerId) ?? [], segment])
    }
    for (const [workerId, own] of byWorker) {
      assert.strictEqual(own[0]!.state, "initializing", workerId)
      own.slice(1).forEach((segment, index) => assert.strictEqual(segment.from, own[index]!.to, workerId))
      assert.isAtMost(own.at(-1)!.to, to)
    }
  })

  it("the same seed gives the same table and the same picture, another one other victims", async () => {
    const [one, again, other] = [await played("1"), await played("1"), await played("7")]
    assert.strictEqual(table(one), table(again))
    assert.strictEqual(draw(one.story, ""), draw(again.story, ""))
    const victims = ({ story }: { readonly story: Story }) => story.faults.map(({ workerId }) => workerId).join()
    assert.notStrictEqual(victims(one), victims(other))
  })
})

describe("the table", () => {
  it("A137 has a row for each scenario that says what its report says", async () => {
    const result = await played("1")
    assert.deepStrictEqual(result.played.map(({ name }) => name), scenarioNames)
    const lines = table(result).split("\n")
    result.played.forEach(({ name, report }, index) => {
      const row = lines[index + 1]!.split(/ {2,}/)
      assert.deepStrictEqual(row, cells({ name, report }))
      assert.strictEqual(row[1], String(report.targeted.length))
      assert.strictEqual(row[4], `${report.recoveredMillis} ms`)
      for (const [kind, times] of Object.entries(report.happened)) {
        assert.strictEqual(row[2]!.includes(`${times} ${kind}`), times > 0)
      }
    })
    assert.isTrue(holds(result))
    const started = result.loads.reduce((sum, load) => sum + load.started, 0)
    assert.include(lines.at(-1), `load: ${started} operations`)
  })

  it("a fault that did not happen, a pool that is not whole, and an operation that got no answer do not hold", async () => {
    const result = await played("1")
    const [first, ...others] = result.played
    const [load, ...loads] = result.loads
    const withReport = (change: object) => ({
      ...result,
      played: [{ ...first!, report: { ...first!.report, ...change } }, ...others]
    })
    assert.isFalse(holds(withReport({ isReal: false })))
    assert.isFalse(holds(withReport({ recoveredMillis: undefined })))
    assert.isFalse(holds({ ...result, loads: [{ ...load!, started: load!.started + 1 }, ...loads] }))
    assert.isFalse(holds({ ...result, loads: [{ ...load!, wrong: 1 }, ...loads] }))
  })
})
