/**
 * The pusher: stores what listeners send, says so, and tells the webhook of each transcript. A webhook that hangs holds
 * up its own queue and nothing else; a breaker stops calling it, and the end of the session bounds what is left.
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServer from "@effect/platform/HttpServer"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as SpillwayServer from "@spillway/node/SpillwayServer"
import * as WebSocketRoute from "@spillway/node/WebSocketRoute"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Mailbox from "effect/Mailbox"
import * as Breaker from "spillway/Breaker"
import * as CloseReason from "spillway/CloseReason"
import * as Label from "spillway/Label"
import * as Metrics from "spillway/Metrics"
import * as Overflow from "spillway/Overflow"
import * as Prometheus from "spillway/Prometheus"
import type { Session } from "spillway/Session"
import * as Frames from "./Frames.js"
import { Settings } from "./Settings.js"
import { layer as storeLayer, Store } from "./Store.js"

const label = Label.make("webhook")

/** Calls that wait for the webhook, per session; the oldest is given up. */
const callsMax = 100

/** Calls the webhook; a failure is counted by the breaker and otherwise ignored. */
class Webhook extends Context.Tag("@spillway-examples/speech-pipeline/Webhook")<Webhook, {
  readonly call: (body: Uint8Array) => Effect.Effect<void>
}>() {}

const webhookLayer = Layer.effect(
  Webhook,
  Effect.gen(function*() {
    const { host, webhookPort, webhookTimeout } = yield* Settings
    const client = HttpClient.filterStatusOk(yield* HttpClient.HttpClient)
    const breaker = yield* Breaker.make({ label, mode: { _tag: "window" } })
    return {
      call: (body) =>
        client.post(`http://${host}:${webhookPort}/hook`, { body: HttpBody.uint8Array(body, "application/json") }).pipe(
          Effect.flatMap((response) => response.text),
          Effect.timeout(webhookTimeout),
          breaker.guard,
          Effect.scoped,
          Effect.catchAll((error) => Effect.logDebug("the webhook was not told", error))
        )
    }
  })
).pipe(Layer.provide(FetchHttpClient.layer))

/** The session on the listener's side that a link serves. */
class Source extends Context.Tag("@spillway-examples/speech-pipeline/Source")<Source, string>() {}

const handler = (session: Session) =>
  Effect.gen(function*() {
    const source = yield* Source
    const store = yield* Store
    const webhook = yield* Webhook
    const calls = yield* Mailbox.make<Uint8Array>({ capacity: callsMax, strategy: "sliding" })
    const callAll = Effect.forever(Effect.flatMap(calls.take, webhook.call))
    // Ends when the mailbox was ended and is empty: what waits is told within the grace of the session.
    yield* session.fork("webhook", "finite", Effect.ignore(callAll))
    yield* Effect.ensuring(
      session.runForEach(({ data }) => {
        const request = Frames.readRequest(data)
        if (request === undefined) return session.close(CloseReason.unsupportedData)
        if (request === "heartbeat") return Effect.void
        return Effect.zipRight(
          store.put(source, request),
          Effect.zipRight(
            session.send(Frames.result(request.id)),
            request.kind === "transcript" ? calls.offer(request.payload.slice()) : Effect.void
          )
        )
      }),
      calls.end
    )
  })

const link = Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
  const source = new URL(request.url, "http://localhost").searchParams.get("session") ?? ""
  return /^[0-9a-f]{32}$/.test(source)
    ? Effect.flatMap(Settings, ({ sessionsMax }) =>
      WebSocketRoute.upgrade(
        (session) => Effect.provideService(handler(session), Source, source),
        { sessionsMax, payloadBytesMax: 1024 * 1024, origins: "any" }
      ))
    : Effect.succeed(HttpServerResponse.text("session is not an id", { status: 400 }))
})

const router = HttpRouter.empty.pipe(
  HttpRouter.get("/link", link),
  HttpRouter.get("/metrics", Effect.map(Prometheus.text, (text) => HttpServerResponse.text(text)))
)

/** The pusher on whatever HTTP server there is. */
export const layer = Layer.unwrapEffect(
  Effect.map(Settings, ({ receiveTimeout, taskGrace }) =>
    HttpServer.serve(router).pipe(
      Layer.provideMerge(SpillwayServer.layer({ receiveTimeout, taskGrace })),
      Layer.provide([Overflow.layerDefault, Metrics.layer]),
      Layer.provide([storeLayer, webhookLayer])
    ))
)
