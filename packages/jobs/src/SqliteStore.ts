/**
 * The store in a file: SQLite in a worker thread, the default for one process.
 *
 * What was acknowledged is there after `kill -9`, and after a loss of power too with `synchronous: "full"`. The process that
 * opens a file holds it until it ends, however it ends; another one gets `StoreLocked`. So of a store that could be opened
 * every earlier owner is gone, and a runner resumes what they left at once.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import type * as ConfigError from "effect/ConfigError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as configured from "./internal/configured.js"
import * as client from "./internal/sqliteClient.js"
import * as sqlStore from "./internal/sqlStore.js"
import { type StoreFailed, StoreLocked } from "./JobError.js"
import type { JobStoreShape } from "./JobStore.js"
import { JobStore } from "./JobStore.js"

/**
 * Options of the store.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface Options {
  /** The file; it is created. Two more appear beside it, `-wal` and `-shm` or none. */
  readonly path: string
  /**
   * `normal` survives the end of the process, `full` also that of the machine, at the price of one wait for the disk for
   * each batch. Default `normal`.
   */
  readonly synchronous?: "normal" | "full"
  /** `node` is `node:sqlite`, where Node has it (22.13 and later); `libsql` comes with this package. Default `libsql`. */
  readonly driver?: "libsql" | "node"
  /** How long to wait for another process to close the file. Default 5 s. */
  readonly lockTimeout?: Duration.DurationInput
}

/**
 * Opens a file. Closed with the scope, when everything that was asked is answered.
 *
 * **Errors** `StoreLocked` when another process has it open for longer than `lockTimeout`; `StoreFailed` when it cannot be
 * opened.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options): Effect.Effect<JobStoreShape, StoreFailed | StoreLocked, Scope.Scope> =>
  Effect.gen(function*() {
    const executor = yield* client.worker({
      path: options.path,
      driver: options.driver === "node" ? "node:sqlite" : client.libsqlPath(),
      pragmas: [
        "PRAGMA locking_mode = EXCLUSIVE",
        "PRAGMA journal_mode = WAL",
        `PRAGMA synchronous = ${options.synchronous === "full" ? "FULL" : "NORMAL"}`
      ],
      schema: sqlStore.schema(client.dialect.tableOptions),
      timeoutMillis: 250
    })
    // The first statement opens the file.
    const opened = executor.execute("open", [{ sql: "SELECT 1", many: [[]], returns: true }], false).pipe(
      Effect.retry({
        while: ({ why }) => why === "busy",
        schedule: Schedule.spaced(100).pipe(Schedule.upTo(options.lockTimeout ?? Duration.seconds(5)))
      }),
      Effect.mapError((error) => error.why === "busy" ? new StoreLocked({ path: options.path }) : error)
    )
    yield* opened
    return sqlStore.make(yield* client.sqlOf(executor))
  })

/**
 * The store in a file as a layer.
 *
 * @example
 * import { EventLog, SqliteStore } from "@spillway/jobs"
 * import { Layer } from "effect"
 *
 * export const LogLive = Layer.provideMerge(EventLog.layer(), SqliteStore.layer({ path: "jobs.db" }))
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options): Layer.Layer<JobStore, StoreFailed | StoreLocked> =>
  Layer.scoped(JobStore, make(options))

/**
 * The options as configuration. The keys are their names: `path` has to be there, what else is not keeps its default. Use
 * `Config.nested` for a prefix.
 *
 * @since 0.1.0
 * @category configuration
 */
export const config: Config.Config<Options> = Config.map(
  Config.all([
    Config.all({ path: Config.nonEmptyString("path") }),
    configured.byKeys(["synchronous"] as const, Config.literal("normal", "full")),
    configured.byKeys(["driver"] as const, Config.literal("libsql", "node")),
    configured.byKeys(["lockTimeout"] as const, configured.period)
  ]),
  (parts) => configured.given<Options>(parts)
)

/**
 * The store in a file as a layer, with options from configuration.
 *
 * **Errors** `ConfigError`, naming the key, when a value is missing, cannot be read or is not usable.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = (
  options: Config.Config<Options> = config
): Layer.Layer<JobStore, StoreFailed | StoreLocked | ConfigError.ConfigError> =>
  Layer.unwrapEffect(Effect.map(options, layer))
