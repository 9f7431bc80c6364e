/** A client on a real socket. What it hears goes to its viewer, which outlives the connection. */
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { WebSocket } from "ws"
import type { Viewer } from "./Viewer.js"

export class ConnectFailed extends Data.TaggedError("ConnectFailed")<{ readonly url: string; readonly why: string }> {}

export interface Client {
  /** Stops reading, as a process that hangs does, or reads on: what comes meanwhile stays in the network. */
  readonly stall: (isStalled: boolean) => Effect.Effect<void>
  /** The close code, when the connection is over. */
  readonly closed: Effect.Effect<number>
}

/** Connects, goes on where the viewer is, and closes with the scope, at once. */
export const connect = (
  place: string,
  viewer: Viewer
): Effect.Effect<Client, ConnectFailed, Scope.Scope> =>
  Effect.gen(function*() {
    const clock = yield* Effect.clock
    const opened = yield* Deferred.make<void, ConnectFailed>()
    const closed = yield* Deferred.make<number>()
    const url = `ws://${place}/ws${viewer.query}`
    const socket = yield* Effect.acquireRelease(
      Effect.sync(() => new WebSocket(url, { perMessageDeflate: false, skipUTF8Validation: true })),
      (socket) => Effect.sync(() => socket.terminate())
    )
    socket.on("error", ({ message }) => {
      Deferred.unsafeDone(opened, Effect.fail(new ConnectFailed({ url, why: message })))
    })
    socket.on("open", () => Deferred.unsafeDone(opened, Effect.void))
    socket.on("close", (code) => Deferred.unsafeDone(closed, Effect.succeed(code)))
    socket.on("message", (data: Buffer) => viewer.heard(data.toString(), clock.unsafeCurrentTimeMillis()))
    yield* Deferred.await(opened)
    return {
      stall: (isStalled) => Effect.sync(() => isStalled ? socket.pause() : socket.resume()),
      closed: Deferred.await(closed)
    }
  })
