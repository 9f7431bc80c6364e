/**
 * Which session belongs to which worker. A worker may hold warm state for a session, so the session's next operation goes
 * to the same one: that is what the table is asked for, and a binding that is not used is forgotten after its time.
 *
 * `WorkerPool` keeps a table of its own; this module is the table alone, for owners of other things.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { InvalidOption } from "spillway/SpillwayError"
import { AffinityTable } from "./internal/affinityTable.js"

/**
 * What an operation of a bound session does when its worker is busy.
 *
 * - `hint`: it waits for a short time and then takes any worker; the session is bound to that one.
 * - `strictQueue`: it waits for its worker and for no other.
 * - `strictFailFast`: it fails with `Busy`.
 *
 * When the worker is known to be dead, `hint` goes on with another one at once; the strict modes fail once with `Gone`,
 * because what the worker held for the session is lost.
 *
 * @since 0.1.0
 * @category models
 */
export type Mode = "hint" | "strictQueue" | "strictFailFast"

/**
 * What the table knows of a session. `Expired` is told once; from then on it is `None`.
 *
 * @since 0.1.0
 * @category models
 */
export type Found =
  | { readonly _tag: "Bound"; readonly workerId: string }
  | { readonly _tag: "Expired"; readonly workerId: string }
  | { readonly _tag: "None" }

/**
 * A reading of a table.
 *
 * @since 0.1.0
 * @category models
 */
export interface Stats {
  readonly sessions: number
  readonly workersWithSessions: number
  /** Bindings that are over and not swept yet. */
  readonly expiredSessions: number
  /** Bindings that have been forgotten because their time was over, ever. */
  readonly expiredTotal: number
}

/**
 * Options of a table.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface Options {
  /** How long a binding outlives its last use. Default 300 s. */
  readonly ttl?: Duration.DurationInput
  /** Time between sweeps, which forget what nobody asks for. Default 60 s. */
  readonly sweepInterval?: Duration.DurationInput
}

/**
 * The defaults.
 *
 * @since 0.1.0
 * @category configuration
 */
export const defaults: Required<Options> = Object.freeze({ ttl: "300 seconds", sweepInterval: "60 seconds" })

/**
 * A table of sessions and workers. All operations take constant time, `removeWorker` one step for each of its sessions.
 *
 * @since 0.1.0
 * @category models
 */
export interface Affinity {
  /** Binds a session, or moves it, and starts its time anew. */
  readonly bind: (sessionId: string, workerId: string) => Effect.Effect<void>
  /** Asking does not start the time anew. */
  readonly lookup: (sessionId: string) => Effect.Effect<Found>
  /** Whether it was bound. */
  readonly unbind: (sessionId: string) => Effect.Effect<boolean>
  /** Unbinds all sessions of a worker and returns them. */
  readonly removeWorker: (workerId: string) => Effect.Effect<ReadonlyArray<string>>
  readonly stats: Effect.Effect<Stats>
}

const positive = (key: keyof Options, input: Duration.DurationInput): Effect.Effect<number, InvalidOption> => {
  const millis = Duration.toMillis(input)
  return millis > 0
    ? Effect.succeed(millis)
    : Effect.fail(new InvalidOption({ module: "Affinity", key, value: input, expected: "a positive duration" }))
}

const now: Effect.Effect<number> = Effect.map(Effect.clock, (clock) => clock.unsafeCurrentTimeMillis())

/**
 * An empty table. It is swept until the scope closes.
 *
 * **Errors** `InvalidOption`, naming the option.
 *
 * @example
 * import * as Affinity from "@spillway/workers/Affinity"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.gen(function*() {
 *   const table = yield* Affinity.make({ ttl: "1 minute" })
 *   yield* table.bind("session-1", "worker-1")
 *   return yield* table.lookup("session-1")
 * })
 *
 * assert.deepStrictEqual(await Effect.runPromise(Effect.scoped(program)), { _tag: "Bound", workerId: "worker-1" })
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options = {}): Effect.Effect<Affinity, InvalidOption, Scope.Scope> =>
  Effect.gen(function*() {
    const ttlMillis = yield* positive("ttl", options.ttl ?? defaults.ttl)
    const sweepMillis = yield* positive("sweepInterval", options.sweepInterval ?? defaults.sweepInterval)
    const table = new AffinityTable(ttlMillis)
    yield* Effect.forkScoped(Effect.forever(
      Effect.zipRight(Effect.sleep(sweepMillis), Effect.map(now, (at) => table.sweep(at)))
    ))
    return {
      bind: (sessionId, workerId) => Effect.map(now, (at) => table.bind(sessionId, workerId, at)),
      lookup: (sessionId) => Effect.map(now, (at) => table.lookup(sessionId, at)),
      unbind: (sessionId) => Effect.sync(() => table.unbind(sessionId)),
      removeWorker: (workerId) => Effect.sync(() => table.removeWorker(workerId)),
      stats: Effect.map(now, (at) => ({
        sessions: table.sessions,
        workersWithSessions: table.workers,
        expiredSessions: table.expiredNow(at),
        expiredTotal: table.expired
      }))
    }
  })
