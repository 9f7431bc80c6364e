/**
 * The server: sessions at `/ws`, readings at `/watch` and `/stats`, the switch at `/chaos/kill`, and a page with all of it.
 */
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServer from "@effect/platform/HttpServer"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Guard from "@spillway/node/Guard"
import * as SpillwayServer from "@spillway/node/SpillwayServer"
import * as WebSocketRoute from "@spillway/node/WebSocketRoute"
import * as ProcessWorkers from "@spillway/workers/ProcessWorkers"
import * as WorkerPool from "@spillway/workers/WorkerPool"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { createRequire } from "node:module"
import { fileURLToPath } from "node:url"
import * as Label from "spillway/Label"
import * as Metrics from "spillway/Metrics"
import * as Overflow from "spillway/Overflow"
import * as Prometheus from "spillway/Prometheus"
import type { Session } from "spillway/Session"
import { Board } from "./Board.js"
import * as Killer from "./Killer.js"
import * as Page from "./Page.js"
import * as Protocol from "./Protocol.js"
import { Settings, type SettingsShape } from "./Settings.js"
import * as TextSession from "./TextSession.js"

/** Tells a session all there is to see, until it ends. */
const watch = (session: Session) =>
  Effect.flatMap(Board, ({ read }) =>
    Effect.flatMap(read, (reading) => session.send(Protocol.Reading(reading))).pipe(
      Effect.zipRight(session.sleepUntilShutdown("250 millis")),
      Effect.repeat({ until: (isShutdown) => isShutdown })
    ))

const json = (body: unknown, status = 200) =>
  HttpServerResponse.unsafeJson(body, { status, headers: { "cache-control": "no-store" } })

/** A page of another site may not press the button: it sends its own origin, and what is no page sends none. */
const isOwnPage = ({ host, origin }: { readonly [name: string]: string | undefined }) =>
  origin === undefined || (URL.canParse(origin) && new URL(origin).host === host)

const chaos = Effect.gen(function*() {
  const { headers, url } = yield* HttpServerRequest.HttpServerRequest
  if (!(yield* Settings).chaos) return json({ error: "CHAOS is off" }, 404)
  if (!isOwnPage(headers)) return json({ error: "this origin is not allowed" }, 403)
  const count = Number(new URL(url, "http://localhost").searchParams.get("count") ?? 1)
  if (!Number.isInteger(count) || count < 1) return json({ error: "count is a whole number of at least 1" }, 400)
  return json({ killed: yield* Killer.kill(count) })
})

const routes = Effect.gen(function*() {
  const { sessionsMax } = yield* Settings
  const { read } = yield* Board
  const page = yield* Page.routes
  return page.pipe(
    HttpRouter.get("/health", SpillwayServer.readiness),
    HttpRouter.get("/stats", Effect.map(read, (reading) => json(reading))),
    HttpRouter.get("/metrics", Effect.map(Prometheus.text, (text) => HttpServerResponse.text(text))),
    HttpRouter.get("/ws", WebSocketRoute.upgrade(TextSession.handler, { sessionsMax })),
    HttpRouter.get("/watch", WebSocketRoute.upgrade(watch, { sessionsMax })),
    HttpRouter.post("/chaos/kill", chaos),
    Effect.catchTag("RouteNotFound", () => HttpServerResponse.empty({ status: 404 }))
  )
})

const file = (name: string) => fileURLToPath(new URL(`../workers/${name}`, import.meta.url))

const workers = ({ pace, python, sessionsMax, worker }: SettingsShape): ProcessWorkers.Options => {
  const env = { PACE_MILLIS: String(pace), SESSIONS_MAX: String(sessionsMax) }
  if (worker === "node") return { command: process.execPath, args: [file("texts.mjs")], env }
  const reference = createRequire(import.meta.url).resolve("@spillway/workers/workers/reference.py")
  return { command: python, args: ["-I", "-S", "-B", file("texts.py")], env: { ...env, REFERENCE_WORKER: reference } }
}

const poolLayer = (settings: SettingsShape) =>
  WorkerPool.layer({
    name: "texts",
    label: Label.make("texts"),
    size: settings.workers,
    // The index is in one process: no other one will do, and that it is gone has to be told.
    affinity: { mode: "strictQueue" },
    operationTimeout: settings.operationTimeout,
    checkoutTimeout: settings.checkoutTimeout,
    // Who leaves in the middle of an operation does not cost the others their worker.
    interruptGrace: settings.operationTimeout,
    initTimeout: "30 seconds"
  }).pipe(Layer.provide(ProcessWorkers.layer(workers(settings))))

/** Everything that the server is, the `HttpServer` included. Sessions end before the pool does. */
export const layer = (settings: SettingsShape) =>
  Layer.unwrapEffect(Effect.map(routes, (router) => HttpServer.serve(router))).pipe(
    Layer.provideMerge(SpillwayServer.layer()),
    Layer.provideMerge(Board.layer),
    Layer.provideMerge(poolLayer(settings)),
    Layer.provide([NodeContext.layer, Overflow.layerDefault, Metrics.layer]),
    Layer.provideMerge(Guard.layerHttpServer({ port: settings.port, host: settings.host })),
    Layer.provide(Layer.succeed(Settings, settings))
  )
