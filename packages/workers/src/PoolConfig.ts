/**
 * The options of a pool from configuration, for pools that are set up where they are deployed.
 *
 * @since 0.1.0
 */
import type * as Config from "effect/Config"
import type * as ConfigError from "effect/ConfigError"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { InvalidOption } from "spillway/SpillwayError"
import * as poolConfig from "./internal/poolConfig.js"
import * as WorkerPool from "./WorkerPool.js"
import type { WorkerTransport } from "./WorkerTransport.js"

/**
 * The options as configuration. The keys are the names of the options (`size`, `operationTimeout`, …), those of groups
 * nested (`affinity.mode`, where `none` is a mode too, `recycle.age`); what is not configured keeps its default. Use
 * `Config.nested` for a prefix. Values are checked by `WorkerPool.make`; what is code (`recovery`, `isWorkerFault`,
 * `onTransition`, `label`) is not here.
 *
 * @example
 * import { PoolConfig } from "@spillway/workers"
 * import { Config, ConfigProvider, Effect } from "effect"
 *
 * const environment = ConfigProvider.fromMap(new Map([["POOL_SIZE", "8"], ["POOL_AFFINITY_MODE", "strictQueue"]]), {
 *   pathDelim: "_"
 * })
 * const options = Config.nested(PoolConfig.config, "pool").pipe(
 *   Effect.withConfigProvider(ConfigProvider.constantCase(environment)),
 *   Effect.runSync
 * )
 * assert.strictEqual(options.size, 8)
 * assert.deepStrictEqual(options.affinity, { mode: "strictQueue" })
 *
 * @since 0.1.0
 * @category configuration
 */
export const config: Config.Config<WorkerPool.Options> = poolConfig.config

/**
 * The pool as a layer, with the options from configuration, and those that are given over them.
 *
 * **Errors** `ConfigError` when a value cannot be read, `InvalidOption` when it is not usable.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  options: WorkerPool.Options = {},
  from: Config.Config<WorkerPool.Options> = config
): Layer.Layer<WorkerPool.WorkerPool, InvalidOption | ConfigError.ConfigError, WorkerTransport> =>
  Layer.scoped(
    WorkerPool.WorkerPool,
    Effect.flatMap(from, (configured) => WorkerPool.make({ ...configured, ...options }))
  )
