/** Which session is bound to which worker: synchronous; times are milliseconds that the caller passes in. */

export interface Binding {
  readonly workerId: string
  usedAt: number
}

export type Found =
  | { readonly _tag: "Bound"; readonly workerId: string }
  | { readonly _tag: "Expired"; readonly workerId: string }
  | { readonly _tag: "None" }

const none: Found = { _tag: "None" }

export class AffinityTable {
  private readonly bindings = new Map<string, Binding>()
  private readonly sessionsOf = new Map<string, Set<string>>()
  expired = 0

  constructor(readonly ttlMillis: number) {}

  get sessions(): number {
    return this.bindings.size
  }

  get workers(): number {
    return this.sessionsOf.size
  }

  countOf(workerId: string): number {
    return this.sessionsOf.get(workerId)?.size ?? 0
  }

  /** Binds a session, or moves it, and starts its time anew. */
  bind(sessionId: string, workerId: string, now: number): void {
    const old = this.bindings.get(sessionId)
    if (old?.workerId === workerId) {
      old.usedAt = now
      return
    }
    if (old !== undefined) this.unbind(sessionId)
    this.bindings.set(sessionId, { workerId, usedAt: now })
    const sessions = this.sessionsOf.get(workerId)
    if (sessions === undefined) this.sessionsOf.set(workerId, new Set([sessionId]))
    else sessions.add(sessionId)
  }

  /** Does not start the time anew. A binding whose time is over is told once, and forgotten. */
  lookup(sessionId: string, now: number): Found {
    const binding = this.bindings.get(sessionId)
    if (binding === undefined) return none
    const { workerId } = binding
    if (now - binding.usedAt < this.ttlMillis) return { _tag: "Bound", workerId }
    this.unbind(sessionId)
    this.expired++
    return { _tag: "Expired", workerId }
  }

  unbind(sessionId: string): boolean {
    const binding = this.bindings.get(sessionId)
    if (binding === undefined) return false
    this.bindings.delete(sessionId)
    const sessions = this.sessionsOf.get(binding.workerId)
    sessions?.delete(sessionId)
    if (sessions?.size === 0) this.sessionsOf.delete(binding.workerId)
    return true
  }

  /** Unbinds every session of a worker and returns them. */
  removeWorker(workerId: string): ReadonlyArray<string> {
    const sessions = [...(this.sessionsOf.get(workerId) ?? [])]
    for (const sessionId of sessions) this.unbind(sessionId)
    return sessions
  }

  /** Bindings whose time is over and that nobody has asked for since. */
  expiredNow(now: number): number {
    let count = 0
    for (const { usedAt } of this.bindings.values()) if (now - usedAt >= this.ttlMillis) count++
    return count
  }

  /** Forgets what is over; how many those were. */
  sweep(now: number): number {
    let count = 0
    for (const [sessionId, { usedAt }] of [...this.bindings]) {
      if (now - usedAt < this.ttlMillis) continue
      this.unbind(sessionId)
      count++
    }
    this.expired += count
    return count
  }
}
