/**
 * The hub: who gets what. Broadcast to all sessions, topics with members, the last values of a topic for those who come
 * later, and presence.
 *
 * Publishing is synchronous: one message, encoded and framed once, one `unsafeOffer` for each session that it reaches. No
 * fiber, no promise, no waiting. Who reads slowly loses by the rules of its own outbox and delays nobody. What stands in
 * an outbox is a reference; its bytes are charged to each session and counted once in the hub's owner (`Snapshot.memory`).
 *
 * ```
 * join ─▶ member ── subscribe ──▶ topics, prefixes ── publish ──▶ unsafeOffer to each member, once
 *   └── scope closes: the member leaves all of them
 * ```
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as hub from "./internal/hub.js"
import type { Lane } from "./Lane.js"
import type { Message } from "./Message.js"
import type { Outcome } from "./Outcome.js"
import type { Session } from "./Session.js"
import type { Sessions } from "./Sessions.js"
import type { InvalidOption, TooManyTopics } from "./SpillwayError.js"

/**
 * All topics whose name starts with `prefix`; the empty prefix is every topic.
 *
 * @since 0.1.0
 * @category models
 */
export interface Prefix {
  readonly _tag: "Prefix"
  readonly prefix: string
}

/**
 * What one can subscribe to: one topic by its name, or all topics with a prefix.
 *
 * @since 0.1.0
 * @category models
 */
export type Selector = string | Prefix

/**
 * Selects all topics whose name starts with the text.
 *
 * @example
 * import { Hub } from "spillway"
 *
 * assert.deepStrictEqual(Hub.prefix("market."), { _tag: "Prefix", prefix: "market." })
 *
 * @since 0.1.0
 * @category constructors
 */
export const prefix = (text: string): Prefix => ({ _tag: "Prefix", prefix: text })

/**
 * How messages of a topic are treated, whatever the publisher said of them.
 *
 * @since 0.1.0
 * @category models
 */
export interface TopicPolicy {
  /** Lane of all messages. Default: the message's own. */
  readonly lane?: Lane
  /** Greatest age of all messages. Default: the message's own. */
  readonly maxAge?: Duration.DurationInput
  /**
   * `topic`: a session that lags gets only the latest message of the topic (of each key, where messages have one). Default
   * `own`: only messages with a key are conflated.
   */
  readonly conflate?: "own" | "topic"
  /** What later subscribers get: nothing, the last message, or the last of each key. Default `none`. */
  readonly retain?: "none" | "last" | "last by key"
}

/**
 * What can be set for a hub. Every field has a default in `defaults`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** Topics and prefixes that one session may have. Default 128. */
  readonly topicsPerSessionMax?: number
  /** Topics and prefixes that have members, in all. Default 65,536. */
  readonly topicsMax?: number
  /** Messages retained for later subscribers, in all; beyond, those not renewed for longest are forgotten. Default 65,536. */
  readonly retainedItemsMax?: number
  /** Bytes of the same. A larger message is not retained. Default 16 MiB. */
  readonly retainedBytesMax?: number
  /** Events that a reader of presence may lag behind before it gets a new snapshot in their place. Default 1,024. */
  readonly presenceEventsMax?: number
  /** Policies by topic or prefix; the first that matches is the topic's. Default none. */
  readonly policies?: ReadonlyArray<{ readonly topics: Selector; readonly policy: TopicPolicy }>
}

/**
 * The defaults. Sources: Centrifuge (128 topics per session).
 *
 * @since 0.1.0
 * @category configuration
 */
export const defaults = Object.freeze({
  topicsPerSessionMax: 128,
  topicsMax: 65_536,
  retainedItemsMax: 65_536,
  retainedBytesMax: 16 * 1024 * 1024,
  presenceEventsMax: 1_024,
  policies: [] as NonNullable<Options["policies"]>
})

/**
 * What became of one publication, in sessions. `sessions` is the sum of `queued`, `evicting`, `conflated` and `rejected`;
 * `evicted` counts messages.
 *
 * @since 0.1.0
 * @category models
 */
export interface Published {
  /** Sessions that it was offered to. */
  readonly sessions: number
  /** Where it was queued and nothing had to go for it. */
  readonly queued: number
  /** Where it was queued and less urgent messages went for it. */
  readonly evicting: number
  /** Where it took the place of an older message with its key. */
  readonly conflated: number
  /** Where it was not taken. */
  readonly rejected: number
  /** Messages that went for it, over all sessions. */
  readonly evicted: number
}

/**
 * How to publish.
 *
 * @since 0.1.0
 * @category models
 */
export interface PublishOptions {
  /** Keeps the message under this name for later subscribers, until the next one of the name or `forget`. */
  readonly retainAs?: string
  /** Called with each outcome when all sessions have been offered the message. */
  readonly each?: (session: Session, outcome: Outcome) => void
}

/**
 * A change of who is in a topic. `Present` is all of them: the first event, and again where a reader lagged too far.
 *
 * @since 0.1.0
 * @category models
 */
export type PresenceEvent =
  | { readonly _tag: "Present"; readonly sessions: ReadonlyArray<Session> }
  | { readonly _tag: "Joined"; readonly session: Session }
  | { readonly _tag: "Left"; readonly session: Session }

/**
 * A reading of a hub.
 *
 * @since 0.1.0
 * @category models
 */
export interface HubStats {
  readonly members: number
  /** Topics with at least one member. */
  readonly topics: number
  readonly prefixes: number
  /** Pairs of a member and a topic or prefix. */
  readonly subscriptions: number
  readonly retainedItems: number
  readonly retainedBytes: number
  readonly published: number
  /** Offers of all publications and broadcasts. */
  readonly offers: number
}

/**
 * Shape of the service. Operations of a session that has not joined, or has left, do nothing.
 *
 * @since 0.1.0
 * @category models
 */
export interface HubShape {
  /**
   * Makes a session a member until the scope closes; then it leaves all of its topics. A session that joins twice leaves
   * with the second scope.
   */
  join(session: Session): Effect.Effect<void, never, Scope.Scope>
  /**
   * Subscribes a member to all of the topics, or to none. What is retained of those that are new to it is offered at once,
   * so that it misses nothing and gets nothing twice. `false` when it is no member. O(topics), and O(retained) for a prefix.
   *
   * **Errors** `TooManyTopics`.
   */
  subscribe(session: Session, topics: ReadonlyArray<Selector>): Effect.Effect<boolean, TooManyTopics>
  /** As `subscribe`, until the scope closes: then those are left that were new to the session. */
  subscribeScoped(
    session: Session,
    topics: ReadonlyArray<Selector>
  ): Effect.Effect<boolean, TooManyTopics, Scope.Scope>
  unsubscribe(session: Session, topics: ReadonlyArray<Selector>): Effect.Effect<void>
  /** Offers a message to each member of the topic, once, however many of its subscriptions match. Never suspends. */
  publish(topic: string, message: Message, options?: PublishOptions): Effect.Effect<Published>
  /** `publish` as a plain function. O(members), and one look-up for each length that prefixes have. */
  unsafePublish(topic: string, message: Message, options?: PublishOptions): Published
  /** Offers a message to every open session, member or not. Never suspends. */
  broadcast(message: Message, options?: Pick<PublishOptions, "each">): Effect.Effect<Published>
  /** `broadcast` as a plain function. */
  unsafeBroadcast(message: Message, options?: Pick<PublishOptions, "each">): Published
  /** Forgets what is retained of a topic, or only what is retained under the name. */
  forget(topic: string, name?: string): Effect.Effect<void>
  /** Sessions that are subscribed to the topic by its name. */
  members(topic: string): Effect.Effect<ReadonlyArray<Session>>
  /**
   * Who is subscribed to the topic by its name: first all of them, then every change. A reader that lags by more than
   * `presenceEventsMax` events gets all of them again in the place of what it missed. Never ends.
   */
  presence(topic: string): Stream.Stream<PresenceEvent>
  /** Calls `f` for every member. */
  unsafeForEach(f: (session: Session) => void): void
  readonly stats: HubStats
  /** Number of members by topic, prefixes not counted. */
  readonly topics: Effect.Effect<ReadonlyMap<string, number>>
}

/**
 * The hub.
 *
 * @since 0.1.0
 * @category models
 */
export class Hub extends Context.Tag("spillway/Hub")<Hub, HubShape>() {}

/**
 * Makes a hub for the sessions of the surrounding owner.
 *
 * **Errors** `InvalidOption`, naming the option.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options?: Options): Effect.Effect<HubShape, InvalidOption, Sessions> =>
  hub.make({ ...defaults, ...options })

/**
 * The hub as a layer.
 *
 * @example
 * import { Hub, Message } from "spillway"
 * import * as Effect from "effect/Effect"
 *
 * const HubLive = Hub.layer({
 *   policies: [{ topics: Hub.prefix("price."), policy: { lane: "bulk", conflate: "topic", retain: "last" } }]
 * })
 * const publish = Effect.flatMap(Hub.Hub, (hub) => hub.publish("price.ACME", Message.jsonOf({ price: 12 })))
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options?: Options): Layer.Layer<Hub, InvalidOption, Sessions> => Layer.effect(Hub, make(options))
