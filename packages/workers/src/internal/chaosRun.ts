/** Runs scenarios, waits for the recovery, reports. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import type { ChaosShape, Counts, Report, RunOptions, Scenario, Target } from "../Chaos.js"
import type { WorkerPoolShape } from "../WorkerPool.js"
import type { LinkFault } from "../WorkerTransport.js"

interface Hit {
  readonly workerId: string
  readonly fault: LinkFault
}

interface World {
  readonly pool: WorkerPoolShape
  readonly kit: ChaosShape
  readonly options: Required<RunOptions>
  readonly before: Counts
  readonly hits: Array<Hit>
  refusals: number
  lastFaultAt: number
}

type Kind = keyof Counts

/** After these a worker is of no use any more. */
const deadly: ReadonlySet<Kind> = new Set<Kind>(["kill", "hang", "corrupt", "tear", "partition"])

const pollMillis = 10

const isServing = (state: string): boolean => state === "ready" || state === "busy"

const choose = (world: World, target: Target): Effect.Effect<ReadonlyArray<string>> =>
  Effect.gen(function*() {
    const hurt = new Set(world.hits.map(({ workerId }) => workerId))
    const all = yield* world.pool.workers
    // Somebody who has a fault already would hide the next one.
    const workers = all.filter(({ id, machine }) => isServing(machine.state) && !hurt.has(id)).map(({ id }) => id)
    switch (target._tag) {
      case "positions":
        return target.positions.flatMap((position) => workers[position] ?? [])
      case "count":
        return [...(yield* Random.shuffle(workers))].slice(0, target.count)
      case "ratio":
        return [...(yield* Random.shuffle(workers))].slice(0, Math.max(1, Math.round(all.length * target.ratio)))
    }
  })

const play = (world: World, scenario: Scenario): Effect.Effect<void> => {
  switch (scenario._tag) {
    case "wait":
      return Effect.sleep(scenario.duration)
    case "refuseSpawn":
      world.refusals += scenario.starts
      return world.kit.refuseSpawn(scenario.starts)
    case "fault":
      return Effect.gen(function*() {
        for (const workerId of yield* choose(world, scenario.target)) {
          world.hits.push({ workerId, fault: scenario.fault })
          yield* world.kit.inject(workerId, scenario.fault)
        }
        world.lastFaultAt = yield* Clock.currentTimeMillis
      })
    case "parallel":
      // Each chooses its workers before the next does, so that no two choose the same.
      return Effect.forEach(scenario.scenarios, (one) => play(world, one), { discard: true })
    case "sequence":
      return Effect.forEach(
        scenario.scenarios,
        (one, index) =>
          index > 0 && scenario.recoverBetween ? Effect.zipRight(recover(world), play(world, one)) : play(world, one),
        {
          discard: true
        }
      )
  }
}

const difference = (after: Counts, before: Counts): Counts => {
  const counts: { [K in Kind]: number } = { ...after }
  for (const kind of Object.keys(counts) as Array<Kind>) counts[kind] -= before[kind]
  return counts
}

const happened = ({ before, kit }: World): Effect.Effect<Counts> =>
  Effect.map(kit.happened, (after) => difference(after, before))

const isReal = (world: World, counts: Counts): boolean => {
  const asked = new Map<Kind, number>([["refuseSpawn", world.refusals]])
  for (const { fault } of world.hits) asked.set(fault._tag, (asked.get(fault._tag) ?? 0) + 1)
  return [...asked].every(([kind, count]) => counts[kind] >= count)
}

/** Whoever is hit deadly is gone, all faults have happened, and each place has a worker that serves. */
const isWhole = (world: World): Effect.Effect<boolean> =>
  Effect.gen(function*() {
    const { failed, idle, busy, degraded, live, overflow, size } = yield* world.pool.status
    if (failed > 0 || degraded > 0 || live !== idle + busy || live - overflow !== size) return false
    const workers = new Set((yield* world.pool.workers).map(({ id }) => id))
    if (world.hits.some(({ fault, workerId }) => deadly.has(fault._tag) && workers.has(workerId))) return false
    return isReal(world, yield* happened(world))
  })

/** One operation for each worker: makes faults happen that need traffic, and finds out who hangs. */
const pings = ({ options, pool }: World): Effect.Effect<number> =>
  Effect.gen(function*() {
    const { size } = yield* pool.status
    const one = pool.execute("ping", {}, { timeout: options.probeTimeout, checkoutTimeout: options.probeTimeout })
    const results = yield* Effect.all(Array.from({ length: size }, () => Effect.either(one)), { concurrency: size })
    return results.filter(({ _tag }) => _tag === "Right").length
  })

/** The time that it took since the last fault; `undefined`: too long. */
const recover = (world: World): Effect.Effect<number | undefined> =>
  Effect.gen(function*() {
    const limit = Duration.toMillis(world.options.recoveryTimeout)
    for (;;) {
      const millis = (yield* Clock.currentTimeMillis) - world.lastFaultAt
      if (yield* isWhole(world)) return millis
      if (millis >= limit) return undefined
      yield* pings(world)
      yield* Effect.sleep(pollMillis)
    }
  })

export const run = (
  pool: WorkerPoolShape,
  kit: ChaosShape,
  scenario: Scenario,
  options: Required<RunOptions>
): Effect.Effect<Report> =>
  Effect.gen(function*() {
    const before = yield* kit.happened
    const world: World = { pool, kit, options, before, hits: [], refusals: 0, lastFaultAt: 0 }
    yield* play(world, scenario)
    const recoveredMillis = yield* recover(world)
    // The scenario is over: a worker that it made slow is as fast as before.
    const slowed = world.hits.filter(({ fault }) => fault._tag === "slow")
    yield* Effect.forEach(slowed, ({ workerId }) => kit.inject(workerId, { _tag: "slow", delayMillis: 0 }))
    const probe = pool.execute("ping", {})
    const probed = yield* Effect.replicateEffect(Effect.either(probe), options.probes)
    const counts = yield* happened(world)
    return {
      targeted: world.hits.map(({ workerId }) => workerId),
      happened: counts,
      isReal: isReal(world, counts),
      recoveredMillis,
      probes: options.probes,
      probesSucceeded: probed.filter(({ _tag }) => _tag === "Right").length,
      live: (yield* pool.status).live
    }
  })
