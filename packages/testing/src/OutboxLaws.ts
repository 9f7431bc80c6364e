/**
 * The contract of the outbox as tests: bounds, conservation, order, eviction and waiting, under any overflow policy.
 *
 * The first law compares the outbox with a naive model (arrays, every decision tried on a copy), command by command: lists
 * of offers, polls and time from `effect/FastCheck`, shrunk to the shortest that tells the two apart. The others look at
 * what suspends.
 *
 * @since 0.1.0
 */
import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Outbox from "spillway/Outbox"
import { Overflow } from "spillway/Overflow"
import type { InvalidOption } from "spillway/SpillwayError"
import { LawViolation } from "./internal/lawKit.js"
import * as commands from "./internal/outboxCommands.js"
import * as waiting from "./internal/outboxWaiting.js"

/**
 * Every bound of an outbox.
 *
 * @since 0.1.0
 * @category models
 */
export interface Bounds {
  readonly itemsMax: number
  readonly bytesMax: number
  readonly reserveItems: number
  readonly reserveBytes: number
  readonly waitersMax: number
}

/**
 * Makes an outbox with these bounds under the policy of its environment. It is `Outbox.make` unless given.
 *
 * @since 0.1.0
 * @category models
 */
export type MakeOutbox = (
  bounds: Bounds
) => Effect.Effect<Outbox.Outbox<number>, InvalidOption, Overflow | Scope.Scope>

/**
 * How long and from which seed the first law draws commands: 100 lists of up to 110 by default. `make` is what makes the
 * outbox under test.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface Options {
  readonly seed?: number
  readonly numRuns?: number
  readonly make?: MakeOutbox
}

/**
 * One sentence of the contract and the check of it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Law {
  readonly sentence: string
  readonly check: (options: Options) => Effect.Effect<void, LawViolation, Overflow | Scope.Scope>
}

const law = (
  sentence: string,
  check: (make: MakeOutbox, options: Options) => Effect.Effect<void, LawViolation, Overflow | Scope.Scope>
): Law => ({ sentence, check: (options) => check(options.make ?? Outbox.make, options) })

const model = (make: MakeOutbox, { numRuns = 100, seed = 20_240_229 }: Options) =>
  Effect.flatMap(Overflow, (policy) =>
    Effect.try({
      try: () => commands.run(make, policy, { seed, numRuns }),
      catch: (error) => error instanceof LawViolation ? error : new LawViolation({ what: String(error) })
    }))

/**
 * All laws by name.
 *
 * @since 0.1.0
 * @category testing
 */
export const all = {
  model: law("I1 to I5: any list of commands does what the naive model does", model),
  inOrder: law("I3: offers that wait are admitted in their order, and nobody barges", waiting.inOrder),
  interruptedOffer: law("I6: an offer that is interrupted while it waits leaves nothing", waiting.interruptedOffer),
  interruptedTake: law("I6: a take that is interrupted loses no message", waiting.interruptedTake),
  shutdown: law("shutdown returns what was queued, once, and everything that waits fails", waiting.shutdown)
} as const satisfies Readonly<Record<string, Law>>

/**
 * Registers one test for each law, under the policy of the layer.
 *
 * @since 0.1.0
 * @category testing
 */
export const laws = <E>(name: string, overflow: Layer.Layer<Overflow, E>, options: Options = {}): void => {
  describe(`Outbox laws: ${name}`, () => {
    for (const { check, sentence } of Object.values<Law>(all)) {
      it.scoped(sentence, () => Effect.provide(check(options), overflow), 60_000)
    }
  })
}
