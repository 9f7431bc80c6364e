/**
 * A scheduler that decides from a seed which of the fibers that can run runs next, and how long it may go on. The
 * interleaving of a program varies from seed to seed and is the same each time for one seed.
 *
 * **Details.** Effect's own scheduler runs fibers in the order in which they became able to run, and lets each do 2,048
 * steps, so that many orders that are possible never happen. This one picks at random among all that can run and, now
 * and then, lets a fiber do only a few steps. Priorities of tasks are ignored. Steps between two suspensions of a fiber are
 * still never taken apart: what is one synchronous call stays one.
 *
 * @example
 * import * as SeededScheduler from "@spillway/testing/SeededScheduler"
 * import * as Effect from "effect/Effect"
 *
 * const order: Array<number> = []
 * const fibers = Effect.forEach([1, 2, 3], (n) => Effect.sync(() => order.push(n)), { concurrency: "unbounded" })
 * export const program = Effect.withScheduler(fibers, SeededScheduler.make({ seed: 7 }))
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { RuntimeFiber } from "effect/Fiber"
import type * as Scheduler from "effect/Scheduler"
import { PCGRandom } from "effect/Utils"
import type { IdleAware } from "./Settle.js"

/**
 * Where the choices come from. `drive` runs what can run; without it the scheduler does that by itself at the end of the
 * current turn. With it, whoever passes it calls `runAll`.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface Options {
  readonly seed: number
  readonly drive?: () => void
}

/**
 * The scheduler. `picks` counts the choices made so far and `fingerprint` is a number made of all of them: two runs with
 * equal fingerprints ran their fibers in the same order.
 *
 * @since 0.1.0
 * @category models
 */
export interface SeededScheduler extends Scheduler.Scheduler, IdleAware {
  readonly seed: number
  readonly picks: number
  readonly fingerprint: number
  /** Runs fibers until none can, or `picksMax` were run. `true`: none can. */
  readonly runAll: (picksMax?: number) => boolean
}

/** Tasks in a row after which timers and sockets of the process get their share. */
const picksPerTurn = 2048

/** Steps that a fiber may do when it is not held short, as in Effect's own scheduler. */
const opsMax = 2048

// The real clock: its zero is a turn of the event loop, which no virtual time measures.
const realClock = Clock.make()

class Seeded implements SeededScheduler {
  picks = 0
  fingerprint = 0
  private readonly random: PCGRandom
  private readonly tasks: Array<Scheduler.Task> = []
  private readonly drive: () => void
  private budget = opsMax
  private running = false
  private requested = false

  constructor(readonly seed: number, drive: (() => void) | undefined) {
    this.random = new PCGRandom(seed)
    this.drive = drive ?? (() => void Promise.resolve().then(this.turn))
  }

  get isIdle(): boolean {
    // Whoever asks from inside is itself running, and is not what it waits for.
    return this.tasks.length === 0
  }

  shouldYield(fiber: RuntimeFiber<unknown, unknown>): number | false {
    if (fiber.currentOpCount <= this.budget) return false
    this.drawBudget()
    return 0
  }

  scheduleTask(task: Scheduler.Task): void {
    this.tasks.push(task)
    if (this.running || this.requested) return
    this.requested = true
    this.drive()
  }

  runAll(picksMax = Infinity): boolean {
    if (this.running) return false
    this.running = true
    this.requested = false
    const { tasks } = this
    for (let left = picksMax; tasks.length > 0 && left > 0; left--) {
      const index = tasks.length === 1 ? 0 : this.random.integer(tasks.length)
      const task = tasks[index]!
      // The last one takes the place of the chosen one: the order within the array carries no meaning.
      const last = tasks.pop()!
      if (index < tasks.length) tasks[index] = last
      this.picks++
      this.fingerprint = (Math.imul(this.fingerprint, 31) + index * 8191 + tasks.length + 1) | 0
      this.drawBudget()
      task()
    }
    this.running = false
    return tasks.length === 0
  }

  private drawBudget(): void {
    const choice = this.random.integer(32)
    this.budget = choice >= 4 ? opsMax : choice < 1 ? 1 + this.random.integer(8) : 8 + this.random.integer(120)
  }

  private readonly turn = (): void => {
    if (this.runAll(picksPerTurn)) return
    this.requested = true
    Effect.runFork(Effect.zipRight(realClock.sleep(Duration.zero), Effect.sync(this.turn)))
  }
}

/**
 * A scheduler for one seed. Give it to a program with `Effect.withScheduler`; `Settle` waits for it.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options): SeededScheduler => new Seeded(options.seed, options.drive)
