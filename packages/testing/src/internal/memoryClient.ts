/**
 * `MemoryClient` over a `ClientEnd`: suspension and errors.
 */
import * as Effect from "effect/Effect"
import * as Frame from "spillway/Frame"
import * as SpillwayError from "spillway/SpillwayError"
import type { MemoryClient, MemoryMessage } from "../MemoryClient.js"
import type { ClientEnd, Ended, Received } from "./clientEnd.js"

class Message implements MemoryMessage {
  private own: Uint8Array | undefined = undefined

  constructor(private readonly received: Received) {}

  get binary(): boolean {
    return this.received.binary
  }
  get at(): number {
    return this.received.at
  }
  /** A copy: a receiver must not share bytes with other receivers of the same frame. */
  get bytes(): Uint8Array {
    return this.own ??= this.received.data.slice()
  }
  get text(): string {
    return Frame.toText(Frame.binary(this.own ?? this.received.data), 0)
  }
  head(byteLength: number): string {
    return Frame.toText(Frame.binary(this.received.data.subarray(0, byteLength)), 0)
  }
}

const toMessage = (received: Received): MemoryMessage => new Message(received)

/** The beginning of its text, without decoding the rest. */
export const headOf = (message: MemoryMessage, byteLength: number): string =>
  message instanceof Message ? message.head(byteLength) : message.text.slice(0, byteLength)

const closed = (end: ClientEnd): SpillwayError.ConnectionClosed =>
  new SpillwayError.ConnectionClosed({ code: end.ended?.code ?? 1006, reason: end.ended?.reason ?? "" })

const send = (end: ClientEnd, data: Uint8Array, binary: boolean): Effect.Effect<void, SpillwayError.ConnectionClosed> =>
  Effect.acquireUseRelease(
    Effect.sync(() => end.enqueue()),
    (ticket) =>
      end.changed.wait(() => !end.canSend || end.isTurn(ticket)).pipe(
        Effect.flatMap(() => end.canSend ? Effect.sync(() => end.write(data, binary)) : Effect.fail(closed(end))),
        Effect.flatMap((position) =>
          end.changed.wait(() => end.ended !== undefined || end.hasEntered(position)).pipe(
            Effect.flatMap(() => end.hasEntered(position) ? Effect.void : Effect.fail(closed(end)))
          )
        )
      ),
    (ticket) => Effect.sync(() => end.dequeue(ticket))
  )

const take = (end: ClientEnd): Effect.Effect<MemoryMessage, SpillwayError.ConnectionClosed> =>
  Effect.suspend(() => {
    const message = end.take()
    if (message !== undefined) return Effect.succeed(toMessage(message))
    if (end.ended !== undefined) return Effect.fail(closed(end))
    return Effect.zipRight(end.changed.wait(() => end.available > 0 || end.ended !== undefined), take(end))
  })

const takeN = (
  end: ClientEnd,
  count: number
): Effect.Effect<ReadonlyArray<MemoryMessage>, SpillwayError.ConnectionClosed> =>
  Effect.suspend(() => {
    const enough = () => end.available >= count
    if (!enough() && end.ended !== undefined) return Effect.fail(closed(end))
    if (!enough()) {
      return Effect.zipRight(end.changed.wait(() => enough() || end.ended !== undefined), takeN(end, count))
    }
    return Effect.succeed(Array.from({ length: count }, () => toMessage(end.take()!)))
  })

export const make = (end: ClientEnd): MemoryClient => ({
  send: (text) => send(end, Frame.text(text).data, false),
  sendBinary: (bytes) => Effect.suspend(() => send(end, bytes.slice(), true)),
  received: Effect.sync(() => end.history.map(toMessage)),
  receivedCount: Effect.sync(() => end.receivedCount),
  pingCount: Effect.sync(() => end.pings),
  take: take(end),
  takeN: (count) => takeN(end, count),
  setRead: (bytesPerSecond) => Effect.sync(() => end.setRead(bytesPerSecond)),
  stall: Effect.sync(() => end.setStalled(true)),
  unstall: Effect.sync(() => end.setStalled(false)),
  close: (code = 1005, reason = "") => Effect.sync(() => end.close(code, reason, Frame.text(reason).byteLength)),
  eof: Effect.sync(() => end.eof()),
  reset: Effect.sync(() => end.reset()),
  resetMidFrame: Effect.sync(() => end.tear()),
  resetAfter: (byteCount) => Effect.sync(() => end.resetAfter(byteCount)),
  halfOpen: Effect.sync(() => end.halfOpen()),
  violate: (code, message) => Effect.sync(() => end.violate(code, message)),
  ended: Effect.sync(() => end.ended),
  awaitEnd: Effect.map(end.changed.wait(() => end.ended !== undefined), (): Ended => end.ended!)
})
