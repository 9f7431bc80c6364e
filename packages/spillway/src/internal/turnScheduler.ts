/**
 * Effect's default scheduler for the fibers of sessions, at a fraction of its cost (time and garbage) for the one case
 * that every message is: a fiber that waits for a message is resumed. All fibers of a turn run together, then what they
 * offered is flushed.
 *
 * Tasks with a priority of their own are left to the scheduler that it stands in for.
 */
import type { RuntimeFiber } from "effect/Fiber"
import type * as Scheduler from "effect/Scheduler"

/** A reaction to a settled promise runs when the current turn is over. */
const turnEnd = Promise.resolve()

/** Turns without a pause after which timers and sockets get their share, as in Effect's own scheduler. */
const turnsMax = 2048

export class TurnScheduler implements Scheduler.Scheduler {
  private tasks: Array<Scheduler.Task> = []
  /** The array of the last turn, empty, to be used again. */
  private spare: Array<Scheduler.Task> = []
  private isScheduled = false
  private turns = 0

  constructor(
    private readonly base: Scheduler.Scheduler,
    private readonly flush: () => void,
    /** Calls back after timers and sockets had their turn. */
    private readonly pause: (resume: () => void) => void
  ) {}

  shouldYield(fiber: RuntimeFiber<unknown, unknown>): number | false {
    return this.base.shouldYield(fiber)
  }

  scheduleTask(task: Scheduler.Task, priority: number, fiber?: RuntimeFiber<unknown, unknown>): void {
    if (priority !== 0) {
      this.base.scheduleTask(task, priority, fiber)
      return
    }
    this.tasks.push(task)
    this.scheduleFlush()
  }

  /** Calls `flush` at the end of the turn, after all fibers of the turn. */
  scheduleFlush(): void {
    if (this.isScheduled) return
    this.isScheduled = true
    if (this.turns < turnsMax) void turnEnd.then(this.run)
    else {
      this.turns = 0
      this.pause(this.run)
    }
  }

  private readonly run = (): void => {
    const tasks = this.tasks
    this.tasks = this.spare
    this.isScheduled = false
    for (let i = 0; i < tasks.length; i++) tasks[i]!()
    tasks.length = 0
    this.spare = tasks
    // What the fibers of this turn offered needs no turn of its own.
    this.flush()
    this.turns = this.tasks.length === 0 ? 0 : this.turns + 1
  }
}
