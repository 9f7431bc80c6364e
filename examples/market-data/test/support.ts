/** The server on a real port, links of every speed to it, and clients. */
import * as HttpServer from "@effect/platform/HttpServer"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Scope from "effect/Scope"
import * as App from "../src/App.js"
import { Feed } from "../src/Feed.js"
import { Follower } from "../src/Follower.js"
import * as Link from "../src/Link.js"
import type { SettingsShape } from "../src/Settings.js"
import { settings } from "./virtual.js"

/** A server whose feed does nothing by itself. */
export const start = (change: Partial<SettingsShape> = {}) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    yield* Effect.addFinalizer(() => Scope.close(scope, Exit.void))
    const context = yield* Layer.buildWithScope(App.layer({ ...settings, ...change }), scope)
    const { address } = Context.get(context, HttpServer.HttpServer)
    return { port: address._tag === "TcpAddress" ? address.port : 0, feed: Context.get(context, Feed) }
  })

/** A client that has been welcomed, over a link of so many bytes a second or none. It comes again when it is closed. */
export const connect = (port: number, bytesPerSecond?: number) =>
  Effect.gen(function*() {
    const link = bytesPerSecond === undefined ? { port } : yield* Link.make({ port, bytesPerSecond })
    const follower = new Follower(`127.0.0.1:${link.port}`)
    yield* Effect.forkScoped(follower.follow)
    yield* until(Effect.sync(() => follower.viewer.welcome !== undefined))
    return follower
  })

/** Suspends until it holds; a test that waits for ever ends by its own timeout. */
export const until = <E, R>(condition: Effect.Effect<boolean, E, R>) =>
  Effect.repeat(Effect.delay(condition, "5 millis"), { until: (holds) => holds })

export const run = <A, E>(body: Effect.Effect<A, E, Scope.Scope>): Promise<A> =>
  Effect.runPromise(Effect.scoped(body).pipe(Effect.provide(Logger.remove(Logger.defaultLogger))))
