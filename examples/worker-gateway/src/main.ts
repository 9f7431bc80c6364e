/**
 * The gateway and its command line: `node dist/main.js [serve | load | watch | kill [COUNT] | --help]`.
 */
import * as HttpServer from "@effect/platform/HttpServer"
import * as SpillwayServer from "@spillway/node/SpillwayServer"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as App from "./App.js"
import * as Remote from "./Remote.js"
import * as Settings from "./Settings.js"

/** Ends the program with one line on stderr and exit code 1. */
const fail = (line: string) => Effect.fail(line)

const announce = Layer.effectDiscard(
  HttpServer.addressWith((address) => Console.log(`Worker gateway listens on ${HttpServer.formatAddress(address)}`))
)

const serve = (settings: Settings.SettingsShape) =>
  SpillwayServer.launch(Layer.provideMerge(announce, App.layer(settings))).pipe(
    Effect.catchTag(
      "ServeError",
      ({ cause }) => fail(`HOST, PORT: cannot listen on ${settings.host}:${settings.port}: ${String(cause)}`)
    )
  )

const load = (settings: Settings.SettingsShape) =>
  Effect.flatMap(
    Remote.load(settings),
    ({ unanswered, wrong }) => unanswered + wrong === 0 ? Effect.void : fail("not every request was answered rightly")
  )

const commandOf = (
  name: string,
  count: number
): ((settings: Settings.SettingsShape) => Effect.Effect<unknown, unknown>) | undefined => {
  const client = <A, E>(
    run: (settings: Settings.SettingsShape) => Effect.Effect<A, E, Layer.Layer.Success<typeof Remote.layer>>
  ) =>
  (settings: Settings.SettingsShape) => Effect.provide(run(settings), Remote.layer)
  switch (name) {
    case "serve":
      return serve
    case "load":
      return client(load)
    case "watch":
      return client(Remote.watch)
    case "kill":
      return client((settings) => Remote.killed(settings, count))
    default:
      return undefined
  }
}

const main = Effect.suspend((): Effect.Effect<unknown, unknown> => {
  const [name = "serve", count = "1", ...others] = process.argv.slice(2)
  if (name === "--help" || name === "-h") return Console.log(Settings.help)
  const command = commandOf(name, Number(count))
  const isSurplus = others.length > 0 || (process.argv.length > 3 && name !== "kill")
  if (command === undefined || isSurplus || !/^[1-9]\d*$/.test(count)) return fail("what to do? see --help")
  return Effect.flatMap(Effect.catchAll(Settings.load, (error) => fail(String(error))), command)
})

SpillwayServer.runMain(Effect.tapError(main, (error) => Console.error(String(error))), {
  disableErrorReporting: true,
  disablePrettyLogger: true
})
