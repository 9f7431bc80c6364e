/** A log on a store that a test can hold up. */
import { it } from "@effect/vitest"
import { provide } from "@spillway/testing/Settle"
import * as VirtualClock from "@spillway/testing/VirtualClock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as EventLog from "../src/EventLog.js"
import { makeMemory } from "../src/internal/memoryStore.js"
import { StoreFailed } from "../src/JobError.js"
import type { JobStoreShape } from "../src/JobStore.js"
import { JobStore } from "../src/JobStore.js"

/** A store in memory whose commits a test can hold up or make fail. */
export const gated = (isShared = false) => {
  const memory = makeMemory({ isShared })
  const control = {
    commits: [] as Array<number>,
    reads: 0,
    gets: 0,
    gate: undefined as Deferred.Deferred<void> | undefined,
    readFails: undefined as StoreFailed | undefined,
    readGate: undefined as Deferred.Deferred<void> | undefined,
    fails: undefined as StoreFailed | undefined,
    /** The next commit happens, and says that it did not. */
    lies: false
  }
  const store: JobStoreShape = {
    ...memory,
    read: (...args) => {
      control.reads++
      const read = Effect.suspend(() =>
        control.readFails === undefined ? memory.read(...args) : Effect.fail(control.readFails)
      )
      return control.readGate === undefined ? read : Effect.zipRight(Deferred.await(control.readGate), read)
    },
    get: (jobId) => {
      control.gets++
      return memory.get(jobId)
    },
    commit: (batch) =>
      Effect.suspend(() => {
        control.commits.push(batch.length)
        if (control.fails !== undefined) return Effect.fail(control.fails)
        const done = Effect.flatMap(memory.commit(batch), (outcomes) => {
          if (!control.lies) return Effect.succeed(outcomes)
          control.lies = false
          return Effect.fail(new StoreFailed({ operation: "commit", why: "io" }))
        })
        return control.gate === undefined ? done : Effect.zipRight(Deferred.await(control.gate), done)
      })
  }
  return { control, memory, store }
}

/** A test of a log on such a store, with virtual time. */
export const test = (
  name: string,
  options: EventLog.Options & { readonly isShared?: boolean },
  body: (rig: ReturnType<typeof gated>) => Effect.Effect<unknown, unknown, EventLog.EventLog | JobStore>
) =>
  it.effect(name, () => {
    const { isShared, ...rest } = options
    const rig = gated(isShared)
    const live = Layer.provideMerge(EventLog.layer(rest), Layer.succeed(JobStore, rig.store))
    return Effect.withClock(provide(live)(body(rig)), VirtualClock.make())
  })
