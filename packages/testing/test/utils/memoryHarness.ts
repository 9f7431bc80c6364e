/**
 * The memory transport as a harness for the laws.
 */
import type { LawHarness } from "@spillway/testing/LawHarness"
import type { MemoryClient } from "@spillway/testing/MemoryClient"
import * as MemoryTransport from "@spillway/testing/MemoryTransport"
import { settle } from "@spillway/testing/Settle"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/TestClock"
import * as Transport from "spillway/Transport"

export interface MemoryHarness extends LawHarness {
  /** `connect` with all that a memory client can do. */
  readonly connectMemory: Effect.Effect<{
    readonly connection: Transport.Connection
    readonly client: MemoryClient
  }>
}

export const harness = (options?: MemoryTransport.Options) =>
  Effect.map(MemoryTransport.make(options), (context): MemoryHarness => {
    const connect = Effect.gen(function*() {
      const client = yield* Effect.orDie(Context.get(context, MemoryTransport.MemoryTransport).connect())
      const connection = yield* Effect.orDie(Context.get(context, Transport.Transport).accept)
      return { connection, client }
    })
    return {
      connect,
      connectMemory: connect,
      pending: Effect.map(Context.get(context, MemoryTransport.MemoryTransport).pending, (counts) => ({ ...counts })),
      advance: (duration) => TestClock.adjust(duration).pipe(Effect.zipRight(settle))
    }
  })
