/**
 * The client's end of a connection of `MemoryTransport`.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type * as SpillwayError from "spillway/SpillwayError"

/**
 * A message that a client received, with the time of `Clock` at which it had it in full, in milliseconds.
 *
 * @since 0.1.0
 * @category models
 */
export interface MemoryMessage {
  readonly text: string
  readonly bytes: Uint8Array
  readonly binary: boolean
  readonly at: number
}

/**
 * How the connection ended as the client saw it. `clean` is: with a close frame from both sides.
 *
 * @since 0.1.0
 * @category models
 */
export interface ClientEnd {
  readonly code: number
  readonly reason: string
  readonly clean: boolean
}

/**
 * The client's end of a memory connection: what a browser can do, and the faults that it and the network can have.
 * It answers pings and close frames by itself while it reads. Faults take effect at once and never suspend.
 *
 * @since 0.1.0
 * @category models
 */
export interface MemoryClient {
  /**
   * Sends a text message. Suspends until the socket buffer has taken it in full. If interrupted while others are before
   * it, nothing was sent; later, the message still goes out.
   */
  readonly send: (text: string) => Effect.Effect<void, SpillwayError.ConnectionClosed>
  /** Sends a binary message, see `send`. The bytes are copied. */
  readonly sendBinary: (bytes: Uint8Array) => Effect.Effect<void, SpillwayError.ConnectionClosed>
  /** The messages received so far, taken or not; at least the last `historyMessages`. */
  readonly received: Effect.Effect<ReadonlyArray<MemoryMessage>>
  /** Number of messages received so far. */
  readonly receivedCount: Effect.Effect<number>
  /** Number of pings received so far. */
  readonly pingCount: Effect.Effect<number>
  /** The next message that was not taken yet. Suspends until there is one; fails when the end came first. */
  readonly take: Effect.Effect<MemoryMessage, SpillwayError.ConnectionClosed>
  /** The next `count` messages, all or none. */
  readonly takeN: (count: number) => Effect.Effect<ReadonlyArray<MemoryMessage>, SpillwayError.ConnectionClosed>
  /** Reads at most this many bytes per second from now on; `Infinity` reads at once. */
  readonly setRead: (bytesPerSecond: number) => Effect.Effect<void>
  /** Stops reading: no message, no answer to pings and close frames, no end is seen. Sending still works. */
  readonly stall: Effect.Effect<void>
  /** Reads again. */
  readonly unstall: Effect.Effect<void>
  /** Starts the close handshake after everything sent so far. Without a code the close frame carries none. */
  readonly close: (code?: number, reason?: string) => Effect.Effect<void>
  /** Ends the stream without a close frame (FIN); what comes from the server is still read. */
  readonly eof: Effect.Effect<void>
  /** Breaks the connection (RST). What is on the way is lost. */
  readonly reset: Effect.Effect<void>
  /** Sends half of a frame and breaks the connection when the server has read that half. */
  readonly resetMidFrame: Effect.Effect<void>
  /** Breaks the connection when this many more bytes were read, which may be in the middle of a frame. */
  readonly resetAfter: (byteCount: number) => Effect.Effect<void>
  /** Silence both ways from now on: nothing arrives and no end is seen, whatever either side does. */
  readonly halfOpen: Effect.Effect<void>
  /** Breaks the protocol or a limit: the server closes with this code and reports `ProtocolError`. */
  readonly violate: (code: number, message: string) => Effect.Effect<void>
  /** How the connection ended, or `undefined`. */
  readonly ended: Effect.Effect<ClientEnd | undefined>
  /** Suspends until the connection has ended. */
  readonly awaitEnd: Effect.Effect<ClientEnd>
}
