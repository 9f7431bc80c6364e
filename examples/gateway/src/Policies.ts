/**
 * What holds over all sessions together: the memory budget, which sheds from the largest sessions first, and what becomes
 * of a session that lags.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Budget from "spillway/Budget"
import * as Inspector from "spillway/Inspector"
import * as SlowConsumers from "spillway/SlowConsumers"
import * as Protocol from "./Protocol.js"
import type { SettingsShape } from "./Settings.js"

/** How full an outbox is, in items or bytes, from which on its session lags. */
const lagRatio = 0.8

const rules = ({ lagAction, lagTime }: SettingsShape): ReadonlyArray<SlowConsumers.Rule> =>
  lagAction === "off"
    ? []
    : (["items", "bytes"] as const).map((reason) => ({ reason, above: lagRatio, for: lagTime, action: lagAction }))

export const layer = (settings: SettingsShape) =>
  Layer.mergeAll(
    Budget.layer({
      bytesMax: settings.budgetBytes,
      delayMax: settings.budgetDelay,
      hint: () => Protocol.error("overloaded", "the server is short of memory, and you have much waiting: go elsewhere")
    }),
    SlowConsumers.layer({
      rules: rules(settings),
      warning: ({ reason }) => Protocol.error("slow_consumer", `you read too slowly: ${reason}`)
    })
  )

/** For `/stats`. Sessions that lag are named, the worst first, at most ten. */
export const stats = Effect.gen(function*() {
  const slow = yield* SlowConsumers.SlowConsumers
  const lagging = yield* slow.lagging
  return {
    budget: (yield* Budget.Budget).stats,
    lagging: lagging.length,
    slowest: yield* slow.top(10),
    manager: (yield* Inspector.inspect).metrics
  }
})
