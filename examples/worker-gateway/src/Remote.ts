/** The command line: what it does with a gateway that runs. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as HttpClient from "@effect/platform/HttpClient"
import * as NodeDialer from "@spillway/node/NodeDialer"
import * as Clock from "effect/Clock"
import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Dialer } from "spillway/Dialer"
import * as Overflow from "spillway/Overflow"
import * as Session from "spillway/Session"
import * as Sessions from "spillway/Sessions"
import * as Telemetry from "spillway/Telemetry"
import * as Client from "./Client.js"
import * as Protocol from "./Protocol.js"
import type { SettingsShape } from "./Settings.js"

/** What a client runs on. */
export const layer = Layer.mergeAll(
  NodeDialer.layer(),
  NodeHttpClient.layer,
  Sessions.layer().pipe(Layer.provide([Overflow.layerDefault, Telemetry.layerNoop]))
)

const Killed = Schema.Struct({
  killed: Schema.Array(
    Schema.Struct({ workerId: Schema.String, pid: Schema.Number, goneMillis: Schema.NullOr(Schema.Number) })
  )
})

const place = ({ host, port }: SettingsShape) => `${host}:${port}`

/** Kills workers; whom. */
export const kill = (settings: SettingsShape, count: number) =>
  Effect.gen(function*() {
    const client = HttpClient.filterStatusOk(yield* HttpClient.HttpClient)
    const response = yield* client.post(`http://${place(settings)}/chaos/kill?count=${count}`)
    return (yield* Schema.decodeUnknown(Killed)(yield* response.json)).killed
  })

/** Kills workers and prints whom. */
export const killed = (settings: SettingsShape, count: number) =>
  Effect.flatMap(
    kill(settings, count),
    (killed) =>
      Effect.forEach(killed, ({ goneMillis, pid, workerId }) =>
        Console.log(`killed ${workerId}: process ${pid} ${goneMillis === null ? "is still there" : "is gone"}`))
  )

const last = (millis: ReadonlyArray<number>) => millis.length === 0 ? "none" : `${millis.slice(-3).join(", ")} ms`

const line = (
  { affinity, kills, poolRecoveryMillis, rebinds, requests, sessionRecoveryMillis, ...rest }: Protocol.Reading
) =>
  [
    `sessions ${rest.sessions}`,
    `serving ${rest.workers.filter(({ state }) => state === "busy" || state === "ready").length}`,
    `requests ${requests.taken} (${requests.open} open, failed ${JSON.stringify(requests.failed)})`,
    `affinity ${affinity.hits} hits ${affinity.misses} misses`,
    `kills ${kills}`,
    `rebinds ${rebinds}`,
    `lost ${rest.statesLost}`,
    `recovery: pool ${last(poolRecoveryMillis)}, sessions ${last(sessionRecoveryMillis)}`
  ].join(" | ")

/** A line each second, until the gateway ends. */
export const watch = (settings: SettingsShape) =>
  Effect.scoped(Effect.gen(function*() {
    const session = yield* (yield* Sessions.Sessions).scoped(
      yield* (yield* Dialer).dial(`ws://${place(settings)}/watch`)
    )
    yield* Session.decoded(session, Protocol.Reading.schema).pipe(
      Stream.filterMap(Option.getRight),
      Stream.zipWithIndex,
      Stream.filter(([, index]) => index % 4 === 0),
      Stream.runForEach(([reading]) => Console.log(line(reading)))
    )
  }))

const at = (sorted: ReadonlyArray<number>, ratio: number) => sorted[Math.floor(sorted.length * ratio)] ?? 0

const summary = (
  { failed, millis, progress, rebinds, requests, results, statesLost, unanswered, wrong }: Client.Outcome
) => {
  const sorted = [...millis].sort((a, b) => a - b)
  return [
    `${requests} requests: ${results} results, failed ${JSON.stringify(failed)}, ${unanswered} without an answer`,
    `${wrong} searches found something wrong; ${progress} progress messages`,
    `${rebinds} indexes built anew, ${statesLost} lost`,
    `answers within ${at(sorted, 0.5)} ms (median), ${at(sorted, 0.99)} ms (99 %), ${sorted.at(-1) ?? 0} ms (most)`
  ].join("\n")
}

/** Clients for a while, workers that are killed under them, a line each second, and what became of it. */
export const load = (settings: SettingsShape) =>
  Effect.gen(function*() {
    const { loadClients, loadKills, loadTime } = settings
    const until = (yield* Clock.currentTimeMillis) + Duration.toMillis(loadTime)
    const goesOn = Effect.map(Clock.currentTimeMillis, (now) => now < until)
    const kills = Effect.repeatN(
      Effect.delay(killed(settings, 1), Duration.times(loadTime, 1 / (loadKills + 1))),
      loadKills - 1
    )
    yield* Effect.fork(watch(settings))
    if (loadKills > 0) yield* Effect.fork(kills)
    const outcome = yield* Client.runMany(loadClients, { url: `ws://${place(settings)}/ws`, wordsPerText: 600, goesOn })
    yield* Console.log(summary(outcome))
    return outcome
  })
