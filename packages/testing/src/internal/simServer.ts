/**
 * The server of a simulated world: owners of sessions, one after the other as deploys happen, and the fiber that accepts.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Lane from "spillway/Lane"
import * as Overflow from "spillway/Overflow"
import * as SessionOptions from "spillway/SessionOptions"
import * as Sessions from "spillway/Sessions"
import * as Telemetry from "spillway/Telemetry"
import type { Transport } from "spillway/Transport"
import type { Faults } from "../Faults.js"
import * as Leaks from "../Leaks.js"
import type { Workload } from "../Simulation.js"
import { WatchedConnection } from "./simConnection.js"
import type { SimWorld, WatchedSession } from "./simWorld.js"

interface Generation {
  readonly sessions: Sessions.SessionsShape
  readonly options: SessionOptions.Resolved
  readonly scope: Scope.CloseableScope
  /** Sessions that were opened and have not ended. */
  open: number
  /** Ends the checks of it. */
  forget: () => void
}

/** What a drain may take beyond its total: the last report, after everything was terminated. */
const drainSlackMillis = 1_000

export class SimServer {
  readonly fibers = Leaks.unsafeFiberCount()
  /** Clients by the address of their connection, until the connection is accepted. */
  readonly slots = new Map<string, number>()
  private current!: Generation
  private readonly draining: Array<Fiber.RuntimeFiber<void>> = []
  private frozenMillis = 0

  constructor(
    private readonly sim: SimWorld,
    private readonly workload: Workload,
    private readonly faults: Context.Tag.Service<Faults>,
    private readonly transport: Context.Tag.Service<typeof Transport>,
    /** Told of the session of each connection of a client, by its address. */
    private readonly joined: (remoteAddress: string, watched: WatchedSession) => void
  ) {}

  freeze(millis: number): void {
    this.frozenMillis += millis
    this.sim.freeze(millis)
  }

  /** Makes a new owner of sessions the one that accepts. */
  readonly start: Effect.Effect<void> = Effect.gen(this, function*() {
    const { overflow, session } = this.workload.options(this.sim)
    const scope = yield* Scope.make()
    const options = yield* SessionOptions.resolve(session)
    const sessions = yield* Layer.buildWithScope(
      Sessions.layer(session).pipe(Layer.provide([Overflow.layer(overflow), Telemetry.layerNoop])),
      scope
    ).pipe(Effect.supervised(this.fibers.supervisor), Effect.map(Context.get(Sessions.Sessions)))
    const generation: Generation = { sessions, options, scope, open: 0, forget: () => {} }
    this.current = generation
    generation.forget = this.sim.eachRound(() => this.checkOwner(generation))
  }).pipe(Effect.orDie)

  /** Opens a session on each connection. */
  readonly serve: Effect.Effect<never, unknown> = Effect.forever(
    Effect.suspend(() => Effect.flatMap(this.transport.accept, (connection) => this.accept(connection)))
  )

  private accept(
    connection: Effect.Effect.Success<Context.Tag.Service<typeof Transport>["accept"]>
  ): Effect.Effect<void> {
    return Effect.gen(this, function*() {
      const { sim } = this
      const generation = this.current
      const slot = this.slots.get(connection.remoteAddress)
      this.slots.delete(connection.remoteAddress)
      const watched = sim.watch(generation.options, slot)
      const port = new WatchedConnection(connection, {
        touched: () => {
          // Its session is not known before `open` has returned, and has nothing to be looked at.
          if (watched.session !== undefined) sim.touched(watched)
        },
        arrived: (data) => watched.arrives(data),
        broken: (law, detail) => sim.broken(law, `session ${watched.number}: ${detail}`)
      })
      const handler = this.faults.wrap((session) => {
        sim.started(watched, session)
        return this.workload.handler(session, sim)
      })
      generation.open++
      const session = yield* generation.sessions.open(port, handler)
      sim.opened(watched, session)
      if (slot !== undefined) this.joined(connection.remoteAddress, watched)
      yield* Effect.forkDaemon(Effect.map(session.awaitExit, (report) => {
        generation.open--
        sim.ended(watched, report)
      }))
    })
  }

  /** A new owner takes over; the old one drains, in time. */
  readonly deploy: Effect.Effect<void> = Effect.gen(this, function*() {
    const old = this.current
    this.sim.fault("deploy")
    yield* this.start
    this.draining.push(yield* Effect.forkDaemon(this.drain(old)))
  })

  readonly stop: Effect.Effect<void> = Effect.suspend(() =>
    Effect.zipRight(this.drain(this.current), Effect.asVoid(Fiber.joinAll(this.draining)))
  )

  private drain(generation: Generation): Effect.Effect<void> {
    return Effect.gen(this, function*() {
      const { dice } = this.sim
      const total = dice.pick([1_000, 10_000, 28_000])
      const frozenBefore = this.frozenMillis
      if (dice.chance(0.2)) {
        yield* Effect.forkDaemon(Effect.delay(generation.sessions.hurry, dice.between(0, total)))
      }
      const { durationMillis, terminated } = yield* generation.sessions.drain({ total })
      this.sim.trace(`drained ${durationMillis} ${terminated}`)
      if (terminated > 0) this.sim.note("drain terminated")
      const late = durationMillis - total - (this.frozenMillis - frozenBefore)
      if (late > drainSlackMillis) this.sim.broken("R2", `a drain of ${total} ms took ${durationMillis} ms`)
      yield* Scope.close(generation.scope, Exit.void)
      // Who waits for the exits has not run yet.
      yield* Effect.sleep(1)
      this.checkOwner(generation)
      generation.forget()
    })
  }

  /** S6 and I2 over all sessions of an owner. */
  private checkOwner(generation: Generation): void {
    const { sessions } = generation
    if (sessions.size !== generation.open) {
      this.sim.broken("S6", `${generation.open} sessions are open, the gauge says ${sessions.size}`)
    }
    const { totals } = Effect.runSync(sessions.snapshot)
    for (const lane of Lane.all) {
      const { offered, ...places } = totals.lanes[lane]
      const sum = Object.values(places).reduce((total, count) => total + count, 0)
      if (sum !== offered) this.sim.broken("I2", `${lane} of all sessions: ${JSON.stringify(totals.lanes[lane])}`)
    }
  }
}
