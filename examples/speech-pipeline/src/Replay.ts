/** A client: plays audio to the listener in real time or faster, and hears what is found in it. */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Dialer } from "spillway/Dialer"
import * as Message from "spillway/Message"
import * as Session from "spillway/Session"
import { Sessions } from "spillway/Sessions"
import * as Audio from "./Audio.js"

const Heard = Schema.Union(
  Schema.Struct({ type: Schema.Literal("status"), status: Schema.String }),
  Schema.Struct({
    type: Schema.Literal("segment"),
    index: Schema.Number,
    startMillis: Schema.Number,
    endMillis: Schema.Number,
    peakDb: Schema.Number
  }),
  Schema.Struct({ type: Schema.Literal("stored", "lost"), kind: Schema.String, seq: Schema.Number })
)

export type Heard = typeof Heard.Type

export interface Options {
  readonly url: string
  readonly pcm: Uint8Array
  /** How many times faster than real time. */
  readonly speed: number
  /** Called before each batch with its place in the audio; playing waits for it. By default there is no waiting. */
  readonly before?: (atMillis: number) => Effect.Effect<void>
  /** Called with everything that the listener says. */
  readonly onHeard: (heard: Heard) => Effect.Effect<void>
}

const play = (session: Session.Session, { before, pcm, speed }: Options) =>
  Effect.gen(function*() {
    // As many frames at a time as fit into 20 ms of real time, so that no timer is needed for less.
    const batch = Math.max(1, Math.round(speed))
    const frames = Audio.frames(pcm)
    for (let at = 0; at < frames.length; at += batch) {
      if (before !== undefined) yield* before(at * Audio.frameMillis)
      for (const frame of frames.slice(at, at + batch)) {
        yield* session.send(Message.binary(frame, { lane: "critical" }))
      }
      yield* Effect.sleep((Audio.frameMillis * batch) / speed)
    }
  })

/** Plays it once and closes; frames that were sent are flushed first. */
export const replay = (options: Options) =>
  Effect.scoped(Effect.gen(function*() {
    const connection = yield* (yield* Dialer).dial(options.url)
    const session = yield* (yield* Sessions).scoped(connection)
    const hearing = yield* Effect.fork(Stream.runForEach(
      Session.decoded(session, Heard),
      (heard) => Option.match(Option.getRight(heard), { onNone: () => Effect.void, onSome: options.onHeard })
    ))
    // The heartbeats of the listener are text and no JSON: they are not heard, which is all right.
    yield* play(session, options)
    yield* session.close()
    const report = yield* session.awaitExit
    yield* Fiber.join(hearing)
    return report
  }))
