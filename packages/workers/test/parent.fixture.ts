/** A program with a pool of real workers, for a test to kill. It prints the workers' process ids and keeps them busy. */
import * as ProcessWorkers from "@spillway/workers/ProcessWorkers"
import * as WorkerPool from "@spillway/workers/WorkerPool"
import { WorkerTransport } from "@spillway/workers/WorkerTransport"
import * as Effect from "effect/Effect"
import { hasPython, node, python } from "./processes.js"

const pool = (options: ProcessWorkers.Options) =>
  Effect.provideService(
    WorkerPool.make({ size: 2, initTimeout: "60 seconds" }),
    WorkerTransport,
    ProcessWorkers.make(options)
  )

const program = Effect.gen(function*() {
  const pools = yield* Effect.all(
    (hasPython ? [node(), python({ WORKER_LINGER_MILLIS: "100" })] : [node()]).map(pool),
    { concurrency: "unbounded" }
  )
  const workers = yield* Effect.all(pools.map((pool) => pool.workers))
  // One of each does nothing, the other one computes and sees nothing of the world.
  for (const pool of pools) yield* Effect.fork(pool.execute("spin", { millis: 60_000 }))
  yield* Effect.sleep("100 millis")
  process.stdout.write(`workers ${workers.flat().map(({ pid }) => pid).join(" ")}\n`)
  return yield* Effect.never
})

Effect.runFork(Effect.scoped(program))
