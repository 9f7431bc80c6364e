/**
 * A world with a time of its own, for programs that shall run hours in seconds and the same way each time.
 *
 * Inside, fibers run in the order of a `SeededScheduler`; when none can run the clock jumps to the next sleeper. Nothing
 * waits for the process: no timer, no micro-task, no turn of the event loop. So a world is a function of its seed, to the
 * last step, and its speed is that of the processor.
 *
 * **Details.** Time comes from `Clock` and randomness from `Random`, both of the world. What waits for anything outside
 * (`Effect.promise`, a real timer, a socket) does not belong into a world: nobody waits for it, and when nothing else is
 * left to do the world is `Stuck`. `Effect.never` is such a thing as far as it counts for being stuck.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as DefaultServices from "effect/DefaultServices"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Effect_Exit from "effect/Exit"
import * as FiberRef from "effect/FiberRef"
import * as Random from "effect/Random"
import { VirtualClockImpl } from "./internal/virtualClock.js"
import * as SeededScheduler from "./SeededScheduler.js"

/**
 * Nothing in the world can run any more, and what it was asked to do is not done.
 *
 * @since 0.1.0
 * @category errors
 */
export class Stuck extends Data.TaggedError("Stuck")<{ readonly atMillis: number; readonly picks: number }> {
  override get message(): string {
    return `the world is stuck ${this.atMillis} ms after its start: no fiber can run and none sleeps`
  }
}

/**
 * A world, seen from inside.
 *
 * @since 0.1.0
 * @category models
 */
export interface World {
  readonly scheduler: SeededScheduler.SeededScheduler
  /** Milliseconds since the start. */
  readonly now: number
  /** Sleepers that wait for the clock. */
  readonly sleepers: number
  /** Lets time pass in which no fiber runs, as when the process is stopped. Whoever should have woken meanwhile wakes late. */
  readonly freeze: (millis: number) => void
}

/**
 * How a world runs.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface Options {
  readonly seed: number
  /** Called at each instant when nothing can run any more, before the clock moves on. What it throws ends the world. */
  readonly onIdle?: (world: World) => void
}

/** Fibers that run before the process gets a turn, for the progress that it may show and for interruption. */
const picksPerTurn = 65_536

const realClock = Clock.make()

class WorldImpl implements World {
  readonly clock = new VirtualClockImpl(0, true)
  readonly scheduler: SeededScheduler.SeededScheduler

  constructor(seed: number) {
    this.scheduler = SeededScheduler.make({ seed, drive: () => {} })
  }

  get now(): number {
    return this.clock.unsafeCurrentTimeMillis()
  }

  get sleepers(): number {
    return this.clock.sleepers
  }

  freeze(millis: number): void {
    this.clock.unsafeSkip(millis)
  }
}

/**
 * Runs a program in a world of its own until it ends, and returns how it ended. Fails as `Stuck` when it cannot end.
 *
 * Fibers and finalizers that the program leaves behind are part of the world and are not run any more.
 *
 * @since 0.1.0
 * @category operations
 */
export const run = <A, E, R>(
  program: (world: World) => Effect.Effect<A, E, R>,
  options: Options
): Effect.Effect<A, E | Stuck, R> =>
  Effect.contextWithEffect((context: Context.Context<R>) =>
    Effect.suspend(() => {
      const world = new WorldImpl(options.seed)
      let exit: Effect_Exit.Exit<A, E> | undefined = undefined
      const services = DefaultServices.liveServices.pipe(
        Context.add(Clock.Clock, world.clock),
        Context.add(Random.Random, Random.make(options.seed))
      )
      const fiber = Effect.runFork(
        Effect.suspend(() => program(world)).pipe(
          Effect.provide(context),
          Effect.locally(DefaultServices.currentServices, services),
          // Without the local setting fibers that outlive the program would go back to the scheduler of the process.
          Effect.locally(FiberRef.currentScheduler, world.scheduler)
        ),
        { scheduler: world.scheduler }
      )
      fiber.addObserver((end) => {
        exit = end
      })
      const step: Effect.Effect<A, E | Stuck> = Effect.suspend(() => {
        const until = world.scheduler.picks + picksPerTurn
        for (;;) {
          if (!world.scheduler.runAll(until - world.scheduler.picks)) {
            return Effect.zipRight(realClock.sleep(Duration.zero), step)
          }
          if (exit !== undefined) return exit
          if (options.onIdle !== undefined) options.onIdle(world)
          if (!world.clock.unsafeAdvance()) {
            return Effect.fail(new Stuck({ atMillis: world.now, picks: world.scheduler.picks }))
          }
        }
      })
      return step
    })
  )
