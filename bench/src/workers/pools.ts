/**
 * The program of the bench `workers-pool`: one process that runs every subject in turn. It is started as plain JavaScript,
 * because a loader that rewrites modules would rewrite Spillway's and leave alone what lies in node_modules.
 */
import * as MemoryWorkers from "@spillway/workers/MemoryWorkers"
import * as ProcessWorkers from "@spillway/workers/ProcessWorkers"
import * as ThreadWorkers from "@spillway/workers/ThreadWorkers"
import * as WorkerPool from "@spillway/workers/WorkerPool"
import { WorkerTransport, type WorkerTransportShape } from "@spillway/workers/WorkerTransport"
import * as Effect from "effect/Effect"
import * as Runtime from "effect/Runtime"
import * as Scope from "effect/Scope"
import { spawn } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import { Worker } from "node:worker_threads"
import { Piscina } from "piscina"
import workerpool from "workerpool"
import { claim, median, printMachine, quantile, writeResults } from "../report.js"
import { regressions } from "./regression.js"

interface Options {
  readonly json?: string
  readonly rounds: number
  readonly millis: number
}

/** What the bench has read from its command line. */
const { json, millis, rounds } = JSON.parse(process.argv[2]!) as Options

const size = 2
const callers = 8
const payload = { number: 1, text: "x".repeat(64) }
const here = Path.dirname(fileURLToPath(import.meta.url))
/** The workers are JavaScript and stay where they are. */
const at = (name: string) => Path.resolve(here, "../../../src/workers", name)

/** One way to run operations. `load` runs them in so many loops until the time is over, and returns their latencies. */
interface Subject {
  readonly name: string
  readonly load: (millis: number) => Promise<ReadonlyArray<number>>
  readonly pids: ReadonlyArray<number>
  readonly close: () => Promise<unknown>
}

/** Loops of promises: for everything that gives one. */
const promises = (call: () => PromiseLike<unknown>) => async (millis: number): Promise<ReadonlyArray<number>> => {
  const times: Array<number> = []
  const until = performance.now() + millis
  await Promise.all(Array.from({ length: callers }, async () => {
    for (let start = performance.now(); start < until;) {
      await call()
      const end = performance.now()
      times.push(end - start)
      start = end
    }
  }))
  return times
}

const spillway = async (name: string, transport: WorkerTransportShape): Promise<Subject> => {
  const scope = Effect.runSync(Scope.make())
  const make = WorkerPool.make({ size, initTimeout: "30 seconds" })
  const pool = await Effect.runPromise(
    Effect.provideService(Scope.extend(make, scope), WorkerTransport, transport)
  )
  const pids = (await Effect.runPromise(pool.workers)).flatMap(({ pid }) => pid ?? [])
  const operation = pool.execute("echo", payload)
  const load = (millis: number) => {
    const times: Array<number> = []
    const until = performance.now() + millis
    const caller = () => {
      let start = performance.now()
      return Effect.whileLoop({
        while: () => start < until,
        body: () => operation,
        step: () => {
          const end = performance.now()
          times.push(end - start)
          start = end
        }
      })
    }
    const all = Effect.all(Array.from({ length: callers }, caller), { concurrency: "unbounded", discard: true })
    return Runtime.runPromise(Runtime.defaultRuntime)(Effect.as(all, times))
  }
  return {
    name,
    load,
    pids,
    close: () => Effect.runPromise(Scope.close(scope, Effect.runSync(Effect.exit(Effect.void))))
  }
}

/** Two bare processes that echo frames, one operation at a time each, as the pool does it. */
const barePipe = async (): Promise<Subject> => {
  const waiting: Array<() => void> = []
  const children = Array.from({ length: size }, () => spawn(process.execPath, [at("echo.mjs")]))
  const free = [...children]
  const answers = new Map(children.map((child) => [child, (value: unknown): unknown => value]))
  for (const child of children) {
    let held: Buffer = Buffer.alloc(0)
    child.stdout.on("data", (chunk: Buffer) => {
      held = held.length === 0 ? chunk : Buffer.concat([held, chunk])
      if (held.length < 4 || held.length < 4 + held.readUInt32BE()) return
      const value: unknown = JSON.parse(held.subarray(4).toString())
      held = Buffer.alloc(0)
      free.push(child)
      answers.get(child)!(value)
      waiting.shift()?.()
    })
  }
  const call = () =>
    new Promise<unknown>((resolve) => {
      const start = () => {
        const child = free.shift()!
        answers.set(child, resolve)
        const body = Buffer.from(JSON.stringify({ id: 1, command: "echo", args: payload }))
        const frame = Buffer.alloc(4 + body.length)
        frame.writeUInt32BE(body.length)
        body.copy(frame, 4)
        child.stdin.write(frame)
      }
      if (free.length > 0) start()
      else waiting.push(start)
    })
  await Promise.all(children.map(call))
  return {
    name: "bare pipe to processes",
    load: promises(call),
    pids: children.map(({ pid }) => pid!),
    close: () =>
      Promise.all(children.map((child) =>
        new Promise((resolve) => {
          child.once("exit", resolve)
          child.stdin.end()
        })
      ))
  }
}

const piscina = async (): Promise<Subject> => {
  const pool = new Piscina({ filename: at("piscina.mjs"), minThreads: size, maxThreads: size })
  await pool.run(payload)
  return { name: "piscina (threads)", load: promises(() => pool.run(payload)), pids: [], close: () => pool.destroy() }
}

const workerPool = async (): Promise<Subject> => {
  const pool = workerpool.pool(at("workerpool.mjs"), { minWorkers: size, maxWorkers: size, workerType: "thread" })
  await pool.exec("echo", [payload])
  return {
    name: "workerpool (threads)",
    load: promises(() => pool.exec("echo", [payload])),
    pids: [],
    close: async () => pool.terminate()
  }
}

const subjects: ReadonlyArray<() => Promise<Subject>> = [
  () => spillway("spillway, memory", MemoryWorkers.make({ worker: () => ({ echo: (args) => Effect.succeed(args) }) })),
  () => spillway("spillway, threads", ThreadWorkers.make({ spawn: () => new Worker(at("thread.mjs")) })),
  piscina,
  workerPool,
  () => {
    const reference = Path.resolve(here, "../../../../packages/workers/workers/reference.mjs")
    return spillway("spillway, processes", ProcessWorkers.make({ command: process.execPath, args: [reference] }))
  },
  barePipe
]

const ticksPerSecond = 100

/** CPU seconds of processes, from the system. */
const childSeconds = (pids: ReadonlyArray<number>): number =>
  pids.reduce((sum, pid) => {
    const fields = Fs.readFileSync(`/proc/${pid}/stat`, "latin1").split(") ")[1]!.split(" ")
    return sum + (Number(fields[11]) + Number(fields[12])) / ticksPerSecond
  }, 0)

const cpuSeconds = (pids: ReadonlyArray<number>): number => {
  const { system, user } = process.cpuUsage()
  return (system + user) / 1e6 + childSeconds(pids)
}

const round = async ({ load, pids }: Subject, millis: number) => {
  const [cpu, start] = [cpuSeconds(pids), performance.now()]
  const times = [...await load(millis)].sort((a, b) => a - b)
  const seconds = (performance.now() - start) / 1000
  const cpuUsed = cpuSeconds(pids) - cpu
  return {
    operationsPerSecond: times.length / seconds,
    operationsPerCpuSecond: times.length / cpuUsed,
    p50Millis: quantile(times, 0.5),
    p95Millis: quantile(times, 0.95),
    p99Millis: quantile(times, 0.99)
  }
}

type Figures = Awaited<ReturnType<typeof round>>

const medianOf = (all: ReadonlyArray<Figures>, key: keyof Figures): number => median(all.map((figures) => figures[key]))

const results = new Map<string, Array<Figures>>()
const running = await Promise.all(subjects.map((make) => make()))
// Those that do not take their turn do nothing. The first turns are there for the compilers of all threads, which count calls.
const warmUpOperations = 20_000
const warmUpTurns = 20
for (const subject of running) {
  let operations = 0
  for (let turn = 0; turn < warmUpTurns && operations < warmUpOperations; turn++) {
    operations += (await subject.load(1000)).length
  }
}
for (let count = 0; count < rounds; count++) {
  for (const subject of running) {
    results.set(subject.name, [...results.get(subject.name) ?? [], await round(subject, millis)])
  }
}
for (const subject of running) await subject.close()

const table = [...results].map(([name, all]): Figures & { readonly name: string } => ({
  name,
  operationsPerSecond: medianOf(all, "operationsPerSecond"),
  operationsPerCpuSecond: medianOf(all, "operationsPerCpuSecond"),
  p50Millis: medianOf(all, "p50Millis"),
  p95Millis: medianOf(all, "p95Millis"),
  p99Millis: medianOf(all, "p99Millis")
}))
printMachine(`${size} workers, ${callers} callers, ${rounds} rounds of ${millis} ms`)
console.log("subject                        op/s   op/CPU s    p50 ms    p95 ms    p99 ms")
for (const row of table) {
  const cells = [
    row.operationsPerSecond.toFixed(0),
    row.operationsPerCpuSecond.toFixed(0),
    row.p50Millis.toFixed(3),
    row.p95Millis.toFixed(3),
    row.p99Millis.toFixed(3)
  ]
  console.log(`${row.name.padEnd(25)} ${cells.map((cell) => cell.padStart(9)).join(" ")}`)
}
const of = (name: string): Figures => table.find((row) => row.name === name)!
const microseconds = (figures: Figures): number => 1e6 / figures.operationsPerCpuSecond
const overhead = microseconds(of("spillway, processes")) - microseconds(of("bare pipe to processes"))
console.log(`the process path costs ${overhead.toFixed(0)} µs of CPU more per operation than the bare pipe`)
const run = (figures: Figures) => ({ ...figures, successRatio: 1 })
const ratio = of("spillway, threads").operationsPerCpuSecond / of("piscina (threads)").operationsPerCpuSecond
console.log(`threads: ${ratio.toFixed(2)} times the operations per CPU second of piscina`)
const worse = regressions(run(of("piscina (threads)")), run(of("spillway, threads")))
console.log(`threads against piscina: ${worse.length === 0 ? "no worse" : worse.join(", ")}`)

const memory = of("spillway, memory")
claim("in memory: more than 1,000 operations a second", memory.operationsPerSecond > 1000)
claim("in memory: p50 below 50 ms, p99 below 100 ms", memory.p50Millis < 50 && memory.p99Millis < 100)
writeResults(json, { parameters: { rounds, millis, size, callers }, results: table })
