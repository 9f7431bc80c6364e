/** The Effect side of a pool: what suspends, what a scope owns, what is read. */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as PubSub from "effect/PubSub"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { InvalidOption } from "spillway/SpillwayError"
import type { CheckoutError, WorkerError } from "../WorkerError.js"
import type * as Pool from "../WorkerPool.js"
import { WorkerTransport } from "../WorkerTransport.js"
import { Lease } from "./lease.js"
import { type Call, Operation } from "./operation.js"
import { PoolCore } from "./pool.js"
import { resolve } from "./poolOptions.js"
import { infoOf, statusOf } from "./poolStatus.js"
import type { Slot } from "./slot.js"

/** Events that a reader may lag behind. */
const eventsMax = 1024

const millisOr = (input: Duration.DurationInput | undefined, otherwise: number): number =>
  input === undefined ? otherwise : Duration.toMillis(input)

class PoolImpl implements Pool.WorkerPoolShape {
  constructor(private readonly core: PoolCore, readonly events: Stream.Stream<Pool.PoolEvent>) {}

  readonly execute: Pool.WorkerPoolShape["execute"] = (command, args, options = {}) =>
    Effect.async<unknown, WorkerError>((resume) => {
      const { core } = this
      const call = this.call(command, args, options)
      const wait = millisOr(options.checkoutTimeout, core.options.checkoutMillis)
      const operation = new Operation(core, options.session, this.mode(options), wait, call, resume)
      core.place(operation)
      return Effect.sync(() => operation.cancel())
    })

  // The mask protects the window between having a worker and the finalizer that returns it.
  readonly checkout = (
    options: Pool.CheckoutOptions = {}
  ): Effect.Effect<Pool.Checkout, CheckoutError, Scope.Scope> =>
    Effect.uninterruptibleMask((restore) =>
      Effect.suspend(() => {
        const { core } = this
        let lease: Lease | undefined = undefined
        const taken = Effect.async<Lease, CheckoutError>((resume) => {
          const wait = millisOr(options.checkoutTimeout, core.options.checkoutMillis)
          lease = new Lease(core, options.session, this.mode(options), wait, resume)
          core.place(lease)
        })
        return restore(taken).pipe(
          Effect.onError((cause) => Effect.sync(() => lease?.release(Exit.failCause(cause)))),
          Effect.tap((own) => Effect.addFinalizer((exit) => Effect.sync(() => own.release(exit)))),
          Effect.map((own): Pool.Checkout => ({
            workerId: own.workerId,
            execute: (command, args, options = {}) => own.execute(this.call(command, args, options))
          }))
        )
      })
    )

  readonly session = (sessionId: string): Effect.Effect<Pool.SessionLease, never, Scope.Scope> =>
    Effect.as(Effect.addFinalizer(() => Effect.sync(() => this.core.sessions?.forget(sessionId))), {
      sessionId,
      execute: (command, args, options = {}) => this.execute(command, args, { ...options, session: sessionId })
    })

  get status(): Effect.Effect<Pool.Status> {
    return Effect.sync(() => statusOf(this.core))
  }

  get workers(): Effect.Effect<ReadonlyArray<Pool.WorkerInfo>> {
    return Effect.sync(() => [...this.core.workers.values()].map((worker) => infoOf(this.core, worker)))
  }

  get awaitFull(): Effect.Effect<void> {
    return this.core.awaitFull
  }

  get check(): Effect.Effect<void> {
    return Effect.sync(() => this.core.check())
  }

  private call(command: string, args: unknown, options: Pool.ExecuteOptions): Call {
    return {
      command,
      args,
      timeoutMillis: millisOr(options.timeout, this.core.options.operationMillis),
      onProgress: options.onProgress
    }
  }

  private mode(options: Pool.CheckoutOptions) {
    return options.affinity ?? this.core.options.affinity?.mode ?? "hint"
  }
}

/** Starts the places in batches; done when each has tried once. */
const startSlots = (core: PoolCore, fork: (slot: Slot) => void): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { startBatchDelayMillis, startBatchItems } = core.options
    for (let from = 0; from < core.slots.length; from += startBatchItems) {
      if (from > 0 && startBatchDelayMillis > 0) yield* Effect.sleep(startBatchDelayMillis)
      const batch = core.slots.slice(from, from + startBatchItems)
      for (const slot of batch) fork(slot)
      yield* Effect.forEach(batch, ({ tried }) => Deferred.await(tried), { discard: true })
    }
  })

export const make = (
  options: Pool.Options,
  defaults: typeof Pool.defaults
): Effect.Effect<Pool.WorkerPoolShape, InvalidOption, WorkerTransport | Scope.Scope> =>
  Effect.gen(function*() {
    const resolved = yield* resolve(options, defaults)
    const transport = yield* WorkerTransport
    const clock = yield* Effect.clock
    const runtime = yield* Effect.runtime()
    // Whatever the mask of who makes the pool: its fibers race and time out.
    const runFork = (effect: Effect.Effect<unknown>) => Runtime.runFork(runtime)(Effect.interruptible(effect))
    const events = yield* PubSub.sliding<Pool.PoolEvent>(eventsMax)
    const core = new PoolCore(resolved, transport, clock, runFork, (event) => void events.unsafeOffer(event))
    const watch = runFork(core.deadlines.run)
    const fibers = new Set<Fiber.RuntimeFiber<unknown, unknown>>()
    yield* Effect.addFinalizer(() =>
      Effect.gen(function*() {
        core.close()
        // Each ends within its own deadlines, so that nothing has to be interrupted.
        yield* Effect.forEach([...fibers, ...core.overflowFibers], Fiber.await, { discard: true })
        yield* Fiber.interrupt(watch)
        yield* PubSub.shutdown(events)
      })
    )
    core.sessions?.start(core.now())
    yield* startSlots(core, (slot) => fibers.add(runFork(slot.run)))
    return new PoolImpl(core, Stream.fromPubSub(events))
  })
