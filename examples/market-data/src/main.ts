/**
 * The server and its load: `node dist/main.js [serve | load | --help]`.
 */
import * as HttpServer from "@effect/platform/HttpServer"
import * as SpillwayServer from "@spillway/node/SpillwayServer"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Sessions from "spillway/Sessions"
import * as App from "./App.js"
import * as Load from "./Load.js"
import * as Protocol from "./Protocol.js"
import * as Settings from "./Settings.js"

/** Ends the program with one line on stderr and exit code 1. */
const fail = (line: string) => Effect.fail(line)

const announce = Layer.effectDiscard(
  HttpServer.addressWith((address) => Console.log(`Market data listens on ${HttpServer.formatAddress(address)}`))
)

const draining = ({ afterMillis, jitterMillis }: Sessions.Announcement) =>
  Protocol.Draining({ afterMs: Math.round(afterMillis), jitterMs: Math.round(jitterMillis) })

const serve = (settings: Settings.SettingsShape) =>
  SpillwayServer.launch(Layer.provideMerge(announce, App.layer(settings)), { announce: draining }).pipe(
    Effect.catchTag(
      "ServeError",
      ({ cause }) => fail(`HOST, PORT: cannot listen on ${settings.host}:${settings.port}: ${String(cause)}`)
    )
  )

const load = (settings: Settings.SettingsShape) =>
  Effect.flatMap(Load.run(settings), (isRight) => isRight ? Effect.void : fail("not every client is right"))

const commands = new Map<string, (settings: Settings.SettingsShape) => Effect.Effect<unknown, unknown>>([
  ["serve", serve],
  ["load", load]
])

const main = Effect.suspend((): Effect.Effect<unknown, unknown> => {
  const [name = "serve", ...others] = process.argv.slice(2)
  if (name === "--help" || name === "-h") return Console.log(Settings.help)
  const command = commands.get(name)
  if (command === undefined || others.length > 0) return fail("what to do? see --help")
  return Effect.flatMap(Effect.catchAll(Settings.load, (error) => fail(String(error))), command)
})

SpillwayServer.runMain(Effect.tapError(main, (error) => Console.error(String(error))), {
  disableErrorReporting: true,
  disablePrettyLogger: true
})
