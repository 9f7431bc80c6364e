/**
 * A circuit breaker: calls to something that keeps failing are refused at once, for a while, instead of waiting for it.
 *
 * ```
 *           too many failures                 cooldown over
 * closed ──────────────────────▶ open ──────────────────────────▶ half-open: a few probes
 *    ▲                             ▲                                   │          │
 *    │                             └──────────── a failure ────────────┘          │
 *    └──────────────────────────── enough successes ──────────────────────────────┘
 * ```
 *
 * A guarded effect runs in the fiber of its caller: callers do not wait for each other, nothing limits its time, and
 * interrupting the caller interrupts it. The state is a synchronous machine; there is no fiber and no timer.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import { dual } from "effect/Function"
import { BreakerCore, type BreakerOptions } from "./internal/breaker.js"
import { type BreakerMetrics, breakerMetrics } from "./internal/breakerMetrics.js"
import type { Label } from "./Label.js"
import { BreakerOpen, InvalidOption } from "./SpillwayError.js"

/**
 * State of a breaker. The gauge `spillway_breaker_state` has them as 0, 1 and 2.
 *
 * @since 0.1.0
 * @category models
 */
export type State = "closed" | "open" | "half-open"

/**
 * Options of a breaker.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface Options<in E = unknown> {
  /** Name in errors and metrics. */
  readonly label: Label
  /** What opens it: so many failures in a row (default, 5), or so many within a window (20 in 30 s). */
  readonly mode?:
    | { readonly _tag: "consecutive"; readonly failures?: number }
    | { readonly _tag: "window"; readonly failures?: number; readonly window?: Duration.DurationInput }
  /** From opening to half-open. Default 60 s. */
  readonly cooldown?: Duration.DurationInput
  /** Calls that a half-open breaker lets run at once. Default 3. */
  readonly halfOpenPermits?: number
  /** Successes that close a half-open breaker. Default 3. */
  readonly successesToClose?: number
  /** Whether a failure counts; by default each does, typed or defect. An interruption never does. */
  readonly isFailure?: (cause: Cause.Cause<E>) => boolean
}

/**
 * A reading of a breaker.
 *
 * @since 0.1.0
 * @category models
 */
export interface Stats {
  readonly state: State
  /** Failures that count towards opening: in a row, or within the window. */
  readonly failures: number
  /** Zero unless open. */
  readonly retryAfterMillis: number
  /** Calls that run in half-open. */
  readonly probes: number
  readonly rejected: number
  /** How often it has opened. */
  readonly opened: number
}

/**
 * A breaker.
 *
 * @since 0.1.0
 * @category models
 */
export interface Breaker<in E = unknown> {
  readonly label: Label
  readonly stats: Effect.Effect<Stats>
  /** Closes it and forgets its failures. Calls that run now no longer count. */
  readonly reset: Effect.Effect<void>
  /**
   * Runs an effect unless the breaker refuses: then it fails with `BreakerOpen` at once. Failures and defects count as
   * failures; an interruption counts as nothing and returns its permit.
   */
  guard<A, E1 extends E, R>(effect: Effect.Effect<A, E1, R>): Effect.Effect<A, E1 | BreakerOpen, R>
}

/**
 * What holds unless told otherwise; durations are milliseconds.
 *
 * @since 0.1.0
 * @category configuration
 */
export const defaults = Object.freeze({
  consecutiveFailures: 5,
  windowFailures: 20,
  window: 30_000,
  cooldown: 60_000,
  halfOpenPermits: 3,
  successesToClose: 3
})

const resolve = <E>(options: Options<E>): BreakerOptions => {
  const { mode = { _tag: "consecutive" } } = options
  return {
    failuresMax: mode.failures ??
      (mode._tag === "window" ? defaults.windowFailures : defaults.consecutiveFailures),
    windowMillis: mode._tag === "window" ? Duration.toMillis(mode.window ?? defaults.window) : undefined,
    cooldownMillis: Duration.toMillis(options.cooldown ?? defaults.cooldown),
    halfOpenPermits: options.halfOpenPermits ?? defaults.halfOpenPermits,
    successesToClose: options.successesToClose ?? defaults.successesToClose
  }
}

const check = (resolved: BreakerOptions): Effect.Effect<BreakerOptions, InvalidOption> => {
  const invalid = (key: string, value: unknown, expected: string) =>
    Effect.fail(new InvalidOption({ module: "Breaker", key, value, expected }))
  for (const key of ["failuresMax", "halfOpenPermits", "successesToClose"] as const) {
    if (!(Number.isInteger(resolved[key]) && resolved[key] >= 1)) {
      return invalid(key === "failuresMax" ? "failures" : key, resolved[key], "a whole number of at least 1")
    }
  }
  const { cooldownMillis, windowMillis } = resolved
  if (!(cooldownMillis > 0 && cooldownMillis < Infinity)) {
    return invalid("cooldown", cooldownMillis, "a positive, finite duration")
  }
  if (windowMillis !== undefined && !(windowMillis > 0)) return invalid("window", windowMillis, "a positive duration")
  return Effect.succeed(resolved)
}

class BreakerImpl<in E> implements Breaker<E> {
  readonly core: BreakerCore

  constructor(
    readonly label: Label,
    options: BreakerOptions,
    private readonly isFailure: (cause: Cause.Cause<E>) => boolean,
    private readonly metrics: BreakerMetrics
  ) {
    this.core = new BreakerCore(options, (state) => metrics.state(state))
    metrics.state("closed")
  }

  readonly stats: Effect.Effect<Stats> = Effect.map(Effect.clock, (clock) => {
    const now = clock.unsafeCurrentTimeMillis()
    return Object.freeze({
      state: this.core.state(now),
      failures: this.core.failuresNow(now),
      retryAfterMillis: this.core.retryAfterMillis(now),
      probes: this.core.probesRunning,
      rejected: this.core.rejected,
      opened: this.core.opened
    })
  })

  readonly reset: Effect.Effect<void> = Effect.sync(() => this.core.reset())

  private verdict(exit: Exit.Exit<unknown, E>): boolean | undefined {
    if (exit._tag === "Success") return true
    if (Cause.isInterruptedOnly(exit.cause)) return undefined
    return !this.isFailure(exit.cause)
  }

  guard<A, E1 extends E, R>(effect: Effect.Effect<A, E1, R>): Effect.Effect<A, E1 | BreakerOpen, R> {
    // The mask protects the window between taking a permit and the effect that returns it.
    return Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(Effect.clock, (clock): Effect.Effect<A, E1 | BreakerOpen, R> => {
        const now = clock.unsafeCurrentTimeMillis()
        const permit = this.core.admit(now)
        if (permit === undefined) {
          this.metrics.rejected()
          return new BreakerOpen({ breaker: this.label.name, retryAfterMillis: this.core.retryAfterMillis(now) })
        }
        return Effect.onExit(
          restore(effect),
          (exit) => Effect.sync(() => this.core.settle(permit, this.verdict(exit), clock.unsafeCurrentTimeMillis()))
        )
      })
    )
  }
}

const always = (): boolean => true

/**
 * A closed breaker.
 *
 * **Errors** `InvalidOption`, naming the option.
 *
 * @example
 * import { Breaker, Label } from "spillway"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.gen(function*() {
 *   const breaker = yield* Breaker.make({ label: Label.make("webhook"), mode: { _tag: "consecutive", failures: 1 } })
 *   yield* Effect.exit(breaker.guard(Effect.fail("down")))
 *   return yield* Effect.flip(breaker.guard(Effect.succeed("never run")))
 * })
 *
 * assert.strictEqual((await Effect.runPromise(program))._tag, "BreakerOpen")
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <E = unknown>(options: Options<E>): Effect.Effect<Breaker<E>, InvalidOption> =>
  Effect.map(
    check(resolve(options)),
    (resolved) =>
      new BreakerImpl<E>(options.label, resolved, options.isFailure ?? always, breakerMetrics(options.label))
  )

/**
 * `guard` of a breaker as a function of an effect, to be used in a pipe.
 *
 * @since 0.1.0
 * @category operations
 */
export const guard: {
  /**
   * `guard` of a breaker as a function of an effect, to be used in a pipe.
   *
   * @since 0.1.0
   * @category operations
   */
  <E>(
    breaker: Breaker<E>
  ): <A, E1 extends E, R>(effect: Effect.Effect<A, E1, R>) => Effect.Effect<A, E1 | BreakerOpen, R>
  /**
   * `guard` of a breaker as a function of an effect, to be used in a pipe.
   *
   * @since 0.1.0
   * @category operations
   */
  <A, E1 extends E, R, E>(
    effect: Effect.Effect<A, E1, R>,
    breaker: Breaker<E>
  ): Effect.Effect<A, E1 | BreakerOpen, R>
} = dual(2, <A, E1 extends E, R, E>(effect: Effect.Effect<A, E1, R>, breaker: Breaker<E>) => breaker.guard(effect))
