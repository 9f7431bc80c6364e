/**
 * Topics of this gateway: the hub, with the wire protocol's messages and bounds.
 *
 * Publishing is synchronous: one frame, one `unsafeOffer` per subscriber, no fiber, no waiting. Whoever reads slowly loses
 * by the rules of its own outbox and delays nobody.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Hub from "spillway/Hub"
import type * as Session from "spillway/Session"
import type { Sessions } from "spillway/Sessions"
import type { InvalidOption, TooManyTopics } from "spillway/SpillwayError"
import * as Protocol from "./Protocol.js"
import { Settings } from "./Settings.js"

/** What became of one publication, over all sessions of the topic. `queued` counts every session that took it. */
export interface Published {
  readonly sessions: number
  readonly queued: number
  /** Waiting messages that were shed to make room. */
  readonly evicted: number
  /** Sessions where it took the place of an older message with its key; they are part of `queued`. */
  readonly conflated: number
  readonly rejected: number
}

export interface TopicsShape {
  /** Adds a session to all of the topics, or to none. The values that the server keeps for them are offered at once. */
  readonly subscribe: (session: Session.Session, topics: ReadonlyArray<string>) => Effect.Effect<unknown, TooManyTopics>
  readonly unsubscribe: (session: Session.Session, topics: ReadonlyArray<string>) => Effect.Effect<void>
  /** Makes the session a member with no topics. Its subscriptions end with the scope. */
  readonly join: (session: Session.Session) => Effect.Effect<void, never, Scope.Scope>
  readonly publish: (topic: string, content: Content) => Effect.Effect<Published>
  /** As `publish`, and keeps the message under `name` for later subscribers, until the next one or `forget`. */
  readonly publishKept: (topic: string, name: string, content: Content) => Effect.Effect<Published>
  /** Forgets a value that `publishKept` kept. */
  readonly forget: (topic: string, name: string) => Effect.Effect<void>
  /** Calls `f` for every session that has joined. */
  readonly forEachMember: (f: (session: Session.Session) => void) => Effect.Effect<void>
  readonly stats: Effect.Effect<{ readonly topics: number; readonly subscriptions: number }>
}

export interface Content {
  readonly lane: Protocol.TopicLane
  readonly key?: string | undefined
  readonly data: unknown
}

/** On the wire `queued` are all sessions that took it, the others counted with them. */
const told = ({ conflated, evicted, evicting, queued, rejected, sessions }: Hub.Published): Published => ({
  sessions,
  queued: queued + evicting + conflated,
  evicted,
  conflated,
  rejected
})

export class Topics extends Context.Tag("@spillway-examples/gateway/Topics")<Topics, TopicsShape>() {}

/** Topics with a bound on how many there may be at a time. */
export const make = (topicsMax: number): Effect.Effect<TopicsShape, InvalidOption, Sessions> =>
  Effect.map(Hub.make({ topicsPerSessionMax: Protocol.topicsPerSessionMax, topicsMax }), (hub) => ({
    join: (session) => hub.join(session),
    subscribe: (session, topics) => hub.subscribe(session, topics),
    unsubscribe: (session, topics) => hub.unsubscribe(session, topics),
    publish: (topic, content) =>
      Effect.sync(() => told(hub.unsafePublish(topic, Protocol.topicMessage(topic, content)))),
    publishKept: (topic, name, content) =>
      Effect.sync(() => told(hub.unsafePublish(topic, Protocol.topicMessage(topic, content), { retainAs: name }))),
    forget: (topic, name) => hub.forget(topic, name),
    forEachMember: (f) => Effect.sync(() => hub.unsafeForEach(f)),
    stats: Effect.sync(() => {
      const { subscriptions, topics } = hub.stats
      return { topics, subscriptions }
    })
  }))

export const layer: Layer.Layer<Topics, InvalidOption, Settings | Sessions> = Layer.effect(
  Topics,
  Effect.flatMap(Settings, (settings) => make(settings.topicsMax))
)
