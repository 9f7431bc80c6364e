/**
 * One run of a simulation, from its first connection to the proof that nothing is left.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Scope from "effect/Scope"
import * as Message from "spillway/Message"
import { Transport } from "spillway/Transport"
import * as Faults from "../Faults.js"
import * as MemoryTransport from "../MemoryTransport.js"
import * as SimulatedClock from "../SimulatedClock.js"
import type { FaultPlan, Invariant, Report, Workload } from "../Simulation.js"
import { SimPeers } from "./simPeers.js"
import { SimServer } from "./simServer.js"
import { type Failure, Halt, SimWorld } from "./simWorld.js"

export interface Setup {
  readonly seed: number
  readonly sessions: number
  readonly duration: Duration.DurationInput
  readonly settleWithin: Duration.DurationInput
  readonly faults: FaultPlan
  readonly workload: Workload
  readonly invariants: ReadonlyArray<Invariant>
  readonly keepTrace: boolean
  readonly pace: number
}

/** What an ending can meet, as the reports say it, and what befalls a drain. */
export const paths: ReadonlyArray<string> = [
  "tasks cut",
  "finalizers cut",
  "flush done",
  "flush cut",
  "close done",
  "close cut",
  "stuck task",
  "forced task",
  "drain terminated",
  "refused: refusing",
  "refused: fault",
  "core settled"
]

/** After the drain, for what was stuck to be let go, and for the last bytes to arrive. */
const restMillis = 60_000

class Run {
  readonly sim: SimWorld
  server!: SimServer
  peers!: SimPeers
  private memory!: Context.Tag.Service<typeof MemoryTransport.MemoryTransport>
  private rules!: Context.Tag.Service<typeof Faults.Faults>

  constructor(private readonly setup: Setup, readonly world: SimulatedClock.World) {
    this.sim = new SimWorld(world, setup.seed, setup.invariants, setup.keepTrace, setup.pace)
  }

  readonly all: Effect.Effect<Report> = Effect.gen(this, function*() {
    const network = yield* Scope.make()
    yield* this.build(network)
    const accepting = yield* Effect.forkDaemon(this.server.serve)
    yield* this.peers.start
    const nemesis = yield* Effect.forEach(this.nemesis(), (fault) => Effect.forkDaemon(Effect.forever(fault)))
    yield* Effect.sleep(this.setup.duration)
    this.sim.calm = true
    yield* Fiber.interruptAll(nemesis)
    yield* this.memory.setRefusing(false)
    yield* this.settleCore
    yield* this.peers.stop
    yield* this.healAll
    yield* this.server.stop
    this.sim.finish()
    yield* this.healAll
    yield* Effect.sleep(restMillis)
    yield* Fiber.interrupt(accepting)
    yield* this.nothingLeft
    yield* Scope.close(network, Exit.void)
    return yield* this.report
  })

  private build(network: Scope.Scope): Effect.Effect<void> {
    return Effect.gen(this, function*() {
      const { faults, sessions, workload } = this.setup
      const durationMillis = Duration.toMillis(this.setup.duration)
      this.rules = yield* Faults.make(faults.rules(this.sim, sessions, durationMillis))
      const services = yield* MemoryTransport.make({ serveOrder: "shuffled" }).pipe(
        Effect.provideService(Faults.Faults, this.rules),
        Scope.extend(network)
      )
      this.memory = Context.get(services, MemoryTransport.MemoryTransport)
      const transport = Context.get(services, Transport)
      this.server = new SimServer(
        this.sim,
        workload,
        this.rules,
        transport,
        (address, watched) => this.peers.joined(address, watched)
      )
      this.peers = new SimPeers(this.sim, this.memory, workload, this.server.slots, sessions)
      yield* this.server.start
    })
  }

  /** What befalls the server again and again, each after a random time. */
  private nemesis(): ReadonlyArray<Effect.Effect<void>> {
    const { faults } = this.setup
    const after = (mean: Duration.DurationInput, fault: Effect.Effect<void>): Effect.Effect<void> =>
      Effect.zipRight(Effect.suspend(() => Effect.sleep(this.sim.wait(Duration.toMillis(mean)))), fault)
    return [
      after(faults.deployEvery, this.server.deploy),
      after(faults.clogEvery, this.clog),
      after(
        faults.freezeEvery,
        Effect.sync(() => {
          this.sim.fault("freeze")
          this.server.freeze(this.sim.dice.between(1, 3_000))
        })
      ),
      after(
        faults.refuseEvery,
        Effect.suspend(() => {
          this.sim.fault("refuse")
          const refuse = Effect.acquireUseRelease(
            this.memory.setRefusing(true),
            () => Effect.sleep(this.sim.dice.between(1, 5_000)),
            () => this.memory.setRefusing(false)
          )
          return refuse
        })
      )
    ]
  }

  /** Some clients stop reading one after the other, and start again in another order. */
  private readonly clog: Effect.Effect<void> = Effect.suspend(() => {
    const { dice } = this.sim
    const chosen = dice.shuffled([...this.peers.connected.values()]).slice(0, dice.between(1, 8))
    this.sim.fault("clog")
    const one = (act: Effect.Effect<void>) => Effect.zipRight(Effect.sleep(dice.wait(400)), act)
    const stall = Effect.forEach(chosen, (peer) => one(peer.client.stall), { discard: true })
    const unstall = Effect.forEach(dice.shuffled(chosen), (peer) => one(peer.client.unstall), { discard: true })
    return Effect.zipRight(stall, Effect.zipRight(Effect.sleep(dice.wait(3_000)), unstall))
  })

  /** Liveness: the core is healed, the rest stays as it is, and each client of the core is served. */
  private readonly settleCore: Effect.Effect<void> = Effect.suspend(() => {
    const within = Duration.toMillis(this.setup.settleWithin)
    return Effect.forEach(
      this.peers.core,
      (slot) =>
        Effect.flatMap(Effect.timeoutOption(this.serves(slot, 1), within), (served) =>
          Effect.sync(() => {
            if (served._tag === "Some") return this.sim.note("core settled")
            const stats = this.peers.connected.get(slot)?.watched?.session.stats
            const detail = JSON.stringify(stats, (_, value: unknown) => value === Infinity ? "Infinity" : value)
            this.sim.broken(
              "liveness",
              `client ${slot} is not served ${within} ms after it healed: ${detail ?? "no session"}`
            )
          })),
      { concurrency: "unbounded", discard: true }
    )
  })

  /** Sends probes to a client of the core until one arrives and nothing more is queued for it. */
  private serves(slot: number, attempt: number): Effect.Effect<void> {
    return Effect.gen(this, function*() {
      yield* this.peers.heal(slot)
      const peer = this.peers.connected.get(slot)
      const session = peer?.watched?.session
      if (peer !== undefined && session !== undefined && session.state === "open") {
        const probe = Message.text(`probe:${attempt}`, { lane: "critical" })
        yield* Effect.timeoutOption(session.deliver(probe), 3_000)
        yield* Effect.sleep(2_000)
        const { stats } = session
        if (peer.probed > 0 && stats.queuedItems + stats.inFlightBytes === 0 && stats.state === "open") return
      }
      yield* Effect.sleep(1_000)
      return yield* this.serves(slot, attempt + 1)
    })
  }

  private readonly healAll: Effect.Effect<void> = Effect.suspend(() =>
    Effect.forEach([...this.peers.everyone], (client) => Effect.zipRight(client.unstall, client.setRead(Infinity)), {
      discard: true
    })
  )

  private readonly nothingLeft: Effect.Effect<void> = Effect.gen(this, function*() {
    const { sim } = this
    const pending = yield* this.memory.pending
    const left = {
      ...pending,
      fibers: this.server.fibers.alive,
      sessions: sim.open.size,
      sleepers: this.world.sleepers
    }
    if (Object.values(left).some((count) => count !== 0)) sim.broken("nothing left", JSON.stringify(left))
    const defects = yield* this.memory.defects
    if (defects.length > 0) sim.broken("no callback throws", String(defects[0]))
    sim.step()
  })

  private readonly report: Effect.Effect<Report> = Effect.gen(this, function*() {
    const { setup, sim } = this
    for (const { fired, rule } of yield* this.rules.report) {
      const tag = rule.act._tag
      if (fired > 0) sim.faults[tag] = (sim.faults[tag] ?? 0) + fired
    }
    return {
      runs: 1,
      simulatedHours: this.world.now / 3_600_000,
      sessionHours: sim.sessionMillis / 3_600_000,
      sessions: sim.sessions,
      messages: sim.messages,
      faults: sim.faults,
      sheds: sim.sheds,
      exits: sim.exits,
      sometimes: sim.sometimes,
      checks: sim.checks,
      picks: this.world.scheduler.picks,
      fingerprint: sim.fingerprint,
      trace: setup.keepTrace ? sim.lines : []
    }
  })
}

const halted = (defect: unknown): Effect.Effect<never, Failure> =>
  defect instanceof Halt ? Effect.fail(defect.failure) : Effect.die(defect)

export const run = (setup: Setup): Effect.Effect<Report, Failure> =>
  Effect.suspend(() => {
    let current: Run | undefined
    const program = (world: SimulatedClock.World): Effect.Effect<Report> => {
      current = new Run(setup, world)
      return current.all.pipe(
        // What sessions log is of no interest here, and most of the time that a message takes.
        Effect.provide(Logger.remove(Logger.defaultLogger)),
        Logger.withMinimumLogLevel(LogLevel.None),
        Effect.withTracerEnabled(false)
      )
    }
    return SimulatedClock.run(program, { seed: setup.seed, onIdle: () => current!.sim.step() })
  }).pipe(
    Effect.catchTag("Stuck", ({ atMillis, message }) => Effect.fail({ law: "liveness", detail: message, atMillis })),
    Effect.catchAllDefect(halted)
  )
