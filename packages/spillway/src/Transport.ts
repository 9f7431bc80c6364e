/**
 * The transport port: how sessions reach the network.
 *
 * A transport hands out connections; a connection is one open WebSocket, already past its handshake. The data path is
 * synchronous: no call here suspends, throws or allocates a fiber. A session waits for room by not writing (late
 * binding): it takes from its lanes only while the connection is `flushed`.
 *
 * ```
 * open ──close()──▶ closing ──peer's close, or terminate()──▶ closed (onClose, exactly once, last)
 *   └───────────── peer's close, reset, protocol error ─────────▲
 * ```
 *
 * Every transport passes the law suite of `@spillway/testing`.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { Frame } from "./Frame.js"
import type { TransportClosed } from "./SpillwayError.js"

/**
 * How a connection ended.
 *
 * - `PeerClose`: the peer sent a close frame; `code` is 1005 when it carried none.
 * - `PeerEof`: the peer ended the stream without a close frame.
 * - `PeerReset`: the connection broke (reset, timeout of the operating system, write error).
 * - `ProtocolError`: the peer broke the protocol or a limit; `code` is what it was told (1002, 1007, 1008, 1009).
 * - `Local`: we closed or terminated it.
 *
 * @since 0.1.0
 * @category models
 */
export type ConnectionEnd =
  | { readonly _tag: "PeerClose"; readonly code: number; readonly reason: string }
  | { readonly _tag: "PeerEof" }
  | { readonly _tag: "PeerReset"; readonly message: string }
  | { readonly _tag: "ProtocolError"; readonly code: number; readonly message: string }
  | { readonly _tag: "Local" }

/**
 * What a connection tells its session. Calls never nest inside a call from the session into the connection, except
 * `onMessage` from `attach` and `resume`, and `onClose` from `terminate`.
 *
 * @since 0.1.0
 * @category models
 */
export interface ConnectionEvents {
  /** One complete message. The bytes belong to the receiver. Text was checked to be valid UTF-8. */
  onMessage(data: Uint8Array, binary: boolean): void
  /** All bytes written before the last `uncork` that returned `false` were taken by the kernel. */
  onFlushed(): void
  /** The peer answered a ping; with the payload of the last one that it answers. */
  onPong(payload?: Uint8Array): void
  /** The peer sent a ping, which the transport has answered. Only transports whose peers can. */
  onPing?(): void
  /** The connection ended. Called exactly once; nothing is called afterwards. */
  onClose(end: ConnectionEnd): void
}

/**
 * One open WebSocket connection. All methods are synchronous, never throw, and are harmless after the end.
 *
 * @since 0.1.0
 * @category models
 */
export interface Connection {
  /** Kind of transport, for logs: `"ws"`, `"memory"`. */
  readonly kind: string
  /** Sub-protocol that was agreed on; empty when none. */
  readonly protocol: string
  /** Address of the peer as the transport sees it; empty when unknown. */
  readonly remoteAddress: string
  /**
   * Connects the session. To be called once. Messages that arrived earlier are kept (the transport stops reading rather
   * than buffer without end) and delivered in order, none lost; an end that happened earlier is reported too.
   */
  attach(events: ConnectionEvents): void
  /**
   * Whether what is written now can still reach the peer; left out by transports for which it costs more than a few reads.
   * Sessions that write in one go ask all of them first, which brings what their writes need into the processor's cache.
   */
  readonly isOpen?: boolean
  /** Starts a gathered write: frames written until `uncork` leave in as few system calls as possible. */
  cork(): void
  /** Writes one frame, with its sequence number if it carries one. Only between `cork` and `uncork`. */
  write(frame: Frame, seq: number): void
  /**
   * Ends a gathered write. `true`: the kernel has taken every byte. `false`: bytes are left in the process; `onFlushed`
   * will be called once when the kernel has taken them all.
   */
  uncork(): boolean
  /** Bytes written and not yet taken by the kernel. */
  readonly bufferedBytes: number
  /** A number that differs from its earlier value if and only if any byte was taken by the kernel since. */
  readonly writeProgress: number
  /** Stops delivering messages and reading from the socket. Close frames and pongs are not seen while paused. */
  pause(): void
  /** Reads again. Messages may be delivered before this returns. */
  resume(): void
  /** Sends a WebSocket ping, behind everything that was written. The payload, at most 125 bytes, comes back with its pong. */
  ping(payload?: Uint8Array): void
  /**
   * Starts the close handshake after everything written so far; reads again if paused. `code` must be one that may be
   * sent (not 1005, 1006, 1015), `reason` at most 123 bytes of UTF-8. Messages that arrive later are dropped.
   */
  close(code: number, reason: string): void
  /** Destroys the connection at once. `onClose` is called before this returns unless it already was. */
  terminate(): void
}

/**
 * Source of connections. `accept` suspends until a peer has connected; it may be interrupted without losing one.
 *
 * A program that takes its sessions from this service runs unchanged on every transport layer.
 *
 * @since 0.1.0
 * @category models
 */
export class Transport extends Context.Tag("spillway/Transport")<Transport, {
  readonly kind: string
  readonly accept: Effect.Effect<Connection, TransportClosed>
}>() {}

/**
 * Bytes below the lanes: a session hands at most this many bytes (or one larger frame) to the connection at a time, and
 * nothing more until they were taken by the kernel. With more, priorities would mean nothing: what the socket has can
 * no longer be overtaken.
 *
 * Source: 64 KiB is the default of qmux and uWebSockets; about the bandwidth-delay product of a fast mobile link.
 *
 * @since 0.1.0
 * @category configuration
 */
export const belowLaneBytes = 65536
