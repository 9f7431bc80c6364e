/**
 * The store in PostgreSQL, for jobs that several processes share. Through `@effect/sql-pg`, or any client of that form: this
 * package needs no driver of its own.
 *
 * Rows of a job are locked while they change, so that of two owners one is fenced. A follower in another process sees an
 * event within the poll interval of its log. The clocks of the processes are compared through leases: they may differ by
 * well less than one.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { InvalidOption } from "spillway/SpillwayError"
import * as check from "./internal/check.js"
import * as postgres from "./internal/postgres.js"
import * as sqlStore from "./internal/sqlStore.js"
import type { StoreFailed } from "./JobError.js"
import type { JobStoreShape } from "./JobStore.js"
import { JobStore } from "./JobStore.js"

/**
 * What is needed of a client: `SqlClient` of `@effect/sql` has it. Placeholders are `$1`, `$2` and so on.
 *
 * @since 0.1.0
 * @category models
 */
export interface Client<out SqlError> {
  unsafe<A extends object>(sql: string, params?: ReadonlyArray<any>): Effect.Effect<ReadonlyArray<A>, SqlError>
  readonly withTransaction: <R, E, A>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | SqlError, R>
}

/**
 * Options of the store. Every field has a default in `defaults`.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface Options {
  /**
   * For how long a process may hold rows without a word to the server: paused in a transaction, or cut off. Then the server
   * ends its connection, and others can take its jobs over. Keep it below the lease of the runner. Default 5 s.
   */
  readonly idleTransactionTimeout?: Duration.DurationInput
}

/**
 * The defaults; durations are milliseconds.
 *
 * @since 0.1.0
 * @category configuration
 */
export const defaults = Object.freeze({ idleTransactionTimeout: 5_000 })

/**
 * Makes the tables where there are none, and a store on them.
 *
 * **Errors** `InvalidOption`, naming the option; `StoreFailed` when the tables cannot be made.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <SqlError>(
  client: Client<SqlError>,
  options: Options = {}
): Effect.Effect<JobStoreShape, InvalidOption | StoreFailed> =>
  Effect.gen(function*() {
    const { idleTransactionTimeout } = yield* check.resolve<{ readonly idleTransactionTimeout: number }>(
      "PostgresStore",
      { ...defaults, ...options },
      { counts: [], durations: ["idleTransactionTimeout"] }
    )
    yield* postgres.migrate(client, sqlStore.schema(postgres.dialect.tableOptions))
    return sqlStore.make(postgres.sqlOf(client, idleTransactionTimeout))
  })

/**
 * The store as a layer, on the client that an effect gives: `PostgresStore.layer(PgClient.PgClient)`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = <SqlError, E, R>(
  client: Effect.Effect<Client<SqlError>, E, R>,
  options?: Options
): Layer.Layer<JobStore, E | InvalidOption | StoreFailed, R> =>
  Layer.effect(JobStore, Effect.flatMap(client, (given) => make(given, options)))
