/**
 * The pool: who waits, who is idle, who belongs to whom. Synchronous; time comes from the clock, and what takes time is
 * done by slots (starting and ending workers) and by deadlines.
 */
import type * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import type { Trouble } from "../Recovery.js"
import { Busy, CheckoutTimeout, Gone, PoolClosed, PoolSaturated, QueueTimeout } from "../WorkerError.js"
import type { PoolEvent } from "../WorkerPool.js"
import * as WorkerState from "../WorkerState.js"
import type { WorkerTransportShape } from "../WorkerTransport.js"
import { DeadlineSet } from "./deadlineSet.js"
import { Health } from "./health.js"
import { invariant, quietly } from "./invariant.js"
import { type OperationExit, PoolMetrics } from "./poolMetrics.js"
import type { ResolvedOptions } from "./poolOptions.js"
import { Sessions } from "./poolSessions.js"
import { Slot } from "./slot.js"
import { firstOf, type Waiter } from "./waiter.js"
import type { Condemnation, Worker } from "./worker.js"

export class PoolCore {
  readonly workers = new Map<string, Worker>()
  /** Workers that may be given work, the one that has waited longest first. */
  private readonly idle = new Set<Worker>()
  /** Who takes any worker, in order. */
  private readonly queue = new Set<Waiter>()
  readonly slots: Array<Slot> = []
  /** Places that there are only while operations wait, and what runs them. */
  private readonly overflow = new Map<Slot, Fiber.RuntimeFiber<unknown, unknown>>()
  readonly deadlines: DeadlineSet
  readonly health: Health
  readonly tally = { succeeded: 0, failed: 0, interrupted: 0, startFailures: 0, ended: 0, undead: 0, overflowStarts: 0 }
  readonly sessions: Sessions | undefined
  readonly metrics: PoolMetrics | undefined
  readonly closing = Deferred.unsafeMake<void>(FiberId.none)
  isClosed = false
  waiting = 0
  private tickets = 0
  private isPumping = false
  private readonly becameFull = new Set<() => void>()

  constructor(
    readonly options: ResolvedOptions,
    readonly transport: WorkerTransportShape,
    private readonly clock: Clock.Clock,
    readonly runFork: (effect: Effect.Effect<unknown>) => Fiber.RuntimeFiber<unknown, unknown>,
    private readonly publish: (event: PoolEvent) => void
  ) {
    this.deadlines = new DeadlineSet(clock)
    this.health = new Health(this)
    this.metrics = options.label === undefined ? undefined : PoolMetrics.of(options.label)
    this.sessions = options.affinity === undefined ? undefined : new Sessions(options.affinity, this)
    for (let index = 0; index < options.sizeItems; index++) this.slots.push(new Slot(this, index, false))
  }

  now(): number {
    return this.clock.unsafeCurrentTimeMillis()
  }

  // ---------------------------------------------------------------------------
  // Waiting
  // ---------------------------------------------------------------------------

  /** Gives a worker, or a place in a queue, or an error. */
  place(waiter: Waiter): void {
    if (this.isClosed) return waiter.refused(new PoolClosed())
    const { mode, sessionId } = waiter
    const found = sessionId === undefined || waiter.takesAny ? undefined : this.sessions?.find(sessionId, this.now())
    if (found === undefined) return this.placeAnywhere(waiter)
    if (found._tag === "Lost") {
      return mode === "hint" ? this.placeAnywhere(waiter) : this.gone(waiter, found.workerId)
    }
    const { worker } = found
    if (this.idle.has(worker)) return this.grant(worker, waiter)
    if (mode === "strictFailFast") return waiter.refused(new Busy({ sessionId: sessionId!, workerId: worker.id }))
    const hintMillis = this.options.affinity!.waitMillis
    if (mode === "hint" && hintMillis <= 0) return this.placeAnywhere(waiter)
    const giveUpAt = mode === "hint" ? Math.min(waiter.giveUpAt, this.now() + hintMillis) : waiter.giveUpAt
    waiter.wants = worker
    this.join(worker.waiting, waiter, giveUpAt)
  }

  /** Takes no other worker than its own, which is no more. */
  private gone(waiter: Waiter, workerId: string): void {
    const sessionId = waiter.sessionId!
    this.sessions?.told(sessionId)
    waiter.refused(new Gone({ sessionId, workerId }))
  }

  private placeAnywhere(waiter: Waiter): void {
    const worker = this.choose(waiter)
    if (worker !== undefined) return this.grant(worker, waiter)
    this.join(this.queue, waiter, waiter.giveUpAt)
    this.startOverflow()
  }

  /** A new session goes where the fewest are; everything else to who has waited longest. */
  private choose({ sessionId }: Waiter): Worker | undefined {
    return sessionId === undefined || this.sessions === undefined ? firstOf(this.idle) : this.sessions.fewest(this.idle)
  }

  private join(queue: Set<Waiter>, waiter: Waiter, giveUpAt: number): void {
    const { queueItemsMax } = this.options
    if (this.waiting >= queueItemsMax) return waiter.refused(new PoolSaturated({ queueItemsMax }))
    if (waiter.ticket === 0) waiter.ticket = ++this.tickets
    queue.add(waiter)
    waiter.queue = queue
    this.waiting++
    this.metrics?.waits(1)
    this.deadlines.add(waiter, giveUpAt)
  }

  /** Takes a waiter out of its queue, if it is in one. */
  leave(waiter: Waiter): void {
    if (waiter.queue === undefined) return
    waiter.queue.delete(waiter)
    waiter.queue = undefined
    this.waiting--
    this.metrics?.waits(-1)
    this.deadlines.remove(waiter)
  }

  /** The time of a waiter is over. */
  waitedEnough(waiter: Waiter, now: number): void {
    const wanted = waiter.queue === this.queue ? undefined : waiter.wants
    this.leave(waiter)
    const waitedMillis = now - waiter.sinceAt
    if (wanted === undefined) return waiter.refused(new CheckoutTimeout({ waitedMillis }))
    if (waiter.mode === "hint") {
      waiter.takesAny = true
      return now < waiter.giveUpAt ? this.place(waiter) : waiter.refused(new CheckoutTimeout({ waitedMillis }))
    }
    waiter.refused(new QueueTimeout({ sessionId: waiter.sessionId!, workerId: wanted.id, waitedMillis }))
  }

  // ---------------------------------------------------------------------------
  // Giving and taking back
  // ---------------------------------------------------------------------------

  private grant(worker: Worker, waiter: Waiter): void {
    invariant(WorkerState.canAcceptWork(worker.machine), "work is given to workers that take it")
    this.idle.delete(worker)
    this.deadlines.remove(worker.idleDue)
    worker.move("busy", "checkout")
    worker.checkouts++
    this.metrics?.waited(this.now() - waiter.sinceAt)
    if (waiter.sessionId !== undefined) this.sessions?.use(waiter.sessionId, worker, this.now())
    waiter.granted(worker)
  }

  /** A worker comes back; with a failure when it is to blame for one. */
  checkin(worker: Worker, failure: string | undefined): void {
    // A worker that was degraded meanwhile comes back by a probe.
    if (worker.condemnation !== undefined || !worker.isBusy) return
    worker.lastUsedAt = this.now()
    worker.operations++
    if (failure !== undefined) {
      worker.errorCheckins++
      worker.failures++
      return this.trouble(worker, { _tag: "CheckinFailed", failures: worker.failures, why: failure }, failure)
    }
    worker.failures = 0
    worker.missedProbes = 0
    worker.move("ready", "checkin_success")
    const { options } = this
    if (worker.operations >= options.recycleOperationsMax) worker.isWornOut ??= "operations"
    if (worker.lastUsedAt - worker.startedAt >= options.recycleAgeMillis) worker.isWornOut ??= "age"
    this.available(worker)
  }

  /** A worker may be given work, unless it is worn out. */
  available(worker: Worker): void {
    if (worker.isWornOut !== undefined) return this.trouble(worker, { _tag: "WornOut", limit: worker.isWornOut })
    this.idle.add(worker)
    if (worker.slot.isOverflow) this.deadlines.add(worker.idleDue, this.now() + this.options.overflowIdleMillis)
    this.pump()
  }

  /** Gives idle workers to who waits for them, in the order in which they came. */
  private pump(): void {
    // Giving a worker may give one back at once; the loop that runs already sees it.
    if (this.isPumping || this.waiting === 0) return
    this.isPumping = true
    for (let goesOn = true; goesOn;) {
      goesOn = false
      for (const worker of this.idle) {
        const waiter = this.nextFor(worker)
        if (waiter === undefined) continue
        goesOn = true
        const isOwn = waiter.queue === worker.waiting
        this.leave(waiter)
        // Its session may have got a worker while it waited for any.
        const { sessionId, takesAny } = waiter
        if (isOwn || takesAny || sessionId === undefined || this.sessions?.isBound(sessionId, this.now()) !== true) {
          this.grant(worker, waiter)
        } else this.place(waiter)
        break
      }
    }
    this.isPumping = false
  }

  private nextFor(worker: Worker): Waiter | undefined {
    const own = firstOf(worker.waiting)
    const any = firstOf(this.queue)
    if (own === undefined || any === undefined) return own ?? any
    return own.ticket < any.ticket ? own : any
  }

  // ---------------------------------------------------------------------------
  // Trouble
  // ---------------------------------------------------------------------------

  /** Something went wrong with a worker: does what the strategy says. */
  trouble(worker: Worker, trouble: Trouble, why?: string): void {
    if (worker.condemnation !== undefined) return
    const action = this.options.recovery(trouble)
    const isMissing = worker.exit !== undefined
    if (action._tag === "degrade" && !isMissing && this.degrade(worker, trouble, action.delayMillis, why)) return
    const cause = action._tag === "replace" ? action.why : "not ready"
    this.condemn(worker, { cause, trouble, isForced: action._tag === "degrade" || action.isForced })
  }

  /** Whether it could be. */
  private degrade(worker: Worker, trouble: Trouble, delayMillis: number, why: string | undefined): boolean {
    const reason = trouble._tag === "ProbeFailed"
      ? "health_check_failed"
      : trouble._tag === "CheckinFailed"
      ? "checkin_error"
      : "recovery_degrade"
    if (worker.state !== "degraded" && !worker.tryMove("degraded", reason, why === undefined ? {} : { why })) {
      return false
    }
    worker.health = "unhealthy"
    this.idle.delete(worker)
    this.deadlines.remove(worker.idleDue)
    this.health.schedule(worker, delayMillis)
    return true
  }

  /** A worker has reached a limit: at once if it does nothing, else when it comes back. */
  wear(worker: Worker, limit: "age" | "memory"): void {
    if (worker.condemnation !== undefined || worker.isWornOut !== undefined) return
    worker.isWornOut = limit
    if (this.idle.has(worker)) this.trouble(worker, { _tag: "WornOut", limit })
  }

  /** Takes a worker out for good. Whoever waits for it is told or sent elsewhere; its slot does the rest. */
  condemn(worker: Worker, condemnation: Condemnation): void {
    if (worker.condemnation !== undefined) return
    worker.condemnation = condemnation
    this.metrics?.removed(condemnation.cause)
    this.idle.delete(worker)
    for (const item of [worker.idleDue, worker.probeDue]) this.deadlines.remove(item)
    const { cause, trouble } = condemnation
    const reason = cause === "closed" || cause === "idle" || cause === "worn out"
      ? "shutdown"
      : cause === "timed out" || cause === "abandoned"
      ? "timeout"
      : cause === "health check limit"
      ? "health_check_failed"
      : "error"
    worker.tryMove("terminating", reason, { cause, ...(trouble === undefined ? {} : { trouble }) })
    this.sessions?.lose(worker, this.now())
    if (cause !== "start failed") this.publish({ _tag: "WorkerRemoved", workerId: worker.id, cause, at: this.now() })
    Deferred.unsafeDone(worker.condemned, Effect.void)
    for (const waiter of [...worker.waiting]) {
      this.leave(waiter)
      if (waiter.mode === "hint") this.place(waiter)
      else this.gone(waiter, worker.id)
    }
  }

  // ---------------------------------------------------------------------------
  // What slots tell
  // ---------------------------------------------------------------------------

  onReady(worker: Worker): void {
    worker.health = "healthy"
    worker.move("ready", "init_complete")
    this.publish({ _tag: "WorkerReady", workerId: worker.id, pid: worker.link?.pid, at: this.now() })
    this.health.schedule(worker, this.options.healthIntervalMillis)
    this.available(worker)
    if (!this.isFull) return
    for (const wake of this.becameFull) wake()
    this.becameFull.clear()
  }

  onStartFailed(worker: Worker, why: string): void {
    this.tally.startFailures++
    this.publish({ _tag: "StartFailed", workerId: worker.id, why, at: this.now() })
  }

  onEnded(worker: Worker): void {
    this.tally.ended++
    this.publish({ _tag: "WorkerEnded", workerId: worker.id, exit: worker.exit, at: this.now() })
    // An overflow worker may have gone while others still wait.
    if (worker.slot.isOverflow) {
      this.overflow.delete(worker.slot)
      this.startOverflow()
    }
  }

  onUndead(worker: Worker): void {
    this.tally.undead++
    this.publish({ _tag: "WorkerUndead", workerId: worker.id, pid: worker.link?.pid, at: this.now() })
  }

  onPaused(slot: Slot): void {
    this.publish({ _tag: "SlotPaused", slot: slot.index, at: this.now() })
  }

  onResumed(slot: Slot): void {
    this.publish({ _tag: "SlotResumed", slot: slot.index, at: this.now() })
  }

  onMoved(worker: Worker): void {
    const { onTransition } = this.options
    const { entry } = worker.machine.moves!
    this.metrics?.moved(entry.from, entry.to)
    if (onTransition !== undefined) quietly(onTransition, { workerId: worker.id, entry })
  }

  /** An operation is over. */
  settled(exit: OperationExit): void {
    if (exit._tag === "Success") this.tally.succeeded++
    else this.tally.failed++
    this.metrics?.over(exit)
  }

  onSessionMoved(sessionId: string, from: string, to: string): void {
    this.publish({ _tag: "SessionMoved", sessionId, from, to, at: this.now() })
  }

  private startOverflow(): void {
    if (this.isClosed) return
    let starting = 0
    for (const { condemnation, state } of this.workers.values()) {
      if (state === "initializing" && condemnation === undefined) starting++
    }
    while (this.overflow.size < this.options.overflowItems && starting < this.queue.size) {
      const slot = new Slot(this, this.tally.overflowStarts++, true)
      starting++
      this.overflow.set(slot, this.runFork(slot.run))
    }
  }

  // ---------------------------------------------------------------------------
  // The whole
  // ---------------------------------------------------------------------------

  /** Every slot has a worker that is ready or busy. */
  get isFull(): boolean {
    return this.slots.every(({ worker }) => worker?.condemnation === undefined && isServing(worker?.state))
  }

  readonly awaitFull: Effect.Effect<void> = Effect.async<void>((resume) => {
    if (this.isFull) return resume(Effect.void)
    const wake = () => resume(Effect.void)
    this.becameFull.add(wake)
    return Effect.sync(() => this.becameFull.delete(wake))
  })

  /** Refuses everybody and condemns every worker; the slots end by themselves. */
  close(): void {
    if (this.isClosed) return
    this.isClosed = true
    for (const queue of [this.queue, ...[...this.workers.values()].map(({ waiting }) => waiting)]) {
      for (const waiter of [...queue]) {
        this.leave(waiter)
        waiter.refused(new PoolClosed())
      }
    }
    for (const worker of this.workers.values()) {
      this.condemn(worker, { cause: "closed", trouble: undefined, isForced: worker.state === "initializing" })
    }
    Deferred.unsafeDone(this.closing, Effect.void)
  }

  get overflowFibers(): Iterable<Fiber.RuntimeFiber<unknown, unknown>> {
    return this.overflow.values()
  }

  check(): void {
    for (const worker of this.idle) {
      invariant(WorkerState.canAcceptWork(worker.machine), "an idle worker takes work")
      invariant(worker.condemnation === undefined, "a condemned worker is not idle")
    }
    const waiting = [...this.workers.values()].reduce((sum, worker) => sum + worker.waiting.size, this.queue.size)
    invariant(waiting === this.waiting, "who waits is counted")
    invariant(this.idle.size === 0 || this.queue.size === 0, "nobody waits for any worker while one is idle")
  }
}

const isServing = (state: WorkerState.State | undefined): boolean => state === "ready" || state === "busy"
