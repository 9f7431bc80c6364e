/**
 * What travels on a memory connection, and how many bytes it takes there (RFC 6455, section 5.2).
 */
import type * as Clock from "effect/Clock"
import { Pipe, type PipeOptions } from "./pipe.js"

export type WireItem =
  | { readonly _tag: "Message"; readonly data: Uint8Array; readonly binary: boolean }
  | { readonly _tag: "Ping" }
  | { readonly _tag: "Pong" }
  | { readonly _tag: "Close"; readonly code: number; readonly reason: string }
  /** End of the stream. Takes one byte, as in TCP. */
  | { readonly _tag: "Eof" }
  /** The first half of a frame whose other half never comes: the connection breaks here. */
  | { readonly _tag: "Torn" }
  /** A frame that breaks the protocol or a limit. */
  | { readonly _tag: "Violation"; readonly code: number; readonly message: string }

export const ping: WireItem = { _tag: "Ping" }
export const pong: WireItem = { _tag: "Pong" }
export const eof: WireItem = { _tag: "Eof" }
export const torn: WireItem = { _tag: "Torn" }

/** Bytes of a frame on the wire. Clients mask their frames, which takes four more. */
export const frameBytes = (payloadBytes: number, masked: boolean): number =>
  payloadBytes + (payloadBytes < 126 ? 2 : payloadBytes < 65536 ? 4 : 10) + (masked ? 4 : 0)

/** What the ends of a connection share: its two directions, the clock, and the way to be looked at by the pump. */
export class Wire {
  readonly toClient: Pipe<WireItem>
  readonly toServer: Pipe<WireItem>
  /** Time at which a reset arrives, `Infinity` when none is under way. */
  resetAtServer = Infinity
  resetAtClient = Infinity
  /** Silence both ways. */
  dead = false

  constructor(
    readonly clock: Clock.Clock,
    toClient: PipeOptions,
    toServer: PipeOptions,
    /** Has the pump look at this connection in its next turn. */
    readonly touch: () => void
  ) {
    const now = clock.unsafeCurrentTimeMillis()
    this.toClient = new Pipe(toClient, now)
    this.toServer = new Pipe(toServer, now)
  }

  /** The time, with both directions brought up to it. */
  now(): number {
    const now = this.clock.unsafeCurrentTimeMillis()
    this.toClient.advance(now)
    this.toServer.advance(now)
    return now
  }
}
