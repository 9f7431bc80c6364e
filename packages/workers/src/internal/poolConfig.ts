/** The options of a pool as configuration: one key for each option that is a value and not code. */
import * as Config from "effect/Config"
import * as Option from "effect/Option"
import type { AffinityOptions, Options, RecycleOptions } from "../WorkerPool.js"

const optional = <A>(config: Config.Config<A>): Config.Config<A | undefined> =>
  Config.map(Config.option(config), Option.getOrUndefined)

type Keys<O, A> = { [K in keyof O]-?: A extends Exclude<O[K], undefined> ? K & string : never }[keyof O]

const byKeys = <K extends string, A>(keys: ReadonlyArray<K>, f: (key: K) => Config.Config<A>) =>
  Config.all(Object.fromEntries(keys.map((key) => [key, optional(f(key))])) as Record<K, Config.Config<A | undefined>>)

/** What is configured, of several records. */
const given = <O>(parts: ReadonlyArray<object>): O => {
  const set = parts.flatMap((part) => Object.entries(part)).filter(([, value]) => value !== undefined)
  // Each key is one of the options, read as its type.
  return Object.fromEntries(set) as O
}

const counts = ["size", "overflow", "queueItemsMax", "startBatch", "restartsMax"] as const satisfies ReadonlyArray<
  Keys<Options, number>
>

const durations = [
  "checkoutTimeout",
  "operationTimeout",
  "interruptGrace",
  "initTimeout",
  "startBatchDelay",
  "stopTimeout",
  "killTimeout",
  "healthInterval",
  "healthTimeout",
  "backoffMin",
  "backoffMax",
  "restartPeriod",
  "restartPause",
  "overflowIdle"
] as const satisfies ReadonlyArray<Keys<Options, "1 second">>

const affinity: Config.Config<AffinityOptions | "none"> = Config.nested(
  Config.map(
    Config.all([
      optional(Config.literal("hint", "strictQueue", "strictFailFast", "none")("mode")),
      byKeys(["ttl", "sweepInterval", "wait"] as const, Config.duration)
    ]),
    ([mode, periods]) => mode === "none" ? mode : given<AffinityOptions>([{ mode }, periods])
  ),
  "affinity"
)

const recycle: Config.Config<RecycleOptions> = Config.nested(
  Config.map(
    Config.all([
      byKeys(["age"] as const, Config.duration),
      byKeys(["operationsMax", "memoryBytesMax"], Config.integer)
    ]),
    (parts) => given<RecycleOptions>(parts)
  ),
  "recycle"
)

export const config: Config.Config<Options> = Config.map(
  Config.all([
    byKeys(["name"] as const, Config.nonEmptyString),
    byKeys(counts, Config.integer),
    byKeys(durations, Config.duration),
    Config.all({ affinity, recycle })
  ]),
  (parts) => given<Options>(parts)
)
