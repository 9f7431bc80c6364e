/** Items as files: written aside and renamed, so that a file is whole; an item that comes twice is the same file. */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Item } from "./Frames.js"
import { Settings } from "./Settings.js"

const extensions = { audio: "pcm", transcript: "json", speakerSample: "pcm" } as const

/** Name of the file of an item within the folder of its session. */
export const fileName = ({ kind, seq }: Pick<Item, "kind" | "seq">): string =>
  `${kind}-${String(seq).padStart(6, "0")}.${extensions[kind]}`

export class Store extends Context.Tag("@spillway-examples/speech-pipeline/Store")<Store, {
  /** Stores an item of a session. A failure of the disk is a defect of the session: its peer sends again. */
  readonly put: (session: string, item: Item) => Effect.Effect<void>
}>() {}

export const layer = Layer.effect(
  Store,
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const { store } = yield* Settings
    let writes = 0
    return {
      put: (session, item) =>
        Effect.gen(function*() {
          const folder = path.join(store, session)
          const file = path.join(folder, fileName(item))
          const aside = `${file}.${writes++}.part`
          yield* files.makeDirectory(folder, { recursive: true })
          yield* files.writeFile(aside, item.payload)
          yield* files.rename(aside, file)
        }).pipe(
          Effect.orDie,
          // Interrupted between the two it would leave its file aside for ever. It takes a moment.
          Effect.uninterruptible
        )
    }
  })
)
