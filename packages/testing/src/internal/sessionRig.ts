/**
 * What the laws of sessions are checked with: sessions whose fibers are tracked, on a transport under test.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as HashMap from "effect/HashMap"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Supervisor from "effect/Supervisor"
import type { DrainReport } from "spillway/Exit"
import * as Lane from "spillway/Lane"
import * as Message from "spillway/Message"
import * as Overflow from "spillway/Overflow"
import type { Session } from "spillway/Session"
import type { SessionOptions } from "spillway/SessionOptions"
import * as Sessions from "spillway/Sessions"
import * as Telemetry from "spillway/Telemetry"
import type { Connection } from "spillway/Transport"
import type { LawFaults, LawHarness } from "../LawHarness.js"
import type { Way, WayContext } from "../SessionLaws.js"
import { settle } from "../Settle.js"
import { type Check, check as holds, LawViolation, pass, same, until, within } from "./lawKit.js"

interface Rig {
  readonly scope: Scope.CloseableScope
  readonly sessions: Sessions.SessionsShape
  readonly fibers: () => ReadonlyArray<Fiber.RuntimeFiber<any, any>>
}

interface Ending {
  readonly report: DrainReport
  readonly tookMillis: number
}

const build = (way: { readonly options?: SessionOptions; readonly policy?: Overflow.Options }): Check<Rig> =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    yield* Effect.addFinalizer(() =>
      Effect.interruptible(Effect.disconnect(Scope.close(scope, Exit.void))).pipe(
        Effect.forkDaemon
      )
    )
    const supervisor = yield* Supervisor.track
    const policy = way.policy === undefined ? Overflow.layerDefault : Overflow.layer(way.policy)
    const context = yield* Layer.buildWithScope(
      Sessions.layer(way.options).pipe(Layer.provide([policy, Telemetry.layerNoop])),
      scope
    ).pipe(
      Effect.supervised(supervisor),
      // What goes wrong on purpose is no news.
      Effect.provide(Logger.minimumLogLevel(LogLevel.None)),
      Effect.orDie
    )
    const fibers = () => Effect.runSync(supervisor.value).filter((fiber) => fiber.unsafePoll() === null)
    return { scope, sessions: Context.get(context, Sessions.Sessions), fibers }
  })

const isOf = (session: Session) => (fiber: Fiber.RuntimeFiber<any, any>): boolean =>
  Option.contains(HashMap.get(fiber.getFiberRef(FiberRef.currentLogAnnotations), "session"), session.id)

const passing = (harness: LawHarness) => (millis: number): Effect.Effect<void> =>
  settle.pipe(Effect.zipRight(pass(harness, millis)), Effect.zipRight(settle))

/** Waits for an effect of which parts take minutes of virtual time, or a moment of real time. */
const patiently = <A>(harness: LawHarness, fiber: Fiber.RuntimeFiber<A>, what: string) =>
  Effect.gen(function*() {
    yield* settle
    const [step, steps] = harness.advance === undefined ? [10, 500] : [5000, 80]
    for (let i = 0; i < steps && fiber.unsafePoll() === null; i++) yield* passing(harness)(step)
    yield* holds(fiber.unsafePoll() !== null, what)
    return yield* Fiber.join(fiber)
  })

/** Does something and waits for the end of the session that it causes. */
const endOf = (harness: LawHarness, session: Session, cause: Effect.Effect<unknown, Error>): Check<Ending> =>
  Effect.gen(function*() {
    const startedAt = yield* Clock.currentTimeMillis
    const fiber = yield* Effect.forkDaemon(Effect.zip(session.awaitExit, Clock.currentTimeMillis))
    yield* cause.pipe(
      Logger.withMinimumLogLevel(LogLevel.None),
      Effect.mapError((error) => new LawViolation({ what: `the cause failed: ${String(error)}` }))
    )
    const [report, endedAt] = yield* patiently(harness, fiber, "the session never ended")
    return { report, tookMillis: endedAt - startedAt }
  })

const stuckFibers = (way: Way): number =>
  (way.stuck?.length ?? 0) + (way.abandonedFinalizers ?? 0) + (way.strayFibers ?? 0)

const checkReport = (way: Way, harness: LawHarness, { report, tookMillis }: Ending): Check =>
  Effect.gen(function*() {
    yield* same(report.exit._tag, way.tag, "exit")
    if (harness.advance !== undefined) yield* same(tookMillis, way.tookMillis ?? 0, "milliseconds that the ending took")
    yield* same(report.stuck, way.stuck ?? [], "stuck tasks")
    yield* same(report.forced, way.forced ?? 0, "tasks that had to be interrupted")
    yield* same(report.phases.finalizers, way.finalizers ?? "done", "phase of the finalizers")
    if (way.tasks !== undefined) yield* same(report.phases.tasks, way.tasks, "phase of the tasks")
    if (way.close !== undefined) yield* same(report.phases.close, way.close, "phase of the close")
  })

/** I2: every offered message is in exactly one place. */
const checkConserved = (lanes: Lane.PerLane<Telemetry.LaneCounts>): Check =>
  Effect.forEach(Lane.all, (lane) => {
    const { offered, ...places } = lanes[lane]
    const counts = Object.values(places)
    return Effect.zipRight(
      same(counts.reduce((sum, count) => sum + count, 0), offered, `I2: places of what was offered in ${lane}`),
      holds(counts.every((count) => count >= 0), `a negative count in ${lane}`)
    )
  }, { discard: true })

const checkOver = (way: Way, { sessions }: Rig): Check =>
  Effect.gen(function*() {
    const { exits, sessions: left, tasks, totals } = yield* sessions.snapshot
    yield* same([left, totals.sessions], [0, 0], "sessions in the gauge")
    yield* same(tasks, {}, "running tasks")
    yield* same(Object.values(exits).reduce((sum, count) => sum + count, 0), 1, "number of exits")
    yield* same(exits[way.tag], 1, `exits by ${way.tag}`)
    yield* same(totals.stuckTasks, way.stuck?.length ?? 0, "stuck tasks in the totals")
    yield* same(totals.abandonedFinalizers, way.abandonedFinalizers ?? 0, "abandoned finalizers")
    yield* same([totals.outboxItems, totals.outboxBytes], [0, 0], "items and bytes in outboxes")
    yield* checkConserved(totals.lanes)
  })

/** Releases the sessions and looks for what is left of them and of the transport. */
const checkNothingLeft = (harness: LawHarness, rig: Rig, stuck: number): Check =>
  Effect.gen(function*() {
    const closing = yield* Effect.forkDaemon(Scope.close(rig.scope, Exit.void))
    yield* patiently(harness, closing, "the release of Sessions")
    yield* until(harness, () => rig.fibers().length <= stuck, "only the stuck fibers are left")
    yield* same(rig.fibers().length, stuck, "fibers left")
    if (harness.pending === undefined) return
    const pending = yield* harness.pending
    yield* holds(Object.values(pending).every((count) => count === 0), `left over: ${JSON.stringify(pending)}`)
  })

const lacking = (): never => {
  throw new LawViolation({ what: "the harness's client cannot have this fault" })
}

const faultsOf = (client: Partial<LawFaults>): LawFaults => ({
  resetMidFrame: client.resetMidFrame ?? Effect.sync(lacking),
  halfOpen: client.halfOpen ?? Effect.sync(lacking),
  violate: client.violate ?? lacking
})

export const check = (way: Way, harness: LawHarness): Check =>
  Effect.gen(function*() {
    const rig = yield* build(way)
    const { client, connection } = yield* harness.connect
    if (way.stalled === true) yield* client.stall
    const session = yield* rig.sessions.open(connection, way.handler ?? (() => Effect.never))
    yield* settle
    const { sessions } = rig
    const context: WayContext = { client, faults: faultsOf(client), session, sessions, pass: passing(harness) }
    const ending = yield* endOf(harness, session, way.cause(context))
    // The peer hears of it a moment later.
    yield* context.pass(1)
    yield* checkReport(way, harness, ending)
    yield* checkOver(way, rig)
    yield* same(session.state, "closed", "state")
    yield* same(connection.bufferedBytes, 0, "bytes in the process")
    yield* same(rig.fibers().filter(isOf(session)).length, stuckFibers(way), "fibers of the session")
    if (way.code !== undefined) {
      const { code } = yield* within(harness, client.awaitEnd, "the peer sees the end")
      yield* same(code, way.code, "code at the peer")
    } else yield* Effect.zipRight(client.unstall, context.pass(1))
    yield* checkNothingLeft(harness, rig, stuckFibers(way))
  })

/** A connection that notes what is asked of it. */
const spied = (connection: Connection, log: Array<string>): Connection =>
  new Proxy(connection, {
    get: (target, key) => {
      const value: unknown = Reflect.get(target, key)
      if (typeof value !== "function") return value
      return (...args: ReadonlyArray<unknown>): unknown => {
        if (key === "write" || key === "close" || key === "terminate") log.push(key)
        return Reflect.apply(value, target, args)
      }
    }
  })

export const checkOrder = (harness: LawHarness): Check =>
  Effect.gen(function*() {
    const log: Array<string> = []
    const rig = yield* build({ options: { closeTimeout: "100 millis" } })
    const note = (what: string) => Effect.sync(() => void log.push(`${what} ${rig.sessions.size}`))
    const { client, connection } = yield* harness.connect
    yield* client.stall
    const session = yield* rig.sessions.open(spied(connection, log), (session) =>
      Effect.gen(function*() {
        yield* Effect.addFinalizer(() =>
          Effect.zipRight(note("finalizer"), session.send(Message.text("from a finalizer", { lane: "critical" })))
        )
        yield* session.fork(
          "worker",
          "lifetime",
          Effect.zipRight(session.awaitShutdown, Effect.zipRight(note("signal"), note("task ends")))
        )
        yield* Effect.never
      }))
    yield* settle
    yield* Effect.forkDaemon(Effect.zipRight(session.awaitExit, note("report")))
    yield* endOf(harness, session, session.close())
    yield* passing(harness)(1)
    const order = ["signal 1", "task ends 1", "finalizer 1", "write", "close", "terminate", "report 0"]
    yield* same(log, order, "order of the steps, with the gauge")
    yield* Effect.zipRight(client.unstall, passing(harness)(1))
    yield* checkNothingLeft(harness, rig, 0)
  })
