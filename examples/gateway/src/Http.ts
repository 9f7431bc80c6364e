/**
 * The routes. A WebSocket is an ordinary route: it runs its checks like any other, and answers 101.
 */
import * as HttpIncomingMessage from "@effect/platform/HttpIncomingMessage"
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as SpillwayServer from "@spillway/node/SpillwayServer"
import * as WebSocketRoute from "@spillway/node/WebSocketRoute"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as Message from "spillway/Message"
import * as Prometheus from "spillway/Prometheus"
import * as Echo from "./Echo.js"
import * as GatewaySession from "./GatewaySession.js"
import * as Origin from "./Origin.js"
import { Page } from "./Page.js"
import * as Protocol from "./Protocol.js"
import { Settings, type SettingsShape } from "./Settings.js"
import * as Stats from "./Stats.js"
import { Topics } from "./Topics.js"

/** Answers of the moment, not to be kept by anybody. */
const json = (body: unknown, status = 200): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.unsafeJson(body, { status, headers: { "cache-control": "no-store" } })

const metrics = Effect.map(
  Prometheus.text,
  (text) => HttpServerResponse.text(text, { contentType: Prometheus.contentType })
)

/** The query of the request, of which the router has only kept the path. */
const query = Effect.map(
  HttpServerRequest.HttpServerRequest,
  (request) => new URL(request.url, "http://localhost").searchParams
)

const stats = Effect.flatMap(query, (parameters) => Effect.map(Stats.read(parameters.get("session")), json))

const badRequest = (error: string) => json({ error }, 400)

const explain = (error: ParseResult.ParseError) => ParseResult.TreeFormatter.formatErrorSync(error)

const PublishPath = HttpRouter.schemaPathParams(Schema.Struct({ topic: Protocol.Topic }))

const decodeBody = Message.decoder(Protocol.PublishBody)

/** The body as text; 413 beyond the limit that WebSocket messages have too. */
const bodyText = (request: HttpServerRequest.HttpServerRequest, bytesMax: number) => {
  const tooLarge = HttpServerResponse.setHeader(
    json({ error: `a body has at most ${bytesMax} bytes` }, 413),
    "connection",
    "close"
  )
  // The reader destroys the connection at its limit, so a body that says its length is refused before it is read.
  return Number(request.headers["content-length"] ?? 0) > bytesMax
    ? Effect.fail(tooLarge)
    : request.text.pipe(
      HttpIncomingMessage.withMaxBodySize(Option.some(bytesMax)),
      Effect.mapError(() => tooLarge)
    )
}

const publish = Effect.gen(function*() {
  const { payloadBytesMax } = yield* Settings
  const request = yield* HttpServerRequest.HttpServerRequest
  const { topic } = yield* Effect.mapError(PublishPath, (error) => badRequest(explain(error)))
  const text = yield* bodyText(request, payloadBytesMax)
  const body = yield* Effect.mapError(decodeBody(text), (error) => badRequest(error.explanation))
  const { data, key, lane = Protocol.defaultLane } = body
  return json(yield* (yield* Topics).publish(topic, { lane, key, data }), 202)
}).pipe(
  // A failure is a response, and so is success.
  Effect.merge,
  Origin.guard
)

/** Options of both WebSocket routes. Origins are checked before, by the rule that holds for `POST` as well. */
const upgradeOptions = (settings: SettingsShape): WebSocketRoute.AdmittedOptions => ({
  payloadBytesMax: settings.payloadBytesMax,
  assemblyTimeout: settings.assemblyTimeout,
  trustedProxyHops: settings.trustedProxyHops,
  origins: "any"
})

const decodeTopics = Schema.decodeEither(Protocol.TopicsParameter)

/** The route of `/ws`. `?topics=a,b` is checked before the upgrade, so that a mistake is an ordinary 400. */
const subscriber = (settings: SettingsShape) => {
  const upgrade = WebSocketRoute.admitted(WebSocketRoute.anonymous, GatewaySession.handler, upgradeOptions(settings))
  return Effect.flatMap(query, (parameters) =>
    Either.match(decodeTopics(parameters.get("topics") ?? ""), {
      onLeft: (error) => Effect.succeed(badRequest(explain(error))),
      onRight: (topics) => Effect.provideService(upgrade, GatewaySession.InitialTopics, topics)
    }))
}

/** All routes. Whatever is not here is answered with 404, upgrade or not. */
export const router = Effect.map(Settings, (settings) =>
  HttpRouter.empty.pipe(
    HttpRouter.get("/", Effect.map(Page, (page) => page.html)),
    HttpRouter.get("/page.js", Effect.map(Page, (page) => page.script)),
    HttpRouter.get("/page.css", Effect.map(Page, (page) => page.style)),
    HttpRouter.get("/health", SpillwayServer.readiness),
    HttpRouter.get("/metrics", metrics),
    HttpRouter.get("/stats", stats),
    HttpRouter.post("/publish/:topic", publish),
    HttpRouter.get("/ws", Origin.guard(subscriber(settings))),
    HttpRouter.get(
      "/echo",
      Origin.guard(WebSocketRoute.admitted(WebSocketRoute.anonymous, Echo.handler, upgradeOptions(settings)))
    ),
    // Left to itself the platform logs the address, and with it whatever a client has put there.
    Effect.catchTag("RouteNotFound", () => HttpServerResponse.empty({ status: 404 }))
  ))
