/**
 * What an owner of sessions does about its memory as a whole: a level that follows a load, and who has to give something
 * up. Synchronous and plain.
 *
 * ```
 * 0 calm ─▶ 1 shed bulk ─▶ 2 shed important ─▶ 3 hint ─▶ 4 refuse newcomers ─▶ 5 end sessions
 *      load at or above the mark of a level: up, at once; below it by the margin: down
 * ```
 */

/** Marks by level, from level 1 on; the load is a ratio. */
export interface Marks {
  readonly shedBulk: number
  readonly shedImportant: number
  readonly hint: number
  readonly refuse: number
  readonly end: number
  /** How far below its mark the load has to fall before a level is left. */
  readonly margin: number
}

export type Level = 0 | 1 | 2 | 3 | 4 | 5

export class BudgetState {
  level: Level = 0
  private readonly marks: ReadonlyArray<number>

  constructor(private readonly options: Marks) {
    this.marks = [options.shedBulk, options.shedImportant, options.hint, options.refuse, options.end]
  }

  /**
   * Notes the load: bytes, and the delay of the event loop, each as a ratio to what is allowed. The delay alone never ends
   * a session: that would not make the process faster. Returns whether the level changed.
   */
  note(bytesRatio: number, delayRatio: number): boolean {
    const load = Math.max(bytesRatio, Math.min(delayRatio, this.options.refuse))
    const before = this.level
    while (this.level < 5 && load >= this.marks[this.level]!) this.level++
    while (this.level > 0 && load < this.marks[this.level - 1]! - this.options.margin) this.level--
    return this.level !== before
  }
}

/** The `count` largest by size, largest first; those of size 0 are never among them. O(n), and O(k log k) for the rest. */
export const largest = <A>(all: ReadonlyArray<A>, sizeOf: (a: A) => number, count: number): ReadonlyArray<A> => {
  // By power of two; `clz32` of a larger size is smaller.
  const buckets: Array<Array<A> | undefined> = []
  for (const one of all) {
    const size = sizeOf(one)
    if (size > 0) (buckets[Math.clz32(size)] ??= []).push(one)
  }
  const chosen: Array<A> = []
  for (const bucket of buckets) {
    if (chosen.length >= count) break
    if (bucket !== undefined) chosen.push(...bucket)
  }
  return chosen.sort((a, b) => sizeOf(b) - sizeOf(a)).slice(0, count)
}
