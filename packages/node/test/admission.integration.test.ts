/**
 * Admission on real sockets: whoever is refused is refused before the upgrade, and room always comes back.
 */
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Admission from "spillway/Admission"
import * as Overflow from "spillway/Overflow"
import type { SessionOptions } from "spillway/SessionOptions"
import * as Sessions from "spillway/Sessions"
import * as Telemetry from "spillway/Telemetry"
import * as WebSocketRoute from "../src/WebSocketRoute.js"
import { connectRaw, connectWs, Counter, eventually, frame, handshake, type RawClient, serve } from "./support.js"

const range = (count: number) => Array.from({ length: count }, (_, i) => i)

const unauthorized = HttpServerResponse.empty({ status: 401 })

/** `?as=name` is let in as that, `?for=millis` for so long, `?wait` never; nothing is refused with 401. */
const authorize = Effect.gen(function*() {
  const { url } = yield* HttpServerRequest.HttpServerRequest
  const parameters = new URL(url, "http://localhost").searchParams
  if (parameters.has("wait")) return yield* Effect.uninterruptible(Effect.sleep("30 seconds"))
  const identity = parameters.get("as")
  if (identity === null) return yield* Effect.fail(unauthorized)
  const millis = parameters.get("for")
  const now = yield* Clock.currentTimeMillis
  return { identity, expiresAt: millis === null ? undefined : now + Number(millis) }
}).pipe(Effect.map((grant) => grant ?? {}))

interface Options {
  readonly admission?: Admission.Options
  readonly session?: SessionOptions
  readonly route?: WebSocketRoute.AdmittedOptions
}

const start = ({ admission, route, session }: Options) =>
  Effect.gen(function*() {
    const context = yield* Layer.build(
      Layer.merge(Sessions.layer({ closeTimeout: "100 millis", ...session }), Admission.layer(admission)).pipe(
        Layer.provide([Overflow.layerDefault, Telemetry.layerNoop])
      )
    )
    const counter = new Counter()
    const received: Array<string> = []
    const upgrade = WebSocketRoute.admitted(
      counter.track(authorize),
      (session) => session.runForEach(({ text }) => void received.push(text)),
      route
    )
    // A failure is a response, as in an application.
    const app = Effect.catchIf(upgrade, HttpServerResponse.isServerResponse, Effect.succeed)
    const { port } = yield* serve(HttpRouter.empty.pipe(HttpRouter.get("/ws", Effect.provide(app, context))))
    // Their own release comes first, as with `SpillwayServer.layer`: a server that closes waits for its sockets.
    yield* Effect.addFinalizer(() => Effect.flatMap(Effect.provide(Sessions.Sessions, context), ({ drain }) => drain()))
    return {
      port,
      received,
      asked: counter,
      sessions: yield* Effect.provide(Sessions.Sessions, context),
      stats: Effect.flatMap(Effect.provide(Admission.Admission, context), (service) => service.stats),
      /** A handshake and its answer. */
      shake: (path: string, headers: Record<string, string> = {}) =>
        Effect.tap(connectRaw(port, handshake(path, headers)), (client) =>
          eventually("an answer", () => client.status > 0))
    }
  })

const retryAfter = (client: RawClient): string | undefined => /^retry-after: (.*)$/im.exec(client.bytes.toString())?.[1]

const live = <E>(name: string, body: Effect.Effect<void, E, Scope.Scope>) => it.scopedLive(name, () => body)

describe("admission", () => {
  live(
    "HS10 limits are met before the upgrade: 503 for the server's, 429 for the client's, with Retry-After",
    Effect.gen(function*() {
      const { asked, sessions, shake, stats } = yield* start({
        admission: { sessionsMax: 3, sessionsPerIdentityMax: 1, retryAfter: "9 seconds" }
      })
      assert.strictEqual((yield* shake("/ws?as=a")).status, 101)
      const second = yield* shake("/ws?as=a")
      assert.deepStrictEqual([second.status, retryAfter(second)], [429, "9"])
      assert.strictEqual((yield* shake("/ws?as=b")).status, 101)
      assert.strictEqual((yield* shake("/ws?as=c")).status, 101)
      const before = asked.started
      const last = yield* shake("/ws?as=d")
      assert.deepStrictEqual([last.status, retryAfter(last)], [503, "9"])
      assert.strictEqual(asked.started, before, "a full server authorises nobody")
      yield* eventually("closed", () => last.ended || last.closed)
      assert.strictEqual(sessions.size, 3)
      assert.deepInclude(yield* stats, { leases: 3, admitted: 4, identities: 3 })
    })
  )

  live(
    "room comes back however a session ends, and however a handshake fails",
    Effect.gen(function*() {
      const { port, sessions, shake, stats } = yield* start({
        admission: { sessionsMax: 1 }
      })
      const ends: ReadonlyArray<(client: RawClient) => void> = [
        ({ socket }) => socket.end(),
        ({ socket }) => socket.resetAndDestroy(),
        ({ socket }) => socket.write(frame("x", 3))
      ]
      const leases = () => Effect.runSync(stats).leases
      const free = eventually("room comes back", () => leases() === 0)
      for (const end of ends) {
        const client = yield* shake("/ws?as=a")
        assert.strictEqual(client.status, 101)
        end(client)
        yield* free
      }
      yield* shake("/ws?as=a")
      yield* sessions.endAll("a")
      yield* free
      assert.strictEqual((yield* shake("/ws")).status, 401)
      yield* free
      assert.strictEqual((yield* shake("/ws", { "Sec-WebSocket-Key": "short" })).status, 400)
      yield* free
      const gone = yield* connectRaw(port, handshake("/ws?wait"))
      yield* eventually("it is asked", () => leases() === 1)
      gone.socket.resetAndDestroy()
      yield* free
      assert.strictEqual((yield* shake("/ws?as=a")).status, 101)
    })
  )

  live(
    "HS5 an authorisation that ignores interruption is left behind at its deadline: 503, and the room is free",
    Effect.gen(function*() {
      const { shake, stats } = yield* start({ route: { authorizationTimeout: "100 millis" } })
      const clients = yield* Effect.all(range(20).map(() => shake("/ws?wait")), { concurrency: "unbounded" })
      for (const client of clients) assert.deepStrictEqual([client.status, retryAfter(client)], [503, "1"])
      assert.deepInclude(yield* stats, { leases: 0, admitted: 20 })
    })
  )

  live(
    "HS10 a flood from one address meets its rate, and others still come in",
    Effect.gen(function*() {
      const { shake, stats } = yield* start({
        admission: { acceptsPerAddressPerSecond: 0.001, acceptBurst: "1 second", sessionsPerIdentityMax: 1000 },
        route: { trustedProxyHops: 1 }
      })
      const from = (address: string) => shake("/ws?as=x", { "X-Forwarded-For": address })
      assert.strictEqual((yield* from("192.0.2.1")).status, 101)
      // HS11: what the client writes itself is on the left of what the proxy appends.
      for (const forged of ["1.1.1.1, ", "2.2.2.2, "]) {
        const refused = yield* from(`${forged}192.0.2.1`)
        assert.strictEqual(refused.status, 429)
        assert.isAbove(Number(retryAfter(refused)), 900)
      }
      assert.strictEqual((yield* from("192.0.2.2")).status, 101)
      assert.strictEqual((yield* stats).refused.addressRate, 2)
    })
  )

  live(
    "AU1 and AU2 on the wire: a permission that expires closes with 4010, a revoked identity with 4503",
    Effect.gen(function*() {
      const { port, sessions, stats } = yield* start({})
      const short = yield* connectWs(port, "/ws?as=a&for=200")
      const long = yield* connectWs(port, "/ws?as=b&for=60000")
      yield* eventually("expired", () => short.code !== undefined)
      assert.strictEqual(short.code, 4010)
      assert.strictEqual(long.code, undefined)
      assert.strictEqual(yield* sessions.endAll("b"), 1)
      yield* eventually("revoked", () => long.code !== undefined, 1000)
      assert.strictEqual(long.code, 4503)
      yield* eventually("gone", () => sessions.size === 0)
      assert.deepInclude(yield* stats, { leases: 0 })
    })
  )
})

describe("floods of control frames", () => {
  const flooded = (opcode: number, session: SessionOptions) =>
    Effect.gen(function*() {
      const { received, sessions, shake } = yield* start({ session })
      const client = yield* shake("/ws?as=a")
      const flood = Buffer.concat(range(20_000).map(() => frame("", opcode)))
      client.socket.write(flood)
      client.socket.write(frame("behind the flood"))
      return { client, received, sessions }
    })

  live(
    "FR6 unsolicited pongs count against the inbound rate: the flooder is told 4029",
    Effect.gen(function*() {
      const { client } = yield* flooded(10, { inboundMessagesPerSecond: 1000, inboundExcess: "disconnect" })
      yield* eventually("closed", () => client.closeCode > 0)
      assert.strictEqual(client.closeCode, 4029)
    })
  )

  live(
    "FR6 or it is no longer read from: what is behind the flood waits",
    Effect.gen(function*() {
      const { received, sessions } = yield* flooded(10, { inboundMessagesPerSecond: 10 })
      yield* Effect.sleep("200 millis")
      assert.deepStrictEqual(received, [])
      assert.strictEqual(sessions.size, 1)
    })
  )

  live(
    "counter-test: without a rate 20,000 pongs are read, and so is what is behind them",
    Effect.gen(function*() {
      const { received } = yield* flooded(10, {})
      yield* eventually("read", () => received.length === 1)
    })
  )

  live(
    "FR5 pings whose answers are read count as well",
    Effect.gen(function*() {
      const { shake } = yield* start({ session: { inboundMessagesPerSecond: 50, inboundExcess: "disconnect" } })
      const client = yield* shake("/ws?as=a")
      let answered = 0
      while (client.closeCode === 0 && answered < 200) {
        // So few that `ws` does not give the peer up for not reading their answers.
        client.socket.write(Buffer.concat(range(20).map(() => frame("", 9))))
        answered += 20
        yield* eventually("answered", () => client.rest.length >= answered * 2 || client.closeCode > 0)
      }
      assert.strictEqual(client.closeCode, 4029)
      assert.isAbove(answered, 50)
    })
  )
})
