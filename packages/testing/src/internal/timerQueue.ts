/**
 * Sleepers of a virtual clock: a binary heap by time, first come first served within an instant.
 */
interface Timer {
  readonly at: number
  readonly order: number
  readonly ring: () => void
  /** In the heap; taken out of it to ring; or cancelled. */
  state: "waiting" | "ringing" | "over"
}

const isBefore = (a: Timer, b: Timer): boolean => a.at < b.at || (a.at === b.at && a.order < b.order)

export class TimerQueue {
  private heap: Array<Timer> = []
  private orders = 0
  private cancelled = 0

  /** Timers that will ring. */
  get size(): number {
    return this.heap.length - this.cancelled
  }

  /** Time of the next one; `Infinity` when there is none. */
  get nextAt(): number {
    this.dropCancelled()
    return this.heap.length === 0 ? Infinity : this.heap[0]!.at
  }

  /** Adds a timer and returns how to cancel it. */
  add(at: number, ring: () => void): () => void {
    const timer: Timer = { at, order: this.orders++, ring, state: "waiting" }
    this.heap.push(timer)
    this.up(this.heap.length - 1)
    return () => this.cancel(timer)
  }

  /** Times at which timers will ring, in order. */
  get times(): ReadonlyArray<number> {
    return this.heap.filter((timer) => timer.state === "waiting").map(({ at }) => at).sort((a, b) => a - b)
  }

  /** Rings the next one, whatever the time. */
  ringNext(): void {
    this.dropCancelled()
    const timer = this.pop()
    timer.state = "over"
    timer.ring()
  }

  /** Rings what is due, in order, but not what is added meanwhile for the same time. */
  ring(now: number): void {
    const due: Array<Timer> = []
    while (this.nextAt <= now) {
      const timer = this.pop()
      timer.state = "ringing"
      due.push(timer)
    }
    for (const timer of due) {
      // One that rang before it may have cancelled it.
      if (timer.state === "over") continue
      timer.state = "over"
      timer.ring()
    }
  }

  private cancel(timer: Timer): void {
    if (timer.state === "waiting") this.cancelled++
    timer.state = "over"
    if (this.cancelled > 64 && this.cancelled * 2 > this.heap.length) this.compact()
  }

  private compact(): void {
    const left = this.heap.filter((timer) => timer.state === "waiting")
    this.heap = []
    this.cancelled = 0
    for (const timer of left) {
      this.heap.push(timer)
      this.up(this.heap.length - 1)
    }
  }

  private dropCancelled(): void {
    while (this.heap.length > 0 && this.heap[0]!.state === "over") {
      this.pop()
      this.cancelled--
    }
  }

  private pop(): Timer {
    const first = this.heap[0]!
    const last = this.heap.pop()!
    if (this.heap.length > 0) {
      this.heap[0] = last
      this.down()
    }
    return first
  }

  private up(start: number): void {
    const { heap } = this
    let index = start
    const timer = heap[index]!
    while (index > 0) {
      const parent = (index - 1) >> 1
      if (!isBefore(timer, heap[parent]!)) break
      heap[index] = heap[parent]!
      index = parent
    }
    heap[index] = timer
  }

  private down(): void {
    const { heap } = this
    const timer = heap[0]!
    let index = 0
    for (;;) {
      let child = index * 2 + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++
      if (!isBefore(heap[child]!, timer)) break
      heap[index] = heap[child]!
      index = child
    }
    heap[index] = timer
  }
}
