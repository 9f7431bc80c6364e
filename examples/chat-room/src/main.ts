/**
 * `npm start --workspace examples/chat-room`: serves until SIGTERM or SIGINT, then drains.
 */
import * as HttpServer from "@effect/platform/HttpServer"
import * as SpillwayServer from "@spillway/node/SpillwayServer"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as App from "./App.js"

const port = Config.withDefault(Config.port("PORT"), 8080)

SpillwayServer.runMain(
  Effect.flatMap(port, (port) => SpillwayServer.launch(HttpServer.withLogAddress(App.layer(port))))
)
