/**
 * Repeating what failed, as data: how many attempts, how long to wait between them, and what is worth another one. The
 * result is a `Schedule`, so it works with `Effect.retry` and whatever else takes one.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as ScheduleDecision from "effect/ScheduleDecision"
import * as ScheduleInterval from "effect/ScheduleInterval"
import type { WorkerError } from "./WorkerError.js"

/**
 * How the pauses grow. With the base `b`: `linear` b, 2b, 3b; `exponential` b, 2b, 4b; `fibonacci` b, b, 2b, 3b;
 * `decorrelated` something between b and three times the pause before. A function gets the number of the failed attempt,
 * 1 for the first, and the pause before, and gives milliseconds.
 *
 * @since 0.1.0
 * @category models
 */
export type Backoff =
  | "linear"
  | "exponential"
  | "fibonacci"
  | "decorrelated"
  | ((attempt: number, previousMillis: number) => number)

/**
 * Options of a retry.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface Options {
  /** Default `exponential`. */
  readonly backoff?: Backoff
  /** Attempts in all, the first included. Default 3. */
  readonly attemptsMax?: number
  /** Default 1 s. */
  readonly base?: Duration.DurationInput
  /** No pause is longer. Default 30 s. */
  readonly cap?: Duration.DurationInput
  /** Part of a pause by which it may be longer or shorter; `decorrelated` has its own. Default 0.25. */
  readonly jitterRatio?: number
}

/**
 * The defaults.
 *
 * @since 0.1.0
 * @category configuration
 */
export const defaults: Required<Options> = Object.freeze({
  backoff: "exponential",
  attemptsMax: 3,
  base: "1 second",
  cap: "30 seconds",
  jitterRatio: 0.25
})

const fibonacci = (attempt: number): number => {
  let [now, next] = [1, 1]
  for (let step = 1; step < attempt; step++) [now, next] = [next, now + next]
  return now
}

const between = (least: number, most: number): Effect.Effect<number> =>
  Effect.map(Random.next, (chance) => least + chance * (most - least))

const pause = (backoff: Backoff, base: number, attempt: number, previous: number): Effect.Effect<number> => {
  if (typeof backoff === "function") return Effect.sync(() => backoff(attempt, previous))
  switch (backoff) {
    case "linear":
      return Effect.succeed(base * attempt)
    case "exponential":
      return Effect.succeed(base * 2 ** (attempt - 1))
    case "fibonacci":
      return Effect.succeed(base * fibonacci(attempt))
    case "decorrelated":
      return between(base, Math.max(base, 3 * previous))
  }
}

interface State {
  readonly attempt: number
  readonly previousMillis: number
}

/**
 * The pauses as a schedule; its output is the pause in milliseconds.
 *
 * @example
 * import * as Retry from "@spillway/workers/Retry"
 * import * as Effect from "effect/Effect"
 *
 * let attempts = 0
 * const flaky = Effect.suspend(() => ++attempts < 3 ? Effect.fail("not yet") : Effect.succeed(attempts))
 * const program = Effect.retry(flaky, Retry.schedule({ base: "1 millis" }))
 *
 * assert.strictEqual(await Effect.runPromise(program), 3)
 *
 * @since 0.1.0
 * @category constructors
 */
export const schedule = (options: Options = {}): Schedule.Schedule<number> => {
  const { attemptsMax, backoff, jitterRatio, ...rest } = { ...defaults, ...options }
  const base = Duration.toMillis(rest.base)
  const cap = Duration.toMillis(rest.cap)
  const initial: State = { attempt: 1, previousMillis: 0 }
  return Schedule.makeWithState(initial, (now, _, { attempt, previousMillis }) => {
    if (attempt >= attemptsMax) {
      return Effect.succeed([{ attempt, previousMillis }, previousMillis, ScheduleDecision.done] as const)
    }
    return Effect.gen(function*() {
      const planned = yield* pause(backoff, base, attempt, previousMillis)
      const jittered = backoff === "decorrelated"
        ? planned
        : planned * (yield* between(1 - jitterRatio, 1 + jitterRatio))
      const millis = Math.max(0, Math.min(cap, jittered))
      const decision = ScheduleDecision.continueWith(ScheduleInterval.after(now + millis))
      return [{ attempt: attempt + 1, previousMillis: millis }, millis, decision] as const
    })
  })
}

/**
 * Whether an operation that failed so is worth another attempt. Where nothing was started it is; where nobody knows what
 * was done, only if the operation is idempotent; where the answer was no, or the request cannot be sent, it is not.
 *
 * @since 0.1.0
 * @category guards
 */
export const isRetryable = (
  error: WorkerError,
  options: { readonly isIdempotent: boolean } = { isIdempotent: false }
): boolean => {
  switch (error._tag) {
    case "CheckoutTimeout":
    case "PoolSaturated":
    case "Busy":
    case "QueueTimeout":
      return true
    case "OperationTimeout":
    case "WorkerCrashed":
    case "ProtocolViolation":
      return options.isIdempotent
    case "Gone":
    case "RemoteError":
    case "PayloadTooLarge":
    case "NotEncodable":
    case "PoolClosed":
      return false
  }
}

/**
 * Repeats an operation of a pool while that makes sense. Fails with the last error.
 *
 * @since 0.1.0
 * @category operations
 */
export const operation = <A, R>(
  self: Effect.Effect<A, WorkerError, R>,
  options: Options & { readonly isIdempotent: boolean }
): Effect.Effect<A, WorkerError, R> =>
  Effect.retry(self, { schedule: schedule(options), while: (error) => isRetryable(error, options) })
