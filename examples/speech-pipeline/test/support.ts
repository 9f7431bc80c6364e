/** The three servers in this process, on real sockets, each in a scope of its own so that it can be restarted. */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as HttpServer from "@effect/platform/HttpServer"
import * as Guard from "@spillway/node/Guard"
import * as NodeDialer from "@spillway/node/NodeDialer"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Scope from "effect/Scope"
import type * as Http from "node:http"
import type * as Net from "node:net"
import * as Overflow from "spillway/Overflow"
import * as Sessions from "spillway/Sessions"
import * as Telemetry from "spillway/Telemetry"
import { Ledger } from "../src/Ledger.js"
import * as Listener from "../src/Listener.js"
import * as Pusher from "../src/Pusher.js"
import * as Settings from "../src/Settings.js"
import * as Webhook from "../src/Webhook.js"

/** Waits for a condition. Where this process gets no processor it cannot look, and that time does not count. */
export const eventually = (what: string, condition: () => boolean, millis = 15_000): Effect.Effect<void> =>
  Effect.gen(function*() {
    const deadline = performance.now() + millis
    for (let looks = 0; !condition(); looks++) {
      if (performance.now() > deadline && looks > millis / 20) return yield* Effect.dieMessage(`not in time: ${what}`)
      yield* Effect.sleep("5 millis")
    }
  })

/** A server that is up: its sockets are those that the kernel gave it and that have not closed. */
export interface Running<A> {
  readonly port: number
  readonly sockets: ReadonlySet<Net.Socket>
  readonly context: Context.Context<A>
  readonly stop: Effect.Effect<void>
}

const run = <A>(
  port: number,
  layer: Layer.Layer<A, unknown, HttpServer.HttpServer | Layer.Layer.Success<ReturnType<typeof NodeHttpServer.layer>>>
): Effect.Effect<Running<A>, unknown, Scope.Scope> =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const stop = Scope.close(scope, Exit.void)
    yield* Effect.addFinalizer(() => stop)
    const sockets = new Set<Net.Socket>()
    let server!: Http.Server
    const http = NodeHttpServer.layer(() => {
      server = Guard.makeServer({ keepAliveTimeout: "50 millis" })
      server.on("connection", (socket: Net.Socket) => {
        sockets.add(socket)
        socket.once("close", () => sockets.delete(socket))
      })
      return server
    }, { port, host: "127.0.0.1" })
    const context = yield* Layer.buildWithScope(Layer.provide(layer, http), scope)
    return { port: (server.address() as Net.AddressInfo).port, sockets, context, stop }
  })

const quiet = Logger.remove(Logger.defaultLogger)

const millis = Duration.millis

export const settings = (store: string, change: Partial<Settings.SettingsShape>): Settings.SettingsShape => ({
  host: "127.0.0.1",
  listenerPort: 0,
  pusherPort: 0,
  webhookPort: 0,
  store,
  sessionsMax: 100,
  chunkFrames: 10,
  sampleAge: Duration.minutes(2),
  sampleInterval: millis(50),
  usageInterval: Duration.minutes(1),
  heartbeatInterval: millis(200),
  receiveTimeout: Duration.minutes(5),
  taskGrace: Duration.seconds(20),
  linkBackoff: millis(40),
  linkDegradedFor: millis(100),
  webhookTimeout: Duration.minutes(10),
  ...change
})

const use = (values: Settings.SettingsShape) => Layer.merge(Layer.succeed(Settings.Settings, values), quiet)

export const webhook = run(0, Layer.unwrapEffect(Effect.map(Webhook.router, (router) => HttpServer.serve(router))))

export const pusher = (values: Settings.SettingsShape) =>
  run(values.pusherPort, Layer.provide(Pusher.layer, use(values)))

export const listener = (values: Settings.SettingsShape) =>
  Effect.map(
    run(0, Layer.provide(Listener.layer, [use(values), Layer.orDie(NodeDialer.layer())])),
    (running) => ({
      ...running,
      sessions: Context.get(running.context, Sessions.Sessions),
      ledger: Context.get(running.context, Ledger)
    })
  )

/** What a client runs on. */
export const clientLayer = Layer.merge(
  Layer.orDie(NodeDialer.layer()),
  Layer.orDie(Sessions.layer().pipe(Layer.provide([Overflow.layerDefault, Telemetry.layerNoop])))
).pipe(Layer.provideMerge(quiet))
