/** The service over the hub's state: lifetimes as scopes, presence as a stream, options checked. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type * as Hub from "../Hub.js"
import { Sessions, type SessionsShape } from "../Sessions.js"
import { InvalidOption, TooManyTopics } from "../SpillwayError.js"
import { policyOf } from "./hubPolicy.js"
import { HubTopics, type Limits } from "./hubTopics.js"

const counts = [
  "topicsPerSessionMax",
  "topicsMax",
  "retainedItemsMax",
  "retainedBytesMax",
  "presenceEventsMax"
] as const

const check = (limits: Limits): Effect.Effect<void, InvalidOption> => {
  for (const key of counts) {
    const value: unknown = limits[key]
    if (typeof value !== "number" || !Number.isInteger(value) || value < 1) {
      return Effect.fail(new InvalidOption({ module: "Hub", key, value, expected: "a whole number of at least 1" }))
    }
  }
  return Effect.void
}

/** The synchronous part alone. @internal */
export const service = (topics: HubTopics, sessions: SessionsShape): Hub.HubShape => {
  const unsafePublish: Hub.HubShape["unsafePublish"] = (topic, message, options) =>
    topics.publish(topic, message, options?.retainAs, options?.each)
  const unsafeBroadcast: Hub.HubShape["unsafeBroadcast"] = (message, options) =>
    topics.broadcast(sessions.unsafeForEach, message, options?.each)
  return {
    join: (session) =>
      Effect.acquireRelease(
        Effect.sync(() => topics.join(session)),
        () => Effect.sync(() => topics.leave(session))
      ),
    subscribe: (session, selectors) =>
      Effect.suspend(() => {
        const added = topics.add(session, selectors)
        return added instanceof TooManyTopics ? added : Effect.succeed(added !== undefined)
      }),
    subscribeScoped: (session, selectors) =>
      Effect.map(
        Effect.acquireRelease(
          Effect.suspend(() => {
            const added = topics.add(session, selectors)
            return added instanceof TooManyTopics ? added : Effect.succeed(added)
          }),
          (added) => Effect.sync(() => topics.remove(session, added ?? []))
        ),
        (added) => added !== undefined
      ),
    unsubscribe: (session, selectors) => Effect.sync(() => topics.remove(session, selectors)),
    publish: (topic, message, options) => Effect.sync(() => unsafePublish(topic, message, options)),
    unsafePublish,
    broadcast: (message, options) => Effect.sync(() => unsafeBroadcast(message, options)),
    unsafeBroadcast,
    forget: (topic, name) => Effect.sync(() => topics.forget(topic, name)),
    members: (topic) => Effect.sync(() => topics.sessionsOf(topic)),
    presence: (topic) =>
      Stream.unwrapScoped(Effect.map(
        Effect.acquireRelease(
          Effect.sync(() => topics.watch(topic)),
          (watcher) => Effect.sync(() => topics.unwatch(topic, watcher))
        ),
        (watcher) => Stream.repeatEffectChunk(watcher.take)
      )),
    unsafeForEach: (f) => topics.forEachMember(f),
    get stats() {
      return topics.stats
    },
    topics: Effect.sync(() => topics.memberCounts())
  }
}

export const make = (options: Required<Hub.Options>): Effect.Effect<Hub.HubShape, InvalidOption, Sessions> =>
  Effect.gen(function*() {
    yield* check(options)
    return service(new HubTopics(options, policyOf(options.policies)), yield* Sessions)
  })
