/**
 * Tasks: how long a sleeping poller takes to wake at the shutdown (p50 and p99, real clock), and CPU time of one gathered
 * item, of one supervision of four tasks and of a plain `Effect.forEach` beside them.
 *
 * `npx tsx bench/src/tasks.bench.ts [--json FILE]`
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Label from "spillway/Label"
import * as Tasks from "spillway/Tasks"
import { parse, printMachine, quantile, writeResults } from "./report.js"

const { json } = parse("npx tsx bench/src/tasks.bench.ts [--json FILE]", {})

const label = Label.make("bench")

const wakes = 5_000

const wakeUps = Effect.gen(function*() {
  const took: Array<number> = []
  for (let i = 0; i < wakes; i++) {
    const shutdown = yield* Tasks.makeShutdown
    const sleeper = yield* Effect.fork(Tasks.sleepUntilShutdown(shutdown, "1 minute"))
    yield* Effect.sleep(0)
    const signalledAt = performance.now()
    yield* shutdown.signal
    yield* Fiber.join(sleeper)
    took.push(performance.now() - signalledAt)
  }
  took.sort((a, b) => a - b)
  const at = (share: number) => Number(quantile(took, share).toFixed(3))
  return { p50: at(0.5), p99: at(0.99), worst: at(1) }
})

/** CPU time in microseconds of one of `count` things. */
const cpuMicros = <A, E>(count: number, effect: Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    yield* effect
    const before = process.cpuUsage()
    yield* effect
    const { system, user } = process.cpuUsage(before)
    return Number(((system + user) / count).toFixed(2))
  })

const supervisions = 2_000
const items = Array.from({ length: 20_000 }, (_, index) => Effect.sync(() => index))

const supervision = Effect.scoped(Tasks.superviseTasks({
  label,
  mode: "cancel",
  receive: { name: "receive", run: Effect.yieldNow() },
  background: ["a", "b", "c"].map((name) => ({ name, kind: "lifetime" as const, run: Effect.never }))
}))

const program = Effect.gen(function*() {
  const rows = {
    wakeUpMillis: yield* wakeUps,
    cpuMicros: {
      gatherItem: yield* cpuMicros(items.length, Tasks.gatherWithLogging(items, { label })),
      forEachItem: yield* cpuMicros(items.length, Effect.forEach(items, (item) => item, { concurrency: 10 })),
      supervisionOfFour: yield* cpuMicros(
        supervisions,
        Effect.replicateEffect(supervision, supervisions, { discard: true })
      )
    }
  }
  const parameters = { wakes, items: items.length, supervisions }
  printMachine(`${wakes} wake-ups, ${items.length} items, ${supervisions} supervisions`)
  console.table({ "wake-up, ms": rows.wakeUpMillis })
  console.table({ "CPU, µs": rows.cpuMicros })
  writeResults(json, { parameters, results: rows })
})

await Effect.runPromise(program)
