/**
 * Topics: who gets what. A topic exists while somebody subscribes to it, or while the server keeps values for it.
 *
 * Publishing is synchronous: one frame, one `unsafeOffer` per subscriber, no fiber, no waiting. Whoever reads slowly loses
 * by the rules of its own outbox and delays nobody.
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type * as Message from "spillway/Message"
import type * as Session from "spillway/Session"
import * as Protocol from "./Protocol.js"
import { Settings } from "./Settings.js"

/** A subscription would go over a limit; nothing was subscribed. */
export class TooManyTopics extends Data.TaggedError("TooManyTopics")<{
  readonly limit: "session" | "server"
  readonly topicsMax: number
}> {
  override get message(): string {
    return `more than ${this.topicsMax} topics for the ${this.limit}; nothing was subscribed`
  }
}

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
  readonly subscribe: (session: Session.Session, topics: ReadonlyArray<string>) => Effect.Effect<void, TooManyTopics>
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

const nobody: Published = Object.freeze({ sessions: 0, queued: 0, evicted: 0, conflated: 0, rejected: 0 })

const offerAll = (sessions: ReadonlySet<Session.Session>, message: Message.Message): Published => {
  let queued = 0
  let evicted = 0
  let conflated = 0
  let rejected = 0
  for (const session of sessions) {
    const outcome = session.unsafeOffer(message)
    if (outcome._tag === "Rejected") rejected++
    else {
      queued++
      if (outcome._tag === "QueuedEvicting") evicted += outcome.evicted
      else if (outcome._tag === "Conflated") conflated++
    }
  }
  return { sessions: sessions.size, queued, evicted, conflated, rejected }
}

/** The two sides of the membership relation, and the values kept. Synchronous, so that no reader sees half a change. */
class Registry {
  private readonly members = new Map<string, Set<Session.Session>>()
  private readonly topicsOf = new Map<Session.Session, Set<string>>()
  private readonly kept = new Map<string, Map<string, Message.Message>>()

  constructor(private readonly topicsMax: number) {}

  join(session: Session.Session): void {
    this.topicsOf.set(session, new Set())
  }

  leave(session: Session.Session): void {
    this.remove(session, [...(this.topicsOf.get(session) ?? [])])
    this.topicsOf.delete(session)
  }

  /** Why the session may not have these topics as well, or the topics that are new to it. */
  add(session: Session.Session, topics: ReadonlyArray<string>): TooManyTopics | undefined {
    const own = this.topicsOf.get(session)
    // The session has left: there is nobody to deliver to, and nobody who would ever release the membership.
    if (own === undefined) return undefined
    const added = [...new Set(topics)].filter((topic) => !own.has(topic))
    if (own.size + added.length > Protocol.topicsPerSessionMax) {
      return new TooManyTopics({ limit: "session", topicsMax: Protocol.topicsPerSessionMax })
    }
    const made = added.filter((topic) => !this.members.has(topic)).length
    if (this.members.size + made > this.topicsMax) {
      return new TooManyTopics({ limit: "server", topicsMax: this.topicsMax })
    }
    for (const topic of added) {
      own.add(topic)
      const sessions = this.members.get(topic)
      if (sessions === undefined) this.members.set(topic, new Set([session]))
      else sessions.add(session)
      for (const message of this.kept.get(topic)?.values() ?? []) session.unsafeOffer(message)
    }
    return undefined
  }

  remove(session: Session.Session, topics: ReadonlyArray<string>): void {
    const own = this.topicsOf.get(session)
    for (const topic of topics) {
      if (own === undefined || !own.delete(topic)) continue
      const sessions = this.members.get(topic)
      sessions?.delete(session)
      if (sessions?.size === 0) this.members.delete(topic)
    }
  }

  publish(topic: string, content: Content): Published {
    const sessions = this.members.get(topic)
    return sessions === undefined ? nobody : offerAll(sessions, Protocol.topicMessage(topic, content))
  }

  publishKept(topic: string, name: string, content: Content): Published {
    const message = Protocol.topicMessage(topic, content)
    const values = this.kept.get(topic)
    if (values === undefined) this.kept.set(topic, new Map([[name, message]]))
    else values.set(name, message)
    const sessions = this.members.get(topic)
    return sessions === undefined ? nobody : offerAll(sessions, message)
  }

  forget(topic: string, name: string): void {
    this.kept.get(topic)?.delete(name)
  }

  forEachMember(f: (session: Session.Session) => void): void {
    for (const session of this.topicsOf.keys()) f(session)
  }

  stats() {
    let subscriptions = 0
    for (const own of this.topicsOf.values()) subscriptions += own.size
    return { topics: this.members.size, subscriptions }
  }
}

export class Topics extends Context.Tag("@spillway-examples/gateway/Topics")<Topics, TopicsShape>() {}

/** Topics with a bound on how many there may be at a time. */
export const make = (topicsMax: number): TopicsShape => {
  const registry = new Registry(topicsMax)
  return {
    join: (session) =>
      Effect.acquireRelease(
        Effect.sync(() => registry.join(session)),
        () => Effect.sync(() => registry.leave(session))
      ),
    subscribe: (session, topics) => Effect.suspend(() => registry.add(session, topics) ?? Effect.void),
    unsubscribe: (session, topics) => Effect.sync(() => registry.remove(session, topics)),
    publish: (topic, content) => Effect.sync(() => registry.publish(topic, content)),
    publishKept: (topic, name, content) => Effect.sync(() => registry.publishKept(topic, name, content)),
    forget: (topic, name) => Effect.sync(() => registry.forget(topic, name)),
    forEachMember: (f) => Effect.sync(() => registry.forEachMember(f)),
    stats: Effect.sync(() => registry.stats())
  }
}

export const layer: Layer.Layer<Topics, never, Settings> = Layer.effect(
  Topics,
  Effect.map(Settings, (settings) => make(settings.topicsMax))
)
