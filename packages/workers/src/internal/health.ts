/** Probes of workers that do nothing, and the end of those that are worn out. */
import * as Effect from "effect/Effect"
import type { Reply } from "../WorkerTransport.js"
import type { Deadline } from "./deadlineSet.js"
import type { PoolCore } from "./pool.js"
import type { Pending, Worker } from "./worker.js"

/** One probe: it has a number of its own, so that its answer is never taken for a client's, nor a client's for its. */
class Probe implements Pending, Deadline {
  readonly command = "ping"
  dueAt = Infinity
  /** Checkouts of the worker when the probe began. */
  private readonly checkouts: number
  private isOver = false

  constructor(private readonly health: Health, private readonly worker: Worker) {
    this.checkouts = worker.checkouts
  }

  onReply(reply: Reply): void {
    if (reply._tag === "Progress") return
    this.over(reply._tag === "Success" ? undefined : reply.explanation)
  }

  onLost(): void {
    this.isOver = true
    this.health.pool.deadlines.remove(this)
  }

  onDue(): void {
    this.over("no answer in time")
  }

  private over(failure: string | undefined): void {
    if (this.isOver) return
    this.isOver = true
    this.health.pool.deadlines.remove(this)
    if (this.worker.condemnation !== undefined) return
    // While a client has the worker, the deadline of its operation watches it.
    const wasUsed = this.worker.isBusy || this.worker.checkouts !== this.checkouts
    if (failure === undefined) this.health.passed(this.worker)
    else if (!wasUsed) this.health.failed(this.worker, failure)
    else this.health.schedule(this.worker, this.health.pool.options.healthIntervalMillis)
  }
}

export class Health {
  constructor(readonly pool: PoolCore) {}

  schedule(worker: Worker, afterMillis: number): void {
    this.pool.deadlines.add(worker.probeDue, this.pool.now() + afterMillis)
  }

  probe(worker: Worker, now: number): void {
    const { deadlines, options } = this.pool
    if (worker.condemnation !== undefined) return
    this.readMemory(worker)
    if (now - worker.startedAt >= options.recycleAgeMillis) this.pool.wear(worker, "age")
    if (worker.condemnation !== undefined) return
    if (worker.isBusy) return this.schedule(worker, options.healthIntervalMillis)
    worker.probes++
    const probe = new Probe(this, worker)
    if (worker.ask({ worker_id: worker.id }, probe) === undefined) deadlines.add(probe, now + options.healthMillis)
    else this.failed(worker, "the probe could not be sent")
  }

  passed(worker: Worker): void {
    worker.missedProbes = 0
    worker.health = "healthy"
    this.schedule(worker, this.pool.options.healthIntervalMillis)
    if (worker.state !== "degraded") return
    worker.move("ready", "health_restored")
    this.pool.available(worker)
  }

  failed(worker: Worker, why: string): void {
    worker.probeFailures++
    worker.missedProbes++
    this.pool.trouble(worker, { _tag: "ProbeFailed", failures: worker.missedProbes }, why)
  }

  /** The reading may take time; what it says counts when it comes. */
  private readMemory(worker: Worker): void {
    const { link } = worker
    if (link === undefined) return
    this.pool.runFork(Effect.map(link.memoryBytes, (bytes) => {
      worker.memoryBytes = bytes
      if (bytes !== undefined && bytes > this.pool.options.recycleMemoryBytesMax) this.pool.wear(worker, "memory")
    }))
  }
}
