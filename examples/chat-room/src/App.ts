/**
 * The chat room on a real server.
 */
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServer from "@effect/platform/HttpServer"
import * as Guard from "@spillway/node/Guard"
import * as SpillwayServer from "@spillway/node/SpillwayServer"
import * as WebSocketRoute from "@spillway/node/WebSocketRoute"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Overflow from "spillway/Overflow"
import * as Telemetry from "spillway/Telemetry"
import { Archive } from "./Archive.js"
import { Room } from "./Room.js"

const routes = Effect.map(
  Room,
  ({ handler }) => HttpRouter.empty.pipe(HttpRouter.get("/room", WebSocketRoute.upgrade(handler)))
)

/** Everything that the server is, the `HttpServer` included; port 0 is any that is free. */
export const layer = (port: number) =>
  Layer.unwrapEffect(Effect.map(routes, (router) => HttpServer.serve(router))).pipe(
    Layer.provideMerge(SpillwayServer.layer()),
    Layer.provide([Room.layer.pipe(Layer.provide(Archive.layerMemory)), Overflow.layerDefault, Telemetry.layerNoop]),
    Layer.provideMerge(Guard.layerHttpServer({ port, host: "127.0.0.1" }))
  )
