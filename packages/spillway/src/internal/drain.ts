/**
 * Draining all sessions within one total time.
 *
 * ```
 * accepting ─▶ lameDuck ──grace──▶ closing ──spread, then until 0.9 of the total──▶ forcing ──total──▶ done
 *              announced,          sessions end a few at a time,                    hurried, then
 *              new ones refused    at most `endingsMax` at once                     terminated
 * ```
 *
 * A phase is over earlier when no session is left, and every phase up to `forcing` when asked to hurry.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { DrainReport, ExitTag } from "../Exit.js"
import { all as lanes, type Lane, perLane } from "../Lane.js"
import type { DrainOptions, DrainPhase, DrainSummary } from "../Sessions.js"
import type { Registry } from "./registry.js"
import type { SessionImpl } from "./session.js"

export const defaults = { total: 28_000, grace: 2_000, reconnectAfter: 0, reconnectJitter: 5_000, endingsMax: 128 }

/** Part of the total after which endings that still wait are asked to hurry. */
const hurryAfter = 0.9

/** Part of the time between grace and hurry over which closes are spread by default; the rest is for the last to end. */
const spreadShare = 0.6

/** Few sessions are not made to wait for each other. */
const gapMillisMax = 50

/** Many sessions are ended a few at a time, so that a step costs little beside what it does. */
const stepMillisMin = 20

interface Plan {
  readonly graceEndAt: number
  readonly spreadMillis: number
  readonly forceAt: number
  readonly endAt: number
  readonly endingsMax: number
}

/** What is counted while it goes on. */
class Progress {
  readonly startedAt: number
  readonly sessions: number
  readonly began: Partial<Record<DrainPhase, number>> = {}
  readonly exits: { [T in ExitTag]?: number } = {}
  readonly undelivered: Record<Lane, number> = perLane(() => 0)
  readonly stuck: Array<string> = []
  readonly endedPerSecond: Array<number> = []
  readonly ending = new Set<SessionImpl>()
  endingsMost = 0
  forced = 0

  constructor(private readonly registry: Registry) {
    this.startedAt = registry.clock.unsafeCurrentTimeMillis()
    this.sessions = registry.sessions.size
    for (const session of registry.sessions) if (session.isEnding) this.ending.add(session)
    registry.onLeave = (session, report) => this.left(session, report)
  }

  enter(phase: DrainPhase): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.began[phase] = this.registry.clock.unsafeCurrentTimeMillis()
      return this.registry.enter(phase)
    })
  }

  end(session: SessionImpl, endAt: number, announced: boolean): void {
    session.deadlineAt = endAt
    const isFirst = !session.isEnding
    session.requestEnd({ _tag: "ServerDraining", announced })
    if (!isFirst) return
    this.ending.add(session)
    this.endingsMost = Math.max(this.endingsMost, this.ending.size)
    const second = Math.floor((this.registry.clock.unsafeCurrentTimeMillis() - this.startedAt) / 1000)
    while (this.endedPerSecond.length <= second) this.endedPerSecond.push(0)
    this.endedPerSecond[second]!++
  }

  private left(session: SessionImpl, report: DrainReport): void {
    this.ending.delete(session)
    const tag = report.exit._tag
    this.exits[tag] = (this.exits[tag] ?? 0) + 1
    this.forced += report.forced
    this.stuck.push(...report.stuck)
    for (const lane of lanes) this.undelivered[lane] += report.undelivered[lane]
  }

  summary(terminated: number): DrainSummary {
    const { began } = this
    // What was terminated is about to leave; it is in one count already.
    this.registry.onLeave = undefined
    const now = this.registry.clock.unsafeCurrentTimeMillis()
    const between = (from: DrainPhase, to: DrainPhase) => (began[to] ?? now) - (began[from] ?? began[to] ?? now)
    return {
      sessions: this.sessions,
      terminated,
      durationMillis: now - this.startedAt,
      phases: {
        lameDuckMillis: between("lameDuck", "closing"),
        closingMillis: between("closing", "forcing"),
        forcingMillis: between("forcing", "done")
      },
      exits: this.exits,
      closesPerSecond: this.endedPerSecond,
      endingsMost: this.endingsMost,
      undelivered: this.undelivered,
      forced: this.forced,
      stuck: this.stuck
    }
  }
}

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

const planOf = (options: DrainOptions, startedAt: number, announced: boolean): Plan => {
  const total = Duration.toMillis(options.total ?? defaults.total)
  const grace = Math.min(total / 2, Duration.toMillis(options.grace ?? (announced ? defaults.grace : 0)))
  const forceAt = startedAt + Math.max(grace, total * hurryAfter)
  const window = Math.max(0, forceAt - startedAt - grace)
  const spread = options.spread ?? (announced ? window * spreadShare : 0)
  return {
    graceEndAt: startedAt + grace,
    spreadMillis: Math.min(window, Duration.toMillis(spread)),
    forceAt,
    endAt: startedAt + total,
    endingsMax: Math.max(1, options.endingsMax ?? defaults.endingsMax)
  }
}

/** Ends the sessions a few at a time. Returns when each was asked to end, or somebody is in a hurry. */
const endAll = (registry: Registry, progress: Progress, plan: Plan, announced: boolean): Effect.Effect<void> => {
  const waiting = [...registry.sessions]
  const gap = Math.min(gapMillisMax, plan.spreadMillis / waiting.length)
  const step = Math.max(stepMillisMin, gap)
  const perStep = gap === 0 ? Infinity : Math.max(1, Math.round(step / gap))
  let next = 0
  const endSome = Effect.sync(() => {
    let count = perStep
    while (next < waiting.length && count > 0 && progress.ending.size < plan.endingsMax) {
      const session = waiting[next++]!
      if (session.state === "closed") continue
      progress.end(session, plan.endAt, announced)
      count--
    }
    return next < waiting.length
  })
  const pause = Effect.flatMap(registry.jitter, (jitter) => Effect.sleep(step * (0.5 + jitter / 2)))
  return Effect.repeat(
    Effect.tap(endSome, (more) => more ? pause : Effect.void),
    { until: (more) => !more || registry.hurried }
  )
}

const run = (registry: Registry, options: DrainOptions): Effect.Effect<DrainSummary> =>
  Effect.gen(function*() {
    const now = (): number => registry.clock.unsafeCurrentTimeMillis()
    const until = (at: number) => Effect.suspend(() => Effect.sleep(Math.max(0, at - now())))
    const progress = new Progress(registry)
    yield* progress.enter("lameDuck")
    // An announcement that cannot be made must not keep the sessions from ending.
    const announced = yield* Effect.catchAllDefect(
      Effect.sync(() => announce(registry, options)),
      (defect) => Effect.as(Effect.logError("the drain could not be announced", defect), false)
    )
    const plan = planOf(options, progress.startedAt, announced)
    const isOver = Effect.raceFirst(registry.awaitHurry, awaitEmpty(registry))
    if (plan.graceEndAt > now() && registry.sessions.size > 0) yield* Effect.raceFirst(until(plan.graceEndAt), isOver)
    yield* progress.enter("closing")
    const closing = Effect.zipRight(endAll(registry, progress, plan, announced), isOver)
    yield* Effect.raceFirst(closing, until(plan.forceAt))
    yield* progress.enter("forcing")
    for (const session of registry.sessions) progress.end(session, plan.endAt, announced)
    if (registry.sessions.size > 0) registry.hurry()
    yield* Effect.raceFirst(awaitEmpty(registry), until(plan.endAt))
    const left = [...registry.sessions]
    for (const session of left) session.connection.terminate()
    yield* progress.enter("done")
    return progress.summary(left.length)
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
