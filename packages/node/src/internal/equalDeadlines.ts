/**
 * Members that are all due equally long after they were added, so that the oldest is the first to be due. One timer, and
 * only while there is a member: for what has to hold outside of any Effect runtime, or while a fiber ignores
 * interruption. Everything else in this package is timed by the sweeper of the sessions.
 */
export class EqualDeadlines<Member> {
  /** When each is due, in milliseconds of the process's monotonic clock. In the order of the deadlines. */
  private readonly dueAt = new Map<Member, number>()
  private timer: ReturnType<typeof setTimeout> | undefined = undefined

  constructor(private readonly millis: number, private readonly onDue: (member: Member) => void) {}

  get size(): number {
    return this.dueAt.size
  }

  /** A member that is added again is due later. */
  add(member: Member): void {
    this.dueAt.delete(member)
    this.dueAt.set(member, performance.now() + this.millis)
    if (this.timer === undefined) this.arm(this.millis)
  }

  delete(member: Member): void {
    if (!this.dueAt.delete(member) || this.dueAt.size > 0) return
    clearTimeout(this.timer)
    this.timer = undefined
  }

  private arm(millis: number): void {
    clearTimeout(this.timer)
    // @effect-diagnostics-next-line globalTimers:off
    this.timer = setTimeout(() => this.elapsed(), millis)
    this.timer.unref()
  }

  /** A process that was held up reads first what has come meanwhile, and judges then. */
  private elapsed(): void {
    this.timer = undefined
    setImmediate(() => this.sweep())
  }

  private sweep(): void {
    const now = performance.now()
    for (const [member, dueAt] of this.dueAt) {
      if (dueAt > now) return this.arm(Math.ceil(dueAt - now))
      this.dueAt.delete(member)
      this.onDue(member)
    }
  }
}
