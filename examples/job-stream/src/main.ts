/**
 * `npm start --workspace examples/job-stream`: serves until SIGTERM or SIGINT; jobs that run then go on at the next start.
 */
import * as HttpServer from "@effect/platform/HttpServer"
import * as SpillwayServer from "@spillway/node/SpillwayServer"
import * as Effect from "effect/Effect"
import * as App from "./App.js"
import * as Settings from "./Settings.js"

const entries = Object.entries(process.env).flatMap(([key, value]) =>
  value === undefined ? [] : [[key, value] as const]
)

SpillwayServer.runMain(
  Effect.withConfigProvider(Settings.config, Settings.provider(entries)).pipe(
    Effect.flatMap((settings) => SpillwayServer.launch(HttpServer.withLogAddress(App.layer(settings))))
  )
)
