/**
 * A server with sessions in this process, and what it knows of itself.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServer from "@effect/platform/HttpServer"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Scope from "effect/Scope"
import type * as Http from "node:http"
import type { AddressInfo, Socket } from "node:net"
import * as Message from "spillway/Message"
import * as Overflow from "spillway/Overflow"
import type { Session } from "spillway/Session"
import type { SessionOptions } from "spillway/SessionOptions"
import * as Sessions from "spillway/Sessions"
import * as Telemetry from "spillway/Telemetry"
import * as Guard from "../src/Guard.js"
import * as SpillwayServer from "../src/SpillwayServer.js"
import * as WebSocketRoute from "../src/WebSocketRoute.js"
import { until } from "./raw.js"

/** Sends back what comes, in the lane for which `send` waits. */
export const echo = (session: Session): Effect.Effect<void> =>
  session.runForEach((message) => session.send(Message.fromFrame(message.frame, { lane: "critical" })))

/** Reads and says nothing. */
const hold = (session: Session): Effect.Effect<void> => session.runForEach(() => Effect.void)

/** An echo with a task that never ends by itself. */
const hung = (session: Session): Effect.Effect<unknown> =>
  Effect.zipRight(session.fork("hung", "lifetime", Effect.never), echo(session))

export interface EchoOptions {
  /** Handler of `/custom`; nothing happens there by default. */
  readonly handler?: (session: Session) => Effect.Effect<unknown, never, Scope.Scope>
  readonly session?: SessionOptions
  readonly upgrade?: WebSocketRoute.Options
}

const routes = ({ handler = hold, upgrade: options }: EchoOptions) =>
  HttpRouter.empty.pipe(
    HttpRouter.get("/custom", WebSocketRoute.upgrade(handler, options)),
    HttpRouter.get("/echo", WebSocketRoute.upgrade(echo, options)),
    HttpRouter.get("/big", WebSocketRoute.upgrade(echo, { ...options, payloadBytesMax: 16 * 1024 * 1024 })),
    HttpRouter.get("/hold", WebSocketRoute.upgrade(hold, options)),
    HttpRouter.get("/hung", WebSocketRoute.upgrade(hung, options))
  )

/** What must be the same afterwards. */
export interface Left {
  readonly sessions: number
  readonly tasks: number
  readonly sockets: number
}

export class EchoServer {
  private constructor(
    readonly server: Http.Server,
    readonly sessions: Sessions.SessionsShape,
    private readonly scope: Scope.CloseableScope
  ) {}

  static async start(options: EchoOptions = {}): Promise<EchoServer> {
    let server!: Http.Server
    const http = NodeHttpServer.layer(() => (server = Guard.makeServer()), { port: 0, host: "127.0.0.1" })
    const sessions = SpillwayServer.layer(options.session).pipe(
      Layer.provide([Overflow.layerDefault, Telemetry.layerNoop])
    )
    const app = HttpServer.serve(routes(options)).pipe(
      Layer.provideMerge(sessions),
      Layer.provide(http),
      Layer.provide(Logger.minimumLogLevel(LogLevel.None))
    )
    const scope = await Effect.runPromise(Scope.make())
    const context = await Effect.runPromise(Layer.buildWithScope(app, scope))
    const shape = await Effect.runPromise(Effect.provide(Sessions.Sessions, context))
    return new EchoServer(server, shape, scope)
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port
  }

  get snapshot(): Sessions.Snapshot {
    return Effect.runSync(this.sessions.snapshot)
  }

  get all(): Array<Session> {
    const all: Array<Session> = []
    this.sessions.unsafeForEach((session) => all.push(session))
    return all
  }

  /** Sessions, fibers of tasks, and TCP connections. */
  get left(): Left {
    const { sessions, tasks } = this.snapshot
    const count = Object.values(tasks).reduce((sum, n) => sum + n, 0)
    return { sessions, tasks: count, sockets: (this.server as unknown as { _connections: number })._connections }
  }

  /** Waits until nothing is left but what is given, and says how long that took. */
  backTo(expected: Left, millis: number): Promise<number> {
    const same = (): boolean => {
      const { sessions, sockets, tasks } = this.left
      return sessions === expected.sessions && tasks === expected.tasks && sockets === expected.sockets
    }
    return until(`sessions, tasks and sockets are ${JSON.stringify(expected)}`, same, millis)
  }

  /** The server's socket of a client on this machine. */
  socketOf(clientPort: number): Socket | undefined {
    return this.sockets.find((socket) => socket.remotePort === clientPort)
  }

  /** The socket that was accepted last. */
  get lastSocket(): Socket {
    return this.sockets.at(-1)!
  }

  private readonly sockets: Array<Socket> = []

  /** From now on remembers the sockets that it accepts. */
  watchSockets(): void {
    this.server.on("connection", (socket) => this.sockets.push(socket))
  }

  async stop(): Promise<void> {
    await Effect.runPromise(Scope.close(this.scope, Exit.void))
  }
}

export const nothing: Left = { sessions: 0, tasks: 0, sockets: 0 }
