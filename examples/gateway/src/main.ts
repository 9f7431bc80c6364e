/**
 * The gateway: `npm start` at the root of the repository, or `node dist/main.js [--help]`.
 */
import * as HttpServer from "@effect/platform/HttpServer"
import * as Guard from "@spillway/node/Guard"
import * as SpillwayServer from "@spillway/node/SpillwayServer"
import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Admission from "spillway/Admission"
import * as Metrics from "spillway/Metrics"
import * as Overflow from "spillway/Overflow"
import type * as Sessions from "spillway/Sessions"
import * as Heartbeats from "./Heartbeats.js"
import * as Host from "./Host.js"
import * as HostFeed from "./HostFeed.js"
import * as Http from "./Http.js"
import * as Page from "./Page.js"
import * as Policies from "./Policies.js"
import * as Process from "./Process.js"
import * as Protocol from "./Protocol.js"
import * as Settings from "./Settings.js"
import * as Topics from "./Topics.js"

/** Ends the program with one line on stderr and exit code 1. */
const fail = (line: string) => Effect.zipRight(Console.error(line), Effect.fail("the line above says why" as const))

/** Logs go to stderr: stdout has the one line that says where the server listens. */
const loggerLayer = ({ logFormat, logLevel }: Settings.SettingsShape) => {
  const loggers = {
    json: Logger.withConsoleError(Logger.jsonLogger),
    logfmt: Logger.withConsoleError(Logger.logfmtLogger),
    pretty: Logger.prettyLogger({ stderr: true })
  }
  return Layer.merge(Logger.replace(Logger.defaultLogger, loggers[logFormat]), Logger.minimumLogLevel(logLevel))
}

/** Printed when everything is up. */
const announceLayer = ({ tlsCertificate }: Settings.SettingsShape) =>
  Layer.effectDiscard(HttpServer.addressWith((address) => {
    // The platform knows no other scheme than `http`.
    const url = HttpServer.formatAddress(address).replace(/^http:/, tlsCertificate === "" ? "http:" : "https:")
    return Console.log(`Spillway gateway listens on ${url}`)
  }))

/** Read from the bottom up: settings, HTTP server, sessions on top of it, and what uses them. */
const appLayer = (settings: Settings.SettingsShape) =>
  announceLayer(settings).pipe(
    Layer.provide(Layer.unwrapEffect(Effect.map(Http.router, (router) => HttpServer.serve(router)))),
    Layer.provide([HostFeed.layer, Heartbeats.layer]),
    Layer.provideMerge(Topics.layer),
    Layer.provideMerge(Policies.layer(settings)),
    Layer.provideMerge(SpillwayServer.layer(Settings.toSessionOptions(settings))),
    Layer.provide(Admission.layer(Settings.toAdmissionOptions(settings))),
    Layer.provide([Overflow.layerDefault, Metrics.layer]),
    Layer.provide([Host.layer, Page.layer, Process.layer]),
    Layer.provide(Guard.layerHttpServer(Settings.toServerOptions(settings))),
    Layer.provide(Layer.succeed(Settings.Settings, settings))
  )

/** `launch` takes up to three seconds after the drain to release the rest; they are part of the budget. */
const drainOptions = ({ drainBudget, drainGrace }: Settings.SettingsShape): Sessions.DrainOptions => ({
  total: Duration.max(Duration.subtract(drainBudget, Duration.seconds(3)), Duration.times(drainBudget, 0.5)),
  grace: drainGrace,
  announce: Protocol.draining,
  reconnectAfter: drainGrace
})

const serve = (settings: Settings.SettingsShape) =>
  SpillwayServer.launch(appLayer(settings), drainOptions(settings)).pipe(
    Effect.catchTag(
      "ServeError",
      (error) => fail(`PORT, HOST: cannot listen on ${settings.host}:${settings.port}: ${String(error.cause)}`)
    ),
    Effect.catchTag(
      "InvalidOption",
      (error) =>
        fail(error.key === "tls" ? "GATEWAY_TLS_CERT, GATEWAY_TLS_KEY: not a certificate and its key" : error.message)
    ),
    Effect.provide(loggerLayer(settings))
  )

const start = Effect.flatMap(
  Effect.catchAll(Settings.load, (error) => fail(Settings.explain(error))),
  serve
)

const main = Effect.suspend(() => {
  const [argument, ...others] = process.argv.slice(2)
  if (argument === undefined) return start
  return (argument === "--help" || argument === "-h") && others.length === 0
    ? Console.log(Settings.help)
    : fail(`unknown argument ${argument}; see --help`)
})

SpillwayServer.runMain(main, { disableErrorReporting: true, disablePrettyLogger: true })
