/** A stand-in for somebody else's service, which can be told to hang: `POST /mode/hang`, `/mode/fail`, `/mode/answer`. */
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"

const modes = ["answer", "fail", "hang"] as const

type Mode = typeof modes[number]

const text = (body: string, status = 200) => HttpServerResponse.text(body, { status })

/** Routes of one webhook. `GET /counts` says how many calls it has answered, and how many hang right now. */
export const router = Effect.sync(() => {
  const state = { mode: "answer" as Mode, answered: 0, failed: 0, hanging: 0 }
  const hang = Effect.acquireUseRelease(
    Effect.sync(() => state.hanging++),
    () => Effect.never,
    () => Effect.sync(() => state.hanging--)
  )
  const call = Effect.suspend(() => {
    if (state.mode === "hang") return hang
    if (state.mode === "fail") {
      state.failed++
      return Effect.succeed(text("broken", 500))
    }
    state.answered++
    return Effect.succeed(text("thanks"))
  })
  const setMode = Effect.map(HttpRouter.params, ({ mode }) => {
    const found = modes.find((known) => known === mode)
    if (found === undefined) return text(`a mode is one of ${modes.join(", ")}`, 400)
    state.mode = found
    return text(found)
  })
  return HttpRouter.empty.pipe(
    HttpRouter.post("/hook", call),
    HttpRouter.post("/mode/:mode", setMode),
    HttpRouter.get("/counts", Effect.sync(() => HttpServerResponse.unsafeJson(state)))
  )
})
