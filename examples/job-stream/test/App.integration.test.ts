import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as HttpApiClient from "@effect/platform/HttpApiClient"
import * as HttpServer from "@effect/platform/HttpServer"
import * as JobApi from "@spillway/jobs/JobApi"
import * as JobClient from "@spillway/jobs/JobClient"
import * as NodeDialer from "@spillway/node/NodeDialer"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { assert, describe, it } from "vitest"
import * as App from "../src/App.js"

/** A folder with so many small files, and the file of the jobs beside it. */
const prepare = (files: number) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "spillway-job-stream-"))
      Fs.mkdirSync(Path.join(folder, "texts"))
      for (let n = 0; n < files; n++) Fs.writeFileSync(Path.join(folder, "texts", `${n}.txt`), `file ${n}\n`.repeat(20))
      return folder
    }),
    (folder) => Effect.sync(() => Fs.rmSync(folder, { recursive: true, force: true }))
  )

const start = (folder: string) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const settings = { port: 0, readable: folder, store: { path: Path.join(folder, "jobs.db") } }
    const context = yield* Layer.buildWithScope(App.layer(settings), scope)
    const { address } = Context.get(context, HttpServer.HttpServer)
    const stop = Scope.close(scope, Exit.void)
    return { port: address._tag === "TcpAddress" ? address.port : 0, stop }
  })

const client = NodeHttpClient.layerWithoutAgent.pipe(Layer.provide(NodeHttpClient.makeAgentLayer({ keepAlive: false })))

describe("the example", () => {
  it("a restart in the middle: the job goes on where it was, and whoever follows it sees one log", () =>
    Effect.gen(function*() {
      const files = 300
      const folder = yield* prepare(files)
      const first = yield* start(folder)
      let { port } = first
      const { jobs } = yield* HttpApiClient.make(JobApi.make("/api/tasks"), { baseUrl: `http://127.0.0.1:${port}` })
      const page = yield* Effect.promise(() =>
        fetch(`http://127.0.0.1:${port}/`, { headers: { connection: "close" } }).then((response) => response.text())
      )
      assert.include(page, "page.js")
      const { id } = yield* jobs.create({ payload: { name: "analyse", input: { directory: "texts" } } })
      const outside = yield* jobs.create({ payload: { name: "analyse", input: { directory: "../.." } } })
      const follow = (jobId: string) =>
        JobClient.follow(jobId, {
          backoff: 20,
          backoffMax: 200,
          url: (job, since) => `ws://127.0.0.1:${port}/ws/tasks/${job}?since=${since}`
        })
      const refused = yield* Stream.runLast(follow(outside.id))
      assert.include(JSON.stringify(refused), "outside of what may be read")
      let seen = 0
      const all = yield* Effect.fork(Stream.runCollect(Stream.tap(follow(id), () => Effect.sync(() => ++seen))))
      // In the middle: by what was seen, not by the clock.
      yield* Effect.repeat(Effect.sleep(1), { until: () => seen > 100 })
      yield* first.stop
      const second = yield* start(folder)
      port = second.port
      const frames = [...yield* Fiber.join(all)]
      const events = frames.flatMap((frame) => frame.type === "event" ? [frame.data] : [])
      assert.deepStrictEqual(events.map(({ seq }) => seq), events.map((_, index) => index + 1))
      const done = events.filter(({ event_type }) => event_type === "MESSAGE")
      assert.strictEqual(new Set(done.map(({ event_id }) => event_id)).size, files)
      assert.strictEqual(done.length, files)
      const last = frames.at(-1)!
      assert.isTrue(last.type === "state" && last.data.status === "SUCCEEDED")
      assert.isTrue(last.type === "state" && (last.data.final_result as { readonly files: number }).files === files)
      yield* second.stop
    }).pipe(Effect.scoped, Effect.provide(Layer.merge(client, NodeDialer.layer())), Effect.runPromise))
})
