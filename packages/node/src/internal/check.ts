import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { InvalidOption } from "spillway/SpillwayError"

/** Checks of options that name the option as the caller wrote it. */
export const integerWithin = (
  module: string,
  options: Readonly<Record<string, unknown>>,
  key: string,
  min: number,
  max: number
): Effect.Effect<void, InvalidOption> => {
  const value = options[key]
  return typeof value === "number" && Number.isInteger(value) && value >= min && value <= max
    ? Effect.void
    : Effect.fail(new InvalidOption({ module, key, value, expected: `an integer from ${min} to ${max}` }))
}

/** Milliseconds fit a Node timer, which takes anything longer for one millisecond. */
export const timerDuration = (
  module: string,
  key: string,
  value: Duration.DurationInput
): Effect.Effect<number, InvalidOption> => {
  const millis = Duration.toMillis(value)
  return millis >= 1 && millis <= 0x7fffffff
    ? Effect.succeed(millis)
    : Effect.fail(new InvalidOption({ module, key, value, expected: "a duration from 1 millisecond to 24 days" }))
}
