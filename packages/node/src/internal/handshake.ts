/**
 * The opening handshake of RFC 6455 as a function from a request to its refusal. No I/O, no Effect: `ws` answers a bad
 * handshake on the socket itself and tells nobody, so everything that it would refuse is refused here first, as an
 * ordinary response.
 */
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import type * as Http from "node:http"

/** What is looked at; an `http.IncomingMessage` is one. */
export type Handshake = Pick<
  Http.IncomingMessage,
  "method" | "httpVersionMajor" | "httpVersionMinor" | "headers" | "rawHeaders"
>

export interface Refusal {
  readonly status: number
  /** For logs. It names the rule, never a value that the peer sent. */
  readonly reason: string
  /** What `Retry-After` says with 503 (where it is 1 unless given) and 429. */
  readonly retryAfterSeconds?: number
}

/** Which origins may connect. A request without `Origin` does not come from a browser. */
export type OriginPolicy =
  | "any"
  | "sameOrigin"
  | { readonly allow: ReadonlyArray<string>; readonly missing: "accept" | "refuse" }

const refuse = (status: number, reason: string): Refusal => ({ status, reason })

const keyPattern = /^[+/0-9A-Za-z]{22}==$/
const tokenPattern = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/

/** The first rule that the request breaks, or `undefined` when it may be upgraded. */
export const validate = (request: Handshake, origins: OriginPolicy): Refusal | undefined => {
  const headers = request.headers
  if (request.method !== "GET") return refuse(405, "method is not GET")
  if (headers.upgrade === undefined) return refuse(426, "not a WebSocket handshake")
  if (request.httpVersionMajor !== 1 || request.httpVersionMinor < 1) return refuse(400, "HTTP version is not 1.1")
  if (countHeader(request, "host") !== 1 || headers.host === "") return refuse(400, "Host is missing or repeated")
  if (!hasToken(headers.upgrade, "websocket")) return refuse(426, "Upgrade is not websocket")
  if (!hasToken(headers.connection, "upgrade")) return refuse(426, "Connection does not name upgrade")
  if (headers["sec-websocket-version"] !== "13") return refuse(426, "Sec-WebSocket-Version is not 13")
  if (!keyPattern.test(headers["sec-websocket-key"] ?? "")) {
    return refuse(400, "Sec-WebSocket-Key is not 16 bytes of base64")
  }
  if (protocols(headers["sec-websocket-protocol"]) === undefined) {
    return refuse(400, "Sec-WebSocket-Protocol is not a list of different tokens")
  }
  if (headers["transfer-encoding"] !== undefined || (headers["content-length"] ?? "0") !== "0") {
    return refuse(400, "a handshake has no body")
  }
  return originAccepted(request, origins) ? undefined : refuse(403, "origin is not allowed")
}

/** The sub-protocols of the header in the client's order; `undefined` when its syntax is wrong. */
export const protocols = (header: string | undefined): ReadonlyArray<string> | undefined => {
  if (header === undefined) return []
  const names = header.split(",").map((name) => name.trim())
  return names.every((name) => tokenPattern.test(name)) && new Set(names).size === names.length ? names : undefined
}

/**
 * Compares whole origins, never parts of strings: `https://good.example.evil.example` is not `https://good.example`.
 * `sameOrigin` compares host and port with `Host` and not the scheme, which a proxy that ends TLS hides.
 */
export const originAccepted = (request: Pick<Handshake, "headers" | "rawHeaders">, policy: OriginPolicy): boolean => {
  if (policy === "any") return true
  const count = countHeader(request, "origin")
  if (count === 0) return policy === "sameOrigin" || policy.missing === "accept"
  const origin = count === 1 ? serializedOrigin(request.headers.origin) : undefined
  if (origin === undefined) return false
  if (policy !== "sameOrigin") {
    return policy.allow.some((allowed) => serializedOrigin(allowed)?.origin === origin.origin)
  }
  return serializedOrigin(`${origin.protocol}//${request.headers.host}`)?.host === origin.host
}

/** A URL that is an origin and nothing more. `null`, a path, a user name or a foreign scheme make it none. */
export const serializedOrigin = (value: string | undefined): URL | undefined => {
  if (value === undefined || !URL.canParse(value)) return undefined
  const url = new URL(value)
  if (url.protocol !== "http:" && url.protocol !== "https:") return undefined
  const bare = url.pathname === "/" && url.search === "" && url.hash === "" && url.username === "" &&
    url.password === ""
  return bare && !/[\s\\/?#@]/.test(value.slice(url.protocol.length + 2)) ? url : undefined
}

/**
 * The answer to a refused handshake. It has no body: on a socket that the peer has reset, the platform waits for ever
 * for a body to be taken.
 */
export const response = (refusal: Refusal): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.empty({ status: refusal.status, headers: responseHeaders(refusal) })

const responseHeaders = ({ retryAfterSeconds = 1, status }: Refusal): Record<string, string> => {
  switch (status) {
    case 405:
      return { allow: "GET", connection: "close" }
    case 426:
      return { upgrade: "websocket", "sec-websocket-version": "13", connection: "upgrade, close" }
    case 429:
    case 503:
      return { "retry-after": String(retryAfterSeconds), connection: "close" }
    default:
      return { connection: "close" }
  }
}

const hasToken = (header: string | undefined, token: string): boolean =>
  header !== undefined && header.toLowerCase().split(",").some((part) => part.trim() === token)

/** Node keeps the first `Host` and drops others; what was sent is only in the raw headers. */
const countHeader = (request: Pick<Handshake, "rawHeaders">, name: string): number => {
  let count = 0
  for (let i = 0; i < request.rawHeaders.length; i += 2) {
    if (request.rawHeaders[i]!.toLowerCase() === name) count++
  }
  return count
}
