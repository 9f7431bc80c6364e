/**
 * The watch over a simulated world: what happened, and whether every law holds.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import { type DrainReport, type ExitTag, tags } from "spillway/Exit"
import * as Lane from "spillway/Lane"
import type { Message } from "spillway/Message"
import type { Delivery, Outcome } from "spillway/Outcome"
import type { Inbound, Session, Stats } from "spillway/Session"
import type { Resolved } from "spillway/SessionOptions"
import type * as SimulatedClock from "../SimulatedClock.js"
import type * as Simulation from "../Simulation.js"
import { Dice } from "./dice.js"

export interface Failure {
  readonly law: string
  readonly detail: string
  readonly atMillis: number
}

/** Thrown to end the world at once. */
export class Halt extends Error {
  constructor(readonly failure: Failure) {
    super(failure.detail)
  }
}

/** All sessions are looked at so often, those to which something happened at each step. */
const roundMillis = 10_000

export class WatchedSession implements Simulation.Watched {
  session!: Session
  stats!: Stats
  readonly states: Array<Stats["state"]> = []
  pending = 0
  readonly told: { [L in Lane.Lane]: number } = { control: 0, critical: 0, important: 0, bulk: 0 }
  report: DrainReport | undefined = undefined
  endedAt: number | undefined = undefined
  silentSince: number | undefined = undefined
  frozenMillis = 0
  read = 0
  outOfOrder: number | undefined = undefined
  /** Messages that arrived and were not read, oldest first. */
  private readonly unread: Array<Uint8Array> = []
  private pressed = false
  private marked = false

  constructor(
    readonly number: number,
    readonly options: Resolved,
    readonly slot: number | undefined,
    private readonly note: (path: string) => void
  ) {}

  get arrived(): number {
    return this.read + this.unread.length
  }

  /** A message came from the wire. */
  arrives(data: Uint8Array): void {
    this.unread.push(data)
  }

  /** The handler has got a message. */
  reads(inbound: Inbound): void {
    if (this.unread.shift() !== inbound.data) this.outOfOrder ??= this.read
    this.read++
  }

  /** Reads the session anew. */
  look(): void {
    const stats = this.session.stats
    this.stats = stats
    if (this.states[this.states.length - 1] !== stats.state) this.states.push(stats.state)
    if (stats.pressure && !this.pressed) this.note("pressure")
    if (stats.slow && !this.marked) this.note("slow")
    if (stats.unreadMessages === this.options.inboxItemsMax) this.note("inbox full")
    this.pressed = stats.pressure
    this.marked = stats.slow
  }
}

export class SimWorld implements Simulation.World {
  readonly dice: Dice
  calm = false
  failure: Failure | undefined = undefined
  readonly lines: Array<string> = []
  readonly sometimes: Record<string, number> = {}
  readonly faults: Record<string, number> = {}
  readonly open = new Map<string, WatchedSession>()
  private readonly byId = new Map<string, WatchedSession>()
  readonly exits = Object.fromEntries(tags.map((tag) => [tag, 0])) as Record<ExitTag, number>
  readonly sheds: { [L in Lane.Lane]: number } = { control: 0, critical: 0, important: 0, bulk: 0 }
  readonly messages = { offered: 0, sent: 0, received: 0 }
  sessions = 0
  sessionMillis = 0
  checks = 0
  private hash = 0
  private nextRound = 0
  private readonly dirty = new Set<WatchedSession>()
  private readonly rounds = new Set<() => void>()
  private readonly end = Deferred.unsafeMake<void>(FiberId.none)
  readonly awaitEnd: Effect.Effect<void> = Deferred.await(this.end)

  constructor(
    readonly inner: SimulatedClock.World,
    seed: number,
    private readonly invariants: ReadonlyArray<Simulation.Invariant>,
    private readonly keepTrace: boolean,
    readonly pace: number
  ) {
    this.dice = new Dice(seed)
  }

  get now(): number {
    return this.inner.now
  }

  get fingerprint(): string {
    const hex = (n: number): string => (n >>> 0).toString(16).padStart(8, "0")
    return hex(this.hash) + hex(this.inner.scheduler.fingerprint)
  }

  wait(meanMillis: number): number {
    return this.dice.wait(meanMillis * this.pace)
  }

  note(path: string): void {
    this.sometimes[path] = (this.sometimes[path] ?? 0) + 1
  }

  fault(kind: string): void {
    this.faults[kind] = (this.faults[kind] ?? 0) + 1
    this.trace(`fault ${kind}`)
  }

  trace(line: string): void {
    const text = `${this.now} ${line}`
    let { hash } = this
    for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
    this.hash = hash
    if (this.keepTrace) this.lines.push(text)
  }

  broken(law: string, detail: string): void {
    this.failure ??= { law, detail, atMillis: this.now }
  }

  /** Asks in each round, until the returned function is called. */
  eachRound(check: () => void): () => void {
    this.rounds.add(check)
    return () => void this.rounds.delete(check)
  }

  /** Lets go of whoever waits for the end. */
  finish(): void {
    Deferred.unsafeDone(this.end, Effect.void)
  }

  // ---- sessions ----------------------------------------------------------------------------------------------------

  watch(options: Resolved, slot: number | undefined): WatchedSession {
    return new WatchedSession(++this.sessions, options, slot, (path) => this.note(path))
  }

  /** Its handler starts, which may be before it is known to have opened. */
  started(watched: WatchedSession, session: Session): void {
    watched.session = session
    this.byId.set(session.id, watched)
  }

  opened(watched: WatchedSession, session: Session): void {
    watched.session = session
    this.open.set(session.id, watched)
    this.touched(watched)
    this.trace(`open ${watched.number}`)
  }

  ended(watched: WatchedSession, report: DrainReport): void {
    const { lanes } = watched.session.stats
    watched.report = report
    watched.endedAt = this.now
    this.open.delete(watched.session.id)
    this.byId.delete(watched.session.id)
    this.touched(watched)
    this.exits[report.exit._tag]++
    this.sessionMillis += this.now - watched.session.stats.openedAt
    this.messages.received += watched.session.stats.receivedMessages
    for (const lane of Lane.all) {
      const counts = lanes[lane]
      this.messages.offered += counts.offered
      this.messages.sent += counts.sent
      this.sheds[lane] += counts.evicted + counts.rejected + counts.conflated + counts.expired
    }
    for (const [phase, result] of Object.entries(report.phases)) {
      if (result !== "skipped") this.note(`${phase} ${result}`)
    }
    if (report.stuck.length > 0) this.note("stuck task")
    if (report.forced > 0) this.note("forced task")
    this.trace(`exit ${watched.number} ${report.exit._tag} ${report.durationMillis}`)
  }

  touched(watched: WatchedSession): void {
    this.dirty.add(watched)
  }

  freeze(millis: number): void {
    for (const watched of this.open.values()) watched.frozenMillis += millis
    this.inner.freeze(millis)
  }

  // ---- offers ------------------------------------------------------------------------------------------------------

  offer(session: Session, message: Message): Outcome {
    const watched = this.open.get(session.id)
    // Evicting needs a full outbox, and a waiter that is let in may be of any lane.
    const before = watched !== undefined && watched.pending === 0 && session.pressure ? session.stats : undefined
    const outcome = session.unsafeOffer(message)
    this.tell(watched, message.lane, "offer", outcome)
    if (before !== undefined && outcome._tag === "QueuedEvicting") {
      this.checkEviction(before, session.stats, outcome.evicted)
    }
    return outcome
  }

  read(session: Session, inbound: Inbound): void {
    const watched = this.byId.get(session.id)
    if (watched === undefined) return
    watched.reads(inbound)
    this.touched(watched)
  }

  send(session: Session, message: Message): Effect.Effect<Outcome> {
    return this.waiting(session, message, "send", session.send(message))
  }

  deliver(session: Session, message: Message): Effect.Effect<Delivery> {
    return this.waiting(session, message, "deliver", session.deliver(message))
  }

  private waiting<A extends Outcome | Delivery>(
    session: Session,
    message: Message,
    kind: string,
    effect: Effect.Effect<A>
  ): Effect.Effect<A> {
    return Effect.suspend(() => {
      const watched = this.open.get(session.id)
      const startedAt = this.now
      if (watched !== undefined) watched.pending++
      return effect.pipe(
        Effect.map((outcome) => {
          this.tell(watched, message.lane, kind, outcome)
          if (this.now > startedAt) this.note(`${kind} waited`)
          return outcome
        }),
        Effect.onInterrupt(() => Effect.sync(() => this.note(`${kind} interrupted`))),
        Effect.ensuring(Effect.sync(() => {
          if (watched === undefined) return
          watched.pending--
          this.touched(watched)
        }))
      )
    })
  }

  private tell(watched: WatchedSession | undefined, lane: Lane.Lane, kind: string, outcome: Outcome | Delivery): void {
    this.note(`${kind} ${outcome._tag}`)
    if (watched === undefined) return
    if (outcome._tag !== "Rejected" || outcome.reason !== "Closed") watched.told[lane]++
    this.touched(watched)
  }

  /** I4: nothing is evicted from a lane while a lower one holds anything. */
  private checkEviction(before: Stats, after: Stats, evicted: number): void {
    const important = after.lanes.important.evicted - before.lanes.important.evicted
    const bulk = after.lanes.bulk.evicted - before.lanes.bulk.evicted
    if (important > 0 && after.lanes.bulk.queued > 0) {
      this.broken("I4", `${important} important were evicted while ${after.lanes.bulk.queued} bulk are queued`)
    }
    if (important + bulk !== evicted) this.broken("I2", `${evicted} evictions were told, ${important + bulk} counted`)
  }

  // ---- checks ------------------------------------------------------------------------------------------------------

  /** Nothing can run: the laws must hold. */
  step(): void {
    for (const watched of this.dirty) this.check(watched)
    this.dirty.clear()
    if (this.now >= this.nextRound) {
      this.nextRound = this.now + roundMillis
      for (const watched of this.open.values()) this.check(watched)
      for (const round of this.rounds) round()
    }
    if (this.failure !== undefined) throw new Halt(this.failure)
  }

  private check(watched: WatchedSession): void {
    watched.look()
    const view = { now: this.now, watched }
    for (const invariant of this.invariants) {
      this.checks++
      const wrong = invariant.check(view)
      if (wrong !== undefined) {
        this.broken(invariant.name, `session ${watched.number} (${watched.stats.state}): ${wrong}`)
        return
      }
    }
  }
}
