/**
 * `npm start --workspace examples/job-stream`: serves until SIGTERM or SIGINT; jobs that run then go on at the next start.
 */
import * as HttpServer from "@effect/platform/HttpServer"
import * as SpillwayServer from "@spillway/node/SpillwayServer"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { fileURLToPath } from "node:url"
import * as App from "./App.js"

/** 0 is any port that is free. */
const port = Config.validate(Config.integer("PORT"), {
  message: "a port is between 0 and 65535",
  validation: (port) => port >= 0 && port <= 65_535
})

const settings = Config.all({
  port: Config.withDefault(port, 8080),
  file: Config.withDefault(Config.string("JOBS_FILE"), fileURLToPath(new URL("../jobs.db", import.meta.url))),
  databaseUrl: Config.map(Config.option(Config.redacted("DATABASE_URL")), Option.getOrUndefined),
  readable: Config.withDefault(Config.string("READABLE"), process.cwd())
})

SpillwayServer.runMain(
  Effect.flatMap(settings, (settings) => SpillwayServer.launch(HttpServer.withLogAddress(App.layer(settings))))
)
