/** Checks of options, with the error that names the option. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { InvalidOption } from "spillway/SpillwayError"

/** Options with numbers of at least `least`, and durations as milliseconds, above zero where `positive` says so. */
export const resolve = <A>(
  module: string,
  options: { readonly [key: string]: unknown },
  rules: { readonly counts: ReadonlyArray<string>; readonly durations: ReadonlyArray<string> }
): Effect.Effect<A, InvalidOption> => {
  const out: Record<string, unknown> = { ...options }
  const invalid = (key: string, expected: string) =>
    Effect.fail(new InvalidOption({ module, key, value: options[key], expected }))
  for (const key of rules.counts) {
    const value = out[key]
    if (typeof value !== "number" || !(value >= 1) || (value !== Infinity && !Number.isInteger(value))) {
      return invalid(key, "a whole number above 0")
    }
  }
  for (const key of rules.durations) {
    const millis = Duration.decodeUnknown(out[key])
    if (millis._tag === "None") return invalid(key, "a duration")
    const value = Duration.toMillis(millis.value)
    if (!(value > 0)) return invalid(key, "a duration above zero")
    out[key] = value
  }
  // Every key was checked or has a type that needs no check.
  return Effect.succeed(out as A)
}

/** Of the options of a runner: those that are numbers, and those that are durations. */
export const runnerRules = {
  counts: ["concurrencyMax", "queuedJobsMax", "retentionBytesMax"],
  durations: ["lease", "pollInterval", "ackTimeout", "shutdownGrace", "retentionAge", "retentionInterval"]
} as const

/** The same of the options of a log. */
export const logRules = {
  counts: [
    "queueItemsMax",
    "queueBytesMax",
    "batchItemsMax",
    "eventBytesMax",
    "pageItemsMax",
    "pageBytesMax",
    "tailItemsMax",
    "tailBytesMax"
  ],
  durations: ["commitTimeout", "pollInterval", "flushTimeout"]
} as const
