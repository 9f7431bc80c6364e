/**
 * Who may come in: limits on sessions in all, by address and by identity, and on how fast they come. A policy as a
 * service, asked before a handshake is answered, so that whoever is refused costs next to nothing and learns when to try
 * again.
 *
 * Decides: whether there is room. Leaves to others: who somebody is (the application's authorisation), from where (a
 * proxy may hide it), and the answer on the wire (`WebSocketRoute.admitted` of `@spillway/node`: 503 or 429 with
 * `Retry-After`).
 *
 * ```
 * admit(address) ─▶ lease ─identify(who)─▶ lease, counted twice ─scope closes, or the session has ended─▶ returned
 *      └─▶ AdmissionRefused, nothing taken
 * ```
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Config from "effect/Config"
import type * as ConfigError from "effect/ConfigError"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { AdmissionTable, type Entry } from "./internal/admissionTable.js"
import { type AdmissionRefused, InvalidOption } from "./SpillwayError.js"
import { Telemetry } from "./Telemetry.js"

/**
 * The limits. A number of sessions counts handshakes that are still being authorised.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** Sessions in all. Keep it below what the process may have open files. Default 65,536. */
  readonly sessionsMax?: number
  /** Sessions of one address. Behind a proxy that nobody told of, all clients have the same. Default 1024. */
  readonly sessionsPerAddressMax?: number
  /** Sessions of one identity. Default 64. */
  readonly sessionsPerIdentityMax?: number
  /** New sessions per second, in all. Default 1000. */
  readonly acceptsPerSecond?: number
  /** New sessions per second of one address. Default 100. */
  readonly acceptsPerAddressPerSecond?: number
  /** How much time's worth of the two rates may come at once. Default 1 s. */
  readonly acceptBurst?: Duration.DurationInput
  /** What a client that met a number of sessions is told to wait; a rate knows by itself. Default 5 s. */
  readonly retryAfter?: Duration.DurationInput
}

/**
 * Options with every field present; durations are milliseconds.
 *
 * @since 0.1.0
 * @category models
 */
export interface Resolved {
  readonly sessionsMax: number
  readonly sessionsPerAddressMax: number
  readonly sessionsPerIdentityMax: number
  readonly acceptsPerSecond: number
  readonly acceptsPerAddressPerSecond: number
  readonly acceptBurst: number
  readonly retryAfter: number
}

/**
 * What holds unless told otherwise.
 *
 * @since 0.1.0
 * @category configuration
 */
export const defaults: Resolved = Object.freeze({
  sessionsMax: 65_536,
  sessionsPerAddressMax: 1024,
  sessionsPerIdentityMax: 64,
  acceptsPerSecond: 1000,
  acceptsPerAddressPerSecond: 100,
  acceptBurst: 1_000,
  retryAfter: 5_000
})

/**
 * Room for one session.
 *
 * @since 0.1.0
 * @category models
 */
export interface Lease {
  readonly address: string
  readonly identity: string | undefined
  /** Counts the lease under an identity as well. Refused, it stays counted as it was. Never suspends. */
  identify(identity: string): Effect.Effect<void, AdmissionRefused>
  /**
   * Takes the lease out of the scope it was taken in and returns what gives it back: for whoever lives longer than the
   * handshake. Calling that again does nothing.
   */
  detach(): () => void
}

/**
 * A reading of the service.
 *
 * @since 0.1.0
 * @category models
 */
export interface Stats {
  readonly leases: number
  /** Addresses that have leases, or owe rate. */
  readonly addresses: number
  readonly identities: number
  readonly admitted: number
  readonly refused: { readonly [L in AdmissionRefused["limit"]]: number }
}

/**
 * Shape of the service.
 *
 * @since 0.1.0
 * @category models
 */
export interface AdmissionShape {
  /**
   * Room for one session from this address, or a refusal that took nothing. It is given back when the scope closes, unless
   * the lease was detached. Never suspends.
   */
  admit(address: string): Effect.Effect<Lease, AdmissionRefused, Scope.Scope>
  readonly stats: Effect.Effect<Stats>
}

/**
 * The admission service.
 *
 * @since 0.1.0
 * @category models
 */
export class Admission extends Context.Tag("spillway/Admission")<Admission, AdmissionShape>() {}

const counts = ["sessionsMax", "sessionsPerAddressMax", "sessionsPerIdentityMax"] as const
const rates = ["acceptsPerSecond", "acceptsPerAddressPerSecond"] as const
const durations = ["acceptBurst", "retryAfter"] as const

const invalid = (key: string, value: unknown, expected: string): InvalidOption =>
  new InvalidOption({ module: "Admission", key, value, expected })

/**
 * Fills in defaults and checks the options: counts at least 1 and rates above zero (both may be `Infinity`: no limit),
 * durations positive and finite.
 *
 * @since 0.1.0
 * @category constructors
 */
export const resolve = (options: Options = {}): Either.Either<Resolved, InvalidOption> => {
  const given = Object.entries(options).filter(([, value]) => value !== undefined)
  const out: Record<keyof Resolved, unknown> = { ...defaults, ...Object.fromEntries(given) }
  for (const key of counts) {
    const value = out[key]
    if (value !== Infinity && !(Number.isInteger(value) && Number(value) >= 1)) {
      return Either.left(invalid(key, value, "a whole number of at least 1, or Infinity"))
    }
  }
  for (const key of rates) {
    const value = out[key]
    if (typeof value !== "number" || !(value > 0)) return Either.left(invalid(key, value, "a number above zero"))
  }
  for (const key of durations) {
    const millis = Option.match(Duration.decodeUnknown(out[key]), { onNone: () => NaN, onSome: Duration.toMillis })
    if (!(millis > 0 && millis < Infinity)) return Either.left(invalid(key, out[key], "a positive, finite duration"))
    out[key] = millis
  }
  return Either.right(out as unknown as Resolved)
}

/**
 * Makes the service.
 *
 * **Errors** `InvalidOption`, naming the option.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options?: Options): Effect.Effect<AdmissionShape, InvalidOption, Telemetry> =>
  Effect.gen(function*() {
    const table = new AdmissionTable(yield* resolve(options))
    const telemetry = yield* Telemetry
    const clock = yield* Clock.clockWith(Effect.succeed)
    const refused = { sessions: 0, acceptRate: 0, address: 0, addressRate: 0, identity: 0 }
    let admitted = 0
    const refuse = (refusal: AdmissionRefused) => {
      refused[refusal.limit]++
      telemetry.admissionRefused(refusal.limit)
      return Effect.fail(refusal)
    }
    const release = (entry: Entry): void => table.release(clock.unsafeCurrentTimeMillis(), entry)
    const leaseOf = (entry: Entry): Lease => ({
      address: entry.address,
      get identity() {
        return entry.identity
      },
      identify: (identity) =>
        Effect.suspend(() => {
          const refusal = table.identify(entry, identity)
          return refusal === undefined ? Effect.void : refuse(refusal)
        }),
      detach: () => {
        entry.detached = true
        return () => release(entry)
      }
    })
    const admit = (address: string) =>
      Effect.suspend(() => {
        const entry = table.admit(clock.unsafeCurrentTimeMillis(), address)
        if (entry._tag === "AdmissionRefused") return refuse(entry)
        admitted++
        return Effect.succeed(entry)
      })
    return {
      admit: (address) =>
        Effect.map(
          Effect.acquireRelease(admit(address), (entry) =>
            Effect.sync(() => {
              if (!entry.detached) release(entry)
            })),
          leaseOf
        ),
      stats: Effect.sync(() => ({ ...table.stats, admitted, refused: { ...refused } }))
    }
  })

/**
 * The admission service as a layer.
 *
 * @example
 * import { Admission, Telemetry } from "spillway"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 *
 * const AdmissionLive = Admission.layer({ sessionsMax: 1 }).pipe(Layer.provide(Telemetry.layerNoop))
 *
 * const program = Effect.scoped(Effect.gen(function*() {
 *   const admission = yield* Admission.Admission
 *   yield* admission.admit("192.0.2.1")
 *   const second = yield* Effect.flip(admission.admit("192.0.2.2"))
 *   assert.strictEqual(second.limit, "sessions")
 * }))
 *
 * Effect.runSync(Effect.provide(program, AdmissionLive))
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options?: Options): Layer.Layer<Admission, InvalidOption, Telemetry> =>
  Layer.effect(Admission, make(options))

const optional = <A>(config: Config.Config<A>): Config.Config<A | undefined> =>
  Config.map(Config.option(config), Option.getOrUndefined)

/**
 * The options as configuration. The keys are the names of the options; what is not configured keeps its default. Use
 * `Config.nested` for a prefix.
 *
 * @since 0.1.0
 * @category configuration
 */
export const config: Config.Config<Options> = Config.map(
  Config.all({
    sessionsMax: optional(Config.integer("sessionsMax")),
    sessionsPerAddressMax: optional(Config.integer("sessionsPerAddressMax")),
    sessionsPerIdentityMax: optional(Config.integer("sessionsPerIdentityMax")),
    acceptsPerSecond: optional(Config.number("acceptsPerSecond")),
    acceptsPerAddressPerSecond: optional(Config.number("acceptsPerAddressPerSecond")),
    acceptBurst: optional(Config.duration("acceptBurst")),
    retryAfter: optional(Config.duration("retryAfter"))
  }),
  (all) => Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined))
)

/**
 * As `layer`, with the options from configuration.
 *
 * **Errors** `ConfigError` when a value cannot be read, `InvalidOption` when it is not usable.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = (
  from: Config.Config<Options> = config
): Layer.Layer<Admission, InvalidOption | ConfigError.ConfigError, Telemetry> =>
  Layer.effect(Admission, Effect.flatMap(from, make))
