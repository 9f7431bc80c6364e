/** A worker that somebody has for as long as a scope is open. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type { Mode } from "../Affinity.js"
import type { CheckoutError, WorkerError } from "../WorkerError.js"
import { type Call, Operation } from "./operation.js"
import type { PoolCore } from "./pool.js"
import { Waiter } from "./waiter.js"
import type { Worker } from "./worker.js"

export class Lease extends Waiter {
  private worker: Worker | undefined = undefined
  private operations = 0
  private isReleased = false
  private failure: string | undefined = undefined

  constructor(
    pool: PoolCore,
    sessionId: string | undefined,
    mode: Mode,
    waitMillis: number,
    private readonly resume: (effect: Effect.Effect<Lease, CheckoutError>) => void
  ) {
    super(pool, sessionId, mode, waitMillis)
  }

  get workerId(): string {
    return this.worker!.id
  }

  override granted(worker: Worker): void {
    this.worker = worker
    this.resume(Effect.succeed(this))
  }

  override refused(error: CheckoutError): void {
    this.resume(Effect.fail(error))
  }

  readonly execute = (call: Call): Effect.Effect<unknown, WorkerError> =>
    Effect.async<unknown, WorkerError>((resume) => {
      const worker = this.worker!
      if (this.isReleased || worker.condemnation !== undefined) {
        return resume(Effect.fail(worker.loss(call.command)))
      }
      const operation = new Operation(this.pool, undefined, this.mode, this.waitMillis, call, resume, this)
      this.operations++
      operation.granted(worker)
      return Effect.sync(() => operation.cancel())
    })

  /** An operation is over; that it failed says something about the worker, or not. */
  answered(failure: string | undefined): void {
    this.operations--
    this.failure = failure ?? this.failure
    if (this.isReleased && this.operations === 0) this.pool.checkin(this.worker!, this.failure)
  }

  /** The scope is over. A worker that still has an operation is returned when it has answered, or replaced. */
  release(exit: Exit.Exit<unknown, unknown>): void {
    if (this.isReleased) return
    this.isReleased = true
    if (this.worker === undefined) return this.pool.leave(this)
    if (exit._tag === "Failure" && !Cause.isInterruptedOnly(exit.cause)) this.failure = Cause.pretty(exit.cause)
    if (this.operations === 0) this.pool.checkin(this.worker, this.failure)
  }
}
