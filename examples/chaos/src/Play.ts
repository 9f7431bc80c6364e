/** Scenarios on a pool under load, one after the other, with everything written down. */
import * as Chaos from "@spillway/workers/Chaos"
import * as WorkerPool from "@spillway/workers/WorkerPool"
import { WorkerTransport, type WorkerTransportShape } from "@spillway/workers/WorkerTransport"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import { Recording, type Story } from "./Recording.js"

export type ScenarioName = keyof typeof Chaos.scenarios

// The keys of the record, which is written out in the module.
export const scenarioNames = Object.keys(Chaos.scenarios) as ReadonlyArray<ScenarioName>

export interface Options {
  readonly seed: string
  readonly size: number
  readonly scenarios: ReadonlyArray<ScenarioName>
  readonly operationsPerSecond: number
  readonly transport: WorkerTransportShape
}

export interface Played {
  readonly name: ScenarioName
  readonly report: Chaos.Report
}

export interface Result {
  readonly played: ReadonlyArray<Played>
  readonly loads: ReadonlyArray<Chaos.LoadReport>
  readonly story: Story
}

/** Writes down every fault, also a start that the kit has refused. */
const recorded = (transport: WorkerTransportShape, recording: Recording) => {
  const made = Chaos.make(transport)
  const note = (kind: Parameters<Recording["fault"]>[0], workerId: string) =>
    Effect.map(Clock.currentTimeMillis, (now) => recording.fault(kind, workerId, now))
  let refused = 0
  const hurt: WorkerTransportShape = {
    spawn: (workerId) =>
      Effect.tapError(made.transport.spawn(workerId), () =>
        Effect.flatMap(made.chaos.happened, ({ refuseSpawn }) => {
          // A start that fails by itself is no fault of the kit.
          if (refuseSpawn === refused) return Effect.void
          refused = refuseSpawn
          return note("refuseSpawn", workerId)
        })),
    get processes() {
      return made.transport.processes
    }
  }
  const chaos: Chaos.ChaosShape = {
    ...made.chaos,
    inject: (workerId, fault) =>
      // A delay of nothing is the end of a fault.
      fault._tag === "slow" && fault.delayMillis === 0
        ? made.chaos.inject(workerId, fault)
        : Effect.zipRight(note(fault._tag, workerId), made.chaos.inject(workerId, fault))
  }
  return { transport: hurt, chaos }
}

/** A load, second by second, until it is told that it is over. */
const loads = (pool: WorkerPool.WorkerPoolShape, operationsPerSecond: number, isOver: () => boolean) =>
  Effect.gen(function*() {
    const reports: Array<Chaos.LoadReport> = []
    while (!isOver()) {
      const load = Chaos.load(pool, { sessions: 16, operationsPerSecond, duration: "1 second", tolerance: "2 seconds" })
      reports.push(yield* load)
    }
    return reports
  })

const pause = Effect.sleep("200 millis")

/** Runs them all. The pool is gone when it returns. */
export const play = (options: Options) =>
  Effect.scoped(Effect.gen(function*() {
    const recording = new Recording(yield* Clock.currentTimeMillis)
    const { chaos, transport } = recorded(options.transport, recording)
    const pool = yield* Effect.provideService(
      WorkerPool.make({
        size: options.size,
        initTimeout: "30 seconds",
        // Faults come faster here than anywhere: what one scenario did is not to slow down the recovery from the next.
        restartsMax: 1000,
        restartPeriod: "1 second",
        onTransition: recording.moved
      }),
      WorkerTransport,
      transport
    )
    let isOver = false
    const load = yield* Effect.fork(loads(pool, options.operationsPerSecond, () => isOver))
    yield* pause
    const played: Array<Played> = []
    for (const name of options.scenarios) {
      const from = yield* Clock.currentTimeMillis
      const report = yield* Effect.provideService(Chaos.run(pool, Chaos.scenarios[name]), Chaos.Chaos, chaos)
      recording.span({ name, from, to: yield* Clock.currentTimeMillis })
      played.push({ name, report })
      yield* pause
    }
    isOver = true
    const reports = yield* Fiber.join(load)
    const result: Result = { played, loads: reports, story: recording.story(yield* Clock.currentTimeMillis) }
    return result
  })).pipe(Effect.withRandom(Random.make(options.seed)))
