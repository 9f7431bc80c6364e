/**
 * What the tests of sessions share: a rig of `Sessions` on a memory transport under `TestClock`, and what must be true
 * when a test is over: no session, no fiber, no connection, no byte is left, and every message is accounted for.
 */
import { assert, it } from "@effect/vitest"
import {
  type ConnectOptions,
  layer as memoryLayer,
  type MemoryClient,
  MemoryTransport
} from "@spillway/testing/MemoryTransport"
import { settle } from "@spillway/testing/Settle"
import * as VirtualClock from "@spillway/testing/VirtualClock"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Effect_Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as HashMap from "effect/HashMap"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import * as Supervisor from "effect/Supervisor"
import * as TestClock from "effect/TestClock"
import type { DrainReport } from "../src/Exit.js"
import * as Lane from "../src/Lane.js"
import * as Message from "../src/Message.js"
import * as Overflow from "../src/Overflow.js"
import type { Session } from "../src/Session.js"
import type { SessionOptions } from "../src/SessionOptions.js"
import * as Sessions from "../src/Sessions.js"
import * as Telemetry from "../src/Telemetry.js"
import { type Connection, Transport } from "../src/Transport.js"

/** A session together with its client, and the raw connection between them. */
export interface Pair {
  readonly client: MemoryClient
  readonly session: Session
}

export type Handler = (session: Session) => Effect.Effect<unknown, unknown, Scope.Scope>

export interface Rig {
  readonly sessions: Sessions.SessionsShape
  readonly memory: Context.Tag.Service<typeof MemoryTransport>
  /** A connected client and the server's end, not attached yet. */
  readonly connect: (
    options?: ConnectOptions
  ) => Effect.Effect<{ readonly client: MemoryClient; readonly connection: Connection }>
  /** A session with a handler that does nothing for ever unless given. */
  readonly open: (handler?: Handler, options?: ConnectOptions) => Effect.Effect<Pair>
  /** `Sessions.serve` on the rig's transport. */
  readonly serve: (handler: Handler) => Effect.Effect<never, unknown>
  readonly snapshot: Effect.Effect<Sessions.Snapshot>
  /** Fibers that the sessions started and that still run. */
  readonly fibers: () => ReadonlyArray<Fiber.RuntimeFiber<any, any>>
  /** Those of one session. */
  readonly fibersOf: (session: Session) => number
  /** Messages that were logged, oldest first. */
  readonly logged: ReadonlyArray<string>
}

export interface RigOptions {
  readonly session?: SessionOptions | undefined
  readonly policy?: Layer.Layer<Overflow.Overflow, any> | undefined
  readonly telemetry?: Layer.Layer<Telemetry.Telemetry> | undefined
  /** Fibers that may be left at the end: those that ignore interruption for ever. */
  readonly stuckFibers?: number | undefined
  /** Seed of what is random: ids, and when the first ping goes out. The same in every run unless given. */
  readonly seed?: number | undefined
}

/** Lets time pass, with everything at rest before and after. */
export const advance = (duration: Duration.DurationInput): Effect.Effect<void> =>
  Effect.zipRight(settle, Effect.zipRight(TestClock.adjust(duration), settle))

/** A handler that reads nothing and never ends. */
export const idle: Handler = () => Effect.never

const annotations = (fiber: Fiber.RuntimeFiber<any, any>) => fiber.getFiberRef(FiberRef.currentLogAnnotations)

const isOf = (session: Session) => (fiber: Fiber.RuntimeFiber<any, any>): boolean =>
  Option.contains(HashMap.get(annotations(fiber), "session"), session.id)

const build = (options: RigOptions, scope: Scope.Scope) =>
  Effect.gen(function*() {
    const supervisor = yield* Supervisor.track
    const logged: Array<string> = []
    const logger = Logger.make(({ message }) => void logged.push(String(Array.isArray(message) ? message[0] : message)))
    const network = yield* Layer.buildWithScope(memoryLayer(), scope)
    const context = yield* Layer.buildWithScope(
      Sessions.layer(options.session).pipe(
        Layer.provide([options.policy ?? Overflow.layerDefault, options.telemetry ?? Telemetry.layerNoop])
      ),
      scope
    ).pipe(Effect.supervised(supervisor), Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
    const fibers = () => Effect.runSync(supervisor.value).filter((fiber) => fiber.unsafePoll() === null)
    return rig(Context.merge(network, context), fibers, logged)
  })

const rig = (
  context: Context.Context<MemoryTransport | Transport | Sessions.Sessions>,
  fibers: Rig["fibers"],
  logged: Rig["logged"]
): Rig => {
  const sessions = Context.get(context, Sessions.Sessions)
  const memory = Context.get(context, MemoryTransport)
  const transport = Context.get(context, Transport)
  const connect: Rig["connect"] = (options) =>
    Effect.orDie(Effect.all({ client: memory.connect(options), connection: transport.accept }))
  const open: Rig["open"] = (handler = idle, options) =>
    Effect.flatMap(
      connect(options),
      ({ client, connection }) =>
        Effect.map(Effect.zipLeft(sessions.open(connection, handler), settle), (session) => ({ client, session }))
    )
  const fibersOf: Rig["fibersOf"] = (session) => fibers().filter(isOf(session)).length
  const serve: Rig["serve"] = (handler) => Effect.provideService(sessions.serve(handler), Transport, transport)
  return { sessions, memory, connect, open, serve, snapshot: sessions.snapshot, fibers, fibersOf, logged }
}

/** Closes the scope while time passes, as releasing `Sessions` waits for deadlines. */
const closeInTime = (scope: Scope.CloseableScope): Effect.Effect<void> =>
  Effect.gen(function*() {
    const closing = yield* Effect.forkDaemon(Scope.close(scope, Effect_Exit.void))
    yield* settle
    for (let seconds = 0; seconds < 40 && closing.unsafePoll() === null; seconds++) yield* advance("1 second")
    assert.isNotNull(closing.unsafePoll(), "releasing Sessions took longer than its drain may")
  })

/** What must be true when nothing is left. */
export const assertNothingLeft = (rig: Rig, stuckFibers = 0): Effect.Effect<void> =>
  Effect.gen(function*() {
    const snapshot = yield* rig.snapshot
    assert.strictEqual(snapshot.sessions, 0)
    assert.strictEqual(snapshot.totals.outboxItems + snapshot.totals.outboxBytes, 0)
    assertConserved(snapshot.totals.lanes)
    assert.deepStrictEqual(rig.sessions.memory, { chargedBytes: 0, heldBytes: 0, deadlines: 0 })
    assert.deepStrictEqual(yield* rig.memory.defects, [])
    assert.deepStrictEqual(yield* rig.memory.pending, { connections: 0, backlog: 0, bytes: 0, timers: 0 })
    assert.strictEqual(rig.fibers().length, stuckFibers, "fibers left")
  })

/** Runs a body on a rig, with a clock and a random of its own, releases the rig and checks that nothing is left. */
export const withRig = <E>(
  options: RigOptions,
  body: (rig: Rig) => Effect.Effect<void, E, Scope.Scope>
): Effect.Effect<void, unknown> =>
  Effect.suspend(() =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const rig = yield* build(options, scope)
      yield* Effect.onError(body(rig), () => Effect.ignore(closeInTime(scope)))
      yield* closeInTime(scope)
      yield* assertNothingLeft(rig, options.stuckFibers)
    }).pipe(Effect.scoped, Effect.withRandom(Random.make(options.seed ?? 0)), Effect.withClock(VirtualClock.make()))
  )

/** A test on a rig. */
export const test = <E>(
  name: string,
  options: RigOptions,
  body: (rig: Rig) => Effect.Effect<void, E, Scope.Scope>
): void => it.scoped(name, () => withRig(options, body))

/** I2: every offered message is in exactly one place. */
export const assertConserved = (lanes: Lane.PerLane<Telemetry.LaneCounts>): void => {
  for (const lane of Lane.all) {
    const { offered, ...places } = lanes[lane]
    const sum = Object.values(places).reduce((total, count) => total + count, 0)
    assert.strictEqual(offered, sum, `I2 in ${lane}: ${JSON.stringify(lanes[lane])}`)
    for (const [place, count] of Object.entries(places)) assert.isAtLeast(count, 0, `${lane} ${place}`)
  }
}

/** An ending: its report, how long it took since `watch`, and what the client saw. */
export interface Ending {
  readonly report: DrainReport
  readonly tookMillis: number
}

/** Starts to watch for the end of a session; the returned effect waits for it while time passes. */
export const watch = (session: Session): Effect.Effect<Effect.Effect<Ending>> =>
  Effect.gen(function*() {
    const startedAt = yield* Clock.currentTimeMillis
    const fiber = yield* Effect.forkDaemon(Effect.zip(session.awaitExit, Clock.currentTimeMillis))
    return Effect.gen(function*() {
      yield* settle
      for (let i = 0; i < 80 && fiber.unsafePoll() === null; i++) yield* advance("5 seconds")
      assert.isNotNull(fiber.unsafePoll(), "the session never ended")
      const [report, endedAt] = yield* Fiber.join(fiber)
      return { report, tookMillis: endedAt - startedAt }
    })
  })

/** Does something and waits for the end of the session that it causes. */
export const endOf = <E, R>(session: Session, cause: Effect.Effect<unknown, E, R>): Effect.Effect<Ending, E, R> =>
  Effect.flatMap(watch(session), (awaitEnding) => Effect.zipRight(cause, awaitEnding))

export const bulk = (text: string, options?: Message.Options) => Message.text(text, { lane: "bulk", ...options })
export const important = (text: string, options?: Message.Options) =>
  Message.text(text, { lane: "important", ...options })
export const critical = (text: string, options?: Message.Options) =>
  Message.text(text, { lane: "critical", ...options })
export const control = (text: string, options?: Message.Options) => Message.text(text, { lane: "control", ...options })

/** A payload of exactly so many bytes. */
export const payload = (bytes: number): string => "x".repeat(bytes)

/** Texts that a client received so far. */
export const texts = (client: MemoryClient): Effect.Effect<ReadonlyArray<string>> =>
  Effect.map(client.received, (messages) => messages.map(({ text }) => text))

/** Fills what lies below the lanes: the client stops reading and one message fills socket and process buffers. */
export const clog = ({ client, session }: Pair): Effect.Effect<void> =>
  Effect.gen(function*() {
    yield* client.stall
    yield* session.send(important(payload(600_000)))
    yield* settle
    assert.isAbove(session.stats.inFlightBytes, 0)
  })

/** A session with a bound of ten messages that is full of `critical`, and whose client does not read. */
export const openFull = (rig: Rig): Effect.Effect<Pair> =>
  Effect.gen(function*() {
    const pair = yield* rig.open()
    yield* clog(pair)
    for (let i = 0; i < 10; i++) yield* pair.session.send(critical("x"))
    return pair
  })

export { settle }
