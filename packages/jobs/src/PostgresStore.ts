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
import * as Config from "effect/Config"
import type * as ConfigError from "effect/ConfigError"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type { InvalidOption } from "spillway/SpillwayError"
import * as check from "./internal/check.js"
import * as configured from "./internal/configured.js"
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
 * The store as a layer, on the client that an effect gives: `PostgresStore.layer(PgClient.PgClient)` takes the one that the
 * application has already, and so does `PostgresStore.layer(SqlClient.SqlClient)`. Then a job may be created within a
 * transaction of the application: it is there with what else that writes, or not at all, and is found at the next look for
 * work. Wait for it only after the transaction.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = <SqlError, E, R>(
  client: Effect.Effect<Client<SqlError>, E, R>,
  options?: Options
): Layer.Layer<JobStore, E | InvalidOption | StoreFailed, R> =>
  Layer.effect(JobStore, Effect.flatMap(client, (given) => make(given, options)))

/**
 * Where the database is, and the options of the store.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface Configured extends Options {
  readonly url: Redacted.Redacted
}

/** Only the beginning: a host may be missing, or be several. */
const isUrl = (text: string): boolean => /^postgres(ql)?:\/\/./.test(text)

/**
 * Where the database is, as configuration: `url` has to be there and is never printed, what else is not configured keeps its
 * default. Use `Config.nested` for a prefix.
 *
 * @since 0.1.0
 * @category configuration
 */
export const config: Config.Config<Configured> = Config.map(
  Config.all([
    Config.all({
      // The error says what was expected, and not what was there.
      url: Config.map(
        Config.validate(Config.string("url"), {
          message: "expected a URL that begins with postgres:// or postgresql://",
          validation: isUrl
        }),
        Redacted.make
      )
    }),
    configured.byKeys(["idleTransactionTimeout"] as const, configured.period)
  ]),
  (parts) => configured.given<Configured>(parts)
)

/**
 * The store as a layer, with options from configuration, on the client that is made for the configured URL.
 *
 * **Errors** `ConfigError`, naming the key and not the value, when a value is missing, cannot be read or is not usable.
 *
 * @example
 * import * as PgClient from "@effect/sql-pg/PgClient"
 * import { PostgresStore } from "@spillway/jobs"
 * import { Config, Context, Effect, Layer } from "effect"
 *
 * export const StoreLive = PostgresStore.layerConfig(
 *   ({ url }) => Effect.map(Layer.build(PgClient.layer({ url })), Context.get(PgClient.PgClient)),
 *   Config.nested(PostgresStore.config, "database")
 * )
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = <SqlError, E, R>(
  client: (configured: Configured) => Effect.Effect<Client<SqlError>, E, R>,
  options: Config.Config<Configured> = config
): Layer.Layer<
  JobStore,
  E | InvalidOption | StoreFailed | ConfigError.ConfigError,
  Exclude<R, Scope.Scope>
> =>
  Layer.scoped(
    JobStore,
    Effect.flatMap(options, (configured) => Effect.flatMap(client(configured), (given) => make(given, configured)))
  )
