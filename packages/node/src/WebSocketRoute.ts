/**
 * A session in an ordinary route: validates the handshake, upgrades, and opens a detached session.
 *
 * @since 0.1.0
 */
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import type * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import { Admission } from "spillway/Admission"
import type { Session } from "spillway/Session"
import { type OpenOptions, Sessions, type SessionsShape } from "spillway/Sessions"
import type { AdmissionRefused } from "spillway/SpillwayError"
import type { Connection } from "spillway/Transport"
import { clientAddress } from "./internal/clientAddress.js"
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

/**
 * What `admitted` adds: deadlines and proxies of the handshake. The limits are those of the `Admission` service.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface AdmittedOptions extends Upgrade.Options {
  /** Time for `authorize`; then 503. To be shorter than the guard's handshake timeout. Default 5 s. */
  readonly authorizationTimeout?: Duration.DurationInput
  /**
   * Proxies of our own between the client and this server, each of which appends to `X-Forwarded-For`. Default 0: the
   * header is not looked at, since anybody can send one.
   */
  readonly trustedProxyHops?: number
}

/**
 * What authorisation found out.
 *
 * @since 0.1.0
 * @category models
 */
export interface Grant {
  /** Counts against the limit per identity, and is what `Sessions.endAll` finds. */
  readonly identity?: string | undefined
  /** When the session ends with `Expired` (4010), in milliseconds of `Clock`; `Session.renew` moves it. */
  readonly expiresAt?: number | undefined
}

/**
 * Authorisation of routes that anybody may use.
 *
 * @since 0.1.0
 * @category constructors
 */
export const anonymous: Effect.Effect<Grant> = Effect.succeed({})

const drainingNow = new Upgrade.UpgradeRefused({ status: 503, reason: "the server is draining" })
const full = new Upgrade.UpgradeRefused({ status: 503, reason: "too many sessions" })

/** What belongs to the request and must not live as long as the session. */
const withoutRequest = Context.omit(
  HttpServerRequest.HttpServerRequest,
  HttpServerRequest.ParsedSearchParams,
  HttpRouter.RouteContext,
  Tracer.ParentSpan
) as <R>(context: Context.Context<R>) => Context.Context<R>

const openDetached = <E, R>(
  sessions: SessionsShape,
  connection: Connection,
  handler: (session: Session) => Effect.Effect<unknown, E, R>,
  options?: OpenOptions
): Effect.Effect<Session, never, Exclude<R, Scope.Scope>> =>
  Effect.mapInputContext(sessions.open(connection, handler, options), withoutRequest)

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
        ({ connection, response }) => Effect.as(openDetached(sessions, connection, handler), response)
      )
    )
  })
}

const authorizationTimeoutDefault = Duration.seconds(5)

const notAuthorizedInTime = new Upgrade.UpgradeRefused({ status: 503, reason: "authorisation takes too long" })

/** No room on the server is 503, no room for this client 429. */
const toRefusal = ({ limit, retryAfterMillis }: AdmissionRefused): Upgrade.UpgradeRefused =>
  new Upgrade.UpgradeRefused({
    status: limit === "sessions" || limit === "acceptRate" ? 503 : 429,
    reason: `limit "${limit}" is reached`,
    retryAfterSeconds: Math.max(1, Math.ceil(retryAfterMillis / 1000))
  })

/**
 * As `upgrade`, for clients that may be too many, or nobody: checks the handshake, asks `Admission` for room by address,
 * authorises within a deadline, asks for room by identity, and only then upgrades. Whoever is refused was never accepted:
 * 503 or 429 with `Retry-After`, or whatever `authorize` fails with. The room is given back when the session has ended, or
 * the handshake has failed, for whatever reason.
 *
 * `authorize` reads the request of the route. One that ignores interruption is left behind at the deadline.
 *
 * **Errors** those of `authorize`; `UpgradeRefused` and `UnguardedServer`, which answer for themselves.
 *
 * @example
 * import { HttpRouter, HttpServerRequest, HttpServerResponse } from "@effect/platform"
 * import { WebSocketRoute } from "@spillway/node"
 * import * as Effect from "effect/Effect"
 *
 * const authorize = Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ headers }) =>
 *   headers["authorization"] === "Bearer let me in"
 *     ? Effect.succeed({ identity: "me" })
 *     : Effect.fail(HttpServerResponse.empty({ status: 401 })))
 *
 * export const route = HttpRouter.get(
 *   "/ws",
 *   WebSocketRoute.admitted(authorize, (session) => session.runForEach(() => {}), { trustedProxyHops: 1 })
 * )
 *
 * @since 0.1.0
 * @category constructors
 */
export const admitted = <G extends Grant, AE, AR, E, R>(
  authorize: Effect.Effect<G, AE, AR>,
  handler: (session: Session, grant: G) => Effect.Effect<unknown, E, R>,
  options?: AdmittedOptions
): Effect.Effect<
  HttpServerResponse.HttpServerResponse,
  AE | Upgrade.UpgradeError,
  Admission | Sessions | HttpServerRequest.HttpServerRequest | AR | Exclude<R, Scope.Scope>
> => {
  const upgrader = Upgrade.lazy(options)
  const hops = options?.trustedProxyHops ?? 0
  const authorized = authorize.pipe(
    // An authorisation that ignores interruption must not hold the handshake.
    Effect.disconnect,
    Effect.timeoutFail({
      duration: options?.authorizationTimeout ?? authorizationTimeoutDefault,
      onTimeout: () => notAuthorizedInTime
    })
  )
  const whileAccepting = Effect.filterOrFail(Sessions, (sessions) => sessions.isAccepting, () => drainingNow)
  return Effect.scoped(Effect.gen(function*() {
    const request = yield* HttpServerRequest.HttpServerRequest
    const { accept, check } = upgrader()
    yield* whileAccepting
    yield* check(request)
    const address = clientAddress(NodeHttpServerRequest.toIncomingMessage(request), hops)
    const lease = yield* Effect.mapError(Effect.flatMap(Admission, (admission) => admission.admit(address)), toRefusal)
    const grant = yield* authorized
    const { expiresAt, identity } = grant
    if (identity !== undefined) yield* Effect.mapError(lease.identify(identity), toRefusal)
    const sessions = yield* whileAccepting
    // Uninterruptible from the upgrade to the session: in between nobody owns the connection.
    yield* Effect.uninterruptible(
      Effect.flatMap(
        accept(request),
        (connection) =>
          openDetached(sessions, connection, (session) => handler(session, grant), {
            identity,
            expiresAt,
            onEnded: lease.detach()
          })
      )
    )
    return Upgrade.switchingProtocols
  }))
}
