/**
 * Where the lines of the room are kept.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

/** An archive takes its time, as databases do. */
export class Archive extends Context.Tag("@spillway-examples/chat-room/Archive")<Archive, {
  readonly append: (by: string, text: string) => Effect.Effect<void>
  readonly lines: Effect.Effect<ReadonlyArray<string>>
}>() {
  static readonly layerMemory = Layer.sync(Archive, () => {
    const lines: Array<string> = []
    return {
      append: (by, text) => Effect.delay(Effect.sync(() => void lines.push(`${by}: ${text}`)), "50 millis"),
      lines: Effect.sync(() => [...lines])
    }
  })
}
