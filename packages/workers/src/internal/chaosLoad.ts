/** A steady load whose every operation is accounted for. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { LoadOptions, LoadReport } from "../Chaos.js"
import type { WorkerPoolShape } from "../WorkerPool.js"

class Ledger {
  started = 0
  succeeded = 0
  wrong = 0
  late = 0
  readonly failed: Record<string, number> = {}
  readonly times: Array<number> = []

  report(): LoadReport {
    const sorted = this.times.sort((a, b) => a - b)
    const at = (part: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0
    const { failed, late, started, succeeded, wrong } = this
    return { started, succeeded, failed, wrong, late, p50: at(0.5), p99: at(0.99), max: at(1) }
  }
}

const isOwn = (answer: unknown, session: string, number: number): boolean =>
  typeof answer === "object" && answer !== null && "session" in answer && answer.session === session
  && "number" in answer && answer.number === number

export const run = (pool: WorkerPoolShape, options: LoadOptions): Effect.Effect<LoadReport> =>
  Effect.gen(function*() {
    const timeout = Duration.toMillis(options.timeout ?? "1 second")
    const checkoutTimeout = Duration.toMillis(options.checkoutTimeout ?? "1 second")
    const allowed = timeout + checkoutTimeout + Duration.toMillis(options.tolerance ?? "100 millis")
    const ledger = new Ledger()
    const open = new Set<Fiber.RuntimeFiber<void>>()
    const operation = (number: number) =>
      Effect.gen(function*() {
        const session = `session-${number % options.sessions}`
        const startedAt = yield* Clock.currentTimeMillis
        const result = yield* Effect.either(
          pool.execute("echo", { session, number }, { session, timeout, checkoutTimeout })
        )
        const millis = (yield* Clock.currentTimeMillis) - startedAt
        ledger.times.push(millis)
        if (millis > allowed) ledger.late++
        if (result._tag === "Left") ledger.failed[result.left._tag] = (ledger.failed[result.left._tag] ?? 0) + 1
        else if (isOwn(result.right, session, number)) ledger.succeeded++
        else ledger.wrong++
      })
    const beganAt = yield* Clock.currentTimeMillis
    const total = Math.round(Duration.toSeconds(options.duration) * options.operationsPerSecond)
    for (let number = 0; number < total; number++) {
      // A load that was held up catches up, so that the rate holds over the whole.
      const wait = beganAt + (number * 1000) / options.operationsPerSecond - (yield* Clock.currentTimeMillis)
      if (wait > 0) yield* Effect.sleep(wait)
      ledger.started++
      const fiber = yield* Effect.fork(operation(number))
      open.add(fiber)
      fiber.addObserver(() => open.delete(fiber))
    }
    yield* Fiber.awaitAll([...open])
    return ledger.report()
  })
