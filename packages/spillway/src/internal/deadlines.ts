/**
 * Deadlines of many sessions, served by one sweeper: a binary heap of entries by due time.
 *
 * Moving a deadline later is one assignment: the entry stays where it is and is re-read when it comes up (the technique
 * of Effect's RcMap). Only moving it earlier sifts. So a message that merely prolongs a timer costs nothing here.
 */
export interface DeadlineEntry {
  /** Time at which the entry is looked at. Owned by the heap. */
  dueAt: number
  /** Position in the heap, -1 when not in it. Owned by the heap. */
  heapIndex: number
}

export class Deadlines<E extends DeadlineEntry> {
  private readonly heap: Array<E> = []

  get size(): number {
    return this.heap.length
  }

  /** Earliest time at which something must be looked at; `Infinity` when nothing is waiting. */
  get nextDueAt(): number {
    return this.heap.length === 0 ? Infinity : this.heap[0]!.dueAt
  }

  /** Makes sure that the entry is looked at no later than `dueAt`. Returns whether it is now the earliest of all. */
  ensure(entry: E, dueAt: number): boolean {
    if (entry.heapIndex === -1) {
      if (dueAt === Infinity) return false
      entry.dueAt = dueAt
      entry.heapIndex = this.heap.push(entry) - 1
    } else {
      if (dueAt >= entry.dueAt) return false
      entry.dueAt = dueAt
    }
    this.up(entry.heapIndex)
    return entry.heapIndex === 0
  }

  /** Removes the entry if it is in the heap. */
  remove(entry: E): void {
    const index = entry.heapIndex
    if (index === -1) return
    entry.heapIndex = -1
    const last = this.heap.pop()!
    if (last === entry) return
    this.heap[index] = last
    last.heapIndex = index
    this.up(index)
    this.down(last.heapIndex)
  }

  /** Takes out the earliest entry that is due at `now`, or `undefined`. */
  popDue(now: number): E | undefined {
    const first = this.heap[0]
    if (first === undefined || first.dueAt > now) return undefined
    this.remove(first)
    return first
  }

  private up(start: number): void {
    const heap = this.heap
    let index = start
    const entry = heap[index]!
    while (index > 0) {
      const parentIndex = (index - 1) >> 1
      const parent = heap[parentIndex]!
      if (parent.dueAt <= entry.dueAt) break
      heap[index] = parent
      parent.heapIndex = index
      index = parentIndex
    }
    heap[index] = entry
    entry.heapIndex = index
  }

  private down(start: number): void {
    const heap = this.heap
    const entry = heap[start]!
    let index = start
    for (;;) {
      let childIndex = index * 2 + 1
      if (childIndex >= heap.length) break
      if (childIndex + 1 < heap.length && heap[childIndex + 1]!.dueAt < heap[childIndex]!.dueAt) childIndex++
      const child = heap[childIndex]!
      if (child.dueAt >= entry.dueAt) break
      heap[index] = child
      child.heapIndex = index
      index = childIndex
    }
    heap[index] = entry
    entry.heapIndex = index
  }
}
