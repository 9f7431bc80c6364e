/**
 * The contract of a session's ending as tests: every way in which a session can end, on any transport.
 *
 * For each way: exactly one exit and the right one, the close code that the peer sees, what the report says of tasks and
 * finalizers, the time it may take to the millisecond (under `TestClock`), and then nothing left: no session in the gauge,
 * no fiber, no queued or buffered byte, no connection, no timer. And the order of the steps of an ending.
 *
 * @since 0.1.0
 */
import { describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { ExitTag, PhaseResult } from "spillway/Exit"
import type * as Overflow from "spillway/Overflow"
import type { Session } from "spillway/Session"
import type { SessionOptions } from "spillway/SessionOptions"
import type { SessionsShape } from "spillway/Sessions"
import type { LawViolation } from "./internal/lawKit.js"
import { register } from "./internal/lawTest.js"
import * as rig from "./internal/sessionRig.js"
import * as ways from "./internal/sessionWays.js"
import type { LawClient, LawFaults, LawHarness } from "./LawHarness.js"

/**
 * What a way acts on: the session and its peer, the owner of the session, and time.
 *
 * @since 0.1.0
 * @category models
 */
export interface WayContext {
  readonly client: LawClient
  /** Those that the way says it `needs`. */
  readonly faults: LawFaults
  readonly session: Session
  readonly sessions: SessionsShape
  /** Lets milliseconds pass, with everything at rest before and after. */
  readonly pass: (millis: number) => Effect.Effect<void>
}

/**
 * The handler of a way.
 *
 * @since 0.1.0
 * @category models
 */
export type WayHandler = (session: Session) => Effect.Effect<unknown, unknown, Scope.Scope>

/**
 * One way to end: what is set up, what happens, and what the ending must be.
 *
 * @since 0.1.0
 * @category models
 */
export interface Way {
  readonly name: string
  /** Does nothing for ever unless given. */
  readonly handler?: WayHandler
  /** The peer does not read, from the start. */
  readonly stalled?: boolean
  readonly options?: SessionOptions
  readonly policy?: Overflow.Options
  /** A fault that the peer has to be able to have. */
  readonly needs?: keyof LawFaults
  readonly cause: (context: WayContext) => Effect.Effect<unknown, Error>
  readonly tag: ExitTag
  /** Close code that the peer sees; left out where it can see none. */
  readonly code?: number
  /** From the cause to the end, exactly. Default 0. */
  readonly tookMillis?: number
  /** Names of tasks that are given up. */
  readonly stuck?: ReadonlyArray<string>
  /** Tasks that had to be interrupted. */
  readonly forced?: number
  readonly finalizers?: "done" | "cut"
  readonly abandonedFinalizers?: number
  /** Fibers that ignore interruption and that are left beside what is given up and waited for. */
  readonly strayFibers?: number
  readonly tasks?: PhaseResult
  readonly close?: PhaseResult
}

/**
 * All ways to end.
 *
 * @since 0.1.0
 * @category testing
 */
export const all: ReadonlyArray<Way> = ways.all

/**
 * Ends one session in this way and checks everything that must be true then.
 *
 * @since 0.1.0
 * @category testing
 */
export const check = (way: Way, harness: LawHarness): Effect.Effect<void, LawViolation, Scope.Scope> =>
  rig.check(way, harness)

/**
 * Ends one session whose peer never answers, and checks the order of the steps: signal, tasks, finalizers, flush, close
 * frame, terminate, and the gauge falls before the report is out.
 *
 * @since 0.1.0
 * @category testing
 */
export const checkOrder = (harness: LawHarness): Effect.Effect<void, LawViolation, Scope.Scope> =>
  rig.checkOrder(harness)

/**
 * Options of `laws`. `faults` are those that the harness's clients can have; ways that need others do not apply. With
 * `live` the tests run on the real clock, and those ways apply whose ending takes no time.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface Options {
  readonly faults?: ReadonlyArray<keyof LawFaults>
  readonly live?: boolean
  readonly timeoutMillis?: number
}

/**
 * The ways that apply.
 *
 * @since 0.1.0
 * @category testing
 */
export const applicable = (options: Options = {}): ReadonlyArray<Way> =>
  all.filter(({ needs, tookMillis = 0 }) =>
    (needs === undefined || options.faults?.includes(needs) === true) && (options.live !== true || tookMillis <= 1)
  )

/**
 * Registers one test for each way that applies, and one for the order of the steps. `make` builds the transport anew for
 * each.
 *
 * @since 0.1.0
 * @category testing
 */
export const laws = <E>(
  name: string,
  make: Effect.Effect<LawHarness, E, Scope.Scope>,
  options: Options = {}
): void => {
  const test = register(options)
  describe(`Session laws: ${name}`, () => {
    describe("the exit matrix: one exit, its code, its budget to the millisecond, nothing left", () => {
      for (const way of applicable(options)) {
        test(`A105 A114: ${way.name}`, () => Effect.flatMap(make, (harness) => check(way, harness)))
      }
    })
    test(
      "A113 signal, tasks, finalizers, flush, close, terminate, report, and the gauge falls last",
      () => Effect.flatMap(make, checkOrder)
    )
  })
}
