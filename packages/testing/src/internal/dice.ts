/**
 * Random choices from one seed, without a step of a fiber for each.
 */
import { PCGRandom } from "effect/Utils"

export class Dice {
  private readonly random: PCGRandom

  constructor(seed: number) {
    this.random = new PCGRandom(seed)
  }

  /** A whole number from 0 to `n - 1`. */
  below(n: number): number {
    return n <= 1 ? 0 : this.random.integer(n)
  }

  /** A whole number between two, both included. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1)
  }

  /** `true` with this probability. */
  chance(ratio: number): boolean {
    return this.random.number() < ratio
  }

  pick<A>(values: ReadonlyArray<A>): A {
    return values[this.below(values.length)]!
  }

  /** One of the values, each as often as its weight says. */
  weighted<A>(values: ReadonlyArray<readonly [weight: number, value: A]>): A {
    let left = this.random.number() * values.reduce((sum, [weight]) => sum + weight, 0)
    for (const [weight, value] of values) {
      left -= weight
      if (left < 0) return value
    }
    return values[values.length - 1]![1]
  }

  /** Milliseconds with this mean, as between things that happen independently of each other; at least 1. */
  wait(meanMillis: number): number {
    return Math.max(1, Math.round(-Math.log(1 - this.random.number()) * meanMillis))
  }

  /** The values in random order. */
  shuffled<A>(values: ReadonlyArray<A>): Array<A> {
    const result = [...values]
    for (let i = result.length - 1; i > 0; i--) {
      const j = this.below(i + 1)
      const value = result[i]!
      result[i] = result[j]!
      result[j] = value
    }
    return result
  }
}
