/**
 * A session in an ordinary route: validates the handshake, upgrades, and opens a detached session.
 *
 * @since 0.1.0
 */
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import type * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import type { Session } from "spillway/Session"
import { Sessions } from "spillway/Sessions"
import * as Upgrade from "./Upgrade.js"

/**
 * Options of the route: those of the upgrade, and how many sessions may be open.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface Options extends Upgrade.Options {
  /** With so many sessions open, of this route or any other, a handshake is refused with 503. Default: no limit. */
  readonly sessionsMax?: number
}

const drainingNow = new Upgrade.UpgradeRefused({ status: 503, reason: "the server is draining" })
const full = new Upgrade.UpgradeRefused({ status: 503, reason: "too many sessions" })

/** What belongs to the request and must not live as long as the session. */
const withoutRequest = Context.omit(
  HttpServerRequest.HttpServerRequest,
  HttpServerRequest.ParsedSearchParams,
  HttpRouter.RouteContext,
  Tracer.ParentSpan
) as <R>(context: Context.Context<R>) => Context.Context<R>

/**
 * Upgrades the request of the surrounding route and opens a session with the handler. The route answers at once; the
 * session belongs to `Sessions` and keeps the services of the route (also those that middleware provided), but not the
 * request: read from it what the handler needs before.
 *
 * **Errors** `UpgradeRefused` and `UnguardedServer`, which in the error channel of a route are the right answer by
 * themselves. While the server drains, and when it is full, the answer is 503 and nothing was upgraded.
 *
 * @example
 * import { HttpRouter } from "@effect/platform"
 * import { WebSocketRoute } from "@spillway/node"
 * import { Message } from "spillway"
 *
 * const router = HttpRouter.empty.pipe(
 *   HttpRouter.get("/ws", WebSocketRoute.upgrade((session) =>
 *     session.runForEach((message) => session.send(Message.fromFrame(message.frame)))
 *   ))
 * )
 *
 * @since 0.1.0
 * @category constructors
 */
export const upgrade = <E, R>(
  handler: (session: Session) => Effect.Effect<unknown, E, R>,
  options?: Options
): Effect.Effect<
  HttpServerResponse.HttpServerResponse,
  Upgrade.UpgradeError,
  Sessions | HttpServerRequest.HttpServerRequest | Exclude<R, Scope.Scope>
> => {
  const upgraded = Upgrade.connection(options)
  const sessionsMax = options?.sessionsMax ?? Infinity
  return Effect.flatMap(Sessions, (sessions) => {
    if (!sessions.isAccepting) return Effect.fail(drainingNow)
    if (sessions.size >= sessionsMax) return Effect.fail(full)
    // Uninterruptible from the upgrade to the session: in between nobody owns the connection.
    return Effect.uninterruptible(
      Effect.flatMap(
        upgraded,
        ({ connection, response }) =>
          Effect.as(Effect.mapInputContext(sessions.open(connection, handler), withoutRequest), response)
      )
    )
  })
}
