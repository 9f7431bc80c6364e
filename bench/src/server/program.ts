/**
 * The server of the benches `ghosts` and `deploy`, in a process of its own: sessions that end well and badly, by path.
 * It answers `measure` over IPC, drains on SIGTERM, and reports how that went before it exits.
 *
 * `program.ts OPTIONS` (JSON, see `ProgramOptions`)
 */
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServer from "@effect/platform/HttpServer"
import * as Guard from "@spillway/node/Guard"
import * as SpillwayServer from "@spillway/node/SpillwayServer"
import * as WebSocketRoute from "@spillway/node/WebSocketRoute"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Runtime from "effect/Runtime"
import * as Stream from "effect/Stream"
import * as Message from "spillway/Message"
import * as Metrics from "spillway/Metrics"
import * as Overflow from "spillway/Overflow"
import type { Session } from "spillway/Session"
import type { SessionOptions } from "spillway/SessionOptions"
import * as Sessions from "spillway/Sessions"
import { criticalMessages, type Drained, hint, type Measured, type ProgramOptions } from "./protocol.js"

const options = JSON.parse(process.argv[2]!) as ProgramOptions

const echo = (session: Session) => session.runForEach(({ frame }) => void session.unsafeOffer(Message.fromFrame(frame)))

/** Bytes for a client that reads nothing: more than the network holds, so that a drain finds a clogged link. */
const large = Message.text("x".repeat(60_000), { lane: "important" })

const handlers: Readonly<Record<string, (session: Session) => Effect.Effect<unknown, never, any>>> = {
  plain: echo,
  hung: (session) => Effect.zipRight(session.fork("hung", "lifetime", Effect.never), echo(session)),
  stubborn: (session) =>
    Effect.zipRight(
      session.fork("stubborn", "finite", Effect.uninterruptible(Effect.sleep("1 second"))),
      echo(session)
    ),
  throws: (session) => Effect.zipRight(Effect.addFinalizer(() => Effect.die("a finalizer throws")), echo(session)),
  deaf: (session) =>
    Effect.zipRight(
      Effect.sync(() => {
        for (let i = 0; i < 20; i++) session.unsafeOffer(large)
      }).pipe(
        Effect.zipRight(Effect.sleep("20 millis")),
        Effect.repeat({
          until: () => session.stats.queuedItems > 0 || session.state !== "open"
        })
      ),
      echo(session)
    )
}

const router = Object.entries(handlers).reduce(
  (routes, [name, handler]) => HttpRouter.get(routes, `/${name}`, WebSocketRoute.upgrade(handler)),
  HttpRouter.empty as HttpRouter.HttpRouter<any, any>
)

const count = (resources: ReadonlyArray<string>, name: string): number =>
  resources.filter((resource) => resource === name).length

const measure = Effect.gen(function*() {
  const { exits, opened, sessions, totals } = yield* (yield* Sessions.Sessions).snapshot
  const { system, user } = process.cpuUsage()
  const resources = process.getActiveResourcesInfo()
  for (let i = 0; i < 4; i++) (globalThis as { readonly gc?: () => void }).gc?.()
  return {
    sessions,
    opened,
    exits,
    stuck: totals.stuckTasks + totals.abandonedFinalizers,
    sockets: count(resources, "TCPSocketWrap"),
    timers: count(resources, "Timeout"),
    heapBytes: process.memoryUsage().heapUsed,
    cpuSeconds: (user + system) / 1e6
  } satisfies Measured
})

/** Says where it listens, answers measurements, and offers everybody what must not be lost once a drain begins. */
const companion = Layer.scopedDiscard(Effect.gen(function*() {
  const sessions = yield* Sessions.Sessions
  const { address } = yield* HttpServer.HttpServer
  const runtime = yield* Effect.runtime<Sessions.Sessions>()
  const onMessage = (): void => {
    void Runtime.runPromise(runtime)(measure).then((measured) => process.send!(measured))
  }
  yield* Effect.acquireRelease(
    Effect.sync(() => process.on("message", onMessage)),
    () => Effect.sync(() => process.off("message", onMessage))
  )
  yield* Effect.forkScoped(Stream.runForEach(sessions.phases, (phase) =>
    Effect.sync(() => {
      if (phase !== "lameDuck") return
      sessions.unsafeForEach((session) => {
        for (const text of criticalMessages) session.unsafeOffer(Message.text(text, { lane: "critical" }))
      })
    })))
  process.send!({ port: address._tag === "TcpAddress" ? address.port : 0 })
}))

const app = companion.pipe(
  Layer.provide(HttpServer.serve(router)),
  Layer.provideMerge(SpillwayServer.layer(options.session as SessionOptions)),
  Layer.provide([Overflow.layerDefault, Metrics.layer]),
  Layer.provide(Guard.layerHttpServer({ port: 0, host: "127.0.0.1", backlog: 4096 }))
)

const main = SpillwayServer.launch(app as Layer.Layer<Sessions.Sessions>, {
  ...options.drain,
  announce: ({ afterMillis, jitterMillis }) =>
    Message.text(`${hint}${JSON.stringify({ afterMillis, jitterMillis })}`, { lane: "control" })
}).pipe(
  // A socket that was destroyed is closed one turn later.
  Effect.zipLeft(Effect.sleep("50 millis")),
  Effect.flatMap((summary) =>
    Effect.async<void>((resume) => {
      const resources = process.getActiveResourcesInfo()
      const drained: Drained = { summary, sockets: count(resources, "TCPSocketWrap") }
      process.send!({ drained }, () => resume(Effect.void))
    })
  ),
  Effect.provide(Logger.remove(Logger.defaultLogger))
)

SpillwayServer.runMain(main as Effect.Effect<void>, { disablePrettyLogger: true })
