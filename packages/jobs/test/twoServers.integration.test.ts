/**
 * Two servers, each a process, on one PostgreSQL: whoever follows a job, through whichever of them, sees one log, also when
 * the one that runs it is killed, or is paused and wakes up after the other one has taken over.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as HttpApiClient from "@effect/platform/HttpApiClient"
import type { HttpClient } from "@effect/platform/HttpClient"
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import { NodeDialer } from "@spillway/node"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as ChildProcess from "node:child_process"
import { once } from "node:events"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, beforeAll } from "vitest"
import * as EventLog from "../src/EventLog.js"
import * as JobApi from "../src/JobApi.js"
import * as JobClient from "../src/JobClient.js"
import * as JobEvent from "../src/JobEvent.js"
import type * as JobWire from "../src/JobWire.js"
import * as PostgresStore from "../src/PostgresStore.js"
import { binariesFor, type PostgresServer, start } from "./postgresServer.js"
import { logOn } from "./support.js"

const file = (path: string) => fileURLToPath(new URL(path, import.meta.url))

/** Ends with an error when it does not hold within the time that is many leases long. */
const eventually = (what: string, holds: () => boolean) =>
  Effect.timeoutFail(Effect.repeat(Effect.sleep(5), { until: holds }), {
    duration: "20 seconds",
    onTimeout: () => new Error(`${what}: not within 20 s`)
  })

/** A server of its own process. Its end kills it. */
const serve = (database: string) =>
  Effect.gen(function*() {
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        ChildProcess.spawn(process.execPath, ["--import", "tsx", file("server.fixture.ts"), database], {
          cwd: Path.dirname(file("server.fixture.ts")),
          env: { PATH: process.env["PATH"], TSX_TSCONFIG_PATH: file("../../../tsconfig.test.json") },
          stdio: ["ignore", "pipe", "pipe"]
        })
      ),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    )
    const output = { said: "", problems: "" }
    child.stdout.setEncoding("utf8").on("data", (text: string) => (output.said += text))
    child.stderr.setEncoding("utf8").on("data", (text: string) => (output.problems += text))
    const port = () => /^listening (\d+)$/m.exec(output.said)?.[1]
    yield* eventually("a server", () => port() !== undefined || child.exitCode !== null)
    if (port() === undefined) return yield* Effect.dieMessage(output.problems)
    /** Kills it and waits until the system knows of no such process. */
    const kill = Effect.promise(async () => {
      const gone = once(child, "exit")
      child.kill("SIGKILL")
      await gone
      assert.throws(() => process.kill(child.pid!, 0), /ESRCH/)
    })
    return { child, output, port: Number(port()), kill }
  })

type Server = Effect.Effect.Success<ReturnType<typeof serve>>

const api = ({ port }: Server) => HttpApiClient.make(JobApi.make("/api/tasks"), { baseUrl: `http://127.0.0.1:${port}` })

/** Follows a job through the first server, and after each lost connection through the next one. */
const follow = (jobId: string, servers: ReadonlyArray<Server>) =>
  Effect.gen(function*() {
    const view = { dials: 0, frames: [] as Array<JobWire.Frame>, attempt: 0, events: 0 }
    const frames = JobClient.follow(jobId, {
      backoff: 20,
      backoffMax: 200,
      dialTimeout: 1_000,
      url: (id, since) => {
        const { port } = servers[view.dials++ % servers.length]!
        return `ws://127.0.0.1:${port}/ws/tasks/${id}?since=${since}`
      }
    })
    const fiber = yield* Effect.forkScoped(Stream.runForEach(frames, (frame) =>
      Effect.sync(() => {
        view.frames.push(frame)
        if (frame.type !== "event") return
        view.events++
        if (frame.data.event_type === "STARTED") view.attempt++
      })))
    const end = Effect.timeoutFail(Fiber.join(fiber), {
      duration: "40 seconds",
      onTimeout: () => new Error(`${jobId} does not end; ${view.events} events of attempt ${view.attempt} so far`)
    })
    return { view, end }
  })

const eventsOf = (frames: ReadonlyArray<JobWire.Frame>) =>
  frames.flatMap((frame) => frame.type === "event" ? [frame.data] : [])

/** The log as a server has it, page by page. */
const stored = (server: Server, id: string) =>
  Effect.gen(function*() {
    const { jobs } = yield* api(server)
    const events: Array<JobWire.Event> = []
    for (;;) {
      const page = yield* jobs.events({ path: { id }, urlParams: { since: events.length, limit: 128 } })
      if (page.events.length === 0) return events
      events.push(...page.events)
    }
  })

/** One log without gap and duplicate, nothing after its only terminal event, and every viewer saw all of it once. */
const checkLog = (
  events: ReadonlyArray<JobWire.Event>,
  viewers: ReadonlyArray<{ readonly frames: ReadonlyArray<JobWire.Frame> }>
) => {
  assert.deepStrictEqual(events.map(({ seq }) => seq), events.map((_, index) => index + 1))
  const ends = events.filter(({ event_type }) => ["RESULT", "ERROR", "CANCELLED"].includes(event_type))
  assert.deepStrictEqual(ends, [events.at(-1)!])
  const counted = events.filter(({ event_type }) => event_type === "MESSAGE").map(({ payload }) => payload)
  assert.deepStrictEqual(counted, counted.map((_, index) => index + 1))
  for (const { frames } of viewers) {
    assert.deepStrictEqual(eventsOf(frames), events)
    const last = frames.at(-1)!
    assert.isTrue(last.type === "state" && last.data.seq === events.length)
  }
  return counted.length
}

const network = Layer.merge(
  NodeDialer.layer(),
  NodeHttpClient.layerWithoutAgent.pipe(Layer.provide(NodeHttpClient.makeAgentLayer({ keepAlive: false })))
)

const binaries = binariesFor("the test of two servers")

if (binaries !== undefined) {
  const scope = Effect.runSync(Scope.make())
  let database: PostgresServer
  let first: Server
  let second: Server
  const started = Effect.suspend(() => Scope.extend(serve(database.folder), scope))

  beforeAll(async () => {
    database = start(binaries)
    ;[first, second] = await Effect.runPromise(Effect.all([started, started], { concurrency: 2 }))
  })
  afterAll(async () => {
    await Effect.runPromise(Scope.close(scope, Exit.void))
    database?.stop()
  })

  /** A job that a server runs, and not the other one, which may have been quicker. */
  const runBy = (server: Server, name: string, to: number): Effect.Effect<string, unknown, HttpClient> =>
    Effect.gen(function*() {
      const { jobs } = yield* api(server)
      const { id } = yield* jobs.create({ payload: { name, input: to } })
      const isBegunBy = ({ output }: Server) => output.said.includes(`began ${id} 1\n`)
      yield* eventually("somebody begins", () => isBegunBy(first) || isBegunBy(second))
      if (isBegunBy(server)) return id
      yield* jobs.cancel({ path: { id } })
      return yield* runBy(server, name, to)
    })

  /** `first` runs a job that a viewer follows through each of both, and each has seen ten events of it. */
  const running = (name: "resume" | "fail", to: number) =>
    Effect.gen(function*() {
      const id = yield* runBy(first, name, to)
      const viewers = [yield* follow(id, [first, second]), yield* follow(id, [second])]
      yield* eventually("ten events", () => viewers.every(({ view }) => view.events > 10))
      return { id, viewers, views: viewers.map(({ view }) => view) }
    })

  const ended = (viewers: ReadonlyArray<{ readonly end: Effect.Effect<void, unknown> }>) =>
    Effect.forEach(viewers, ({ end }) => end, { concurrency: "unbounded", discard: true })

  /** An append under a claim, from here. */
  const appendAs = (jobId: string, generation: number) =>
    Effect.flatMap(EventLog.EventLog, (log) => log.append(jobId, generation, [JobEvent.message("I am back")])).pipe(
      Effect.provide(logOn(Layer.orDie(PostgresStore.layer(PgClient.PgClient)))),
      Effect.provide(PgClient.layer({ host: database.folder, username: "spillway", database: "postgres" }))
    )

  describe("two servers on one PostgreSQL", () => {
    it.scopedLive("the owner is paused and wakes up: its appends are refused, and the log stays one (TL5, TL12)", () =>
      Effect.gen(function*() {
        const { id, viewers, views } = yield* running("resume", 150)
        first.child.kill("SIGSTOP")
        yield* eventually("the other one takes over", () => views[1]!.attempt === 2)
        // As the old owner would append, were it to wake up just here.
        const error = yield* Effect.flip(appendAs(id, 1))
        assert.deepInclude(error, { _tag: "Fenced", generation: 1, current: 2 })
        first.child.kill("SIGCONT")
        yield* eventually("the old one gives up", () => first.output.said.includes(`given up ${id} 1`))
        yield* ended(viewers)
        assert.strictEqual(checkLog(yield* stored(second, id), views), 150)
        // What it was refused is its own attempt, and not more: it serves on, and knows the end as the other one does.
        const { jobs } = yield* api(first)
        assert.deepInclude(yield* jobs.state({ path: { id } }), { status: "SUCCEEDED", final_result: 150 })
        assert.deepStrictEqual(yield* stored(first, id), yield* stored(second, id))
      }).pipe(Effect.provide(network)))

    it.scopedLive("the owner is killed: the other one resumes, and all viewers see one log (A072, A073, A074, TL2, TL6, TL8)", () =>
      Effect.gen(function*() {
        const { id, viewers, views } = yield* running("resume", 120)
        yield* first.kill
        yield* ended(viewers)
        const events = yield* stored(second, id)
        assert.strictEqual(checkLog(events, views), 120)
        assert.strictEqual(events.filter(({ event_type }) => event_type === "STARTED").length, 2)
        assert.strictEqual(events.at(-1)!.event_type, "RESULT")
        assert.isAbove(views[0]!.dials, 1, "the viewer of the one that was killed came back")
        assert.strictEqual(views[1]!.dials, 1)
      }).pipe(Effect.provide(network)))

    it.scopedLive("the owner is killed: a job that is not to be resumed is marked lost, for all viewers (TL5, TL8)", () =>
      Effect.gen(function*() {
        first = yield* started
        const { id, viewers, views } = yield* running("fail", 100_000)
        yield* first.kill
        yield* ended(viewers)
        const events = yield* stored(second, id)
        checkLog(events, views)
        assert.deepInclude(events.at(-1)!.payload as object, { reason: "lost" })
        const { jobs } = yield* api(second)
        assert.strictEqual((yield* jobs.state({ path: { id } })).status, "FAILED")
      }).pipe(Effect.provide(network)))
  })
}
