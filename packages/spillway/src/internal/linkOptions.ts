/** Checks the options of a link. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { defaults as Defaults, Options } from "../Link.js"
import { InvalidOption } from "../SpillwayError.js"

export type Resolved = { readonly [K in keyof typeof Defaults]: number }

const counts = ["attemptsMax", "requestsMax"] as const
const periods = ["dialTimeout", "backoff", "backoffMax", "degradedFor", "answerTimeout"] as const

export const resolve = <A>(
  options: Options<A>,
  defaults: Resolved
): Effect.Effect<Resolved, InvalidOption> => {
  const millis = (key: typeof periods[number] | "stableAfter"): number =>
    Duration.toMillis(options[key] ?? defaults[key])
  const resolved: Resolved = {
    dialTimeout: millis("dialTimeout"),
    backoff: millis("backoff"),
    backoffMax: millis("backoffMax"),
    degradedFor: millis("degradedFor"),
    stableAfter: millis("stableAfter"),
    answerTimeout: millis("answerTimeout"),
    attemptsMax: options.attemptsMax ?? defaults.attemptsMax,
    requestsMax: options.requestsMax ?? defaults.requestsMax,
    retriesMax: options.retriesMax ?? defaults.retriesMax
  }
  const invalid = (key: keyof Resolved, expected: string) =>
    Effect.fail(new InvalidOption({ module: "Link", key, value: options[key], expected }))
  for (const key of counts) {
    if (!(Number.isInteger(resolved[key]) && resolved[key] >= 1)) return invalid(key, "a whole number of at least 1")
  }
  if (!(Number.isInteger(resolved.retriesMax) && resolved.retriesMax >= 0)) {
    return invalid("retriesMax", "a whole number, zero or more")
  }
  for (const key of periods) {
    if (!(resolved[key] > 0 && resolved[key] < Infinity)) return invalid(key, "a positive, finite duration")
  }
  return Effect.succeed(resolved)
}
