/**
 * Flow control in front of something that answers requests and can be too slow, too full or broken: a model on a GPU, a
 * service, a pool of workers. At most so many requests run, so many wait in order, and one that takes too long is given
 * up and makes room. Every requester has its own answer or its own error.
 *
 * ```
 * available ──▶ busy ──▶ (slow) ──▶ overloaded        by how many run, how long they take, how many wait
 *      ▲                                              offline: too many of the last requests failed
 *      └── a probe succeeds ◀── after the cooldown, one request ◀── offline
 * ```
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { InvalidOption } from "spillway/SpillwayError"
import * as provider from "./internal/provider.js"

/**
 * So many requests wait already that one more is refused.
 *
 * @since 0.1.0
 * @category errors
 */
export class Overloaded extends Data.TaggedError("Overloaded")<{
  readonly provider: string
  readonly waiting: number
  readonly queueItemsMax: number
}> {
  override get message(): string {
    return `${this.provider} has ${this.waiting} of ${this.queueItemsMax} requests waiting; one more is refused`
  }
}

/**
 * Too many of the last requests failed. Try again later, or another provider.
 *
 * @since 0.1.0
 * @category errors
 */
export class Offline extends Data.TaggedError("Offline")<{
  readonly provider: string
  readonly retryAfterMillis: number
}> {
  override get message(): string {
    return `${this.provider} is offline; it is tried again in ${this.retryAfterMillis} ms`
  }
}

/**
 * There was no answer in time. The request was interrupted and its place is free.
 *
 * @since 0.1.0
 * @category errors
 */
export class RequestTimeout extends Data.TaggedError("RequestTimeout")<{
  readonly provider: string
  readonly timeoutMillis: number
}> {
  override get message(): string {
    return `${this.provider} did not answer within ${this.timeoutMillis} ms`
  }
}

/**
 * None of the providers can take a request.
 *
 * @since 0.1.0
 * @category errors
 */
export class NoProvider extends Data.TaggedError("NoProvider")<{
  readonly providers: ReadonlyArray<string>
}> {
  override get message(): string {
    return `none of ${this.providers.join(", ")} can take a request`
  }
}

/**
 * Errors of a request besides those of what runs it.
 *
 * @since 0.1.0
 * @category errors
 */
export type ProviderError = Overloaded | Offline | RequestTimeout

/**
 * How a provider is. Where several hold, the first of this list does: `offline`, `overloaded`, `slow`, `busy`.
 *
 * @since 0.1.0
 * @category models
 */
export type Status = "available" | "busy" | "slow" | "overloaded" | "offline"

/**
 * Options of a provider.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface Options {
  readonly name: string
  /** Requests that run at once. Default 4. */
  readonly concurrency?: number
  /** Requests that may wait. Default 100. */
  readonly queueItemsMax?: number
  /** Part of the queue above which requests are refused. Default 0.8. */
  readonly overloadAt?: number
  /** From the request to its answer, waiting included. Default 5 s. */
  readonly timeout?: Duration.DurationInput
  /** Mean time of the last requests above which it is slow. Default 2 s. */
  readonly slowAt?: Duration.DurationInput
  /** Part of the last requests that may fail. Default 0.1. */
  readonly errorRatioMax?: number
  /** Requests that the two above look back at. Default 100. */
  readonly windowItems?: number
  /** Fewer than these say nothing about errors. Default 20. */
  readonly samplesMin?: number
  /** From offline to the probe. Default 30 s. */
  readonly cooldown?: Duration.DurationInput
}

/**
 * The defaults.
 *
 * @since 0.1.0
 * @category configuration
 */
export const defaults: Required<Omit<Options, "name">> = Object.freeze({
  concurrency: 4,
  queueItemsMax: 100,
  overloadAt: 0.8,
  timeout: "5 seconds",
  slowAt: "2 seconds",
  errorRatioMax: 0.1,
  windowItems: 100,
  samplesMin: 20,
  cooldown: "30 seconds"
})

/**
 * A reading of a provider.
 *
 * @since 0.1.0
 * @category models
 */
export interface Stats {
  readonly status: Status
  readonly running: number
  readonly waiting: number
  /** Mean of the last requests; 0 when there were none. */
  readonly meanMillis: number
  readonly errorRatio: number
  readonly samples: number
  readonly succeeded: number
  readonly failed: number
  readonly refused: number
}

/**
 * A provider.
 *
 * @since 0.1.0
 * @category models
 */
export interface Provider<in Req, out Res, out E> {
  readonly name: string
  /**
   * Asks it.
   *
   * **Suspension and interruption** Suspends until the answer, at most `timeout`. When interrupted the request is
   * interrupted too and counts as nothing. What ignores interruption keeps its place until it really ends.
   *
   * **Errors** Those of the request itself, `Overloaded` and `Offline` (at once, nothing was started), `RequestTimeout`.
   */
  readonly submit: (request: Req) => Effect.Effect<Res, E | ProviderError>
  readonly stats: Effect.Effect<Stats>
}

/**
 * A provider in front of a function.
 *
 * **Errors** `InvalidOption`, naming the option.
 *
 * @example
 * import * as Provider from "@spillway/workers/Provider"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.gen(function*() {
 *   const lengths = yield* Provider.make({ name: "lengths", concurrency: 2 }, (text: string) => Effect.succeed(text.length))
 *   return yield* Effect.all(["a", "bb", "ccc"].map(lengths.submit), { concurrency: "unbounded" })
 * })
 *
 * assert.deepStrictEqual(await Effect.runPromise(program), [1, 2, 3])
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <Req, Res, E>(
  options: Options,
  run: (request: Req) => Effect.Effect<Res, E>
): Effect.Effect<Provider<Req, Res, E>, InvalidOption> =>
  provider.make({ ...defaults, ...options }, run, {
    overloaded: (fields) => new Overloaded(fields),
    offline: (fields) => new Offline(fields),
    timeout: (fields) => new RequestTimeout(fields)
  })

const isUsable = ({ status }: Stats): boolean => status !== "offline" && status !== "overloaded"

/** Slow ones only when there is no other; then who has the least to do, then who is fastest. */
const isBetter = (a: Stats, b: Stats): boolean => {
  const slow = Number(a.status === "slow") - Number(b.status === "slow")
  if (slow !== 0) return slow < 0
  const load = a.waiting + a.running - (b.waiting + b.running)
  return load === 0 ? a.meanMillis < b.meanMillis : load < 0
}

/**
 * The provider to ask now: of those that are neither offline nor overloaded the one with the least to do; slow ones only
 * when there is no other.
 *
 * **Errors** `NoProvider`.
 *
 * @since 0.1.0
 * @category operations
 */
export const select = <Req, Res, E>(
  providers: ReadonlyArray<Provider<Req, Res, E>>
): Effect.Effect<Provider<Req, Res, E>, NoProvider> =>
  Effect.gen(function*() {
    let chosen: Provider<Req, Res, E> | undefined = undefined
    let best: Stats | undefined = undefined
    for (const candidate of providers) {
      const stats = yield* candidate.stats
      if (isUsable(stats) && (best === undefined || isBetter(stats, best))) [chosen, best] = [candidate, stats]
    }
    return chosen ?? (yield* new NoProvider({ providers: providers.map(({ name }) => name) }))
  })

/**
 * Asks the provider that is best now.
 *
 * **Errors** Those of the provider, and `NoProvider`.
 *
 * @since 0.1.0
 * @category operations
 */
export const submit = <Req, Res, E>(
  providers: ReadonlyArray<Provider<Req, Res, E>>,
  request: Req
): Effect.Effect<Res, E | ProviderError | NoProvider> =>
  Effect.flatMap(select(providers), (chosen) => chosen.submit(request))
