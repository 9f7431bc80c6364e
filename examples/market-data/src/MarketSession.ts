/**
 * One session: it joins the feed and answers pings until the client's side ends.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Scope from "effect/Scope"
import * as CloseReason from "spillway/CloseReason"
import type * as Session from "spillway/Session"
import { Feed, type Wanted } from "./Feed.js"
import type { FillsGone } from "./FillLog.js"
import * as Protocol from "./Protocol.js"

/** A code above 4500: to try the same again is of no use. */
const fillsGone = Either.getOrThrow(CloseReason.make(4600, "fills are gone"))

/** What the handshake asked for. Provided by the route, since a session outlives its request. */
export class Asked extends Context.Tag("@spillway-examples/market-data/MarketSession/Asked")<Asked, Wanted>() {}

/** Tells the client which fills there are; the session ends with it. */
const refuse = (session: Session.Session, { asked, feed, first, last }: FillsGone) =>
  Effect.zipRight(
    session.send(Protocol.FillsGone({ feed, asked: asked.after, first, last })),
    session.close(fillsGone)
  )

const onMessage = (session: Session.Session) => (inbound: Session.Inbound) =>
  Effect.matchEffect(Protocol.decodePing(inbound.text), {
    onFailure: ({ explanation }) => session.send(Protocol.Refused({ message: explanation.slice(0, 200) })),
    onSuccess: ({ id }) => Effect.flatMap(Clock.currentTimeMillis, (at) => session.send(Protocol.Pong({ id, at })))
  })

export const handler = (session: Session.Session): Effect.Effect<void, never, Asked | Feed | Scope.Scope> =>
  Effect.gen(function*() {
    const feed = yield* Feed
    yield* feed.join(session, yield* Asked)
    yield* session.runForEach(onMessage(session))
  }).pipe(
    Effect.catchTag("FillsGone", (error) => refuse(session, error)),
    Effect.catchTag("TooManyTopics", () => session.close(CloseReason.policyViolation))
  )
