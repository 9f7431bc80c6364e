/**
 * A place for one worker after the other: starts it, waits until it may not go on, ends it within its deadlines, and starts
 * the next, the sooner the more rarely that was needed.
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import type { Reply } from "../WorkerTransport.js"
import type { PoolCore } from "./pool.js"
import { type Pending, Worker } from "./worker.js"

/** Waits so long at most; whether it happened. The fibers of slots are never interrupted and have no finalizers. */
const within = (awaited: Deferred.Deferred<void>, millis: number): Effect.Effect<boolean> =>
  millis <= 0
    ? Deferred.isDone(awaited)
    : Effect.map(Effect.timeoutOption(Deferred.await(awaited), millis), Option.isSome)

/** The first request of every worker. */
class Handshake implements Pending {
  readonly command = "ping"
  failure: string | undefined = undefined
  readonly over = Deferred.unsafeMake<void>(FiberId.none)

  onReply(reply: Reply): void {
    if (reply._tag === "Progress") return
    if (reply._tag === "Failure") return this.end(`${reply.type}: ${reply.explanation}`)
    const { result } = reply
    const isOk = typeof result === "object" && result !== null && "status" in result && result.status === "ok"
    this.end(isOk ? undefined : "its first answer does not say that it is ok")
  }

  onLost(error: Error): void {
    this.end(error.message)
  }

  private end(failure: string | undefined): void {
    this.failure = failure
    Deferred.unsafeDone(this.over, Effect.void)
  }
}

export class Slot {
  worker: Worker | undefined = undefined
  /** It waits longer because it had to be started too often. */
  isPaused = false
  /** It has tried to start its first worker. */
  readonly tried = Deferred.unsafeMake<void>(FiberId.none)
  private generation = 0
  /** Times of the restarts within the period. */
  private restarts: Array<number> = []
  /** Starts that failed, in a row. */
  private failedStarts = 0

  constructor(readonly pool: PoolCore, readonly index: number, readonly isOverflow: boolean) {}

  /** Ends when the pool closes, or with the first worker when it is for overflow. Cannot be interrupted in between. */
  readonly run: Effect.Effect<void> = Effect.suspend(() => this.round).pipe(
    Effect.repeat({ while: () => !this.pool.isClosed && !this.isOverflow }),
    Effect.asVoid
  )

  private get round(): Effect.Effect<void> {
    return this.start.pipe(
      Effect.tap(() => Effect.sync(() => Deferred.unsafeDone(this.tried, Effect.void))),
      Effect.flatMap((worker) =>
        Effect.as(Effect.zipRight(Deferred.await(worker.condemned), this.end(worker)), worker)
      ),
      Effect.flatMap((worker) => this.rest(worker))
    )
  }

  /** A worker that is ready, or condemned. */
  private readonly start: Effect.Effect<Worker> = Effect.gen(this, function*() {
    const { pool } = this
    const { initMillis, name } = pool.options
    const startedAt = pool.now()
    const worker = new Worker(
      `${name}-${this.isOverflow ? "o" : ""}${this.index}.${this.generation++}`,
      this,
      pool,
      startedAt
    )
    this.worker = worker
    pool.workers.set(worker.id, worker)
    pool.metrics?.moved(undefined, "initializing")
    const failure = yield* this.connect(worker)
    const left = initMillis - (pool.now() - startedAt)
    const refusal = failure ?? (yield* this.handshake(worker, left))
    if (worker.condemnation !== undefined) {
      this.failedStarts++
      if (!pool.isClosed) pool.onStartFailed(worker, refusal ?? "it ended")
      return worker
    }
    if (refusal !== undefined) {
      this.failedStarts++
      pool.onStartFailed(worker, refusal)
      pool.condemn(worker, { cause: "start failed", trouble: undefined, isForced: true })
      return worker
    }
    this.failedStarts = 0
    pool.onReady(worker)
    return worker
  })

  /** Why there is no link. One that comes too late is killed when it comes. */
  private connect(worker: Worker): Effect.Effect<string | undefined> {
    const { initMillis } = this.pool.options
    let isLate = false
    const spawn = Effect.matchCause(this.pool.transport.spawn(worker.id), {
      onFailure: (cause) =>
        Option.match(Cause.failureOption(cause), { onNone: () => Cause.pretty(cause), onSome: ({ why }) => why }),
      onSuccess: (link) => {
        if (isLate) return void link.kill()
        worker.link = link
        link.attach(worker)
        return undefined
      }
    })
    return Effect.flatMap(Effect.forkDaemon(spawn), (fiber) =>
      Effect.raceFirst(
        Effect.timeoutTo(Fiber.join(fiber), {
          duration: initMillis,
          onSuccess: (why) => why,
          onTimeout: () => "it was not there in time"
        }),
        Effect.as(Deferred.await(worker.condemned), "it was not wanted any more")
      )).pipe(Effect.tap(() => {
        isLate = worker.link === undefined
      }))
  }

  private handshake(worker: Worker, leftMillis: number): Effect.Effect<string | undefined> {
    return Effect.suspend(() => {
      const handshake = new Handshake()
      const error = worker.ask({ initialization: true, worker_id: worker.id }, handshake)
      if (error !== undefined) return Effect.succeed(error.message)
      const over = Effect.raceFirst(Deferred.await(handshake.over), Deferred.await(worker.condemned))
      return Effect.map(
        Effect.timeoutOption(over, Math.max(0, leftMillis)),
        (done) => Option.isNone(done) ? "it did not answer in time" : handshake.failure
      )
    })
  }

  /** Asks, waits, kills, waits. */
  private end(worker: Worker): Effect.Effect<void> {
    return Effect.gen(this, function*() {
      const { options } = this.pool
      const { link } = worker
      if (link !== undefined && worker.exit === undefined) {
        const isForced = worker.condemnation!.isForced
        if (!isForced) link.stop()
        if (isForced || !(yield* within(worker.exited, options.stopMillis))) {
          link.kill()
          if (!(yield* within(worker.exited, options.killMillis))) this.pool.onUndead(worker)
        }
      }
      worker.loseAll()
      worker.tryMove("terminating", "terminate")
      worker.tryMove("terminated", worker.condemnation!.cause === "start failed" ? "error" : "terminate")
      this.pool.workers.delete(worker.id)
      this.worker = undefined
      this.pool.onEnded(worker)
    })
  }

  /** The pause before the next worker. */
  private rest(worker: Worker): Effect.Effect<void> {
    const { pool } = this
    // What was planned is no trouble.
    if (pool.isClosed || this.isOverflow || worker.condemnation?.cause === "worn out") return Effect.void
    const { backoffMaxMillis, backoffMinMillis, restartPauseMillis, restartPeriodMillis, restartsMax } = pool.options
    const now = pool.now()
    this.restarts = this.restarts.filter((at) => now - at < restartPeriodMillis)
    const count = Math.max(this.restarts.length, this.failedStarts)
    this.restarts.push(now)
    if (this.restarts.length > restartsMax) {
      this.restarts = []
      return this.pause(restartPauseMillis)
    }
    return count === 0 ? Effect.void : this.sleep(Math.min(backoffMaxMillis, backoffMinMillis * 2 ** (count - 1)))
  }

  private pause(millis: number): Effect.Effect<void> {
    this.isPaused = true
    this.pool.onPaused(this)
    return Effect.map(this.sleep(millis), () => {
      this.isPaused = false
      this.pool.onResumed(this)
    })
  }

  private sleep(millis: number): Effect.Effect<void> {
    return Effect.raceFirst(Effect.sleep(millis), Deferred.await(this.pool.closing))
  }
}
