/** Who waits for a worker: an operation, or somebody who wants one for a while. */
import type { Mode } from "../Affinity.js"
import type { CheckoutError } from "../WorkerError.js"
import type { Deadline } from "./deadlineSet.js"
import type { PoolCore } from "./pool.js"
import type { Worker } from "./worker.js"

export abstract class Waiter implements Deadline {
  dueAt = Infinity
  /** Where it waits. */
  queue: Set<Waiter> | undefined = undefined
  /** The worker that it waits for; `undefined`: any. */
  wants: Worker | undefined = undefined
  /** Order of arrival over all queues. */
  ticket = 0
  /** A hint that was not followed in time: any worker will do. */
  takesAny = false
  /** When the wait for any worker ends. */
  giveUpAt = Infinity
  readonly sinceAt: number

  constructor(
    protected readonly pool: PoolCore,
    readonly sessionId: string | undefined,
    readonly mode: Mode,
    readonly waitMillis: number
  ) {
    this.sinceAt = pool.now()
    this.giveUpAt = this.sinceAt + waitMillis
  }

  /** Has a worker now, which is busy with it. */
  abstract granted(worker: Worker): void

  /** Gets none. */
  abstract refused(error: CheckoutError): void

  onDue(now: number): void {
    this.pool.waitedEnough(this, now)
  }
}

/** Without an iterator where there is nothing to iterate over, which is most of the time. */
export const firstOf = <A>(all: ReadonlySet<A>): A | undefined => {
  if (all.size === 0) return undefined
  const [first] = all
  return first
}
