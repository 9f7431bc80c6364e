import { assert, describe, it } from "@effect/vitest"
import * as handshake from "../src/internal/handshake.js"

const request = (changes: Record<string, string | undefined> = {}, rest: Partial<handshake.Handshake> = {}) => {
  const all: Record<string, string | undefined> = {
    host: "good.example",
    upgrade: "websocket",
    connection: "Upgrade",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    ...changes
  }
  const headers = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined))
  const rawHeaders = Object.entries(headers).flatMap(([name, value]) => [name, value!])
  return {
    method: "GET",
    httpVersionMajor: 1,
    httpVersionMinor: 1,
    headers,
    rawHeaders,
    ...rest
  } as handshake.Handshake
}

const status = (given: handshake.Handshake, origins: handshake.OriginPolicy = "sameOrigin") =>
  handshake.validate(given, origins)?.status ?? 101

describe("handshake", () => {
  it("accepts what RFC 6455 requires, in any case and with other tokens", () => {
    assert.strictEqual(status(request()), 101)
    assert.strictEqual(status(request({ upgrade: "WebSocket", connection: "keep-alive, UPGRADE" })), 101)
    assert.strictEqual(status(request({ "content-length": "0" })), 101)
  })

  const refused: ReadonlyArray<[string, number, handshake.Handshake]> = [
    ["another method", 405, request({}, { method: "POST" })],
    ["HTTP/1.0", 400, request({}, { httpVersionMinor: 0 })],
    ["no Host", 400, request({ host: undefined })],
    ["an empty Host", 400, request({ host: "" })],
    ["a plain GET", 426, request({ upgrade: undefined, connection: undefined })],
    ["another upgrade", 426, request({ upgrade: "h2c" })],
    ["an upgrade that only starts like websocket", 426, request({ upgrade: "websocketx" })],
    ["no Connection: upgrade", 426, request({ connection: "keep-alive" })],
    ["no version", 426, request({ "sec-websocket-version": undefined })],
    ["version 8", 426, request({ "sec-websocket-version": "8" })],
    ["version 13 twice", 426, request({ "sec-websocket-version": "13, 13" })],
    ["no key", 400, request({ "sec-websocket-key": undefined })],
    ["a key of 15 bytes", 400, request({ "sec-websocket-key": "dGhlIHNhbXBsZSBub24=" })],
    ["a key of 17 bytes", 400, request({ "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZTE=" })],
    ["a key that is not base64", 400, request({ "sec-websocket-key": "dGhlIHNhbXBsZSBub25j_Q==" })],
    ["two keys", 400, request({ "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==" })],
    ["an empty sub-protocol", 400, request({ "sec-websocket-protocol": "a,,b" })],
    ["a sub-protocol with a space", 400, request({ "sec-websocket-protocol": "a b" })],
    ["a repeated sub-protocol", 400, request({ "sec-websocket-protocol": "a, a" })],
    ["a body", 400, request({ "content-length": "5" })],
    ["a chunked body", 400, request({ "transfer-encoding": "chunked" })],
    ["two Host headers", 400, request({}, { rawHeaders: ["Host", "a", "host", "b"] })]
  ]
  for (const [name, expected, given] of refused) {
    it(`refuses ${name} with ${expected}`, () => {
      assert.strictEqual(status(given), expected)
    })
  }

  it("the answer to 426 names the version and the protocol, the one to 405 the method", () => {
    const response = handshake.response({ status: 426, reason: "" })
    assert.strictEqual(response.status, 426)
    assert.strictEqual(response.headers["sec-websocket-version"], "13")
    assert.strictEqual(response.headers["upgrade"], "websocket")
    assert.strictEqual(handshake.response({ status: 405, reason: "" }).headers["allow"], "GET")
  })

  it("a refusal has no body", () => {
    for (const status of [400, 403, 405, 426, 503]) {
      assert.strictEqual(handshake.response({ status, reason: "why" }).body._tag, "Empty")
    }
  })
})

describe("origin", () => {
  const hostile = [
    "https://good.example.evil.example",
    "https://evil.example",
    "https://evilgood.example",
    "https://good.example@evil.example",
    "https://good.example:8443",
    "https://good.example/",
    "https://good.example/path",
    "https://good.example?x",
    "https://good.example#x",
    "https://evil.example\\good.example",
    "https://evil.example, https://good.example",
    " null",
    "null",
    "",
    "file://good.example",
    "good.example",
    "javascript:good.example"
  ]
  const allow = { allow: ["https://good.example"], missing: "refuse" } as const

  it("the same origin and none are accepted by default, whatever the case and the default port", () => {
    assert.strictEqual(status(request()), 101)
    assert.strictEqual(status(request({ origin: "https://good.example" })), 101)
    assert.strictEqual(status(request({ origin: "http://good.example" })), 101)
    assert.strictEqual(status(request({ origin: "https://GOOD.example" })), 101)
    assert.strictEqual(status(request({ origin: "https://good.example", host: "good.example:443" })), 101)
    assert.strictEqual(status(request({ origin: "http://good.example:8080", host: "good.example:8080" })), 101)
    assert.strictEqual(status(request({ origin: "http://[::1]:80", host: "[::1]" })), 101)
  })

  for (const origin of hostile) {
    it(`${JSON.stringify(origin)} is refused with 403 by both policies`, () => {
      assert.strictEqual(status(request({ origin })), 403)
      assert.strictEqual(status(request({ origin }), allow), 403)
    })
  }

  it("the allow list compares whole origins, the scheme too, and decides about a missing origin", () => {
    assert.strictEqual(status(request({ origin: "https://good.example" }), allow), 101)
    assert.strictEqual(status(request({ origin: "http://good.example" }), allow), 403)
    assert.strictEqual(status(request(), allow), 403)
    assert.strictEqual(status(request(), { ...allow, missing: "accept" }), 101)
  })

  it("two Origin headers are refused", () => {
    const headers = ["Host", "good.example", "Origin", "https://good.example", "Origin", "https://good.example"]
    assert.strictEqual(status(request({ origin: "https://good.example" }, { rawHeaders: headers })), 403)
  })

  it("`any` accepts every origin", () => {
    assert.strictEqual(status(request({ origin: "https://evil.example" }), "any"), 101)
  })
})
