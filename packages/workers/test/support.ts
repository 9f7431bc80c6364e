/** Pools in memory under a clock that stands still, and the reference commands that every layer of the port has. */
import { it } from "@effect/vitest"
import * as Settle from "@spillway/testing/Settle"
import * as VirtualClock from "@spillway/testing/VirtualClock"
import * as MemoryWorkers from "@spillway/workers/MemoryWorkers"
import * as WorkerPool from "@spillway/workers/WorkerPool"
import {
  type LinkFault,
  type WorkerLink,
  WorkerTransport,
  type WorkerTransportShape
} from "@spillway/workers/WorkerTransport"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"

export const number = (args: unknown, key: string): number =>
  typeof args === "object" && args !== null && key in args ? Number((args as Record<string, unknown>)[key]) : 0

/** What a worker of the tests can do. `count` is its own state: it tells workers apart. */
export const reference = (workerId: string): MemoryWorkers.Handlers => {
  let count = 0
  return {
    whoami: () => Effect.succeed(workerId),
    echo: (args) => Effect.succeed(args),
    sleep: (args) => Effect.as(Effect.sleep(number(args, "millis")), workerId),
    count: () => Effect.sync(() => ++count),
    fail: () => Effect.fail({ type: "Refused", explanation: "asked to" }),
    die: () => Effect.dieMessage("broken handler"),
    progress: (args, { progress }) =>
      Effect.as(Effect.forEach(Array.from({ length: number(args, "items") }, (_, index) => index), progress), "done")
  }
}

/** A memory transport whose links a test can take hold of. */
export interface Rig {
  readonly transport: WorkerTransportShape
  readonly links: Map<string, WorkerLink>
  readonly inject: (workerId: string, fault: LinkFault) => void
  /** Starts to refuse: the next so many. */
  refusals: number
}

export const makeRig = (options: Partial<MemoryWorkers.Options> = {}): Rig => {
  const links = new Map<string, WorkerLink>()
  const inner = MemoryWorkers.make({
    worker: reference,
    refuse: () => rig.refusals-- > 0 ? "told to" : undefined,
    ...options
  })
  const rig: Rig = {
    links,
    refusals: 0,
    inject: (workerId, fault) => links.get(workerId)!.inject(fault),
    transport: {
      ...inner,
      spawn: (workerId) => Effect.tap(inner.spawn(workerId), (link) => void links.set(workerId, link))
    }
  }
  return rig
}

export const makePool = (options: WorkerPool.Options = {}, rig = makeRig()) =>
  Effect.orDie(WorkerPool.make({ name: "w", size: 2, ...options })).pipe(
    Effect.provideService(WorkerTransport, rig.transport)
  )

/** Closes the scope of a body while time passes, so that workers which have to be killed are. */
export const whileTimePasses = <A, E>(body: Effect.Effect<A, E, Scope.Scope>): Effect.Effect<A, E> =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const exit = yield* Effect.exit(Scope.extend(body, scope))
    const closing = yield* Effect.forkDaemon(Scope.close(scope, exit))
    for (let seconds = 0; seconds < 60 && closing.unsafePoll() === null; seconds++) yield* Settle.advance("1 second")
    yield* Fiber.join(closing)
    return yield* exit
  })

/** A test under a clock of its own. */
export const test = <E>(name: string, body: () => Effect.Effect<void, E, Scope.Scope>, timeout = 20_000): void =>
  it.effect(name, () => Effect.withClock(whileTimePasses(Effect.suspend(body)), VirtualClock.make()), timeout)
