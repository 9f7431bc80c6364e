/**
 * The clients of a simulated world: each connects, behaves, loses its connection and comes back.
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { MemoryClient, MemoryMessage } from "../MemoryClient.js"
import type { MemoryTransport } from "../MemoryTransport.js"
import type { Peer, Workload } from "../Simulation.js"
import { headOf } from "./memoryClient.js"
import type { SimWorld, WatchedSession } from "./simWorld.js"

/** A client that hears nothing gives up after about so long. */
const silenceMillis = 20_000

/** Bytes in which a message says which one it is. */
const headBytes = 24

/** Part of the clients that heals when the faults stop. */
const coreRatio = 0.7

export class SimPeer implements Peer {
  watched: WatchedSession | undefined = undefined
  silentAt: number | undefined = undefined
  private onSilent: (() => void) | undefined = undefined
  /** Number of the probe that it received last. */
  probed = 0
  actor: Fiber.RuntimeFiber<unknown, unknown> | undefined = undefined
  /** Number of the last message of each lane. */
  private readonly seqs = [0, 0, 0, 0]

  constructor(
    readonly slot: number,
    readonly core: boolean,
    readonly client: MemoryClient,
    private readonly sim: SimWorld
  ) {}

  readonly silent = (): void => {
    this.silentAt ??= this.sim.now
    this.onSilent?.()
    if (this.watched !== undefined) this.watched.silentSince ??= this.silentAt
  }

  /** Suspends until it is silent. */
  readonly awaitSilence: Effect.Effect<void> = Effect.async<void>((resume) => {
    if (this.silentAt !== undefined) return resume(Effect.void)
    this.onSilent = () => resume(Effect.void)
  })

  receives(message: MemoryMessage): void {
    const text = headOf(message, headBytes)
    if (text.startsWith("probe:")) {
      this.probed = Number(text.slice(6))
      return
    }
    const [lane, seq] = text.split(":").map(Number)
    if (lane === undefined || seq === undefined || !(lane >= 0 && lane <= 3) || Number.isNaN(seq)) return
    this.sim.trace(`got ${this.slot} ${lane} ${seq}`)
    if (seq <= this.seqs[lane]!) {
      this.sim.broken("I3", `client ${this.slot} got ${seq} after ${this.seqs[lane]} in lane ${lane}`)
    }
    this.seqs[lane] = seq
  }
}

export class SimPeers {
  /** Those that are connected, by slot. */
  readonly connected = new Map<number, SimPeer>()
  /** Those whose connection may not have ended. */
  readonly everyone = new Set<MemoryClient>()
  private readonly byAddress = new Map<string, SimPeer>()
  private readonly early = new Map<string, WatchedSession>()
  private readonly fibers: Array<Fiber.RuntimeFiber<unknown, unknown>> = []
  private readonly cores: ReadonlyArray<boolean>
  private connections = 0

  constructor(
    private readonly sim: SimWorld,
    private readonly memory: Context.Tag.Service<typeof MemoryTransport>,
    private readonly workload: Workload,
    readonly slots: Map<string, number>,
    sessions: number
  ) {
    this.cores = Array.from({ length: sessions }, () => sim.dice.chance(coreRatio))
  }

  /** Slots of the core; at least one. */
  get core(): ReadonlyArray<number> {
    const core = this.cores.flatMap((isCore, slot) => isCore ? [slot] : [])
    return core.length === 0 ? [0] : core
  }

  readonly start: Effect.Effect<void> = Effect.suspend(() =>
    Effect.forEach(
      this.cores,
      (_, slot) =>
        Effect.map(Effect.forkDaemon(Effect.forever(Effect.catchAll(this.live(slot), () => Effect.void))), (fiber) => {
          this.fibers.push(fiber)
        }),
      { discard: true }
    )
  )

  readonly stop: Effect.Effect<void> = Effect.suspend(() => Effect.asVoid(Fiber.interruptAll(this.fibers)))

  /** What is left of a client that is healed: it reads, and does nothing by itself any more. */
  heal(slot: number): Effect.Effect<void> {
    return Effect.suspend(() => {
      const peer = this.connected.get(slot)
      if (peer === undefined) return Effect.void
      const stop = peer.actor === undefined ? Effect.void : Fiber.interruptFork(peer.actor)
      return Effect.all([stop, peer.client.unstall, peer.client.setRead(Infinity)], { discard: true })
    })
  }

  /** A session was opened on the connection with this address: before or after its client knows of it. */
  joined(remoteAddress: string, watched: WatchedSession): void {
    const peer = this.byAddress.get(remoteAddress)
    if (peer === undefined) this.early.set(remoteAddress, watched)
    else this.join(peer, watched)
  }

  private join(peer: SimPeer, watched: WatchedSession): void {
    peer.watched = watched
    if (peer.silentAt !== undefined) peer.silent()
  }

  /** One connection of a client, to its end. */
  private live(slot: number): Effect.Effect<void, unknown> {
    return Effect.gen(this, function*() {
      const { sim, workload } = this
      yield* Effect.sleep(sim.dice.wait(sim.calm ? 200 : 1_500))
      const remoteAddress = `${slot}.${this.connections++}`
      this.slots.set(remoteAddress, slot)
      const connecting = this.memory.connect({ historyMessages: 0, ...workload.connect(sim), remoteAddress })
      const client = yield* Effect.tapError(connecting, (refused) =>
        Effect.sync(() => {
          this.slots.delete(remoteAddress)
          sim.note(`refused: ${refused.why}`)
        }))
      const peer = new SimPeer(slot, this.cores[slot] === true, client, sim)
      this.connected.set(slot, peer)
      this.byAddress.set(remoteAddress, peer)
      const early = this.early.get(remoteAddress)
      if (early !== undefined) this.join(peer, early)
      this.early.delete(remoteAddress)
      this.everyone.add(client)
      sim.trace(`connect ${slot}`)
      const reads = Effect.forever(Effect.map(client.take, (message) => peer.receives(message)))
      const reader = yield* Effect.forkDaemon(reads)
      peer.actor = yield* Effect.forkDaemon(Effect.catchAllDefect(
        workload.client(peer, sim),
        (defect) => Effect.sync(() => sim.broken("no client throws", String(defect)))
      ))
      // The fiber of a client that is stopped for good lets go of its two helpers.
      yield* Effect.ensuring(
        this.untilOver(peer),
        Effect.suspend(() => {
          if (this.connected.get(slot) === peer) this.connected.delete(slot)
          this.byAddress.delete(remoteAddress)
          const forget = Effect.map(client.ended, (end) => end === undefined || this.everyone.delete(client))
          return Effect.zipRight(forget, Fiber.interruptAll([reader, peer.actor!]))
        })
      )
    })
  }

  private untilOver(peer: SimPeer): Effect.Effect<void> {
    const { sim } = this
    const over = Effect.map(peer.client.awaitEnd, ({ clean, code }) => sim.trace(`end ${peer.slot} ${code} ${clean}`))
    const silence = Effect.zipRight(peer.awaitSilence, Effect.sleep(silenceMillis))
    return Effect.raceFirst(over, silence)
  }
}
