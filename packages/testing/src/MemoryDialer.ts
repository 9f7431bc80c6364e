/**
 * The dialer port on a memory network: what a program dials has its other end in the hands of a test, as a
 * `MemoryClient` with all its faults. To the port the two ends of a connection are alike, so the dialled end is the one
 * that `Transport` would hand out.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import { Dialer } from "spillway/Dialer"
import { DialFailed } from "spillway/SpillwayError"
import { Transport } from "spillway/Transport"
import type { MemoryClient } from "./MemoryClient.js"
import * as MemoryTransport from "./MemoryTransport.js"

/**
 * What a dial comes to: it connects, it fails at once, or nothing ever answers.
 *
 * @since 0.1.0
 * @category models
 */
export type Behaviour = "connects" | "refuses" | "hangs"

/**
 * Drives a memory dialer.
 *
 * @since 0.1.0
 * @category testing
 */
export class MemoryDialer extends Context.Tag("@spillway/testing/MemoryDialer")<MemoryDialer, {
  /** The other end of the next connection that was dialled. Suspends until there is one. */
  readonly peer: Effect.Effect<MemoryClient>
  /** What dials come to from now on. A dial that hangs already stays so. */
  readonly setBehaviour: (behaviour: Behaviour) => Effect.Effect<void>
  /** Times of all dials so far, in milliseconds of `Clock`. */
  readonly dialledAt: Effect.Effect<ReadonlyArray<number>>
  /** What has not ended or arrived yet, as `MemoryTransport` has it. */
  readonly pending: Effect.Effect<MemoryTransport.Pending>
  /** What callbacks of sessions threw. Nothing should ever be in here. */
  readonly defects: Effect.Effect<ReadonlyArray<unknown>>
}>() {}

/**
 * Both services of a new network. When the scope closes every connection is terminated.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  options?: MemoryTransport.Options
): Effect.Effect<Context.Context<Dialer | MemoryDialer>, never, Scope.Scope> =>
  Effect.gen(function*() {
    const network = yield* MemoryTransport.make(options)
    const memory = Context.get(network, MemoryTransport.MemoryTransport)
    const transport = Context.get(network, Transport)
    const peers = yield* Queue.unbounded<MemoryClient>()
    const clock = yield* Effect.clock
    const dialledAt: Array<number> = []
    let behaviour: Behaviour = "connects"
    const connect = Effect.gen(function*() {
      const peer = yield* memory.connect()
      const connection = yield* transport.accept
      yield* Queue.offer(peers, peer)
      return connection
    })
    const dial = (url: string) =>
      Effect.suspend(() => {
        dialledAt.push(clock.unsafeCurrentTimeMillis())
        if (behaviour === "hangs") return Effect.never
        if (behaviour === "refuses") return new DialFailed({ url, why: "refused" })
        // Nothing in here waits, so that nothing is left half done.
        return Effect.uninterruptible(Effect.mapError(connect, ({ message }) => new DialFailed({ url, why: message })))
      })
    return Context.make(Dialer, { kind: "memory", dial }).pipe(Context.add(MemoryDialer, {
      peer: Queue.take(peers),
      setBehaviour: (next) =>
        Effect.sync(() => {
          behaviour = next
        }),
      dialledAt: Effect.sync(() => [...dialledAt]),
      pending: memory.pending,
      defects: memory.defects
    }))
  })

/**
 * A memory network as the `Dialer` of a program, and as `MemoryDialer` to drive it.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options?: MemoryTransport.Options): Layer.Layer<Dialer | MemoryDialer> =>
  Layer.scopedContext(make(options))
