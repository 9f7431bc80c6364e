/** Options as configuration: one key for each option that is a value, checked as it is read. */
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"

const optional = <A>(config: Config.Config<A>): Config.Config<A | undefined> =>
  Config.map(Config.option(config), Option.getOrUndefined)

/** The names of the options that take a value of this type. */
export type Keys<O, A> = { [K in keyof O]-?: A extends Exclude<O[K], undefined> ? K & string : never }[keyof O]

export const byKeys = <K extends string, A>(
  keys: ReadonlyArray<K>,
  f: (key: K) => Config.Config<A>
) =>
  // Each key is read by the same function.
  Config.all(Object.fromEntries(keys.map((key) => [key, optional(f(key))])) as Record<K, Config.Config<A | undefined>>)

/** What is configured, of several records. */
export const given = <O>(parts: ReadonlyArray<object>): O => {
  const set = parts.flatMap((part) => Object.entries(part)).filter(([, value]) => value !== undefined)
  // Each key is one of the options, read as its type.
  return Object.fromEntries(set) as O
}

/** All options that are numbers or durations, of a module that has no others. */
export const byRules = <O>(rules: {
  readonly counts: ReadonlyArray<Keys<O, number>>
  readonly durations: ReadonlyArray<Keys<O, "1 second">>
}): Config.Config<O> =>
  Config.map(
    Config.all([byKeys(rules.counts, count), byKeys(rules.durations, period)]),
    (parts) => given<O>(parts)
  )

/** `Infinity` is no limit. */
export const count = (key: string): Config.Config<number> =>
  Config.validate(Config.number(key), {
    message: "expected a whole number above 0",
    validation: (value) => value >= 1 && (value === Infinity || Number.isInteger(value))
  })

export const period = (key: string): Config.Config<Duration.Duration> =>
  Config.validate(Config.duration(key), {
    message: "expected a duration above zero",
    validation: (value) => Duration.toMillis(value) > 0
  })
