/** What the compiler infers for users of the Node package. */
import type { HttpServer, HttpServerRequest, HttpServerResponse } from "@effect/platform"
import type { ServeError } from "@effect/platform/HttpServerError"
import * as Guard from "@spillway/node/Guard"
import * as SpillwayServer from "@spillway/node/SpillwayServer"
import type { UpgradeError } from "@spillway/node/Upgrade"
import * as WebSocketRoute from "@spillway/node/WebSocketRoute"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type { Overflow } from "spillway/Overflow"
import type { Session } from "spillway/Session"
import type { Sessions } from "spillway/Sessions"
import type { InvalidOption } from "spillway/SpillwayError"
import type { Telemetry } from "spillway/Telemetry"
import { describe, expectTypeOf, it } from "vitest"

class Database extends Effect.Tag("test/Database")<Database, { readonly rows: Effect.Effect<number, "db"> }>() {}

describe("WebSocketRoute", () => {
  it("a route asks for the handler's services, not for its scope, and fails only before the upgrade", () => {
    const handler = (session: Session) =>
      Effect.zipRight(Effect.addFinalizer(() => Effect.void), session.runForEach(() => Database.rows))
    expectTypeOf(WebSocketRoute.upgrade(handler)).toEqualTypeOf<
      Effect.Effect<
        HttpServerResponse.HttpServerResponse,
        UpgradeError,
        Sessions | HttpServerRequest.HttpServerRequest | Database
      >
    >()
    // @ts-expect-error There is no such option.
    WebSocketRoute.upgrade(handler, { sessions: 1 })
  })
})

describe("layers", () => {
  it("the sessions of a server need the server, so that they are released before it", () => {
    expectTypeOf(SpillwayServer.layer()).toEqualTypeOf<
      Layer.Layer<Sessions, InvalidOption, Overflow | Telemetry | HttpServer.HttpServer>
    >()
  })

  it("a guarded server says what it fails with", () => {
    const layer = Guard.layerHttpServer({ port: 0 })
    expectTypeOf<Layer.Layer.Error<typeof layer>>().toEqualTypeOf<ServeError | InvalidOption>()
    expectTypeOf<Layer.Layer.Context<typeof layer>>().toEqualTypeOf<never>()
    // @ts-expect-error A server without a port cannot be reached.
    Guard.layerHttpServer({})
  })
})
