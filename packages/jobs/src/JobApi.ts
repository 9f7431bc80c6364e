/**
 * Jobs over HTTP: an `HttpApi` group with its handlers. A typed client comes with it, and its OpenAPI description, which is
 * served at `openapi.json` below the prefix.
 *
 * `GET …/:id/events` answers with a page of JSON, or with `text/event-stream` when the client accepts that: the stored
 * events after `since` (or after `Last-Event-ID`, with which a browser comes back), then those to come.
 *
 * @since 0.1.0
 */
import * as HttpApi from "@effect/platform/HttpApi"
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import type * as HttpApp from "@effect/platform/HttpApp"
import type * as HttpRouter from "@effect/platform/HttpRouter"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { BadRequest, Conflict, NotFound, Unavailable } from "./ApiError.js"
import type { EventLog } from "./EventLog.js"
import * as jobApi from "./internal/jobApi.js"
import type { JobRunner } from "./JobRunner.js"
import * as JobState from "./JobState.js"
import type { JobStore } from "./JobStore.js"
import * as JobWire from "./JobWire.js"

const between = (least: number, most: number, otherwise: number) =>
  Schema.optionalWith(Schema.NumberFromString.pipe(Schema.int(), Schema.between(least, most)), {
    default: () => otherwise
  })

const byId = Schema.Struct({ id: Schema.String })

const Create = Schema.Struct({
  name: Schema.String,
  input: Schema.Unknown,
  id: Schema.optional(Schema.String),
  title: Schema.optional(Schema.String.pipe(Schema.maxLength(255))),
  turn: Schema.optional(Schema.String.pipe(Schema.maxLength(255))),
  start: Schema.optional(Schema.Boolean)
})

const Page = Schema.Struct({
  items: Schema.Array(JobWire.Task),
  total: Schema.Int,
  page: Schema.Int,
  page_size: Schema.Int,
  total_pages: Schema.Int
})

const Events = Schema.Struct({ events: Schema.Array(JobWire.Event), total: Schema.Int })

const Timeline = Schema.Struct({
  items: Schema.Array(JobWire.Event),
  total: Schema.Int,
  limit: Schema.Int,
  offset: Schema.Int,
  has_more: Schema.Boolean
})

const ListParams = Schema.Struct({
  page: between(1, 1_000_000, 1),
  page_size: between(1, 100, 20),
  status: Schema.optional(JobState.StatusSchema),
  name: Schema.optional(Schema.String)
})

const about = (text: string) => OpenApi.annotations({ summary: text })

const created = JobWire.Task.annotations(HttpApiSchema.annotations({ status: 201 }))
const accepted = JobWire.Task.annotations(HttpApiSchema.annotations({ status: 202 }))

/**
 * The endpoints, without a prefix.
 *
 * @since 0.1.0
 * @category models
 */
export const group = HttpApiGroup.make("jobs")
  .add(
    HttpApiEndpoint.post("create", "/").setPayload(Create).addSuccess(created).addError(BadRequest).addError(Conflict)
      .annotateContext(about("Creates a job, and asks for it to run unless told otherwise"))
  )
  .add(
    HttpApiEndpoint.get("list", "/").setUrlParams(ListParams).addSuccess(Page)
      .annotateContext(about("Lists jobs, newest first"))
  )
  .add(
    HttpApiEndpoint.get("active", "/active").addSuccess(Schema.Struct({ ids: Schema.Array(Schema.String) }))
      .annotateContext(about("Ids of the jobs that run"))
  )
  .add(
    HttpApiEndpoint.get("get", "/:id").setPath(byId).addSuccess(JobWire.Task).addError(NotFound)
      .annotateContext(about("A job with its state"))
  )
  .add(
    HttpApiEndpoint.get("state", "/:id/state").setPath(byId).addSuccess(JobWire.State).addError(NotFound)
      .annotateContext(about("The state of a job"))
  )
  .add(
    HttpApiEndpoint.get("events", "/:id/events")
      .setPath(byId)
      .setUrlParams(Schema.Struct({ since: between(0, 2 ** 53 - 1, 0), limit: between(1, 500, 128) }))
      .addSuccess(Events)
      .addError(NotFound)
      .annotateContext(OpenApi.annotations({
        summary: "Events of a job after a place",
        description:
          "A page as JSON. With `Accept: text/event-stream` the stored events and then those to come, after " +
          "`since` or after `Last-Event-ID`; 204 when none can come."
      }))
  )
  .add(
    HttpApiEndpoint.get("timeline", "/:id/timeline")
      .setPath(byId)
      .setUrlParams(Schema.Struct({ offset: between(0, 2 ** 53 - 1, 0), limit: between(1, 500, 50) }))
      .addSuccess(Timeline)
      .addError(NotFound)
      .annotateContext(about("Events of a job by page"))
  )
  .add(
    HttpApiEndpoint.post("run", "/:id/run").setPath(byId).addSuccess(accepted).addError(NotFound).addError(Conflict)
      .annotateContext(about("Asks for a pending job to run"))
  )
  .add(
    HttpApiEndpoint.post("cancel", "/:id/cancel").setPath(byId).addSuccess(JobWire.Task)
      .addError(NotFound)
      .addError(Conflict)
      .annotateContext(about("Cancels a job, and answers when it has ended"))
  )
  .add(
    HttpApiEndpoint.del("delete", "/:id").setPath(byId).addSuccess(HttpApiSchema.NoContent).addError(NotFound)
      .annotateContext(about("Deletes a job with its events; one that runs is cancelled first"))
  )
  .addError(Unavailable)

/**
 * An API of jobs alone, below a prefix.
 *
 * @example
 * import { HttpApiClient } from "@effect/platform"
 * import { JobApi } from "@spillway/jobs"
 * import { Effect } from "effect"
 *
 * export const titles = Effect.gen(function*() {
 *   const client = yield* HttpApiClient.make(JobApi.make("/api/tasks"), { baseUrl: "http://127.0.0.1:8080" })
 *   const { items } = yield* client.jobs.list({ urlParams: { page: 1, page_size: 20 } })
 *   return items.map(({ title }) => title)
 * })
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <const Prefix extends `/${string}`>(prefix: Prefix) =>
  HttpApi.make("jobs").add(group.prefix(prefix))

/**
 * An API of jobs below a prefix.
 *
 * @since 0.1.0
 * @category models
 */
export type JobApi = ReturnType<typeof make>

/**
 * What else is answered below the prefix.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface AppOptions {
  /** Pages on the API: `HttpApiSwagger.layer({ path: "/api/tasks/docs" })`, say. It is a megabyte, so it is not here. */
  readonly pages?: Layer.Layer<never, never, HttpApi.Api>
}

/**
 * The application that answers for the API below a prefix. Mount it in a router at the prefix and at what is below it.
 *
 * @example
 * import { HttpRouter } from "@effect/platform"
 * import { JobApi } from "@spillway/jobs"
 * import { Effect } from "effect"
 *
 * export const router = Effect.map(JobApi.httpApp("/api/tasks"), (app) =>
 *   HttpRouter.empty.pipe(HttpRouter.all("/api/tasks", app), HttpRouter.all("/api/tasks/*", app)))
 *
 * @since 0.1.0
 * @category constructors
 */
export const httpApp = (
  prefix: `/${string}`,
  { pages = Layer.empty }: AppOptions = {}
): Effect.Effect<
  HttpApp.Default<never, HttpRouter.HttpRouter.DefaultServices>,
  never,
  EventLog | JobRunner | JobStore | Scope.Scope
> => {
  const api = make(prefix)
  const handlers = HttpApiBuilder.group(api, "jobs", (all) =>
    all
      .handle("create", ({ payload }) => jobApi.create(payload))
      .handle("list", ({ urlParams }) => jobApi.list(urlParams))
      .handle("active", () => jobApi.active)
      .handle("get", ({ path }) => jobApi.get(path.id))
      .handle("state", ({ path }) => jobApi.state(path.id))
      .handleRaw("events", ({ path, request, urlParams }) => jobApi.events(path.id, urlParams, request.headers))
      .handle("timeline", ({ path, urlParams }) => jobApi.timeline(path.id, urlParams))
      .handle("run", ({ path }) => jobApi.run(path.id))
      .handle("cancel", ({ path }) => jobApi.cancel(path.id))
      .handle("delete", ({ path }) => jobApi.remove(path.id)))
  const description = HttpApiBuilder.middlewareOpenApi({ path: `${prefix}/openapi.json` })
  const services = Layer.merge(description, pages).pipe(
    Layer.provideMerge(HttpApiBuilder.api(api).pipe(Layer.provide(handlers))),
    Layer.provideMerge(Layer.merge(HttpApiBuilder.Router.Live, HttpApiBuilder.Middleware.layer))
  )
  return Effect.flatMap(Layer.build(services), (context) => Effect.provide(HttpApiBuilder.httpApp, context))
}
