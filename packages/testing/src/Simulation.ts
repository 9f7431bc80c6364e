/**
 * Many real sessions under random work and random faults, in a simulated world, from one seed.
 *
 * ```
 * clients ─▶ memory network (fault rules) ─▶ Sessions (real) ─▶ handler of the workload
 *    └────────── the watch: checks the invariants at each step, and counts what happened ──────────┘
 *
 * faults for `duration` ─▶ calm: a core of clients heals, the rest stays broken ─▶ the core settles ─▶ drain ─▶ nothing left
 * ```
 *
 * A run fails with the law that was broken, when, and one line that replays it. A campaign of many seeds says with `merge`
 * what really happened, and with `neverHappened` what did not: a path that no seed took was not tested.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type ExitTag, tags } from "spillway/Exit"
import type { DrainReport } from "spillway/Exit"
import * as Lane from "spillway/Lane"
import type { Message } from "spillway/Message"
import type { Delivery, Outcome } from "spillway/Outcome"
import type * as Overflow from "spillway/Overflow"
import type { Inbound, Session, Stats } from "spillway/Session"
import type { Resolved, SessionOptions } from "spillway/SessionOptions"
import type * as Faults from "./Faults.js"
import type * as dice from "./internal/dice.js"
import * as simFaults from "./internal/simFaults.js"
import * as simInvariants from "./internal/simInvariants.js"
import * as simRun from "./internal/simRun.js"
import * as simWorkload from "./internal/simWorkload.js"
import type { MemoryClient } from "./MemoryClient.js"
import type { ConnectOptions } from "./MemoryTransport.js"

/**
 * Random choices of a world: `below`, `between`, `chance`, `pick`, `weighted`, `wait`, `shuffled`.
 *
 * @since 0.1.0
 * @category models
 */
export type Dice = dice.Dice

/**
 * A session of the world as the watch knows it. `stats` is as of the last step in which something happened to it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Watched {
  readonly number: number
  readonly session: Session
  readonly stats: Stats
  readonly options: Resolved
  /** Number of the client; a connection that a fault duplicated has none. */
  readonly slot: number | undefined
  /** States that it was seen in, in order. */
  readonly states: ReadonlyArray<Stats["state"]>
  /** Offers through the world that have not got their outcome. */
  readonly pending: number
  /** Messages of its peer that arrived, that its handler told to have got (`World.read`), and the first wrong one. */
  readonly arrived: number
  readonly read: number
  readonly outOfOrder: number | undefined
  /** Offers through the world, by lane, that were told anything but `Closed`. */
  readonly told: Lane.PerLane<number>
  readonly report: DrainReport | undefined
  readonly endedAt: number | undefined
  /** Since when nothing can be heard from the peer: it is half-open. */
  readonly silentSince: number | undefined
  /** Milliseconds of the process's freezes, all and during its ending: deadlines are late by as much. */
  readonly frozenMillis: number
}

/**
 * What a check looks at: one session, at a moment when no fiber can run.
 *
 * @since 0.1.0
 * @category models
 */
export interface View {
  readonly now: number
  readonly watched: Watched
}

/**
 * A law: returns what is wrong, or `undefined`. It is asked for each session to which something happened, at each step,
 * and for all of them once in ten simulated seconds.
 *
 * @since 0.1.0
 * @category models
 */
export interface Invariant {
  readonly name: string
  readonly check: (view: View) => string | undefined
}

/**
 * What the code of a workload does with its world.
 *
 * @since 0.1.0
 * @category models
 */
export interface World {
  readonly now: number
  readonly dice: Dice
  /** From the end of the faults on. */
  readonly calm: boolean
  /** Factor of the mean times between what happens. */
  readonly pace: number
  /** A random time with this mean, times the pace, in milliseconds. */
  readonly wait: (meanMillis: number) => number
  /** Suspends until the world is about to end: for code that ignores interruption, so that it can be counted then. */
  readonly awaitEnd: Effect.Effect<void>
  /** Counts that a path was taken. */
  readonly note: (path: string) => void
  /** Counts that a fault happened. */
  readonly fault: (kind: string) => void
  /** A line of the event trace. */
  readonly trace: (line: string) => void
  /** Ends the run: a law is broken. */
  readonly broken: (law: string, detail: string) => void
  /** Offers, with the laws of offers checked. As `unsafeOffer`. */
  readonly offer: (session: Session, message: Message) => Outcome
  /** Says that the handler has got this message, whatever it reads with: it must be the next one of the wire. */
  readonly read: (session: Session, inbound: Inbound) => void
  /** As `session.send`. */
  readonly send: (session: Session, message: Message) => Effect.Effect<Outcome>
  /** As `session.deliver`. */
  readonly deliver: (session: Session, message: Message) => Effect.Effect<Delivery>
}

/**
 * A client of the world, one connection after the other.
 *
 * @since 0.1.0
 * @category models
 */
export interface Peer {
  readonly slot: number
  readonly client: MemoryClient
  /** Whether it is of the core that heals when the faults stop. */
  readonly core: boolean
  /** Says that from now on nothing is heard from it (for `silentSince`). */
  readonly silent: () => void
}

/**
 * What the sessions are used for. All parts are values: replace what is yours and keep the rest of `mixed`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Workload {
  readonly name: string
  /** The handler of each session. */
  readonly handler: (session: Session, world: World) => Effect.Effect<unknown, Error, Scope.Scope>
  /** What a client does until its connection ends; it is interrupted then. */
  readonly client: (peer: Peer, world: World) => Effect.Effect<unknown, Error>
  /** How the next connection of a client is. */
  readonly connect: (world: World) => ConnectOptions
  /** Settings of the sessions; drawn anew after each deploy. */
  readonly options: (world: World) => { readonly session: SessionOptions; readonly overflow: Overflow.Options }
}

/**
 * What goes wrong besides the clients: rules for the network and the handlers, and what befalls the server, each with the
 * mean time between two of it.
 *
 * @since 0.1.0
 * @category models
 */
export interface FaultPlan {
  readonly rules: (world: World, sessions: number, durationMillis: number) => Faults.Schedule
  /** A new owner of sessions takes over, the old one drains. */
  readonly deployEvery: Duration.DurationInput
  /** Some clients stop reading one by one, and go on in another order. */
  readonly clogEvery: Duration.DurationInput
  /** The process stands still for up to 3 s. */
  readonly freezeEvery: Duration.DurationInput
  /** The network refuses connections for up to 5 s. */
  readonly refuseEvery: Duration.DurationInput
}

/**
 * A run. All but the seed have defaults.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface Options {
  readonly seed: number
  /** Clients that are connected at a time, or try to be. */
  readonly sessions?: number
  /** Simulated time with faults. */
  readonly duration?: Duration.DurationInput
  /**
   * Factor of the mean times between what happens. At 1 a session is offered about a message in a second and lives for
   * less than a minute; at 16 a message in eight seconds, and it lives for a quarter of an hour. Default 1.
   */
  readonly pace?: number
  readonly faults?: FaultPlan
  readonly workload?: Workload
  readonly invariants?: ReadonlyArray<Invariant>
  /** Simulated time in which the core must settle after the faults. */
  readonly settleWithin?: Duration.DurationInput
  /** Keep the lines of the trace for the report. */
  readonly keepTrace?: boolean
  /** The line that replays the run. */
  readonly replay?: string
}

/**
 * Clients that misbehave in every way of `MemoryClient`; handlers that echo, stream, lag, ignore what they get, throw, hang
 * and ignore interruption; producers in all lanes with keys, ages, and waits that are cut short; outbox bounds, policies and
 * deadlines drawn from the seed.
 *
 * @since 0.1.0
 * @category testing
 */
export const mixed: Workload = simWorkload.mixed

/**
 * The invariants of an outbox and of a session (`docs/INVARIANTS.md`): I1, I2, I5, I6, S1 to S3, S5, S8 to S10, S14. I3, I4, the
 * late binding of writes, S6 and the conservation of all sessions together are checked by the world itself.
 *
 * @since 0.1.0
 * @category testing
 */
export const invariants: ReadonlyArray<Invariant> = simInvariants.all

/**
 * Rules of every kind, a deploy every 90 s, clogs, freezes and refusals every minute or so.
 *
 * @since 0.1.0
 * @category testing
 */
export const faults: FaultPlan = simFaults.mixed

/**
 * Defaults of `Options`.
 *
 * @since 0.1.0
 * @category configuration
 */
export const defaults = { sessions: 20, duration: "3 minutes", settleWithin: "90 seconds", pace: 1 } as const

/**
 * What happened. Counts of faults are of those that really took place.
 *
 * @since 0.1.0
 * @category models
 */
export interface Report {
  readonly runs: number
  readonly simulatedHours: number
  readonly sessionHours: number
  readonly sessions: number
  readonly messages: { readonly offered: number; readonly sent: number; readonly received: number }
  readonly faults: { readonly [kind: string]: number }
  readonly sheds: Lane.PerLane<number>
  readonly exits: { readonly [T in ExitTag]: number }
  /** How often each rare path was taken. */
  readonly sometimes: { readonly [path: string]: number }
  /** Checks of invariants. */
  readonly checks: number
  /** Choices of the scheduler. */
  readonly picks: number
  /** Made of every event and every choice. */
  readonly fingerprint: string
  readonly trace: ReadonlyArray<string>
}

/**
 * A law was broken.
 *
 * @since 0.1.0
 * @category errors
 */
export class Broken extends Data.TaggedError("Broken")<{
  readonly law: string
  readonly detail: string
  readonly atMillis: number
  readonly replay: string
}> {
  override get message(): string {
    return `${this.law} is broken ${this.atMillis} ms after the start: ${this.detail}\n  replay: ${this.replay}`
  }
}

/**
 * Runs one seed.
 *
 * **Errors** `Broken`, with the line that replays it.
 *
 * @since 0.1.0
 * @category operations
 */
export const run = (options: Options): Effect.Effect<Report, Broken> => {
  const setup = { ...settings, ...options }
  return Effect.mapError(simRun.run(setup), (failure) =>
    new Broken({
      ...failure,
      replay: options.replay ??
        `Simulation.run({ seed: ${setup.seed}, sessions: ${setup.sessions}, duration: ${
          Duration.toMillis(setup.duration)
        }, pace: ${setup.pace} })`
    }))
}

const settings = { ...defaults, faults, workload: mixed, invariants, keepTrace: false }

const addAll = (records: ReadonlyArray<Readonly<Record<string, number>>>): Record<string, number> => {
  const sum: Record<string, number> = {}
  for (const record of records) for (const key of Object.keys(record)) sum[key] = (sum[key] ?? 0) + record[key]!
  return Object.fromEntries(Object.entries(sum).sort(([a], [b]) => a < b ? -1 : 1))
}

/**
 * The reports of several runs as one. Traces are left out.
 *
 * @since 0.1.0
 * @category operations
 */
export const merge = (reports: ReadonlyArray<Report>): Report => {
  const sum = (f: (report: Report) => number): number => reports.reduce((total, report) => total + f(report), 0)
  return {
    runs: sum((_) => _.runs),
    simulatedHours: sum((_) => _.simulatedHours),
    sessionHours: sum((_) => _.sessionHours),
    sessions: sum((_) => _.sessions),
    messages: {
      offered: sum((_) => _.messages.offered),
      sent: sum((_) => _.messages.sent),
      received: sum((_) => _.messages.received)
    },
    faults: addAll(reports.map((_) => _.faults)),
    sheds: Lane.perLane((lane) => sum((_) => _.sheds[lane])),
    exits: Object.fromEntries(tags.map((tag) => [tag, sum((_) => _.exits[tag])])) as Record<ExitTag, number>,
    sometimes: addAll(reports.map((_) => _.sometimes)),
    checks: sum((_) => _.checks),
    picks: sum((_) => _.picks),
    fingerprint: reports.map((_) => _.fingerprint).join(" "),
    trace: []
  }
}

/**
 * What a campaign with `mixed` and `faults` must have met to prove anything: rare paths and kinds of faults.
 *
 * @since 0.1.0
 * @category testing
 */
export const rarePaths: ReadonlyArray<string> = [...simWorkload.paths, ...simRun.paths, ...simFaults.kinds]

/**
 * Those of the paths that never happened.
 *
 * @since 0.1.0
 * @category operations
 */
export const neverHappened = (report: Report, paths: ReadonlyArray<string> = rarePaths): ReadonlyArray<string> =>
  paths.filter((path) => !((report.sometimes[path] ?? report.faults[path] ?? 0) > 0))
