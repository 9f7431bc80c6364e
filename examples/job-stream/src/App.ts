/**
 * The server: jobs over HTTP at `/api/tasks`, described at `/api/tasks/docs`, their viewers at `/ws/tasks/:id`, and a page
 * that shows both.
 */
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as HttpApiSwagger from "@effect/platform/HttpApiSwagger"
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServer from "@effect/platform/HttpServer"
import * as PgClient from "@effect/sql-pg/PgClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as EventLog from "@spillway/jobs/EventLog"
import * as JobApi from "@spillway/jobs/JobApi"
import type { StoreFailed, StoreLocked } from "@spillway/jobs/JobError"
import * as JobRunner from "@spillway/jobs/JobRunner"
import type { JobStore } from "@spillway/jobs/JobStore"
import * as JobViewer from "@spillway/jobs/JobViewer"
import * as PostgresStore from "@spillway/jobs/PostgresStore"
import * as SqliteStore from "@spillway/jobs/SqliteStore"
import * as Guard from "@spillway/node/Guard"
import * as SpillwayServer from "@spillway/node/SpillwayServer"
import * as WebSocketRoute from "@spillway/node/WebSocketRoute"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Overflow from "spillway/Overflow"
import type { InvalidOption } from "spillway/SpillwayError"
import * as Telemetry from "spillway/Telemetry"
import * as Analysis from "./Analysis.js"
import * as Page from "./Page.js"

export interface Settings {
  readonly port: number
  /** Folders below this one may be analysed. */
  readonly readable: string
  /** Where the jobs are: in a file, or in PostgreSQL. */
  readonly store: SqliteStore.Options | PostgresStore.Configured
  readonly analyse?: typeof Analysis.Analyse
  readonly runner?: JobRunner.Options
  readonly log?: EventLog.Options
  readonly viewer?: JobViewer.Options
}

const params = Schema.Struct({
  id: Schema.String,
  since: Schema.optionalWith(Schema.NonNegativeInt.pipe((int) => Schema.compose(Schema.NumberFromString, int)), {
    default: () => 0
  })
})

/** A viewer of a job, after an event. Unless told otherwise nothing is left out, however slow the client is. */
const viewer = (options: JobViewer.Options = {}) =>
  Effect.flatMap(
    HttpRouter.schemaParams(params),
    ({ id, since }) => WebSocketRoute.upgrade(JobViewer.handler(id, { behindEventsMax: Infinity, ...options, since }))
  )

const routes = (settings: Settings) =>
  Effect.gen(function*() {
    const api = yield* JobApi.httpApp("/api/tasks", { pages: HttpApiSwagger.layer({ path: "/api/tasks/docs" }) })
    const page = yield* Page.routes
    return page.pipe(
      HttpRouter.all("/api/tasks", api),
      HttpRouter.all("/api/tasks/*", api),
      HttpRouter.get("/ws/tasks/:id", viewer(settings.viewer))
    )
  })

type StoreError = InvalidOption | StoreFailed | StoreLocked | SqlError

const store = (where: Settings["store"]): Layer.Layer<JobStore, StoreError> =>
  "url" in where
    ? PostgresStore.layer(PgClient.PgClient, where).pipe(Layer.provide(PgClient.layer({ url: where.url })))
    : SqliteStore.layer(where)

/** Everything that the server is, the `HttpServer` included. */
export const layer = (settings: Settings) =>
  Layer.unwrapScoped(Effect.map(routes(settings), (router) => HttpServer.serve(router))).pipe(
    Layer.provide(
      JobRunner.layer([Analysis.handler(settings.readable, settings.analyse)], {
        shutdownGrace: "500 millis",
        ...settings.runner
      })
    ),
    Layer.provide(EventLog.layer(settings.log)),
    Layer.provide(store(settings.store)),
    Layer.provideMerge(SpillwayServer.layer(JobViewer.sessionOptions())),
    Layer.provide([NodeContext.layer, Overflow.layerDefault, Telemetry.layerNoop]),
    Layer.provideMerge(Guard.layerHttpServer({ port: settings.port, host: "127.0.0.1" }))
  )
