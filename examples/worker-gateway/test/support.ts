/** The gateway on a real port with real worker processes, and what a client runs on. */
import * as HttpServer from "@effect/platform/HttpServer"
import * as WorkerPool from "@spillway/workers/WorkerPool"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { execFileSync } from "node:child_process"
import * as App from "../src/App.js"
import { Board } from "../src/Board.js"
import * as Remote from "../src/Remote.js"
import type { SettingsShape } from "../src/Settings.js"

/** The interpreter itself: `python3` may be a script that looks for it. */
export const python = (() => {
  try {
    return execFileSync("python3", ["-c", "import sys; print(sys.executable)"], { encoding: "utf8" }).trim()
  } catch {
    return undefined
  }
})()

const settings: SettingsShape = {
  host: "127.0.0.1",
  port: 0,
  worker: "node",
  python: python ?? "python3",
  workers: 3,
  pace: 1,
  operationTimeout: Duration.seconds(60),
  checkoutTimeout: Duration.seconds(60),
  attempts: 20,
  rebuildBytes: 1024 * 1024,
  sessionBytes: 8 * 1024 * 1024,
  sessionsMax: 100,
  chaos: true,
  loadClients: 8,
  loadTime: Duration.seconds(1),
  loadKills: 0
}

/** A gateway that is up. `pids` are all processes that it has ever started. */
export const start = (change: Partial<SettingsShape> = {}) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const stop = Scope.close(scope, Exit.void)
    yield* Effect.addFinalizer(() => stop)
    const context = yield* Layer.buildWithScope(App.layer({ ...settings, ...change }), scope)
    const { address } = Context.get(context, HttpServer.HttpServer)
    const port = address._tag === "TcpAddress" ? address.port : 0
    const pool = Context.get(context, WorkerPool.WorkerPool)
    const pids = new Set((yield* pool.workers).flatMap(({ pid }) => pid ?? []))
    yield* Effect.forkIn(
      Stream.runForEach(pool.events, (event) =>
        Effect.sync(() => event._tag === "WorkerReady" && event.pid !== undefined && pids.add(event.pid))),
      scope
    )
    const read = Effect.map(Context.get(context, Board).read, (reading) => ({ _tag: "Reading" as const, ...reading }))
    return { settings: { ...settings, ...change, port }, url: `ws://127.0.0.1:${port}/ws`, pool, pids, read, stop }
  })

export const isThere = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

/** Suspends until it holds; a test that waits for ever ends by its own timeout. */
export const until = <E, R>(condition: Effect.Effect<boolean, E, R>) =>
  Effect.repeat(Effect.delay(condition, "5 millis"), { until: (holds) => holds })

export const run = <A, E>(
  body: Effect.Effect<A, E, Scope.Scope | Layer.Layer.Success<typeof Remote.layer>>
): Promise<A> =>
  Effect.runPromise(
    Effect.scoped(body).pipe(
      Effect.provide(Layer.orDie(Remote.layer)),
      Effect.provide(Logger.remove(Logger.defaultLogger))
    )
  )
