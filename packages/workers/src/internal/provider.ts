/** Places, a queue, and the window of the last requests: synchronous, with an Effect shell that waits and runs. */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import { InvalidOption } from "spillway/SpillwayError"
import type {
  Offline,
  Options,
  Overloaded,
  Provider,
  ProviderError,
  RequestTimeout,
  Stats,
  Status
} from "../Provider.js"

interface Errors {
  readonly overloaded: (fields: { provider: string; waiting: number; queueItemsMax: number }) => Overloaded
  readonly offline: (fields: { provider: string; retryAfterMillis: number }) => Offline
  readonly timeout: (fields: { provider: string; timeoutMillis: number }) => RequestTimeout
}

interface Sample {
  readonly millis: number
  readonly isError: boolean
}

interface Ticket {
  grant: () => void
  hasPlace: boolean
  readonly isProbe: boolean
}

interface Resolved {
  readonly name: string
  readonly concurrency: number
  readonly queueItemsMax: number
  readonly overloadAt: number
  readonly timeoutMillis: number
  readonly slowMillis: number
  readonly errorRatioMax: number
  readonly windowItems: number
  readonly samplesMin: number
  readonly cooldownMillis: number
}

export class ProviderCore {
  running = 0
  succeeded = 0
  failed = 0
  refused = 0
  private readonly waiting = new Set<Ticket>()
  private readonly window: Array<Sample> = []
  private sumMillis = 0
  private errors = 0
  /** Since when it takes no requests but probes. */
  private offlineSince: number | undefined = undefined
  private isProbing = false

  constructor(private readonly options: Resolved) {}

  get waitingItems(): number {
    return this.waiting.size
  }

  private get isOverloaded(): boolean {
    return this.waiting.size > this.options.overloadAt * this.options.queueItemsMax
  }

  private get meanMillis(): number {
    return this.window.length === 0 ? 0 : this.sumMillis / this.window.length
  }

  private get errorRatio(): number {
    return this.window.length === 0 ? 0 : this.errors / this.window.length
  }

  retryAfterMillis(now: number): number {
    return this.offlineSince === undefined ? 0 : Math.max(0, this.offlineSince + this.options.cooldownMillis - now)
  }

  status(now: number): Status {
    // When the cooldown is over somebody has to try.
    if (this.offlineSince !== undefined && (this.isProbing || this.retryAfterMillis(now) > 0)) return "offline"
    if (this.isOverloaded) return "overloaded"
    if (this.meanMillis > this.options.slowMillis) return "slow"
    return this.running >= this.options.concurrency ? "busy" : "available"
  }

  stats(now: number): Stats {
    return {
      status: this.status(now),
      running: this.running,
      waiting: this.waiting.size,
      meanMillis: this.meanMillis,
      errorRatio: this.errorRatio,
      samples: this.window.length,
      succeeded: this.succeeded,
      failed: this.failed,
      refused: this.refused
    }
  }

  /** A place, now or later, or why there is none. */
  enter(now: number): Ticket | "overloaded" | "offline" {
    const status = this.status(now)
    if (status === "overloaded" || status === "offline") {
      this.refused++
      return status
    }
    const isProbe = this.offlineSince !== undefined
    if (isProbe) this.isProbing = true
    const ticket: Ticket = { grant: () => {}, hasPlace: this.running < this.options.concurrency, isProbe }
    if (ticket.hasPlace) this.running++
    else this.waiting.add(ticket)
    return ticket
  }

  /** Gives a place back, or leaves the queue. */
  leave(ticket: Ticket, sample: Sample | undefined, now: number): void {
    if (ticket.hasPlace) this.running--
    else this.waiting.delete(ticket)
    if (ticket.isProbe) this.isProbing = false
    if (sample !== undefined) this.record(sample, ticket.isProbe, now)
    while (this.running < this.options.concurrency) {
      const [next] = this.waiting
      if (next === undefined) return
      this.waiting.delete(next)
      next.hasPlace = true
      this.running++
      next.grant()
    }
  }

  private record(sample: Sample, isProbe: boolean, now: number): void {
    if (sample.isError) this.failed++
    else this.succeeded++
    if (isProbe) {
      this.forget()
      this.offlineSince = sample.isError ? now : undefined
    }
    this.window.push(sample)
    this.sumMillis += sample.millis
    if (sample.isError) this.errors++
    if (this.window.length > this.options.windowItems) {
      const old = this.window.shift()!
      this.sumMillis -= old.millis
      if (old.isError) this.errors--
    }
    const { errorRatioMax, samplesMin } = this.options
    if (this.offlineSince === undefined && this.window.length >= samplesMin && this.errorRatio > errorRatioMax) {
      this.offlineSince = now
    }
  }

  private forget(): void {
    this.window.length = 0
    this.sumMillis = 0
    this.errors = 0
  }
}

const resolve = (options: Required<Options>): Effect.Effect<Resolved, InvalidOption> => {
  const invalid = (key: string, value: unknown, expected: string) =>
    Effect.fail(new InvalidOption({ module: "Provider", key, value, expected }))
  for (const key of ["concurrency", "queueItemsMax", "windowItems", "samplesMin"] as const) {
    const value = options[key]
    if (!(Number.isInteger(value) && value >= 1)) return invalid(key, value, "a whole number of at least 1")
  }
  for (const key of ["overloadAt", "errorRatioMax"] as const) {
    if (!(options[key] >= 0 && options[key] <= 1)) return invalid(key, options[key], "a ratio of 0 to 1")
  }
  for (const key of ["timeout", "slowAt", "cooldown"] as const) {
    if (!(Duration.toMillis(options[key]) > 0)) return invalid(key, options[key], "a positive duration")
  }
  const {
    concurrency,
    cooldown,
    errorRatioMax,
    name,
    overloadAt,
    queueItemsMax,
    samplesMin,
    slowAt,
    timeout,
    windowItems
  } = options
  return Effect.succeed({
    name,
    concurrency,
    queueItemsMax,
    overloadAt,
    errorRatioMax,
    windowItems,
    samplesMin,
    timeoutMillis: Duration.toMillis(timeout),
    slowMillis: Duration.toMillis(slowAt),
    cooldownMillis: Duration.toMillis(cooldown)
  })
}

/** What an end says about the provider; an interruption says nothing. */
const isErrorOf = (exit: Exit.Exit<unknown, unknown>): boolean | undefined =>
  exit._tag === "Success" ? false : Cause.isInterruptedOnly(exit.cause) ? undefined : true

export const make = <Req, Res, E>(
  options: Required<Options>,
  run: (request: Req) => Effect.Effect<Res, E>,
  errors: Errors
): Effect.Effect<Provider<Req, Res, E>, InvalidOption> =>
  Effect.gen(function*() {
    const resolved = yield* resolve(options)
    const clock = yield* Effect.clock
    const { name, queueItemsMax, timeoutMillis } = resolved
    const core = new ProviderCore(resolved)
    const now = () => clock.unsafeCurrentTimeMillis()

    const submit = (request: Req): Effect.Effect<Res, E | ProviderError> =>
      Effect.suspend((): Effect.Effect<Res, E | ProviderError> => {
        const startedAt = now()
        const ticket = core.enter(startedAt)
        if (ticket === "offline") {
          return Effect.fail(errors.offline({ provider: name, retryAfterMillis: core.retryAfterMillis(startedAt) }))
        }
        if (ticket === "overloaded") {
          return Effect.fail(errors.overloaded({ provider: name, waiting: core.waitingItems, queueItemsMax }))
        }
        const place = Effect.async<void>((resume) => {
          if (ticket.hasPlace) resume(Effect.void)
          else ticket.grant = () => resume(Effect.void)
        })
        let isLate = false
        // The mask protects the window between having a place and giving it back; what runs has none.
        const work = Effect.uninterruptibleMask((restore) =>
          Effect.onExit(restore(Effect.zipRight(place, Effect.suspend(() => run(request)))), (exit) =>
            Effect.sync(() => {
              const isError = isLate ? true : isErrorOf(exit)
              const at = now()
              core.leave(ticket, isError === undefined ? undefined : { millis: at - startedAt, isError }, at)
            }))
        )
        // In a fiber of its own, so that the deadline holds also against what ignores interruption.
        return Effect.timeoutFail(Effect.disconnect(work), {
          duration: timeoutMillis,
          onTimeout: () => {
            isLate = true
            return errors.timeout({ provider: name, timeoutMillis })
          }
        })
      })

    return { name, submit, stats: Effect.sync(() => core.stats(now())) }
  })
