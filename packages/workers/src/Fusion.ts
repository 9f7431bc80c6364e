/**
 * Joins what belongs together: items of several modalities that carry the same window, each handled by the provider of its
 * modality. When all of them are there the window is fused; at its deadline it is fused with what there is, naming what is
 * missing, or it fails. Results go to the stream that offered the items and to no other.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { InvalidOption } from "spillway/SpillwayError"
import * as fusion from "./internal/fusion.js"

/**
 * All streams together have so much unfinished that no more is taken.
 *
 * @since 0.1.0
 * @category errors
 */
export class FusionFull extends Data.TaggedError("FusionFull")<{
  readonly backlogItemsMax: number
}> {
  override get message(): string {
    return `${this.backlogItemsMax} items are unfinished; one more is refused`
  }
}

/**
 * One item. Items with the same `window` belong together; `expects` of the first one says which modalities the window has,
 * by default all. An item that comes after the end of its window begins another one.
 *
 * @since 0.1.0
 * @category models
 */
export interface Item<M extends string> {
  readonly modality: M
  readonly window: string | number
  readonly data: unknown
  readonly expects?: ReadonlyArray<M>
}

/**
 * What became of a window. `missing` has each modality that is not in `values`, and why: `late` (no item, or no answer,
 * within the deadline) or the error of its provider.
 *
 * @since 0.1.0
 * @category models
 */
export type Fused<M extends string, V, E> =
  | {
    readonly _tag: "Complete"
    readonly window: string | number
    readonly values: { readonly [K in M]?: V }
    readonly millis: number
  }
  | {
    readonly _tag: "Partial" | "Failed"
    readonly window: string | number
    readonly values: { readonly [K in M]?: V }
    readonly missing: { readonly [K in M]?: "late" | E }
    readonly millis: number
  }

/**
 * Options of a fusion.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface Options<M extends string, V, E> {
  /** What handles the items of each modality; `Provider.submit` does. */
  readonly modalities: { readonly [K in M]: (data: unknown) => Effect.Effect<V, E> }
  /** From the first item of a window to its end. Default 5 s. */
  readonly deadline?: Duration.DurationInput
  /** What a window becomes that is not complete at its deadline. Default `partial`. */
  readonly onMissing?: "partial" | "fail"
  /** Items of all streams that may be unfinished; one more is refused. Default 10 000. */
  readonly backlogItemsMax?: number
  /** Part of the backlog above which slow streams have to wait. Default 0.8. */
  readonly throttleAt?: number
  /** Mean time of the last ten windows of a stream above which it is slow. Default 2 s. */
  readonly slowAt?: Duration.DurationInput
}

/**
 * The defaults.
 *
 * @since 0.1.0
 * @category configuration
 */
export const defaults = Object.freeze({
  deadline: "5 seconds" as const,
  onMissing: "partial" as const,
  backlogItemsMax: 10_000,
  throttleAt: 0.8,
  slowAt: "2 seconds" as const
})

/**
 * A reading of a fusion. `total` = `successful` + `failed`; windows that were fused with something missing are successful,
 * and also counted in `partial`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Stats {
  readonly total: number
  readonly successful: number
  readonly partial: number
  readonly failed: number
  readonly meanMillis: number
  /** 1 when there were none. */
  readonly successRatio: number
  readonly streams: number
  readonly slowStreams: number
  readonly openWindows: number
  readonly backlogItems: number
  /** Offers that had to wait because their stream is slow. */
  readonly throttled: number
  readonly refused: number
}

/**
 * One stream of items.
 *
 * @since 0.1.0
 * @category models
 */
export interface FusionStream<in M extends string> {
  /**
   * Gives an item. Suspends while the backlog is high and this stream is slow; interrupted then, nothing was taken.
   *
   * **Errors** `FusionFull`.
   */
  readonly offer: (item: Item<M>) => Effect.Effect<void, FusionFull>
}

/**
 * A fusion.
 *
 * @since 0.1.0
 * @category models
 */
export interface Fusion<M extends string, V, E> {
  /**
   * A stream whose results go to `emit`. When the scope closes its windows end without a result, and count as nothing.
   */
  readonly open: (
    emit: (fused: Fused<M, V, E>) => Effect.Effect<void>
  ) => Effect.Effect<FusionStream<M>, never, Scope.Scope>
  readonly stats: Effect.Effect<Stats>
}

/**
 * A fusion.
 *
 * **Errors** `InvalidOption`, naming the option.
 *
 * @example
 * import * as Fusion from "@spillway/workers/Fusion"
 * import * as Deferred from "effect/Deferred"
 * import * as Effect from "effect/Effect"
 *
 * const length = (data: unknown) => Effect.succeed(String(data).length)
 * const program = Effect.gen(function*() {
 *   const fusion = yield* Fusion.make({ modalities: { text: length, audio: length } })
 *   const done = yield* Deferred.make<unknown>()
 *   const stream = yield* fusion.open((fused) => Deferred.succeed(done, fused.values))
 *   yield* stream.offer({ modality: "text", window: 1, data: "abc" })
 *   yield* stream.offer({ modality: "audio", window: 1, data: "ab" })
 *   return yield* Deferred.await(done)
 * })
 *
 * assert.deepStrictEqual(await Effect.runPromise(Effect.scoped(program)), { text: 3, audio: 2 })
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <M extends string, V, E>(
  options: Options<M, V, E>
): Effect.Effect<Fusion<M, V, E>, InvalidOption> =>
  fusion.make({ ...defaults, ...options }, (backlogItemsMax) => new FusionFull({ backlogItemsMax }))
