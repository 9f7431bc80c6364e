/**
 * The server of the viewers in the bench `jobs`, in a process of its own: jobs on SQLite, and the viewer endpoint as an
 * application has it. `viewerServer.ts FILE`; what it is told and says goes over IPC.
 */
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServer from "@effect/platform/HttpServer"
import * as EventLog from "@spillway/jobs/EventLog"
import * as Job from "@spillway/jobs/Job"
import * as JobRunner from "@spillway/jobs/JobRunner"
import { JobStore } from "@spillway/jobs/JobStore"
import * as JobViewer from "@spillway/jobs/JobViewer"
import * as SqliteStore from "@spillway/jobs/SqliteStore"
import * as Guard from "@spillway/node/Guard"
import * as SpillwayServer from "@spillway/node/SpillwayServer"
import * as WebSocketRoute from "@spillway/node/WebSocketRoute"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Runtime from "effect/Runtime"
import * as Schema from "effect/Schema"
import * as Metrics from "spillway/Metrics"
import * as Overflow from "spillway/Overflow"

/** A job that emits so many events of so many bytes, each when the one before is durable and so long after it. */
export interface Plan {
  readonly events: number
  readonly payloadBytes: number
  readonly pauseMillis: number
}

/** Create a job, or run one that was created. */
export type Order = { readonly create: Plan } | { readonly run: string }

/** Where the server is, the job that was created, or what running it has cost. */
export type Answer =
  | { readonly port: number }
  | { readonly created: string }
  | { readonly cpuSeconds: number; readonly seconds: number; readonly peakRssMegabytes: number }

/** A time that two processes of one machine agree on. */
export const nowMillis = (): number => Number(process.hrtime.bigint()) / 1e6

const Emit = Job.make("emit", {
  input: Schema.Struct({ events: Schema.Int, payloadBytes: Schema.Int, pauseMillis: Schema.Number }),
  event: Schema.Struct({ at: Schema.Number, payload: Schema.String }),
  output: Schema.Int
})

const handler = Job.handler(Emit, ({ events, pauseMillis, payloadBytes }, job) =>
  Effect.gen(function*() {
    const payload = "x".repeat(payloadBytes)
    for (let n = 0; n < events; n++) {
      if (pauseMillis > 0) yield* Effect.sleep(pauseMillis)
      yield* job.emit({ at: nowMillis(), payload })
    }
    return events
  }))

const params = Schema.Struct({ id: Schema.String })

/** Nothing is left out for a client that is behind. */
const viewer = Effect.flatMap(
  HttpRouter.schemaParams(params),
  ({ id }) => WebSocketRoute.upgrade(JobViewer.handler(id, { autoStart: "never", behindEventsMax: Infinity }))
)

const services = (path: string) =>
  HttpServer.serve(HttpRouter.empty.pipe(HttpRouter.get("/ws/tasks/:id", viewer))).pipe(
    Layer.provideMerge(JobRunner.layer([handler])),
    Layer.provideMerge(EventLog.layer()),
    Layer.provideMerge(SqliteStore.layer({ path })),
    Layer.provide(SpillwayServer.layer(JobViewer.sessionOptions())),
    Layer.provide([Overflow.layerDefault, Metrics.layer]),
    Layer.provideMerge(Guard.layerHttpServer({ port: 0, host: "127.0.0.1", backlog: 1024 })),
    Layer.provideMerge(Logger.minimumLogLevel(LogLevel.None))
  )

const answer = (said: Answer): void => void process.send!(said)

const obey = (order: Order) =>
  Effect.gen(function*() {
    const runner = yield* JobRunner.JobRunner
    if ("create" in order) return answer({ created: (yield* runner.create(Emit, order.create, { start: false })).id })
    globalThis.gc?.()
    const before = process.cpuUsage()
    const begin = performance.now()
    yield* runner.start(order.run)
    yield* runner.awaitEnd(order.run)
    const seconds = (performance.now() - begin) / 1_000
    // What the last event costs is done a moment after it.
    yield* Effect.sleep("1 second")
    const { system, user } = process.cpuUsage(before)
    const peakRssMegabytes = Math.round(process.resourceUsage().maxRSS / 1024)
    return answer({ cpuSeconds: (system + user) / 1e6, seconds, peakRssMegabytes })
  })

const main = Effect.gen(function*() {
  const { address } = yield* HttpServer.HttpServer
  const runtime = yield* Effect.runtime<JobRunner.JobRunner | JobStore>()
  process.on("message", (order: Order) => void Runtime.runPromise(runtime)(obey(order)))
  if (address._tag === "TcpAddress") answer({ port: address.port })
  return yield* Effect.never
})

process.on("disconnect", () => process.exit(0))
if (process.send !== undefined) {
  Effect.runPromise(Effect.provide(main, services(process.argv[2]!))).catch((error: unknown) => {
    console.error(error)
    process.exit(1)
  })
}
