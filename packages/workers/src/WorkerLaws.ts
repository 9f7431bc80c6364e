/**
 * The contract of `WorkerTransport` as data: each law is one sentence and a check of it. A transport passes when every law
 * holds for it, with workers that know the reference commands (`workers/reference.py` and `reference.mjs`):
 * `whoami`, `echo`, `sleep`, `count`, `fail`, `progress` beside `ping`.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as laws from "./internal/workerLaws.js"
import type { WorkerTransportShape } from "./WorkerTransport.js"

/**
 * A transport does not do what its contract says.
 *
 * @since 0.1.0
 * @category errors
 */
export const LawViolation = laws.LawViolation

/**
 * A transport does not do what its contract says.
 *
 * @since 0.1.0
 * @category errors
 */
export type LawViolation = laws.LawViolation

/**
 * A transport under test.
 *
 * @since 0.1.0
 * @category models
 */
export interface LawHarness {
  readonly transport: WorkerTransportShape
  /** Processes that a worker is: 0 or 1. */
  readonly processesPerWorker: number
  /** Lets time pass; without it time is real. */
  readonly advance?: (duration: Duration.Duration) => Effect.Effect<void>
  /** Largest request, where there is a limit. */
  readonly payloadBytesMax?: number
}

/**
 * One sentence of the contract and the check of it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Law {
  readonly sentence: string
  readonly check: (harness: LawHarness) => Effect.Effect<void, LawViolation, Scope.Scope>
}

/**
 * All laws.
 *
 * @since 0.1.0
 * @category testing
 */
export const all: ReadonlyArray<Law> = laws.all
