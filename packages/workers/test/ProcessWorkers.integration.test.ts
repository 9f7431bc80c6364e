import { assert, describe, it } from "@effect/vitest"
import * as Chaos from "@spillway/workers/Chaos"
import * as Codec from "@spillway/workers/Codec"
import * as ProcessWorkers from "@spillway/workers/ProcessWorkers"
import * as WorkerPool from "@spillway/workers/WorkerPool"
import { type WorkerExit, WorkerTransport } from "@spillway/workers/WorkerTransport"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as HashMap from "effect/HashMap"
import * as Logger from "effect/Logger"
import * as ChildProcess from "node:child_process"
import { once } from "node:events"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import { hasPython, node, nodeMsgPack, python, pythonEnv, pythonMsgPack, stateOf } from "./processes.js"

const folder = Path.dirname(fileURLToPath(import.meta.url))

/** Waits for what must happen; how long it may take is the timeout of the test. */
const until = (holds: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => holds() ? Effect.void : Effect.zipRight(Effect.sleep("10 millis"), until(holds)))

/** Starts the fixture; its process and those of its workers. */
const startParent = Effect.promise(async () => {
  const root = Path.resolve(folder, "../../..")
  const tsx = Path.join(root, "node_modules/tsx/dist/loader.mjs")
  const args = ["--import", tsx, Path.join(folder, "parent.fixture.ts")]
  const env = { ...pythonEnv, PATH: process.env["PATH"], TSX_TSCONFIG_PATH: Path.join(root, "tsconfig.test.json") }
  const parent = ChildProcess.spawn(process.execPath, args, { cwd: root, env, stdio: ["ignore", "pipe", "inherit"] })
  let text = ""
  for await (const chunk of parent.stdout.setEncoding("utf8")) {
    text += chunk
    const pids = /^workers ([\d ]+)\n/m.exec(text)?.[1]
    if (pids !== undefined) return { parent, pids: pids.split(" ").map(Number) }
  }
  throw new Error(`the parent ended: ${text}`)
})

const pool = (options: ProcessWorkers.Options, poolOptions: WorkerPool.Options = {}) => {
  const transport = ProcessWorkers.make(options)
  return Effect.map(
    Effect.provideService(
      WorkerPool.make({ name: "p", size: 1, initTimeout: "60 seconds", ...poolOptions }),
      WorkerTransport,
      transport
    ),
    (pool) => ({ pool, transport })
  )
}

describe("ProcessWorkers", () => {
  const codecs = hasPython
    ? [["Node", nodeMsgPack()], ["Python", pythonMsgPack()]] as const
    : [["Node", nodeMsgPack()]] as const
  for (const [language, options] of codecs) {
    it.live(`A139 in MessagePack bytes go through a ${language} worker as bytes, beside everything that JSON has`, () =>
      Effect.scoped(Effect.gen(function*() {
        const { pool: packed } = yield* pool(options)
        const value = {
          bytes: Uint8Array.of(0, 128, 255),
          text: "é\u{1F600}",
          list: [1, -2, 2.5, 70_000, null, true],
          deep: { a: {} }
        }
        const echoed = yield* packed.execute("echo", value)
        assert.deepEqual(echoed, value)
        // What JSON makes of bytes is no bytes any more.
        const { pool: text } = yield* pool(node())
        assert.notInstanceOf((yield* text.execute("echo", value) as Effect.Effect<typeof value>).bytes, Uint8Array)
        assert.strictEqual((yield* Effect.flip(packed.execute("fail", undefined)))._tag, "RemoteError")
      })))
  }

  it.live("A128 when the parent is killed no worker is left, not even one that computes", () =>
    Effect.gen(function*() {
      const { parent, pids } = yield* startParent
      assert.lengthOf(pids, hasPython ? 4 : 2)
      for (const pid of pids) assert.match(String(stateOf(pid)), /[RSD]/)
      const gone = once(parent, "exit")
      parent.kill("SIGKILL")
      yield* Effect.promise(() => gone)
      yield* until(() => pids.every((pid) => stateOf(pid) === undefined || stateOf(pid) === "Z"))
    }))

  it.scopedLive("what a worker prints goes to the log with its id, and breaks no frame", () =>
    Effect.gen(function*() {
      const lines: Array<readonly [string, unknown]> = []
      const logger = Logger.make(({ annotations, message }) =>
        void lines.push([String(message), HashMap.unsafeGet(annotations, "worker")])
      )
      const body = Effect.forEach(hasPython ? [node(), python()] : [node()], (options) =>
        Effect.scoped(Effect.gen(function*() {
          const { pool: own } = yield* pool(options)
          yield* own.execute("shout", { text: "hello\nfrom here" })
          assert.strictEqual(yield* own.execute("echo", "fine"), "fine")
          yield* until(() =>
            lines.length >= 2
          )
          assert.deepStrictEqual(lines.splice(0), [["hello", "p-0.0"], ["from here", "p-0.0"]])
        })))
      yield* Effect.provide(body, Logger.replace(Logger.defaultLogger, logger))
    }))

  it.scopedLive("A129 an exit during an operation is told with its code, and another worker serves", () =>
    Effect.gen(function*() {
      const { pool: own, transport } = yield* pool(node())
      const error = yield* Effect.flip(own.execute("crash", { code: 7 }))
      assert.deepInclude(error, { _tag: "WorkerCrashed", workerId: "p-0.0", command: "crash", code: 7 })
      assert.strictEqual(yield* own.execute("whoami", {}), "p-0.1")
      assert.strictEqual(transport.processes, 1)
    }))

  it.scopedLive("A128 a program that cannot be started, ends at once or says nonsense is a start that failed", () =>
    Effect.gen(function*() {
      const broken: ReadonlyArray<ProcessWorkers.Options> = [
        { command: "/nonexistent/worker" },
        { command: process.execPath, args: ["-e", "process.exit(3)"] },
        { command: process.execPath, args: ["-e", "console.log('Listening on port 80')"] }
      ]
      for (const options of broken) {
        yield* Effect.scoped(Effect.gen(function*() {
          const { pool: own, transport } = yield* pool(options, { backoffMin: "1 second" })
          assert.deepInclude((yield* own.status).totals, { startFailures: 1 })
          yield* until(() => transport.processes === 0)
        }))
      }
    }))

  it.scopedLive("A136 kill ends the process, hang stops it, refuseSpawn starts none: as the system sees it", () =>
    Effect.gen(function*() {
      const { chaos, transport } = Chaos.make(ProcessWorkers.make(node()))
      const own = yield* Effect.provideService(
        WorkerPool.make({ name: "p", size: 2, initTimeout: "60 seconds", backoffMin: "1 hour", backoffMax: "1 hour" }),
        WorkerTransport,
        transport
      )
      const [first, second] = (yield* own.workers).map(({ pid }) => pid!)
      yield* chaos.refuseSpawn(1)
      yield* chaos.inject("p-0.0", { _tag: "kill" })
      yield* until(() => stateOf(first!) === undefined)
      yield* Effect.repeat(own.status, { until: ({ failed }) => failed === 1 })
      assert.strictEqual((yield* own.status).totals.startFailures, 1)
      assert.strictEqual(transport.processes, 1)
      yield* chaos.inject("p-1.0", { _tag: "hang" })
      yield* until(() => stateOf(second!) === "T")
      assert.deepInclude(yield* chaos.happened, { kill: 1, hang: 1, refuseSpawn: 1, corrupt: 0 })
    }))

  it.live("a worker that cannot read what it is asked ends at once and says so, also where another thread reads", () =>
    Effect.forEach(hasPython ? [node(), python()] : [node()], (options) =>
      Effect.gen(function*() {
        const ended = yield* Deferred.make<WorkerExit>()
        const link = yield* ProcessWorkers.make({ ...options, codec: Codec.msgPack }).spawn("w")
        link.attach({
          onReply: () => {},
          onViolation: () => {},
          onExit: (exit) => void Deferred.unsafeDone(ended, Effect.succeed(exit))
        })
        link.send({ id: 0, command: "ping", args: {} })
        assert.deepStrictEqual(yield* Deferred.await(ended), { code: 1, signal: undefined })
      }), { discard: true }))

  it.scopedLive("a worker sees of the environment what it was given, and is ended with what it has started", () =>
    Effect.gen(function*() {
      const lines: Array<string> = []
      const logger = Logger.make(({ message }) => void lines.push(String(message)))
      const code = `
        const { spawn } = require("node:child_process")
        const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"])
        console.error(JSON.stringify({ pid: child.pid, env: Object.keys(process.env).sort() }))
        setInterval(() => {}, 1000)`
      const transport = ProcessWorkers.make({ command: process.execPath, args: ["-e", code], env: { SECRET: "1" } })
      const link = yield* Effect.provide(transport.spawn("w"), Logger.replace(Logger.defaultLogger, logger))
      yield* until(() => lines.length > 0)
      const { env, pid } = JSON.parse(lines[0]!) as { readonly env: ReadonlyArray<string>; readonly pid: number }
      assert.deepStrictEqual(env, ["PATH", "SECRET", "SPILLWAY_WORKER_ID"])
      assert.match(String(stateOf(pid)), /[RSD]/)
      link.kill()
      yield* until(() => transport.processes === 0)
      yield* until(() => stateOf(pid) === undefined || stateOf(pid) === "Z")
    }))

  it.scopedLive("a worker that stops reading holds no more than an operation and its probes", () =>
    Effect.gen(function*() {
      const transport = ProcessWorkers.make(node())
      const link = yield* transport.spawn("w")
      link.inject({ _tag: "hang" })
      link.send({ id: 1, command: "echo", args: "x".repeat(1_000_000) })
      yield* until(() => link.bufferedBytes > 0)
      assert.isAtMost(link.bufferedBytes, 1_100_000)
      assert.deepStrictEqual(link.faults, { hang: 1 })
      // The signal is on its way to a process that may run on another processor.
      yield* until(() => stateOf(link.pid!) === "T")
      link.kill()
      yield* until(() => transport.processes === 0)
    }))
})
