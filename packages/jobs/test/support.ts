/** What the tests of jobs share. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as EventLog from "../src/EventLog.js"
import type { JobRecord } from "../src/JobStore.js"
import { JobStore } from "../src/JobStore.js"

/** A job that somebody owns, ready to be appended to. */
export const claimed = (jobId: string, name = "test") =>
  Effect.gen(function*() {
    const store = yield* JobStore
    yield* store.insert({ id: jobId, name, input: null, createdAt: 0, queuedAt: 0 })
    return Option.getOrThrow(yield* store.claim({ jobId, owner: "me", now: 0, leaseUntil: 1_000 }))
  })

/** Appends under the claim of `record`. */
export const append = (record: JobRecord, ...entries: Parameters<EventLog.EventLogShape["append"]>[2]) =>
  Effect.flatMap(EventLog.EventLog, (log) => log.append(record.id, record.generation, entries))

/** The log on a store, both of them. */
export const logOn = <E, R>(
  store: Layer.Layer<JobStore, E, R>,
  options?: EventLog.Options
): Layer.Layer<EventLog.EventLog | JobStore, E, R> => Layer.provideMerge(Layer.orDie(EventLog.layer(options)), store)

/** All events of a job, page by page. */
export const readAll = (jobId: string) =>
  Effect.gen(function*() {
    const log = yield* EventLog.EventLog
    const events = [...(yield* log.read(jobId, 0))]
    for (;;) {
      const page = yield* log.read(jobId, events.length)
      if (page.length === 0) return events
      events.push(...page)
    }
  })
