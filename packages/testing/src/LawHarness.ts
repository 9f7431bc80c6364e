/**
 * What `TransportLaws` and `SessionLaws` need to know of a transport under test.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Connection } from "spillway/Transport"

/**
 * The peer of a connection, as far as the laws need one. It answers pings and close frames by itself while it reads.
 *
 * @since 0.1.0
 * @category models
 */
export interface LawClient {
  readonly send: (text: string) => Effect.Effect<void, Error>
  readonly sendBinary: (bytes: Uint8Array) => Effect.Effect<void, Error>
  /** The next message, in order. Suspends until there is one. */
  readonly take: Effect.Effect<{ readonly bytes: Uint8Array; readonly binary: boolean }, Error>
  /** Starts the close handshake; without a code the close frame carries none. */
  readonly close: (code?: number, reason?: string) => Effect.Effect<void>
  /** Ends the stream without a close frame. */
  readonly eof: Effect.Effect<void>
  /** Breaks the connection (RST). */
  readonly reset: Effect.Effect<void>
  /** Stops reading from the socket; sending still works. */
  readonly stall: Effect.Effect<void>
  readonly unstall: Effect.Effect<void>
  /** How the connection ended for this peer. `clean` is: with a close frame from both sides. */
  readonly awaitEnd: Effect.Effect<{ readonly code: number; readonly reason: string; readonly clean: boolean }>
}

/**
 * Faults that not every peer can have.
 *
 * @since 0.1.0
 * @category models
 */
export interface LawFaults {
  /** Sends half of a frame, then breaks the connection. */
  readonly resetMidFrame: Effect.Effect<void>
  /** Silence both ways from now on. */
  readonly halfOpen: Effect.Effect<void>
  /** Breaks a limit of the protocol, so that the transport closes with this code. */
  readonly violate: (code: number, message: string) => Effect.Effect<void>
}

/**
 * A transport under test. `connect` opens a connection that is not attached yet, and its peer. `advance` lets time pass;
 * without it time is real. The laws send messages of at most 64 KiB to the transport, and write ones of 1.5 MB.
 * `patience` is how long a law waits for what must happen, 3 seconds by default. `pending` counts what the transport still
 * has: connections, bytes, timers; all of them are zero when nothing is left. `takesLater` says that the transport learns
 * only later that the kernel took a frame, as it does under TLS; unless it is set, `uncork` has to return `true` for a
 * small frame to an idle peer.
 *
 * @since 0.1.0
 * @category models
 */
export interface LawHarness {
  readonly connect: Effect.Effect<
    { readonly connection: Connection; readonly client: LawClient & Partial<LawFaults> },
    never,
    Scope.Scope
  >
  readonly advance?: ((duration: Duration.Duration) => Effect.Effect<void>) | undefined
  readonly pending?: Effect.Effect<{ readonly [what: string]: number }> | undefined
  readonly patience?: Duration.DurationInput | undefined
  readonly takesLater?: boolean | undefined
}
