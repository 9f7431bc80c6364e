/** A server in a process of its own, and what one can ask it. */
import * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as ChildProcess from "node:child_process"
import { fileURLToPath } from "node:url"

const main = fileURLToPath(new URL("./main.js", import.meta.url))

/** It ended before it listened; what it said on stderr. */
export class StartFailed extends Data.TaggedError("StartFailed")<{ readonly said: string }> {}

const Stats = Schema.Struct({
  published: Schema.Struct({
    ticks: Schema.Number,
    depths: Schema.Number,
    fills: Schema.Number,
    cut: Schema.Number
  }),
  sessions: Schema.Number,
  exits: Schema.Record({ key: Schema.String, value: Schema.Number }),
  process: Schema.Struct({ residentBytes: Schema.Number, cpuMillis: Schema.Number })
})
export type Stats = typeof Stats.Type

const Prices = Schema.Struct({
  fills: Schema.Number,
  quotes: Schema.Array(Schema.Struct({ symbol: Schema.String, n: Schema.Number, cents: Schema.Number }))
})
export type Prices = typeof Prices.Type

export type AskFailed = HttpClientError.HttpClientError | ParseResult.ParseError

export interface ServerProcess {
  /** Host and port. */
  readonly place: string
  readonly port: number
  readonly stats: Effect.Effect<Stats, AskFailed, HttpClient.HttpClient>
  readonly prices: Effect.Effect<Prices, AskFailed, HttpClient.HttpClient>
  /** Stops the feed: when this returns, `prices` are the last ones. */
  readonly pause: Effect.Effect<void, AskFailed, HttpClient.HttpClient>
}

const portOf = (child: ChildProcess.ChildProcess): Effect.Effect<number, StartFailed> =>
  Effect.async((resume) => {
    let said = ""
    child.stderr!.setEncoding("utf8").on("data", (text: string) => (said += text))
    child.stdout!.setEncoding("utf8").on("data", (text: string) => {
      const port = /listens on http:\/\/[^\s]*:(\d+)/.exec(text)?.[1]
      if (port !== undefined) resume(Effect.succeed(Number(port)))
    })
    child.on("exit", () => resume(new StartFailed({ said })))
  })

const exited = (child: ChildProcess.ChildProcess): Effect.Effect<void> =>
  Effect.async((resume) => {
    if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
    child.on("exit", () => resume(Effect.void))
  })

/** Starts it on a free port with the settings of this process; it is killed when the scope closes. */
export const start: Effect.Effect<ServerProcess, StartFailed, Scope.Scope> = Effect.gen(function*() {
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      ChildProcess.spawn(process.execPath, [main], {
        env: { ...process.env, HOST: "127.0.0.1", PORT: "0", CONTROL: "true" },
        stdio: ["ignore", "pipe", "pipe"]
      })
    ),
    (child) => Effect.zipRight(Effect.sync(() => child.kill("SIGKILL")), exited(child))
  )
  const port = yield* portOf(child)
  const place = `127.0.0.1:${port}`
  const ask = <A, I>(path: string, schema: Schema.Schema<A, I>) =>
    Effect.gen(function*() {
      const response = yield* HttpClient.filterStatusOk(yield* HttpClient.HttpClient).get(`http://${place}${path}`)
      return yield* Schema.decodeUnknown(schema)(yield* response.json)
    })
  return {
    place,
    port,
    stats: ask("/stats", Stats),
    prices: ask("/prices", Prices),
    pause: Effect.gen(function*() {
      const client = HttpClient.filterStatusOk(yield* HttpClient.HttpClient)
      yield* Effect.asVoid((yield* client.post(`http://${place}/feed/pause`)).text)
    })
  }
})
