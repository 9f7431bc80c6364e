/**
 * Jobs behind real sockets: the HTTP API with its typed client, `text/event-stream`, and viewers that lose connections.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as HttpApiClient from "@effect/platform/HttpApiClient"
import * as HttpApiSwagger from "@effect/platform/HttpApiSwagger"
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServer from "@effect/platform/HttpServer"
import { assert, describe, it } from "@effect/vitest"
import { Guard, NodeDialer, SpillwayServer, WebSocketRoute } from "@spillway/node"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { CloseReason, Overflow, Sessions, Telemetry } from "spillway"
import * as EventLog from "../src/EventLog.js"
import * as Job from "../src/Job.js"
import * as JobApi from "../src/JobApi.js"
import * as JobClient from "../src/JobClient.js"
import * as JobRunner from "../src/JobRunner.js"
import { JobStore, layerMemory } from "../src/JobStore.js"
import * as JobViewer from "../src/JobViewer.js"
import * as JobWire from "../src/JobWire.js"

const Count = Job.make("count", { input: Schema.Int, event: Schema.Int, output: Schema.Int })

const served = (work: (to: number, job: Job.JobContext<number>) => Effect.Effect<number, unknown>) =>
  Effect.gen(function*() {
    const api = yield* JobApi.httpApp("/api/tasks", { pages: HttpApiSwagger.layer({ path: "/api/tasks/docs" }) })
    const socket = Effect.flatMap(
      HttpRouter.schemaParams(Schema.Struct({ id: Schema.String, since: Schema.optional(Schema.NumberFromString) })),
      ({ id, since }) => WebSocketRoute.upgrade(JobViewer.handler(id, { since }))
    )
    return HttpRouter.empty.pipe(
      HttpRouter.all("/api/tasks", api),
      HttpRouter.all("/api/tasks/*", api),
      HttpRouter.get("/ws/tasks/:id", socket)
    )
  }).pipe(
    Effect.map((router) => HttpServer.serve(router)),
    Layer.unwrapScoped,
    Layer.provideMerge(JobRunner.layer([Job.handler(Count, work)])),
    Layer.provideMerge(EventLog.layer()),
    Layer.provideMerge(layerMemory),
    Layer.provideMerge(SpillwayServer.layer({ ...JobViewer.sessionOptions() })),
    Layer.provide([Overflow.layerDefault, Telemetry.layerNoop]),
    Layer.provideMerge(Guard.layerHttpServer({ port: 0, host: "127.0.0.1" })),
    Layer.provideMerge(NodeDialer.layer()),
    // Without connections that are kept alive, which the end of the server would wait for.
    Layer.provideMerge(NodeHttpClient.layerWithoutAgent),
    Layer.provide(NodeHttpClient.makeAgentLayer({ keepAlive: false }))
  )

const counting = (to: number, job: Job.JobContext<number>, pauseMillis = 0) =>
  Effect.gen(function*() {
    for (let n = 1; n <= to; n++) yield* Effect.zipLeft(job.emit(n), Effect.sleep(pauseMillis))
    return to
  })

const port = HttpServer.addressWith((address) => Effect.succeed(address._tag === "TcpAddress" ? address.port : 0))

const follow = (jobId: string, at: number, onDial: () => void = () => {}) =>
  JobClient.follow(jobId, {
    backoff: 20,
    url: (id, since) => {
      onDial()
      return `ws://127.0.0.1:${at}/ws/tasks/${id}?since=${since}`
    }
  })

describe("jobs over HTTP", () => {
  it.live("creates, lists, reads, runs, cancels and deletes, and says what is wrong with the rest (A077, A078, A079)", () =>
    Effect.gen(function*() {
      const at = yield* port
      const baseUrl = `http://127.0.0.1:${at}`
      const { jobs } = yield* HttpApiClient.make(JobApi.make("/api/tasks"), { baseUrl })
      const made = yield* jobs.create({ payload: { name: "count", input: 3, title: "three", start: false } })
      assert.deepInclude(made, { status: "PENDING", title: "three", input: 3 })
      const path = { id: made.id }
      assert.deepStrictEqual(yield* jobs.get({ path }), made)
      assert.deepStrictEqual(yield* jobs.active(), { ids: [] })
      yield* jobs.run({ path })
      const frames = yield* Stream.runCollect(follow(made.id, at))
      const state = yield* jobs.state({ path })
      assert.deepInclude(state, { status: "SUCCEEDED", final_result: 3, seq: 5 })
      assert.deepStrictEqual([...frames].at(-1)!.data as unknown, state)
      assert.deepStrictEqual((yield* jobs.get({ path })).state, state)
      const { events, total } = yield* jobs.events({ path, urlParams: { since: 0, limit: 128 } })
      assert.strictEqual(total, 5)
      const sent = [...frames].flatMap((frame) => frame.type === "event" ? [frame.data] : [])
      assert.deepStrictEqual(sent, [...events])
      const later = yield* jobs.events({ path, urlParams: { since: 3, limit: 1 } })
      assert.deepStrictEqual(later.events.map(({ seq }) => seq), [4])
      const line = yield* jobs.timeline({ path, urlParams: { offset: 1, limit: 2 } })
      assert.deepStrictEqual([line.items.map(({ seq }) => seq), line.has_more], [[2, 3], true])

      const endless = yield* jobs.create({ payload: { name: "count", input: -1 } })
      yield* Stream.runDrain(Stream.takeUntil(follow(endless.id, at), (frame) => frame.type === "event"))
      assert.deepStrictEqual(yield* jobs.active(), { ids: [endless.id] })
      const listed = yield* jobs.list({ urlParams: { page: 1, page_size: 1 } })
      assert.deepInclude(listed, { total: 2, total_pages: 2, page: 1 })
      const ended = yield* jobs.list({ urlParams: { page: 1, page_size: 9, status: "SUCCEEDED" } })
      assert.deepStrictEqual(ended.items.map(({ id }) => id), [made.id])
      assert.strictEqual((yield* jobs.cancel({ path: { id: endless.id } })).status, "CANCELLED")
      assert.strictEqual((yield* Effect.flip(jobs.cancel({ path: { id: endless.id } })))._tag, "Conflict")
      assert.strictEqual((yield* Effect.flip(jobs.run({ path })))._tag, "Conflict")
      yield* jobs.delete({ path })
      assert.strictEqual((yield* Effect.flip(jobs.get({ path })))._tag, "NotFound")
      assert.strictEqual((yield* Effect.flip(jobs.delete({ path })))._tag, "NotFound")
      const { read } = yield* JobStore
      assert.deepStrictEqual(yield* read(made.id, 0, { itemsMax: 9, bytesMax: 1e6 }), [])

      const post = (body: string) =>
        Effect.promise(() =>
          fetch(`${baseUrl}/api/tasks`, {
            method: "POST",
            body,
            headers: { "content-type": "application/json", connection: "close" }
          })
        )
      for (const body of ["{", "{}", "{\"name\":\"count\",\"input\":\"x\"}", "{\"name\":\"nobody\",\"input\":1}"]) {
        assert.strictEqual((yield* post(body)).status, 400, body)
      }
    }).pipe(
      Effect.provide(served((to, job) => to < 0 ? Effect.zipRight(job.emit(0), Effect.never) : counting(to, job)))
    ))

  it.live("streams the same events as text/event-stream, after Last-Event-ID, and says 204 when nothing can come", () =>
    Effect.gen(function*() {
      const at = yield* port
      const runner = yield* JobRunner.JobRunner
      const { id } = yield* runner.create(Count, 40)
      const get = (last?: number) =>
        Effect.promise(() =>
          fetch(`http://127.0.0.1:${at}/api/tasks/${id}/events`, {
            headers: {
              accept: "text/event-stream",
              connection: "close",
              ...(last === undefined ? {} : { "last-event-id": String(last) })
            }
          })
        )
      const body = yield* Effect.flatMap(get(), (response) => {
        assert.strictEqual(response.headers.get("content-type"), "text/event-stream")
        return Effect.promise(() => response.text())
      })
      const idsOf = (text: string) => [...text.matchAll(/^id: (\d+)$/gm)].map(([, seq]) => Number(seq))
      assert.deepStrictEqual(idsOf(body), Array.from({ length: 42 }, (_, index) => index + 1))
      const data = [...body.matchAll(/^data: (.*)$/gm)].map(([, json]) => JSON.parse(json!))
      for (const one of data) yield* Schema.decodeUnknown(JobWire.Event)(one)
      const rest = yield* Effect.flatMap(get(40), (response) => Effect.promise(() => response.text()))
      assert.deepStrictEqual(idsOf(rest), [41, 42])
      assert.strictEqual((yield* get(42)).status, 204)
    }).pipe(Effect.provide(served(counting))))
})

describe("the description of the API", () => {
  it.live("is served below the prefix with every endpoint and error, and beside it the pages that are asked for", () =>
    Effect.gen(function*() {
      const baseUrl = `http://127.0.0.1:${yield* port}/api/tasks`
      const get = (path: string) =>
        Effect.promise(() => fetch(`${baseUrl}/${path}`, { headers: { connection: "close" } }).then((it) => it.text()))
      const spec = JSON.parse(yield* get("openapi.json")) as {
        readonly paths: Readonly<Record<string, Readonly<Record<string, { readonly summary: string }>>>>
      }
      const found = Object.entries(spec.paths).flatMap(([path, methods]) =>
        Object.entries(methods).map(([method, { summary }]) => {
          assert.isAbove(summary.length, 5, path)
          return `${method} ${path.replace("/api/tasks", "") || "/"}`
        })
      )
      assert.sameMembers(found, [
        "post /",
        "get /",
        "get /active",
        "get /{id}",
        "get /{id}/state",
        "get /{id}/events",
        "get /{id}/timeline",
        "post /{id}/run",
        "post /{id}/cancel",
        "delete /{id}"
      ])
      assert.include(yield* get("docs"), "Lists jobs, newest first")
    }).pipe(Effect.provide(served(counting))))
})

describe("viewers over real sockets", () => {
  it.live("a client whose connections are cut again and again has every event once, in order (A071, A072, A073, A077)", () =>
    Effect.gen(function*() {
      const at = yield* port
      const runner = yield* JobRunner.JobRunner
      const sessions = yield* Sessions.Sessions
      const total = 400
      const { id } = yield* runner.create(Count, total, { start: false })
      let received = 0
      let dials = 0
      // The connections are cut by what was received, not by the clock.
      const cutting = Stream.tap(
        follow(id, at, () => dials++),
        (frame) =>
          frame.type !== "event" || ++received % 97 !== 0
            ? Effect.void
            : Effect.sync(() =>
              sessions.unsafeForEach((session) => Effect.runFork(session.close(CloseReason.serviceRestart)))
            )
      )
      const [cut, whole] = yield* Effect.all([
        Stream.runCollect(cutting),
        Stream.runCollect(follow(id, at))
      ], { concurrency: 2 })
      const expected = Array.from({ length: total + 2 }, (_, index) => index + 1)
      for (const frames of [cut, whole]) {
        assert.deepStrictEqual([...frames].flatMap((frame) => frame.type === "event" ? [frame.data.seq] : []), expected)
        const terminal = [...frames].filter((frame) => frame.type === "state" && frame.data.status === "SUCCEEDED")
        assert.strictEqual(terminal.length, 1)
      }
      assert.isAbove(dials, 2)
      const { get } = yield* JobStore
      assert.strictEqual(Option.getOrThrow(yield* get(id)).state.seq, total + 2)
    }).pipe(Effect.provide(served((to, job) => counting(to, job, 1)))))
})
