/** Readings of a pool and of its workers. */
import type { AffinityStats, Status, WorkerInfo } from "../WorkerPool.js"
import type { PoolCore } from "./pool.js"
import type { Worker } from "./worker.js"

type Place = "idle" | "busy" | "starting" | "stopping"

const placeOf = ({ condemnation, state }: Worker): Place => {
  if (condemnation !== undefined) return "stopping"
  return state === "initializing" ? "starting" : state === "busy" ? "busy" : "idle"
}

const affinityOf = (core: PoolCore): AffinityStats | undefined => {
  const { sessions } = core
  if (sessions === undefined) return undefined
  const { first, hits, misses } = sessions
  return { ...sessions.stats(core.now()), hits, misses, first, rate: hits + misses === 0 ? 1 : hits / (hits + misses) }
}

export const statusOf = (core: PoolCore): Status => {
  const count = { idle: 0, busy: 0, starting: 0, stopping: 0 }
  let degraded = 0
  let overflow = 0
  for (const worker of core.workers.values()) {
    count[placeOf(worker)]++
    if (worker.state === "degraded") degraded++
    if (worker.slot.isOverflow) overflow++
  }
  const { ended, failed, interrupted, startFailures, succeeded, undead } = core.tally
  return {
    size: core.options.sizeItems,
    live: core.workers.size,
    ...count,
    degraded,
    overflow,
    failed: core.slots.filter(({ worker }) => worker === undefined).length,
    isDegraded: core.slots.some(({ isPaused }) => isPaused),
    waiting: core.waiting,
    totals: { succeeded, failed, interrupted, startFailures, ended, undead },
    affinity: affinityOf(core)
  }
}

export const infoOf = (core: PoolCore, worker: Worker): WorkerInfo => ({
  id: worker.id,
  pid: worker.link?.pid,
  isOverflow: worker.slot.isOverflow,
  machine: worker.machine,
  failures: worker.failures,
  missedProbes: worker.missedProbes,
  checkouts: worker.checkouts,
  operations: worker.operations,
  errorCheckins: worker.errorCheckins,
  probes: worker.probes,
  probeFailures: worker.probeFailures,
  sessions: core.sessions?.countOf(worker) ?? 0,
  inFlight: worker.inFlight,
  memoryBytes: worker.memoryBytes,
  startedAt: worker.startedAt,
  lastUsedAt: worker.lastUsedAt
})
