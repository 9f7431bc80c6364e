/**
 * Readers of settings: from the text of an environment variable to its value, or to what the text should have been.
 */
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import * as LogLevel from "effect/LogLevel"
import * as Fs from "node:fs"

/** Reads the text of a setting. A `Left` says what the text should have been. */
export type Reader<A> = (text: string) => Either.Either<A, string>

const number = (expected: string, pattern: RegExp, accept: (value: number) => boolean): Reader<number> => (text) =>
  pattern.test(text) && accept(Number(text)) ? Either.right(Number(text)) : Either.left(expected)

/** At most 15 digits, so that every whole number that is taken is exact. */
export const whole = (least: number, most: number): Reader<number> =>
  number(`a whole number from ${least} to ${most}`, /^\d{1,15}$/, (value) => value >= least && value <= most)

export const ratio: Reader<number> = number("a number from 0 to 1", /^\d+(\.\d+)?$/, (value) => value <= 1)

export const positive: Reader<number> = number("a positive number", /^\d{1,9}(\.\d{1,9})?$/, (value) => value > 0)

const unitNames: Readonly<Record<string, Duration.Unit>> = {
  ms: "millis",
  milli: "millis",
  millis: "millis",
  s: "seconds",
  second: "seconds",
  seconds: "seconds",
  m: "minutes",
  minute: "minutes",
  minutes: "minutes",
  h: "hours",
  hour: "hours",
  hours: "hours"
}

/** A number and a unit. A bare number is refused: nobody can tell whether 30 means seconds or milliseconds. */
const readDuration = (least: Duration.Duration): Reader<Duration.Duration> => (text) => {
  const expected = `a duration of at least ${Duration.format(least)}, such as "5 seconds" or "500 ms"`
  const match = /^(\d{1,9}(?:\.\d{1,6})?) ?([a-z]+)$/.exec(text)
  const unit = match === null ? undefined : unitNames[match[2]!]
  if (match === null || unit === undefined) return Either.left(expected)
  const duration = Duration.decode(`${Number(match[1])} ${unit}`)
  return Duration.greaterThanOrEqualTo(duration, least) ? Either.right(duration) : Either.left(expected)
}

export const duration = readDuration(Duration.millis(1))

export const durationOrZero = readDuration(Duration.zero)

/** `off` is an infinite duration: it never comes to pass. */
export const durationOrOff: Reader<Duration.Duration> = (text) =>
  text === "off"
    ? Either.right(Duration.infinity)
    : Either.mapLeft(duration(text), (expected) => `${expected}, or "off"`)

export const orOff = <A>(read: Reader<A>): Reader<A | undefined> => (text) =>
  text === "off" ? Either.right(undefined) : Either.mapLeft(read(text), (expected) => `${expected}, or "off"`)

export const oneOf = <const A extends string>(...all: ReadonlyArray<A>): Reader<A> => (text) => {
  const found = all.find((name) => name === text)
  return found === undefined ? Either.left(`one of ${all.join(", ")}`) : Either.right(found)
}

export const host: Reader<string> = (text) =>
  /^[A-Za-z0-9.:_-]{1,255}$/.test(text) ? Either.right(text) : Either.left("a host name or an IP address")

/** The text of a file, which is empty where no file is named. A setting shows the name, never what is in the file. */
export const file: Reader<string> = (path) =>
  path === ""
    ? Either.right("")
    : Either.try({ try: () => Fs.readFileSync(path, "utf8"), catch: () => "a file that can be read" })

/** `*`, `null` or what a browser sends: scheme, host and port, without a path. */
const isOrigin = (text: string): boolean =>
  text === "*" || text === "null" || (URL.canParse(text) && new URL(text).origin === text)

export const origins: Reader<ReadonlyArray<string>> = (text) => {
  const all = text.split(",").map((part) => part.trim()).filter((part) => part !== "")
  return all.every(isOrigin)
    ? Either.right(all)
    : Either.left("origins such as https://example.org, separated by commas, or *")
}

export const logLevels = ["debug", "info", "warning", "error", "none"] as const

export const logLevel: Reader<LogLevel.LogLevel> = (text) =>
  Either.map(oneOf(...logLevels)(text.toLowerCase()), (name) =>
    LogLevel.fromLiteral(
      ({
        debug: "Debug",
        info: "Info",
        warning: "Warning",
        error: "Error",
        none: "None"
      } as const)[name]
    ))
