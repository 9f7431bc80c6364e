/**
 * Program of the tests about handshakes and lost networks: an echo behind a slow authorisation, as a process of its own.
 * Its one argument is the session's options as JSON. Answers `/left` with what is open.
 */
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServer from "@effect/platform/HttpServer"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Runtime from "effect/Runtime"
import * as Message from "spillway/Message"
import * as Overflow from "spillway/Overflow"
import type { Session } from "spillway/Session"
import { Sessions } from "spillway/Sessions"
import * as Telemetry from "spillway/Telemetry"
import * as Guard from "../src/Guard.js"
import * as SpillwayServer from "../src/SpillwayServer.js"
import * as WebSocketRoute from "../src/WebSocketRoute.js"

const echo = WebSocketRoute.upgrade((session: Session) =>
  session.runForEach((message) => session.send(Message.fromFrame(message.frame, { lane: "critical" })))
)

let authorising = 0
let authorised = 0

/** Takes longer than the test waits: whoever is here is interrupted. */
const authorise = Effect.suspend(() => {
  authorising++
  authorised++
  return Effect.sleep("30 seconds")
}).pipe(Effect.ensuring(Effect.sync(() => authorising--)))

const left = Effect.flatMap(Sessions, (sessions) =>
  Effect.map(sessions.snapshot, (snapshot) => ({
    authorised,
    authorising,
    sessions: snapshot.sessions,
    tasks: snapshot.tasks,
    exits: snapshot.exits,
    last: snapshot.closed.at(-1)?.report.exit ?? null
  })))

const router = HttpRouter.empty.pipe(
  HttpRouter.get("/echo", echo),
  HttpRouter.get("/slow", Effect.zipRight(authorise, echo)),
  HttpRouter.get("/left", Effect.map(left, (body) => HttpServerResponse.unsafeJson(body)))
)

const announce = HttpServer.addressWith((address) =>
  Effect.sync(() => {
    if (address._tag === "TcpAddress") process.stdout.write(`port=${address.port}\n`)
  })
)

/** For when no network leads here any more. */
const answerOverIpc = Effect.map(Effect.runtime<Sessions>(), (runtime) => {
  const run = Runtime.runSync(runtime)
  process.on("message", (message) => {
    if (message === "left") process.send!(run(left))
  })
})

const app = Layer.effectDiscard(Effect.zipRight(answerOverIpc, announce)).pipe(
  Layer.provide(HttpServer.serve(router)),
  Layer.provideMerge(SpillwayServer.layer(JSON.parse(process.argv[2] ?? "{}"))),
  Layer.provide([Overflow.layerDefault, Telemetry.layerNoop]),
  Layer.provide(Guard.layerHttpServer({ port: 0, host: "127.0.0.1" }))
)

Effect.runFork(SpillwayServer.launch(app))
