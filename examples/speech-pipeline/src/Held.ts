/** A bounded queue whose items may be taken only when they are old enough, or when there is no time left to wait. */
export class Held<A> {
  private items: Array<{ readonly value: A; readonly heldAt: number }> = []
  dropped = 0

  constructor(readonly ageMillis: number, readonly itemsMax: number) {}

  get count(): number {
    return this.items.length
  }

  /** Holds a value; at the bound the oldest one is given up. */
  add(value: A, now: number): void {
    if (this.items.length >= this.itemsMax) {
      this.items.shift()
      this.dropped++
    }
    this.items.push({ value, heldAt: now })
  }

  /** All that are old enough; all there are when the gate is skipped. */
  take(now: number, skipsGate: boolean): ReadonlyArray<A> {
    const ripe = skipsGate
      ? this.items.length
      : this.items.filter(({ heldAt }) => now - heldAt >= this.ageMillis).length
    return this.items.splice(0, ripe).map(({ value }) => value)
  }
}
