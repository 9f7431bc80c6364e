/** What became of everything that was admitted. At any moment admitted = stored + lost + on its way. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

export interface Reading {
  readonly admitted: number
  readonly stored: number
  readonly lost: number
  readonly usedMillis: number
}

export class Ledger extends Context.Tag("@spillway-examples/speech-pipeline/Ledger")<Ledger, {
  readonly admitted: Effect.Effect<void>
  readonly stored: Effect.Effect<void>
  readonly lost: Effect.Effect<void>
  /** Audio that a session has used, in milliseconds. */
  readonly used: (millis: number) => Effect.Effect<void>
  readonly read: Effect.Effect<Reading>
}>() {}

export const layer = Layer.sync(Ledger, () => {
  const counts = { admitted: 0, stored: 0, lost: 0, usedMillis: 0 }
  const count = (key: "admitted" | "stored" | "lost") => Effect.sync(() => void counts[key]++)
  return {
    admitted: count("admitted"),
    stored: count("stored"),
    lost: count("lost"),
    used: (millis) =>
      Effect.sync(() => {
        counts.usedMillis += millis
      }),
    read: Effect.sync(() => ({ ...counts }))
  }
})
