/** One operation from its arrival to its answer: waiting, running, given up by its caller, done. */
import type * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Mode } from "../Affinity.js"
import {
  type CheckoutError,
  OperationTimeout,
  type PoolClosed,
  type ProtocolViolation,
  RemoteError,
  type WorkerCrashed,
  type WorkerError
} from "../WorkerError.js"
import type { Reply } from "../WorkerTransport.js"
import { quietly } from "./invariant.js"
import type { Lease } from "./lease.js"
import type { PoolCore } from "./pool.js"
import { Waiter } from "./waiter.js"
import type { Pending, Worker } from "./worker.js"

export type Resume<E> = (effect: Effect.Effect<unknown, E>) => void

export interface Call {
  readonly command: string
  readonly args: unknown
  readonly timeoutMillis: number
  readonly onProgress: ((value: unknown) => void) | undefined
}

const remote = (worker: Worker, command: string, reply: Extract<Reply, { readonly _tag: "Failure" }>): RemoteError =>
  new RemoteError({ workerId: worker.id, command, type: reply.type, explanation: reply.explanation })

/** An operation on a worker, which is returned when the answer comes. */
export class Operation extends Waiter implements Pending {
  readonly command: string
  private worker: Worker | undefined = undefined
  private isAbandoned = false
  /** The caller has been told, though it may not have heard yet. */
  private isOver = false

  constructor(
    pool: PoolCore,
    sessionId: string | undefined,
    mode: Mode,
    waitMillis: number,
    private readonly call: Call,
    private readonly resume: Resume<WorkerError>,
    /** Who keeps the worker when the operation is over. */
    private readonly lease?: Lease
  ) {
    super(pool, sessionId, mode, waitMillis)
    this.command = call.command
  }

  override granted(worker: Worker): void {
    this.worker = worker
    const error = worker.ask(this.call.args, this)
    if (error !== undefined) {
      this.done(Exit.fail(error))
      return this.release(worker, undefined)
    }
    this.pool.deadlines.add(this, this.pool.now() + this.call.timeoutMillis)
  }

  override refused(error: CheckoutError): void {
    this.done(Exit.fail(error))
  }

  override onDue(now: number): void {
    const { worker } = this
    if (worker === undefined) return super.onDue(now)
    const { command, isAbandoned } = this
    const { timeoutMillis } = this.call
    if (!isAbandoned) this.done(Exit.fail(new OperationTimeout({ workerId: worker.id, command, timeoutMillis })))
    // What the worker does now is unknown, whatever it answers later.
    this.isAbandoned = true
    this.pool.trouble(
      worker,
      isAbandoned ? { _tag: "Abandoned", command } : { _tag: "TimedOut", command, timeoutMillis }
    )
  }

  onReply(reply: Reply): void {
    const worker = this.worker!
    if (reply._tag === "Progress") {
      if (this.call.onProgress !== undefined && !this.isAbandoned) quietly(this.call.onProgress, reply.value)
      return
    }
    this.pool.deadlines.remove(this)
    const error = reply._tag === "Success" ? undefined : remote(worker, this.command, reply)
    this.release(worker, error !== undefined && this.pool.options.isWorkerFault(error) ? error.message : undefined)
    if (this.isAbandoned) return
    this.done(reply._tag === "Success" ? Exit.succeed(reply.result) : Exit.fail(error!))
  }

  onLost(error: ProtocolViolation | WorkerCrashed | PoolClosed): void {
    this.pool.deadlines.remove(this)
    if (!this.isAbandoned) this.done(Exit.fail(error))
  }

  /** The caller does not wait any more. A worker that has the operation gets some time to answer it all the same. */
  cancel(): void {
    // Interrupted in the instant of the answer: there is nothing left that the worker could be late with.
    if (this.isOver) return
    this.isAbandoned = true
    this.pool.metrics?.interrupted()
    if (this.worker === undefined) return this.pool.leave(this)
    this.pool.tally.interrupted++
    this.pool.deadlines.add(this, this.pool.now() + this.pool.options.interruptGraceMillis)
  }

  private release(worker: Worker, failure: string | undefined): void {
    if (this.lease === undefined) this.pool.checkin(worker, failure)
    else this.lease.answered(failure)
  }

  private done(result: Exit.Exit<unknown, WorkerError>): void {
    this.isOver = true
    this.pool.settled(result)
    this.resume(result)
  }
}
