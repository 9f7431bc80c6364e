/**
 * What happens in one session of `/ws`: welcome, then one client frame after the other until the client or the server
 * ends it.
 *
 * Answers go out with `send`, which waits where the control lane is full: a client that asks and does not read stops
 * being read itself.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as CloseReason from "spillway/CloseReason"
import type * as Session from "spillway/Session"
import * as HostFeed from "./HostFeed.js"
import * as Protocol from "./Protocol.js"
import { Settings } from "./Settings.js"
import { Topics, type TopicsShape } from "./Topics.js"

/** Topics that only the server publishes to: a client must not be able to make up an alert. */
const reserved: ReadonlySet<string> = new Set([HostFeed.hostTopic, HostFeed.alertsTopic])

const subscribe = (topics: TopicsShape, session: Session.Session, names: ReadonlyArray<string>) =>
  Effect.catchTag(
    topics.subscribe(session, names),
    "TooManyTopics",
    (error) => session.send(Protocol.error("too_many_topics", error.message))
  )

const publish = (topics: TopicsShape, session: Session.Session, frame: typeof Protocol.Publish.Type) =>
  reserved.has(frame.topic)
    ? session.send(Protocol.error("topic_reserved", `only the server publishes to ${frame.topic}`))
    : topics.publish(frame.topic, { lane: frame.lane ?? Protocol.defaultLane, key: frame.key, data: frame.data })

const onFrame = (
  topics: TopicsShape,
  session: Session.Session,
  frame: Protocol.ClientFrame
): Effect.Effect<unknown> => {
  switch (frame.type) {
    case "ping":
      return session.send(Protocol.pong)
    case "subscribe":
      return subscribe(topics, session, frame.topics)
    case "unsubscribe":
      return topics.unsubscribe(session, frame.topics)
    case "publish":
      return publish(topics, session, frame)
  }
}

const onMessage = (topics: TopicsShape, session: Session.Session) => (inbound: Session.Inbound) =>
  inbound.binary
    ? session.close(CloseReason.withReason(CloseReason.unsupportedData, "this endpoint speaks JSON text"))
    : Effect.matchEffect(Protocol.decodeClientFrame(inbound.text), {
      onFailure: (error) => session.send(Protocol.error("bad_frame", error.explanation)),
      onSuccess: (frame) => onFrame(topics, session, frame)
    })

/** The topics that the handshake asked for. Provided by the route, since a session outlives its request. */
export class InitialTopics extends Context.Tag("@spillway-examples/gateway/GatewaySession/InitialTopics")<
  InitialTopics,
  ReadonlyArray<string>
>() {}

/** The handler of `/ws`. It ends when the client's side ends; its memberships end with its scope. */
export const handler = (
  session: Session.Session
): Effect.Effect<void, never, InitialTopics | Topics | Settings | Scope.Scope> =>
  Effect.gen(function*() {
    const settings = yield* Settings
    const topics = yield* Topics
    const initial = yield* InitialTopics
    yield* topics.join(session)
    yield* session.send(Protocol.welcome({
      session: session.id,
      topics: initial,
      payloadBytesMax: settings.payloadBytesMax,
      now: yield* Clock.currentTimeMillis
    }))
    yield* subscribe(topics, session, initial)
    yield* session.runForEach(onMessage(topics, session))
  })
