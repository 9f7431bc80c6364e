/**
 * `/echo`: sends back every message as it came. Its messages are `critical`, for which `send` waits when the outbox is
 * full: then the handler does not read on, the inbox fills and the socket is paused. A flood is slowed down, not shed.
 */
import type * as Effect from "effect/Effect"
import * as Frame from "spillway/Frame"
import * as Message from "spillway/Message"
import type * as Session from "spillway/Session"

/** The handler of `/echo`. The bytes go out as they came in, without decoding. */
export const handler = (session: Session.Session): Effect.Effect<void> =>
  session.runForEach((inbound) =>
    session.send(Message.fromFrame(Frame.fromBytes(inbound.data, { binary: inbound.binary }), { lane: "critical" }))
  )
