/**
 * The three servers and the client: `node dist/main.js listener | pusher | webhook | replay [FILE.wav]`, or `--help`.
 */
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as FileSystem from "@effect/platform/FileSystem"
import * as HttpServer from "@effect/platform/HttpServer"
import * as Guard from "@spillway/node/Guard"
import * as NodeDialer from "@spillway/node/NodeDialer"
import * as SpillwayServer from "@spillway/node/SpillwayServer"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Overflow from "spillway/Overflow"
import * as Sessions from "spillway/Sessions"
import * as Telemetry from "spillway/Telemetry"
import * as Audio from "./Audio.js"
import * as Listener from "./Listener.js"
import * as Pusher from "./Pusher.js"
import { replay } from "./Replay.js"
import * as Settings from "./Settings.js"
import * as Webhook from "./Webhook.js"

const fail = (line: string) => Effect.zipRight(Console.error(line), Effect.fail("the line above says why" as const))

const announce = (name: string) =>
  Layer.effectDiscard(
    HttpServer.addressWith((address) => Console.log(`${name} listens on ${HttpServer.formatAddress(address)}`))
  )

const http = (settings: Settings.SettingsShape, port: number) =>
  Guard.layerHttpServer({ port, host: settings.host }).pipe(
    Layer.provideMerge(Layer.succeed(Settings.Settings, settings))
  )

const listener = (settings: Settings.SettingsShape) =>
  SpillwayServer.launch(Listener.layer.pipe(
    Layer.provideMerge(announce("listener")),
    Layer.provide([http(settings, settings.listenerPort), NodeDialer.layer()]),
    Layer.provide(Layer.succeed(Settings.Settings, settings))
  ))

const pusher = (settings: Settings.SettingsShape) =>
  SpillwayServer.launch(Pusher.layer.pipe(
    Layer.provideMerge(announce("pusher")),
    Layer.provide(http(settings, settings.pusherPort)),
    Layer.provide(Layer.succeed(Settings.Settings, settings))
  ))

const webhook = (settings: Settings.SettingsShape) =>
  Layer.launch(
    Layer.unwrapEffect(Effect.map(Webhook.router, (router) => HttpServer.serve(router))).pipe(
      Layer.provideMerge(announce("webhook")),
      Layer.provide(http(settings, settings.webhookPort))
    )
  )

const readWav = (file: string) =>
  Effect.gen(function*() {
    const pcm = Audio.fromWav(yield* (yield* FileSystem.FileSystem).readFile(file))
    return typeof pcm === "string" ? yield* fail(`${file} is ${pcm}`) : pcm
  })

/** Without a file: one that is made up, written, and read back like any other. */
const sample = Effect.gen(function*() {
  const files = yield* FileSystem.FileSystem
  const file = yield* files.makeTempFileScoped({ suffix: ".wav" })
  yield* files.writeFile(file, Audio.toWav(Audio.synthesise(Audio.sampleWords, Audio.sampleMillis)))
  return yield* readWav(file)
})

const play = ({ host, listenerPort }: Settings.SettingsShape, file: string | undefined) =>
  Effect.gen(function*() {
    const pcm = yield* (file === undefined ? sample : readWav(file))
    const { exit } = yield* replay({
      url: `ws://${host}:${listenerPort}/listen`,
      pcm,
      speed: 1,
      onHeard: (heard) => Console.log(JSON.stringify(heard))
    })
    yield* Console.log(`ended: ${exit._tag}`)
  }).pipe(
    Effect.scoped,
    Effect.provide(Layer.mergeAll(
      NodeContext.layer,
      NodeDialer.layer(),
      Sessions.layer().pipe(Layer.provide([Overflow.layerDefault, Telemetry.layerNoop]))
    ))
  )

const main = Effect.suspend((): Effect.Effect<unknown, unknown> => {
  const [role, file, ...others] = process.argv.slice(2)
  if (role === "--help" || role === "-h") return Console.log(Settings.help)
  const roles = { listener, pusher, webhook, replay: (settings: Settings.SettingsShape) => play(settings, file) }
  const start = roles[role as keyof typeof roles] as
    | ((settings: Settings.SettingsShape) => Effect.Effect<unknown, unknown>)
    | undefined
  const isSurplus = others.length > 0 || (file !== undefined && role !== "replay")
  if (start === undefined || isSurplus) return fail(`what to start? see --help`)
  return Effect.flatMap(
    Effect.catchAll(Settings.load, (error) => fail(String(error))),
    start
  )
})

SpillwayServer.runMain(main)
