/**
 * The dialer port: how a program opens connections itself, in the role of the client. What it gets is the same
 * `Connection` that `Transport` hands out, so that a session on it has the same outbox, bounds and ending.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { DialFailed } from "./SpillwayError.js"
import type { Connection } from "./Transport.js"

/**
 * Shape of the service.
 *
 * @since 0.1.0
 * @category models
 */
export interface DialerShape {
  /** Kind of transport, for logs: `"ws"`, `"memory"`. */
  readonly kind: string
  /**
   * Opens a connection, past its handshake. It may be interrupted at any time and then leaves no connection behind. How
   * long it may take is the caller's business.
   */
  readonly dial: (url: string) => Effect.Effect<Connection, DialFailed>
}

/**
 * The dialer service.
 *
 * @since 0.1.0
 * @category models
 */
export class Dialer extends Context.Tag("spillway/Dialer")<Dialer, DialerShape>() {}
