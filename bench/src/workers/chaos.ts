/**
 * A pool of real worker processes under load and under real faults: calm stretches, then one scenario after the other,
 * again and again, and at the end a count of everything that must not be left.
 */
import * as Chaos from "@spillway/workers/Chaos"
import * as ProcessWorkers from "@spillway/workers/ProcessWorkers"
import * as WorkerPool from "@spillway/workers/WorkerPool"
import { WorkerTransport } from "@spillway/workers/WorkerTransport"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import { median } from "../report.js"

const folder = Path.resolve(Path.dirname(fileURLToPath(import.meta.url)), "../../../packages/workers/workers")

export interface Options {
  readonly seconds: number
  readonly size: number
  readonly sessions: number
  readonly operationsPerSecond: number
  /** From the start of a worker to its first answer, beside what the interpreter takes. */
  readonly startMillis: number
  /** Length of the stretches without faults. */
  readonly calmMillis: number
  readonly kind: "python" | "node"
  readonly scenarios: ReadonlyArray<keyof typeof Chaos.scenarios>
}

export interface Row {
  readonly scenario: string
  readonly runs: number
  readonly hits: number
  /** Runs whose faults have all happened. */
  readonly real: number
  readonly probes: number
  readonly probesSucceeded: number
  readonly recoveredMillisMedian: number
  readonly recoveredMillisMax: number
}

export interface Figures {
  readonly rows: ReadonlyArray<Row>
  readonly happened: Chaos.Counts
  readonly load: Chaos.LoadReport
  /** Hits among the operations of known sessions in the stretches without faults. */
  readonly calm: { readonly hits: number; readonly misses: number }
  readonly moved: number
  readonly workersEver: number
  readonly orphans: number
  readonly zombies: number
  readonly undead: number
}

/** The interpreter itself: `python3` may be a script that looks for it. */
const interpreter = (): string =>
  execFileSync("python3", ["-c", "import sys; print(sys.executable)"], { encoding: "utf8" }).trim()

const commandOf = (options: Options): ProcessWorkers.Options => {
  const env = { WORKER_START_MILLIS: String(options.startMillis) }
  return options.kind === "python"
    ? { command: interpreter(), args: ["-I", "-S", Path.join(folder, "reference.py")], env }
    : { command: process.execPath, args: [Path.join(folder, "reference.mjs")], env }
}

const stateOf = (pid: number): string | undefined => {
  try {
    return /\) (\w)/.exec(Fs.readFileSync(`/proc/${pid}/stat`, "latin1"))?.[1]
  } catch {
    return undefined
  }
}

const rowOf = (scenario: string, reports: ReadonlyArray<Chaos.Report>): Row => {
  const times = reports.map(({ recoveredMillis }) => recoveredMillis ?? Infinity)
  const sum = (of: (report: Chaos.Report) => number) => reports.reduce((total, report) => total + of(report), 0)
  return {
    scenario,
    runs: reports.length,
    hits: sum(({ targeted }) => targeted.length),
    real: sum(({ isReal }) => (isReal ? 1 : 0)),
    probes: sum(({ probes }) => probes),
    probesSucceeded: sum(({ probesSucceeded }) => probesSucceeded),
    recoveredMillisMedian: median(times),
    recoveredMillisMax: Math.max(...times)
  }
}

type Calm = { hits: number; misses: number }

const affinityOf = (pool: WorkerPool.WorkerPoolShape): Effect.Effect<Calm> =>
  Effect.map(pool.status, ({ affinity }) => ({ hits: affinity?.hits ?? 0, misses: affinity?.misses ?? 0 }))

/** Rounds of a calm stretch and a scenario, until the load is over. */
const rounds = (
  pool: WorkerPool.WorkerPoolShape,
  options: Options,
  isOver: () => boolean,
  log: (line: string) => void
) =>
  Effect.gen(function*() {
    const reports = new Map<string, Array<Chaos.Report>>()
    const calm: Calm = { hits: 0, misses: 0 }
    // After a fault every session comes by once before the calm begins: who lost a worker has another one then.
    const settleMillis = (options.sessions / options.operationsPerSecond) * 1000 * 1.5
    for (let round = 0; !isOver(); round++) {
      yield* Effect.sleep(settleMillis)
      const before = yield* affinityOf(pool)
      yield* Effect.sleep(options.calmMillis)
      const after = yield* affinityOf(pool)
      calm.hits += after.hits - before.hits
      calm.misses += after.misses - before.misses
      if (isOver()) break
      const name = options.scenarios[round % options.scenarios.length]!
      const report = yield* Chaos.run(pool, Chaos.scenarios[name])
      reports.set(name, [...reports.get(name) ?? [], report])
      log(`${name}: ${report.targeted.length} hit, whole after ${report.recoveredMillis} ms`)
    }
    return { rows: [...reports].map(([name, all]) => rowOf(name, all)), calm }
  })

const program = (options: Options, log: (line: string) => void) =>
  Effect.gen(function*() {
    const { chaos, transport } = Chaos.make(ProcessWorkers.make(commandOf(options)))
    const pids = new Set<number>()
    let moved = 0
    const figures = yield* Effect.scoped(Effect.gen(function*() {
      const pool = yield* WorkerPool.make({
        size: options.size,
        restartsMax: 1000,
        initTimeout: "60 seconds",
        affinity: { wait: "5 seconds" }
      })
      const note = (pid: number | undefined) => void (pid !== undefined && pids.add(pid))
      for (const { pid } of yield* pool.workers) note(pid)
      yield* Effect.forkScoped(Stream.runForEach(pool.events, (event) =>
        Effect.sync(() => {
          if (event._tag === "WorkerReady") note(event.pid)
          if (event._tag === "SessionMoved") moved++
        })))
      let isOver = false
      const load = yield* Effect.fork(
        Chaos.load(pool, {
          sessions: options.sessions,
          operationsPerSecond: options.operationsPerSecond,
          duration: options.seconds * 1000,
          timeout: "2 seconds",
          checkoutTimeout: "10 seconds",
          tolerance: "2 seconds"
        }).pipe(Effect.ensuring(Effect.sync(() => (isOver = true))))
      )
      const { calm, rows } = yield* rounds(pool, options, () => isOver, log)
      const { totals } = yield* pool.status
      return { rows, calm, load: yield* Fiber.join(load), happened: yield* chaos.happened, undead: totals.undead }
    })).pipe(Effect.provideService(WorkerTransport, transport), Effect.provideService(Chaos.Chaos, chaos))
    const left = [...pids].map(stateOf).filter((state) => state !== undefined)
    const zombies = left.filter((state) => state === "Z").length
    return { ...figures, moved, workersEver: pids.size, orphans: left.length - zombies, zombies }
  })

export const chaos = (options: Options, log: (line: string) => void): Promise<Figures> =>
  Effect.runPromise(Effect.orDie(program(options, log)))
