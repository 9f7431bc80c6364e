/**
 * Proof that nothing is left when something is over: fibers, finalizers, timers, listeners, sockets, bytes.
 *
 * A probe counts things. `assertNoLeaks` reads probes before and after a program and compares; fibers that the program
 * started are counted in any case. `assertNoGrowth` is for what only the heap of a real process can tell.
 *
 * @example
 * import * as Leaks from "@spillway/testing/Leaks"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.scoped(Effect.forkScoped(Effect.sleep("1 hour")))
 * export const test = Leaks.assertNoLeaks(program, { probe: Leaks.process })
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Supervisor from "effect/Supervisor"
import * as TestClock from "effect/TestClock"
import { Sessions } from "spillway/Sessions"
import { MemoryTransport } from "./MemoryTransport.js"

/**
 * Counts by the name of what is counted.
 *
 * @since 0.1.0
 * @category models
 */
export interface Counts {
  readonly [what: string]: number
}

/**
 * Reads counts.
 *
 * @since 0.1.0
 * @category models
 */
export type Probe<R = never> = Effect.Effect<Counts, never, R>

/**
 * More is left than there was: by how much, of each thing that leaked.
 *
 * @since 0.1.0
 * @category errors
 */
export class Leaked extends Data.TaggedError("Leaked")<{ readonly left: Counts }> {
  override get message(): string {
    return `left behind: ${Object.entries(this.left).map(([what, count]) => `${count} ${what}`).join(", ")}`
  }
}

/**
 * Reads the counts of both.
 *
 * @since 0.1.0
 * @category operations
 */
export const and = <R, R2>(self: Probe<R>, that: Probe<R2>): Probe<R | R2> =>
  Effect.zipWith(self, that, (a, b) => ({ ...a, ...b }))

/**
 * Counts the fibers that run below it. Give `supervisor` to a program with `Effect.supervised`.
 *
 * @since 0.1.0
 * @category models
 */
export interface FiberCount {
  readonly supervisor: Supervisor.Supervisor<number>
  readonly alive: number
  /** Those that were started, ended ones included. */
  readonly started: number
  readonly fibers: ReadonlyArray<Fiber.RuntimeFiber<unknown, unknown>>
}

class Count extends Supervisor.AbstractSupervisor<number> implements FiberCount {
  private readonly running = new Set<Fiber.RuntimeFiber<unknown, unknown>>()
  started = 0

  get supervisor(): Supervisor.Supervisor<number> {
    return this
  }
  get alive(): number {
    return this.running.size
  }
  get fibers(): ReadonlyArray<Fiber.RuntimeFiber<unknown, unknown>> {
    return [...this.running]
  }
  override get value(): Effect.Effect<number> {
    return Effect.sync(() => this.alive)
  }
  override onStart(_: unknown, __: unknown, ___: unknown, fiber: Fiber.RuntimeFiber<unknown, unknown>): void {
    this.started++
    this.running.add(fiber)
  }
  override onEnd(_: unknown, fiber: Fiber.RuntimeFiber<unknown, unknown>): void {
    this.running.delete(fiber)
  }
}

/**
 * A count of fibers.
 *
 * @since 0.1.0
 * @category constructors
 */
export const unsafeFiberCount = (): FiberCount => new Count()

/**
 * What is left in the memory network: connections, those that wait to be accepted, bytes on the way, its timer.
 *
 * @since 0.1.0
 * @category testing
 */
export const network: Probe<MemoryTransport> = Effect.flatMap(
  MemoryTransport,
  (memory) =>
    Effect.map(Effect.zip(memory.pending, memory.defects), ([pending, defects]) => ({
      connections: pending.connections,
      "connections in the backlog": pending.backlog,
      "bytes on the way": pending.bytes,
      "timers of the network": pending.timers,
      "defects of callbacks": defects.length
    }))
)

/**
 * What is left in an owner of sessions: sessions, tasks, those that ignore interruption, abandoned finalizers, queued bytes.
 *
 * @since 0.1.0
 * @category testing
 */
export const sessions: Probe<Sessions> = Effect.flatMap(
  Sessions,
  ({ snapshot }) =>
    Effect.map(snapshot, ({ sessions, tasks, totals }) => ({
      sessions,
      tasks: Object.values(tasks).reduce((sum, count) => sum + count, 0),
      "stuck tasks": totals.stuckTasks,
      "abandoned finalizers": totals.abandonedFinalizers,
      "queued bytes": totals.outboxBytes
    }))
)

/**
 * Sleepers of `TestClock`.
 *
 * @since 0.1.0
 * @category testing
 */
export const testClock: Probe = Effect.map(
  TestClock.sleeps(),
  (sleeps) => ({ "timers of TestClock": [...sleeps].length })
)

/**
 * What keeps this process of Node alive, by kind (sockets, servers, timers, child processes), and the listeners on it.
 *
 * @since 0.1.0
 * @category testing
 */
export const process: Probe = Effect.sync(() => {
  const host = globalThis.process
  const counts: Record<string, number> = {}
  for (const kind of host.getActiveResourcesInfo()) counts[kind] = (counts[kind] ?? 0) + 1
  counts["listeners of the process"] = host.eventNames().reduce((sum, name) => sum + host.listenerCount(name), 0)
  return counts
})

/**
 * How to look for leaks. `rest` runs when the program is over and before the second look: what has to end by itself gets
 * its time there (`Settle.settle` under `TestClock`). Default nothing.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface Options<R = never, R2 = never> {
  readonly probe?: Probe<R>
  readonly rest?: Effect.Effect<unknown, never, R2>
}

/** What there is more of than before. */
const excess = (before: Counts, after: Counts): Counts =>
  Object.fromEntries(
    Object.entries(after).flatMap(([what, count]) => {
      const more = count - (before[what] ?? 0)
      return more > 0 ? [[what, more]] : []
    })
  )

/**
 * Runs a program; afterwards every fiber that it started must have ended, daemons included, and the probe may count no more
 * than before. A program that fails fails as it does. Under `TestClock` a program that sleeps also starts a fiber of
 * `TestClock` itself, which ends when time passes.
 *
 * **Errors** `Leaked`, with what is left.
 *
 * @since 0.1.0
 * @category testing
 */
export const assertNoLeaks = <A, E, R, R2 = never, R3 = never>(
  program: Effect.Effect<A, E, R>,
  options: Options<R2, R3> = {}
): Effect.Effect<A, E | Leaked, R | R2 | R3> =>
  Effect.gen(function*() {
    const probe: Probe<R2> = options.probe ?? Effect.succeed({})
    const count = new Count()
    const before = yield* probe
    const result = yield* Effect.supervised(program, count)
    if (options.rest !== undefined) yield* options.rest
    const left = excess({ fibers: 0, ...before }, { fibers: count.alive, ...(yield* probe) })
    return Object.keys(left).length === 0 ? result : yield* new Leaked({ left })
  })

/**
 * The heap grew with each cycle.
 *
 * @since 0.1.0
 * @category errors
 */
export class Grew extends Data.TaggedError("Grew")<{
  readonly bytesPerCycle: number
  readonly bytesPerCycleMax: number
}> {
  override get message(): string {
    return `each cycle leaves ${
      Math.round(this.bytesPerCycle)
    } bytes on the heap, at most ${this.bytesPerCycleMax} may be`
  }
}

/**
 * How to look for growth: after `warmup` cycles (5) that are not measured, `rounds` (5, odd) of `cycles` (20) are.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface GrowthOptions {
  readonly cycles?: number
  readonly rounds?: number
  readonly warmup?: number
  /** Bytes that a cycle may leave. Well below what one leaked thing holds, well above the noise. Default 2,048. */
  readonly bytesPerCycleMax?: number
}

/** Bytes in use once the garbage is gone. Twice: finalization registries run between the two. */
const usedBytes = Effect.suspend(() => {
  const gc = (globalThis as { readonly gc?: () => void }).gc
  if (gc === undefined) return Effect.dieMessage("assertNoGrowth needs a Node with --expose-gc")
  const collect = Effect.zipRight(Effect.sync(gc), Effect.promise(() => Promise.resolve()))
  return Effect.map(Effect.zipRight(collect, collect), () => {
    const { arrayBuffers, heapUsed } = globalThis.process.memoryUsage()
    return heapUsed + arrayBuffers
  })
})

/** How often growth is looked at before it is a leak. */
const looksMax = 3

/** Bytes that a cycle leaves, the median of the rounds. */
const medianGrowth = <E, R>(cycle: Effect.Effect<unknown, E, R>, cycles: number, rounds: number) =>
  Effect.gen(function*() {
    let before = yield* usedBytes
    const grown: Array<number> = []
    for (let round = 0; round < rounds; round++) {
      yield* Effect.repeatN(cycle, cycles - 1)
      const after = yield* usedBytes
      grown.push((after - before) / cycles)
      before = after
    }
    return grown.sort((a, b) => a - b)[rounds >> 1]!
  })

/**
 * Runs something again and again; the heap, after garbage collection, must not grow with it. A leak grows in every round,
 * while the process itself (compiled code, caches of its modules) grows and shrinks now and then: the median of the
 * rounds counts. A process that has just begun may grow for a second or so: what has grown is looked at again, twice, and
 * is a leak if it grows every time. Needs `--expose-gc`.
 *
 * **Errors** `Grew`.
 *
 * @since 0.1.0
 * @category testing
 */
export const assertNoGrowth = <E, R>(
  cycle: Effect.Effect<unknown, E, R>,
  options: GrowthOptions = {}
): Effect.Effect<void, E | Grew, R> =>
  Effect.gen(function*() {
    const { bytesPerCycleMax = 2_048, cycles = 20, rounds = 5, warmup = 5 } = options
    yield* Effect.repeatN(cycle, warmup - 1)
    let bytesPerCycle = Infinity
    for (let look = 0; look < looksMax && bytesPerCycle > bytesPerCycleMax; look++) {
      bytesPerCycle = yield* medianGrowth(cycle, cycles, rounds)
    }
    if (bytesPerCycle > bytesPerCycleMax) return yield* new Grew({ bytesPerCycle, bytesPerCycleMax })
  })
