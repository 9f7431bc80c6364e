/**
 * What to do about a worker in trouble, as data: a function from what went wrong to an action. `WorkerPool` acts on it, and
 * takes another one as an option.
 *
 * | trouble | action |
 * | --- | --- |
 * | the process ended | replace |
 * | an operation timed out | replace: what the worker does now is unknown. The caller may repeat idempotent work |
 * | it broke the protocol | replace |
 * | a probe failed, an operation was returned as failed | degrade and probe after 5 s; the third time in a row, replace |
 * | it is not ready when work is to be given to it | replace |
 * | it is too old, or uses too much | replace, without counting as a failure |
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import type { WorkerExit } from "./WorkerTransport.js"

/**
 * What went wrong with a worker. `failures` counts those in a row, the present one included.
 *
 * @since 0.1.0
 * @category models
 */
export type Trouble =
  | { readonly _tag: "Exited"; readonly exit: WorkerExit }
  | { readonly _tag: "TimedOut"; readonly command: string; readonly timeoutMillis: number }
  | { readonly _tag: "Violated"; readonly why: string }
  | { readonly _tag: "ProbeFailed"; readonly failures: number }
  | { readonly _tag: "CheckinFailed"; readonly failures: number; readonly why: string }
  | { readonly _tag: "NotReady" }
  | { readonly _tag: "Abandoned"; readonly command: string }
  | { readonly _tag: "WornOut"; readonly limit: "age" | "operations" | "memory" }

/**
 * What to do. `degrade` takes the worker out of service until a probe succeeds, the first one after `delayMillis`; where
 * the worker cannot be degraded any more it is replaced. `replace` ends the worker, clears the bindings of its sessions
 * and starts another one; an overflow worker is not started again. `isForced`: without asking it to finish.
 *
 * @since 0.1.0
 * @category models
 */
export type Action =
  | { readonly _tag: "degrade"; readonly delayMillis: number }
  | { readonly _tag: "replace"; readonly isForced: boolean; readonly why: Why }

/**
 * Why a worker was replaced.
 *
 * @since 0.1.0
 * @category models
 */
export type Why =
  | "exited"
  | "timed out"
  | "violated"
  | "health check limit"
  | "failure limit"
  | "not ready"
  | "abandoned"
  | "worn out"

/**
 * A policy.
 *
 * @since 0.1.0
 * @category models
 */
export type Strategy = (trouble: Trouble) => Action

/**
 * Options of `strategy`.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface Options {
  /** Failures in a row with which a worker is replaced. Default 3. */
  readonly failuresMax?: number
  /** From degrading a worker to its next probe. Default 5 s. */
  readonly degradedDelay?: Duration.DurationInput
}

/**
 * The defaults.
 *
 * @since 0.1.0
 * @category configuration
 */
export const defaults: Required<Options> = Object.freeze({ failuresMax: 3, degradedDelay: "5 seconds" })

const replace = (why: Why, isForced: boolean): Action => ({ _tag: "replace", why, isForced })

/**
 * The policy of the table above.
 *
 * @example
 * import * as Recovery from "@spillway/workers/Recovery"
 *
 * const decide = Recovery.strategy({ failuresMax: 2 })
 * assert.strictEqual(decide({ _tag: "ProbeFailed", failures: 1 })._tag, "degrade")
 * assert.strictEqual(decide({ _tag: "ProbeFailed", failures: 2 })._tag, "replace")
 *
 * @since 0.1.0
 * @category constructors
 */
export const strategy = (options: Options = {}): Strategy => {
  const failuresMax = options.failuresMax ?? defaults.failuresMax
  const delayMillis = Duration.toMillis(options.degradedDelay ?? defaults.degradedDelay)
  const degradeOr = (failures: number, why: Why): Action =>
    failures >= failuresMax ? replace(why, true) : { _tag: "degrade", delayMillis }
  return (trouble) => {
    switch (trouble._tag) {
      case "Exited":
        return replace("exited", true)
      case "TimedOut":
        return replace("timed out", true)
      case "Violated":
        return replace("violated", true)
      case "ProbeFailed":
        return degradeOr(trouble.failures, "health check limit")
      case "CheckinFailed":
        return degradeOr(trouble.failures, "failure limit")
      case "NotReady":
        return replace("not ready", true)
      case "Abandoned":
        return replace("abandoned", true)
      case "WornOut":
        return replace("worn out", false)
    }
  }
}
