/**
 * Program of the tests about draining: launched by the platform's `runMain`, as any application. Its first argument says
 * whether the drain goes ahead of the routes (`ahead`) or is left to the release of the sessions (`behind`), the second how
 * many seconds of grace the former gives.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServer from "@effect/platform/HttpServer"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Message from "spillway/Message"
import * as Overflow from "spillway/Overflow"
import * as Telemetry from "spillway/Telemetry"
import * as Guard from "../src/Guard.js"
import * as SpillwayServer from "../src/SpillwayServer.js"
import * as WebSocketRoute from "../src/WebSocketRoute.js"

const router = HttpRouter.empty.pipe(
  HttpRouter.get("/ready", SpillwayServer.readiness),
  HttpRouter.get("/ws", WebSocketRoute.upgrade(() => Effect.never))
)

const ahead = SpillwayServer.withDrain({
  grace: `${Number(process.argv[3] ?? 1)} seconds`,
  announce: ({ jitterMillis }) => Message.text(`going, come back within ${jitterMillis}`, { lane: "control" })
})

const port = Layer.effectDiscard(
  HttpServer.addressWith((address) =>
    Effect.sync(() => process.stdout.write(`port=${address._tag === "TcpAddress" ? address.port : 0}\n`))
  )
)

HttpServer.serve(router).pipe(
  process.argv[2] === "ahead" ? ahead : identity,
  Layer.merge(port),
  Layer.provide(SpillwayServer.layer()),
  Layer.provide([Overflow.layerDefault, Telemetry.layerNoop]),
  Layer.provide(Guard.layerHttpServer({ port: 0, host: "127.0.0.1" })),
  Layer.launch,
  NodeRuntime.runMain
)
