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
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
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
 * Makes the tables where there are none, and a store on them.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <SqlError>(client: Client<SqlError>): Effect.Effect<JobStoreShape, StoreFailed> => {
  const sql = postgres.sqlOf(client)
  return Effect.as(postgres.migrate(client, sqlStore.schema(postgres.dialect.tableOptions)), sqlStore.make(sql))
}

/**
 * The store as a layer, on the client that an effect gives: `PostgresStore.layer(PgClient.PgClient)`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = <SqlError, E, R>(
  client: Effect.Effect<Client<SqlError>, E, R>
): Layer.Layer<JobStore, E | StoreFailed, R> => Layer.effect(JobStore, Effect.flatMap(client, make))
