/**
 * A server of jobs on PostgreSQL, as a program: two of them on one database are a cluster. Says in a line where it listens,
 * and in a line each which attempts it began and gave up.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServer from "@effect/platform/HttpServer"
import * as PgClient from "@effect/sql-pg/PgClient"
import { Guard, SpillwayServer, WebSocketRoute } from "@spillway/node"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Overflow, Telemetry } from "spillway"
import * as EventLog from "../src/EventLog.js"
import * as Job from "../src/Job.js"
import * as JobApi from "../src/JobApi.js"
import * as JobRunner from "../src/JobRunner.js"
import * as JobViewer from "../src/JobViewer.js"
import * as PostgresStore from "../src/PostgresStore.js"

const say = (line: string) => Effect.sync(() => void process.stdout.write(`${line}\n`))

const Count = (name: string, onLost: Job.OnLost) =>
  Job.make(name, { input: Schema.Int, event: Schema.Int, output: Schema.Int, onLost })

/** Counts as slowly as a person can follow, from where an earlier attempt has come to. */
const counting = (to: number, job: Job.JobContext<number>) =>
  Effect.gen(function*() {
    yield* say(`began ${job.jobId} ${job.attempt}`)
    const done = yield* Stream.runCount(Stream.filter(job.history, ({ kind }) => kind === "MESSAGE"))
    for (let n = done + 1; n <= to; n++) {
      yield* job.emit(n, { id: `count ${n}` })
      yield* job.progress(n / to)
      yield* Effect.sleep(10)
    }
    return to
  }).pipe(Effect.onExit((exit) => Exit.isSuccess(exit) ? Effect.void : say(`given up ${job.jobId} ${job.attempt}`)))

const handlers = (["resume", "fail"] as const).map((onLost) => Job.handler(Count(onLost, onLost), counting))

const routes = Effect.gen(function*() {
  const api = yield* JobApi.httpApp("/api/tasks")
  const params = HttpRouter.schemaParams(Schema.Struct({ id: Schema.String, since: Schema.NumberFromString }))
  const viewer = Effect.flatMap(params, ({ id, since }) => WebSocketRoute.upgrade(JobViewer.handler(id, { since })))
  return HttpRouter.empty.pipe(
    HttpRouter.all("/api/tasks", api),
    HttpRouter.all("/api/tasks/*", api),
    HttpRouter.get("/ws/tasks/:id", viewer)
  )
})

const listening = HttpServer.addressWith((address) =>
  say(`listening ${address._tag === "TcpAddress" ? address.port : 0}`)
)

const server = Layer.effectDiscard(listening).pipe(
  Layer.provideMerge(Layer.unwrapScoped(Effect.map(routes, (router) => HttpServer.serve(router)))),
  Layer.provide(JobRunner.layer(handlers, { lease: "3 seconds", pollInterval: "100 millis" })),
  Layer.provide(EventLog.layer({ pollInterval: "50 millis" })),
  Layer.provide(PostgresStore.layer(PgClient.PgClient, { idleTransactionTimeout: "2 seconds" })),
  Layer.provide(PgClient.layer({ host: process.argv[2]!, username: "spillway", database: "postgres" })),
  Layer.provide(SpillwayServer.layer(JobViewer.sessionOptions())),
  Layer.provide([Overflow.layerDefault, Telemetry.layerNoop]),
  Layer.provide(Guard.layerHttpServer({ port: 0, host: "127.0.0.1" })),
  // The output is what the test reads; what goes wrong is on the other one.
  Layer.provide(Logger.replace(Logger.defaultLogger, Logger.withConsoleError(Logger.logfmtLogger)))
)

NodeRuntime.runMain(Layer.launch(server), { disablePrettyLogger: true })
