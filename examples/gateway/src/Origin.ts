/**
 * Which web pages may connect. A browser sends the `Origin` of the page with each WebSocket handshake and each `POST`; a
 * page of another site could otherwise use this server with the visitor's network position and cookies. A request without
 * `Origin` does not come from a page and is accepted.
 */
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import { Settings } from "./Settings.js"

/** Whether a page of this origin may use a server that was reached as `host` (name and port). */
export const isAllowed = (
  origin: string | undefined,
  host: string | undefined,
  allowed: ReadonlyArray<string>
): boolean => origin === undefined || allowed.includes("*") || allowed.includes(origin) || isSameOrigin(origin, host)

/** Compares host and port. The scheme is left out: behind a proxy that ends TLS the server does not know it. */
const isSameOrigin = (origin: string, host: string | undefined): boolean =>
  host !== undefined && URL.canParse(origin) && new URL(origin).host === host.toLowerCase()

/** Answers 403 to pages that are not allowed, and goes on otherwise. */
export const guard = <E, R>(
  route: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>
): Effect.Effect<
  HttpServerResponse.HttpServerResponse,
  E,
  R | Settings | HttpServerRequest.HttpServerRequest
> =>
  Effect.gen(function*() {
    const { headers } = yield* HttpServerRequest.HttpServerRequest
    const { allowedOrigins } = yield* Settings
    return isAllowed(headers["origin"], headers["host"], allowedOrigins)
      ? yield* route
      : HttpServerResponse.unsafeJson({ error: "this origin is not allowed" }, { status: 403 })
  })
