import { afterAll, assert, describe, it } from "@effect/vitest"
import * as ThreadWorkers from "@spillway/workers/ThreadWorkers"
import * as WorkerLaws from "@spillway/workers/WorkerLaws"
import * as WorkerPool from "@spillway/workers/WorkerPool"
import { WorkerTransport } from "@spillway/workers/WorkerTransport"
import * as Effect from "effect/Effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import { Worker } from "node:worker_threads"
import ts from "typescript"

const folder = Path.dirname(fileURLToPath(import.meta.url))

/** The fixture and what it imports in JavaScript, because a thread does not read TypeScript. */
const compiled = (() => {
  const from = Path.resolve(folder, "..")
  // Below the root, where the packages are found; one for each run.
  const parent = Path.resolve(from, "../../.tmp")
  Fs.mkdirSync(parent, { recursive: true })
  const to = Fs.mkdtempSync(Path.join(parent, "thread-"))
  const compilerOptions = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022, verbatimModuleSyntax: true }
  const files = Fs.readdirSync(Path.join(from, "src"), { recursive: true, encoding: "utf8" })
  for (
    const file of [
      ...files.filter((name) => name.endsWith(".ts")).map((name) => `src/${name}`),
      "test/thread.fixture.ts"
    ]
  ) {
    const target = Path.join(to, file.replace(/\.ts$/, ".js"))
    Fs.mkdirSync(Path.dirname(target), { recursive: true })
    const { outputText } = ts.transpileModule(Fs.readFileSync(Path.join(from, file), "utf8"), { compilerOptions })
    Fs.writeFileSync(target, outputText)
  }
  Fs.writeFileSync(Path.join(to, "package.json"), JSON.stringify({ type: "module" }))
  return to
})()

afterAll(() => Fs.rmSync(compiled, { recursive: true }))

const transport = () => ThreadWorkers.make({ spawn: () => new Worker(Path.join(compiled, "test/thread.fixture.js")) })

const makePool = (options: WorkerPool.Options = {}) =>
  Effect.provideService(
    WorkerPool.make({ name: "t", size: 1, initTimeout: "60 seconds", ...options }),
    WorkerTransport,
    transport()
  )

describe("ThreadWorkers", () => {
  // Those in which threads differ from processes; each starts a thread that loads Effect.
  const words = ["once each", "told once", "kill ends a worker that is busy", "fault hang"]

  it.live("A139 laws of WorkerTransport for threads", () =>
    Effect.forEach(
      words.map((word) => WorkerLaws.all.find(({ sentence }) => sentence.includes(word))!),
      ({ check, sentence }) =>
        Effect.scoped(check({ transport: transport(), processesPerWorker: 0 })).pipe(
          Effect.mapError((violation) => new Error(`${sentence}: ${violation.message}`))
        ),
      { concurrency: 2, discard: true }
    ))

  it.scopedLive("buffers are handed over, both ways; a thread that computes for ever is killed and replaced", () =>
    Effect.gen(function*() {
      const pool = yield* makePool()
      const buffer = new Uint8Array([1, 2, 3]).buffer
      const answer = yield* pool.execute("increment", ThreadWorkers.transfer(buffer, [buffer]))
      assert.deepStrictEqual([...new Uint8Array(answer as ArrayBuffer)], [2, 3, 4])
      assert.strictEqual(buffer.byteLength, 0, "whoever handed it over has it no more")
      const stuck = yield* Effect.flip(pool.execute("spin", { millis: 600_000 }, { timeout: "100 millis" }))
      assert.strictEqual(stuck._tag, "OperationTimeout")
      yield* pool.awaitFull
      const crash = yield* Effect.flip(pool.execute("crash", {}))
      assert.deepInclude(crash, { _tag: "WorkerCrashed", code: 7 })
      yield* pool.awaitFull
      assert.strictEqual(yield* pool.execute("count", {}), 1)
    }))
})
