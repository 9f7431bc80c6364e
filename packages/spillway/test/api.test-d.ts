/** What the compiler infers for users of the core: errors and requirements of each effect, and what is refused. */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Either from "effect/Either"
import type * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as CloseReason from "spillway/CloseReason"
import type { DrainReport } from "spillway/Exit"
import * as Message from "spillway/Message"
import * as Metrics from "spillway/Metrics"
import type { Outcome } from "spillway/Outcome"
import * as Overflow from "spillway/Overflow"
import * as Session from "spillway/Session"
import * as Sessions from "spillway/Sessions"
import type { InvalidMessage, InvalidOption } from "spillway/SpillwayError"
import * as Telemetry from "spillway/Telemetry"
import type { Connection, Transport } from "spillway/Transport"
import { describe, expectTypeOf, it } from "vitest"

declare const session: Session.Session
declare const connection: Connection
declare const sessions: Sessions.SessionsShape

class Database extends Effect.Tag("test/Database")<Database, { readonly rows: Effect.Effect<number, "db"> }>() {}

describe("Message", () => {
  const Fill = Message.define("Fill", {
    fields: { id: Schema.Int, note: Schema.optional(Schema.String) },
    lane: "critical"
  })

  it("a declaration takes its fields and nothing else", () => {
    expectTypeOf(Fill({ id: 1 })).toEqualTypeOf<Message.Message>()
    expectTypeOf(Fill.tag).toEqualTypeOf<"Fill">()
    expectTypeOf<typeof Fill.schema.Type>().toEqualTypeOf<
      { readonly _tag: "Fill"; readonly id: number; readonly note?: string | undefined }
    >()
    // @ts-expect-error A field is missing.
    Fill({})
    // @ts-expect-error A field has another type.
    Fill({ id: "1" })
    // @ts-expect-error There is no such field.
    Fill({ id: 1, other: 2 })
    // @ts-expect-error There is no such lane.
    Message.define("Other", { fields: {}, lane: "urgent" })
    // @ts-expect-error A key is made of the fields.
    Message.define("Other", { fields: { id: Schema.Int }, key: (other) => other.name })
  })
})

describe("Session", () => {
  it("sending cannot fail and needs nothing", () => {
    expectTypeOf(session.send(Message.text("a"))).toEqualTypeOf<Effect.Effect<Outcome>>()
    expectTypeOf(session.unsafeOffer(Message.text("a"))).toEqualTypeOf<Outcome>()
    // @ts-expect-error What is sent is a message, which has a lane.
    session.send("text")
  })

  it("decoded has bad messages as values and the schema's requirements", () => {
    const Row = Schema.Struct({ id: Schema.Int })
    expectTypeOf(Session.decoded(session, Row)).toEqualTypeOf<
      Stream.Stream<Either.Either<{ readonly id: number }, InvalidMessage>>
    >()
    const Looked = Schema.declare((value): value is string => typeof value === "string") as Schema.Schema<
      string,
      string,
      Database
    >
    expectTypeOf(Session.decoded(session, Looked)).toEqualTypeOf<
      Stream.Stream<Either.Either<string, InvalidMessage>, never, Database>
    >()
  })

  it("runForEach has the errors and requirements of its function", () => {
    expectTypeOf(session.runForEach(() => Database.rows)).toEqualTypeOf<Effect.Effect<void, "db", Database>>()
    expectTypeOf(session.runForEach(() => {})).toEqualTypeOf<Effect.Effect<void>>()
  })

  it("a task brings its requirements, its errors end the session", () => {
    expectTypeOf(session.fork("rows", "finite", Database.rows)).toEqualTypeOf<Effect.Effect<boolean, never, Database>>()
    // @ts-expect-error There is no such kind of task.
    session.fork("rows", "background", Database.rows)
  })

  it("ends and sleeps are typed", () => {
    expectTypeOf(session.awaitExit).toEqualTypeOf<Effect.Effect<DrainReport>>()
    expectTypeOf(session.sleepUntilShutdown).parameter(0).toEqualTypeOf<Duration.DurationInput>()
    expectTypeOf(session.close(CloseReason.normal)).toEqualTypeOf<Effect.Effect<void>>()
    // @ts-expect-error A reason is one of the registry, or made by it.
    session.close("bye")
    // @ts-expect-error A session is read.
    session.state = "closed"
  })
})

describe("Sessions", () => {
  it("open provides the handler's scope and asks for the rest", () => {
    const handler = () => Effect.zipRight(Effect.addFinalizer(() => Effect.void), Database.rows)
    expectTypeOf(sessions.open(connection, handler)).toEqualTypeOf<Effect.Effect<Session.Session, never, Database>>()
    expectTypeOf(sessions.scoped(connection)).toEqualTypeOf<
      Effect.Effect<Session.Session, never, Scope.Scope>
    >()
  })

  it("a layer says what it fails with and what it needs", () => {
    expectTypeOf(Sessions.layer()).toEqualTypeOf<
      Layer.Layer<Sessions.Sessions, InvalidOption, Overflow.Overflow | Telemetry.Telemetry>
    >()
    // @ts-expect-error There is no such option.
    Sessions.layer({ outboxMax: 1 })
    // @ts-expect-error A duration is a duration.
    Sessions.layer({ sendTimeout: "5 lightyears" })
  })

  it("transport, overflow policy and telemetry are layers without requirements of their own", () => {
    expectTypeOf(Overflow.layerDefault).toEqualTypeOf<Layer.Layer<Overflow.Overflow>>()
    expectTypeOf(Telemetry.layerNoop).toEqualTypeOf<Layer.Layer<Telemetry.Telemetry>>()
    expectTypeOf(Metrics.layer).toEqualTypeOf<Layer.Layer<Telemetry.Telemetry>>()
    expectTypeOf(sessions.serve(() => Effect.void)).toExtend<Effect.Effect<never, unknown, Transport>>()
  })
})
