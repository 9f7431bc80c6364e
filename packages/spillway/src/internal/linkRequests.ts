/** Requests of a link that have no answer yet, in the order in which they were made. Synchronous. */
import * as Exit from "effect/Exit"
import type { Message } from "../Message.js"
import { RequestLost } from "../SpillwayError.js"

export interface Pending<A> {
  readonly id: number
  readonly message: Message
  /** `undefined` until it was sent on this connection. */
  sentAt: number | undefined
  retries: number
  readonly settle: (exit: Exit.Exit<A, RequestLost>) => void
}

export interface RequestLimits {
  readonly requestsMax: number
  readonly answerMillis: number
  readonly retriesMax: number
}

export class LinkRequests<A> {
  /** A `Map` keeps the order of insertion, which is that of the ids. */
  private readonly pending = new Map<number, Pending<A>>()
  private nextId = 1
  private closed = false
  /** Called when there is something to send. */
  onUnsent: (() => void) | undefined = undefined
  dropped = 0
  retried = 0
  unanswered = 0
  answered = 0
  /** Answers to nothing that waits: late, or repeated. */
  unmatched = 0

  constructor(readonly limits: RequestLimits) {}

  get count(): number {
    return this.pending.size
  }

  add(message: (id: number) => Message, settle: Pending<A>["settle"]): Pending<A> | undefined {
    const id = this.nextId++
    if (this.closed) {
      settle(Exit.fail(new RequestLost({ id, why: "closed" })))
      return undefined
    }
    if (this.pending.size >= this.limits.requestsMax) {
      this.dropped++
      this.lose(this.pending.values().next().value!, "dropped")
    }
    const request: Pending<A> = { id, message: message(id), sentAt: undefined, retries: 0, settle }
    this.pending.set(id, request)
    this.onUnsent?.()
    return request
  }

  /** Whoever asked no longer waits. */
  cancel({ id }: Pending<A>): void {
    this.pending.delete(id)
  }

  answer(id: number, value: A): void {
    const request = this.pending.get(id)
    if (request === undefined) {
      this.unmatched++
      return
    }
    this.pending.delete(id)
    this.answered++
    request.settle(Exit.succeed(value))
  }

  /** A new connection: everything is to be sent again. */
  connected(): void {
    for (const request of this.pending.values()) request.sentAt = undefined
  }

  nextUnsent(): Pending<A> | undefined {
    for (const request of this.pending.values()) if (request.sentAt === undefined) return request
    return undefined
  }

  /** Time of the first deadline, or `Infinity`. */
  get nextDueAt(): number {
    let dueAt = Infinity
    for (const { sentAt } of this.pending.values()) {
      if (sentAt !== undefined) dueAt = Math.min(dueAt, sentAt + this.limits.answerMillis)
    }
    return dueAt
  }

  /** Whatever has waited for its answer long enough is to be sent again, or is lost. */
  expire(now: number): void {
    for (const request of [...this.pending.values()]) {
      if (request.sentAt === undefined || now - request.sentAt < this.limits.answerMillis) continue
      if (request.retries < this.limits.retriesMax) {
        request.retries++
        request.sentAt = undefined
        this.retried++
      } else {
        this.unanswered++
        this.lose(request, "unanswered")
      }
    }
  }

  refuse(request: Pending<A>): void {
    this.lose(request, "refused")
  }

  close(): void {
    this.closed = true
    for (const request of [...this.pending.values()]) this.lose(request, "closed")
  }

  private lose(request: Pending<A>, why: RequestLost["why"]): void {
    this.pending.delete(request.id)
    request.settle(Exit.fail(new RequestLost({ id: request.id, why })))
  }
}
