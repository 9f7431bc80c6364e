/**
 * Draining all sessions within one total time.
 *
 * ```
 * accepting ─▶ announced, new ones refused ─grace─▶ every session ends ─▶ (late) hurried ─▶ (total) terminated ─▶ done
 * ```
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { DrainOptions, DrainSummary } from "../Sessions.js"
import type { Registry } from "./registry.js"

const defaults = { total: 28_000, grace: 2_000, reconnectAfter: 0, reconnectJitter: 5_000 }

/** Part of the total after which endings that still wait are asked to hurry. */
const hurryAfter = 0.9

const awaitEmpty = (registry: Registry): Effect.Effect<void> =>
  Effect.async<void>((resume) => {
    const wake = () => resume(Effect.void)
    if (registry.sessions.size === 0) return wake()
    registry.onEmpty = wake
    return Effect.sync(() => {
      registry.onEmpty = undefined
    })
  })

const announce = (registry: Registry, options: DrainOptions): boolean => {
  if (options.announce === undefined) return false
  const message = options.announce({
    afterMillis: Duration.toMillis(options.reconnectAfter ?? defaults.reconnectAfter),
    jitterMillis: Duration.toMillis(options.reconnectJitter ?? defaults.reconnectJitter)
  })
  for (const session of registry.sessions) session.unsafeOffer(message)
  return true
}

const run = (registry: Registry, options: DrainOptions): Effect.Effect<DrainSummary> =>
  Effect.gen(function*() {
    const now = (): number => registry.clock.unsafeCurrentTimeMillis()
    const startedAt = now()
    const total = Duration.toMillis(options.total ?? defaults.total)
    const endAt = startedAt + total
    const sessions = registry.sessions.size
    registry.state = "draining"
    // An announcement that cannot be made must not keep the sessions from ending.
    const announced = yield* Effect.catchAllDefect(
      Effect.sync(() => announce(registry, options)),
      (defect) => Effect.as(Effect.logError("the drain could not be announced", defect), false)
    )
    const grace = Math.min(total, Duration.toMillis(options.grace ?? (announced ? defaults.grace : 0)))
    if (grace > 0 && sessions > 0) {
      yield* Effect.raceFirst(Effect.sleep(grace), Effect.raceFirst(registry.awaitHurry, awaitEmpty(registry)))
    }
    for (const session of registry.sessions) {
      session.deadlineAt = endAt
      session.requestEnd({ _tag: "ServerDraining", announced })
    }
    const late = Effect.sleep(Math.max(0, startedAt + total * hurryAfter - now())).pipe(
      Effect.zipRight(Effect.sync(() => registry.hurry())),
      Effect.zipRight(Effect.sleep(Math.max(0, endAt - Math.max(now(), startedAt + total * hurryAfter))))
    )
    yield* Effect.raceFirst(awaitEmpty(registry), late)
    const left = [...registry.sessions]
    for (const session of left) session.connection.terminate()
    return { sessions, terminated: left.length, durationMillis: now() - startedAt }
  })

/** The first call drains, later ones join it; interrupting a call does not stop the drain. */
export const drain = (registry: Registry) => {
  let running: Fiber.RuntimeFiber<DrainSummary> | undefined = undefined
  return (options: DrainOptions = {}): Effect.Effect<DrainSummary> =>
    Effect.suspend(() => {
      if (running !== undefined) return Fiber.join(running)
      return run(registry, options).pipe(
        Effect.withSpan("spillway.drain", { root: true }),
        Effect.interruptible,
        Effect.forkDaemon,
        Effect.flatMap((fiber) => {
          running = fiber
          return Fiber.join(fiber)
        })
      )
    })
}
