/** One worker as the pool sees it: its state, its link and who waits for answers of it. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import type { Trouble, Why } from "../Recovery.js"
import {
  type NotEncodable,
  type PayloadTooLarge,
  PoolClosed,
  ProtocolViolation,
  WorkerCrashed
} from "../WorkerError.js"
import * as WorkerState from "../WorkerState.js"
import type { LinkEvents, Reply, WorkerExit, WorkerLink } from "../WorkerTransport.js"
import type { Deadline } from "./deadlineSet.js"
import { invariant } from "./invariant.js"
import type { PoolCore } from "./pool.js"
import type { Slot } from "./slot.js"
import type { Waiter } from "./waiter.js"

/** Why a worker may not go on. */
export type Cause = Why | "closed" | "idle" | "start failed"

export interface Condemnation {
  readonly cause: Cause
  readonly trouble: Trouble | undefined
  readonly isForced: boolean
}

/** Who waits for the answer to a request. */
export interface Pending {
  readonly command: string
  onReply(reply: Reply): void
  /** There will be no answer. */
  onLost(error: ProtocolViolation | WorkerCrashed | PoolClosed): void
}

export class Worker implements LinkEvents {
  machine: WorkerState.Machine
  link: WorkerLink | undefined = undefined
  condemnation: Condemnation | undefined = undefined
  exit: WorkerExit | undefined = undefined
  violation: string | undefined = undefined
  /** Operations in a row for whose failure it is to blame. A probe that it answers does not redeem it. */
  failures = 0
  /** Probes in a row without an answer. */
  missedProbes = 0
  isWornOut: "age" | "operations" | "memory" | undefined = undefined
  /** Who waits for this worker and no other, in order. */
  readonly waiting = new Set<Waiter>()
  readonly condemned = Deferred.unsafeMake<void>(FiberId.none)
  readonly exited = Deferred.unsafeMake<void>(FiberId.none)
  readonly startedAt: number
  checkouts = 0
  operations = 0
  errorCheckins = 0
  probes = 0
  probeFailures = 0
  memoryBytes: number | undefined = undefined
  lastUsedAt: number
  readonly probeDue: Deadline
  readonly idleDue: Deadline
  private readonly pending = new Map<number, Pending>()
  private nextId = 0

  constructor(readonly id: string, readonly slot: Slot, private readonly pool: PoolCore, now: number) {
    this.machine = WorkerState.make(id, now)
    this.startedAt = now
    this.lastUsedAt = now
    this.probeDue = { dueAt: Infinity, onDue: (at) => pool.health.probe(this, at) }
    this.idleDue = {
      dueAt: Infinity,
      onDue: () => pool.condemn(this, { cause: "idle", trouble: undefined, isForced: false })
    }
  }

  get state(): WorkerState.State {
    return this.machine.state
  }

  get isBusy(): boolean {
    return this.machine.state === "busy"
  }

  get inFlight(): number {
    return this.pending.size
  }

  /** Moves if there is such a move; whether there was. */
  tryMove(to: WorkerState.State, reason: WorkerState.Reason, metadata?: WorkerState.Metadata): boolean {
    if (!WorkerState.canMove(this.machine.state, to)) return false
    this.machine = WorkerState.unsafeMoved(this.machine, to, reason, this.pool.now(), metadata)
    this.pool.onMoved(this)
    return true
  }

  move(to: WorkerState.State, reason: WorkerState.Reason, metadata?: WorkerState.Metadata): void {
    const from = this.machine.state
    if (!this.tryMove(to, reason, metadata)) invariant(false, `a worker of the pool moves from ${from} to ${to}`)
  }

  set health(health: WorkerState.Health) {
    this.machine = WorkerState.withHealth(this.machine, health)
  }

  /** Asks the worker; who waits is called later, or there is an error and nothing was sent. */
  ask(args: unknown, pending: Pending): PayloadTooLarge | NotEncodable | undefined {
    invariant(this.link !== undefined, "a worker is asked when it has a link")
    const id = this.nextId++
    const error = this.link.send({ id, command: pending.command, args })
    if (error === undefined) this.pending.set(id, pending)
    return error
  }

  onReply(reply: Reply): void {
    const pending = this.pending.get(reply.id)
    if (pending === undefined) return this.onViolation(`it answers request ${reply.id}, which does not wait`)
    if (reply._tag !== "Progress") this.pending.delete(reply.id)
    pending.onReply(reply)
  }

  onViolation(why: string): void {
    if (this.violation !== undefined || this.exit !== undefined) return
    this.violation = why
    this.pool.trouble(this, { _tag: "Violated", why })
    this.loseAll()
  }

  onExit(exit: WorkerExit): void {
    if (this.exit !== undefined) return
    this.exit = exit
    this.pool.trouble(this, { _tag: "Exited", exit })
    this.loseAll()
    Deferred.unsafeDone(this.exited, Effect.void)
  }

  /** Tells everybody who waits for an answer that there will be none. */
  loseAll(): void {
    const lost = [...this.pending.values()]
    this.pending.clear()
    for (const pending of lost) pending.onLost(this.loss(pending.command))
  }

  loss(command: string): ProtocolViolation | WorkerCrashed | PoolClosed {
    const { exit, id: workerId, violation } = this
    if (violation !== undefined) return new ProtocolViolation({ workerId, why: violation })
    if (this.condemnation?.cause === "closed") return new PoolClosed()
    return new WorkerCrashed({ workerId, command, code: exit?.code, signal: exit?.signal })
  }
}
