/**
 * `npm run follow --workspace examples/job-stream -- ID|FOLDER [HOST:PORT]`: shows a job in a terminal until it has ended,
 * also across restarts of the server. With the path of a folder it creates the job first.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as HttpApiClient from "@effect/platform/HttpApiClient"
import * as JobApi from "@spillway/jobs/JobApi"
import * as JobClient from "@spillway/jobs/JobClient"
import * as NodeDialer from "@spillway/node/NodeDialer"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { line } from "./line.js"

const [target = ".", host = "127.0.0.1:8080"] = process.argv.slice(2)

const program = Effect.gen(function*() {
  const { jobs } = yield* HttpApiClient.make(JobApi.make("/api/tasks"), { baseUrl: `http://${host}` })
  const create = jobs.create({ payload: { name: "analyse", input: { directory: target }, title: target } })
  const { id } = /^[0-9a-f]{32}$/.test(target) ? { id: target } : yield* create
  yield* Console.log(`job ${id}`)
  yield* JobClient.follow(id, { url: (jobId, since) => `ws://${host}/ws/tasks/${jobId}?since=${since}` }).pipe(
    Stream.runForEach((frame) => Console.log(line(frame)))
  )
})

NodeRuntime.runMain(Effect.provide(program, Layer.merge(NodeDialer.layer(), NodeHttpClient.layer)))
