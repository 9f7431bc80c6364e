/**
 * The server: sessions at `/ws`, a page, readings at `/stats`, `/prices` and `/metrics`, and a switch for the feed.
 */
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServer from "@effect/platform/HttpServer"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Guard from "@spillway/node/Guard"
import * as SpillwayServer from "@spillway/node/SpillwayServer"
import * as WebSocketRoute from "@spillway/node/WebSocketRoute"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as Metrics from "spillway/Metrics"
import * as Overflow from "spillway/Overflow"
import * as Prometheus from "spillway/Prometheus"
import { Sessions } from "spillway/Sessions"
import * as Feed from "./Feed.js"
import * as MarketSession from "./MarketSession.js"
import * as Page from "./Page.js"
import * as Protocol from "./Protocol.js"
import * as Pump from "./Pump.js"
import { overflow, Settings, type SettingsShape, toSessionOptions } from "./Settings.js"

const json = (body: unknown, status = 200) =>
  HttpServerResponse.unsafeJson(body, { status, headers: { "cache-control": "no-store" } })

const decodeQuery = Schema.decodeUnknownEither(Protocol.Query)

const wantedOf = ({ after, feed, symbols }: Protocol.Query): Feed.Wanted => ({
  symbols,
  position: after === undefined || feed === undefined ? undefined : { feed, after }
})

/** A query that is none is an ordinary 400, before the upgrade. */
const subscribe = Effect.gen(function*() {
  const { sessionsMax } = yield* Settings
  const { url } = yield* HttpServerRequest.HttpServerRequest
  const { searchParams } = new URL(url, "http://localhost")
  const query = decodeQuery(Object.fromEntries(searchParams))
  if (Either.isLeft(query)) return json({ error: ParseResult.TreeFormatter.formatErrorSync(query.left) }, 400)
  return yield* Effect.provideService(
    WebSocketRoute.upgrade(MarketSession.handler, { sessionsMax }),
    MarketSession.Asked,
    wantedOf(query.right)
  )
})

const stats = Effect.gen(function*() {
  const { closed: _, totals, ...sessions } = yield* (yield* Sessions).snapshot
  const { system, user } = process.cpuUsage()
  return json({
    ...sessions,
    lanes: totals.lanes,
    published: yield* (yield* Feed.Feed).stats,
    process: { residentBytes: process.memoryUsage.rss(), cpuMillis: (system + user) / 1_000 }
  })
})

/** What a client has to have once it has read everything, if the feed pauses. */
const prices = Effect.gen(function*() {
  const feed = yield* Feed.Feed
  return json({ feed: feed.id, fills: (yield* feed.stats).fills, quotes: yield* feed.quotes })
})

/** A page of another site may not press the button: it sends its own origin, and what is no page sends none. */
const isOwnPage = ({ host, origin }: { readonly [name: string]: string | undefined }) =>
  origin === undefined || (URL.canParse(origin) && new URL(origin).host === host)

const pause = (isPaused: boolean) =>
  Effect.gen(function*() {
    const { headers } = yield* HttpServerRequest.HttpServerRequest
    if (!(yield* Settings).control) return json({ error: "CONTROL is off" }, 404)
    if (!isOwnPage(headers)) return json({ error: "this origin is not allowed" }, 403)
    yield* (yield* Pump.Pump).pause(isPaused)
    return json({ isPaused })
  })

const routes = Effect.map(Page.routes, (page) =>
  page.pipe(
    HttpRouter.get("/health", SpillwayServer.readiness),
    HttpRouter.get("/stats", stats),
    HttpRouter.get("/prices", prices),
    HttpRouter.get("/metrics", Effect.map(Prometheus.text, (text) => HttpServerResponse.text(text))),
    HttpRouter.get("/ws", subscribe),
    HttpRouter.post("/feed/pause", pause(true)),
    HttpRouter.post("/feed/resume", pause(false)),
    Effect.catchTag("RouteNotFound", () => HttpServerResponse.empty({ status: 404 }))
  ))

/** Everything that the server is, the `HttpServer` included. Sessions end before the feed does. */
export const layer = (settings: SettingsShape, makeTick?: Feed.MakeTick) =>
  Layer.unwrapEffect(Effect.map(routes, (router) => HttpServer.serve(router))).pipe(
    Layer.provideMerge(Pump.layer),
    Layer.provideMerge(Feed.layer(makeTick)),
    Layer.provideMerge(SpillwayServer.layer(toSessionOptions(settings))),
    Layer.provide([NodeContext.layer, Overflow.layer(overflow), Metrics.layer]),
    Layer.provideMerge(Guard.layerHttpServer({ port: settings.port, host: settings.host })),
    Layer.provide(Layer.succeed(Settings, settings))
  )
