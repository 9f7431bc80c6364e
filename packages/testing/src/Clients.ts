/**
 * Clients as a server meets them: one constructor for each way of behaving, well or badly.
 *
 * Each connects to the memory network and returns the client's end, which then behaves by itself under `Clock` for as
 * long as the scope is open. The scope's end stops the behaviour, not the connection.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { ConnectionClosed } from "spillway/SpillwayError"
import type { MemoryClient } from "./MemoryClient.js"
import { type ConnectionRefused, type ConnectOptions, MemoryTransport } from "./MemoryTransport.js"

/**
 * A client that connects and then behaves in its way.
 *
 * @since 0.1.0
 * @category models
 */
export type Client = Effect.Effect<MemoryClient, ConnectionRefused, MemoryTransport | Scope.Scope>

const connect = (options: ConnectOptions | undefined) =>
  Effect.flatMap(MemoryTransport, (memory) => memory.connect(options))

const behaving = (
  options: ConnectOptions | undefined,
  behaviour: (client: MemoryClient) => Effect.Effect<unknown, ConnectionClosed>
): Client => Effect.tap(connect(options), (client) => Effect.forkScoped(Effect.ignore(behaviour(client))))

/**
 * Reads everything at once and answers everything.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fast = (options?: ConnectOptions): Client => connect(options)

/**
 * Reads at most `bytesPerSecond`, 1000 by default.
 *
 * @since 0.1.0
 * @category constructors
 */
export const slow = (options?: ConnectOptions & { readonly bytesPerSecond?: number }): Client => {
  const { bytesPerSecond = 1000, ...rest } = options ?? {}
  return Effect.tap(connect(rest), (client) => client.setRead(bytesPerSecond))
}

/**
 * Reads nothing from the start, or from `after` on. It can still send.
 *
 * @since 0.1.0
 * @category constructors
 */
export const stalled = (options?: ConnectOptions & { readonly after?: Duration.DurationInput }): Client => {
  const { after, ...rest } = options ?? {}
  return after === undefined
    ? Effect.tap(connect(rest), (client) => client.stall)
    : behaving(rest, (client) => Effect.zipRight(Effect.sleep(after), client.stall))
}

/**
 * Reads everything for a while (1 s), nothing for a while (4 s), and so on.
 *
 * @since 0.1.0
 * @category constructors
 */
export const bursty = (
  options?: ConnectOptions & {
    readonly reading?: Duration.DurationInput
    readonly pausing?: Duration.DurationInput
  }
): Client => {
  const { pausing = "4 seconds", reading = "1 second", ...rest } = options ?? {}
  return behaving(rest, (client) =>
    client.unstall.pipe(
      Effect.zipRight(Effect.sleep(reading)),
      Effect.zipRight(client.stall),
      Effect.zipRight(Effect.sleep(pausing)),
      Effect.forever
    ))
}

/**
 * Is gone without a sign after some time (at once by default): half-open, as when a phone leaves the network.
 *
 * @since 0.1.0
 * @category constructors
 */
export const vanishing = (options?: ConnectOptions & { readonly after?: Duration.DurationInput }): Client => {
  const { after, ...rest } = options ?? {}
  return after === undefined
    ? Effect.tap(connect(rest), (client) => client.halfOpen)
    : behaving(rest, (client) => Effect.zipRight(Effect.sleep(after), client.halfOpen))
}

/**
 * Reads and answers pings, but never answers a close frame.
 *
 * @since 0.1.0
 * @category constructors
 */
export const neverClosing = (options?: ConnectOptions): Client => connect({ ...options, neverCloses: true })

/**
 * Sends text without end: `messagesPerSecond` (1000) of `payloadBytes` (100), in ten bursts a second. When the server does
 * not read, it waits as any sender does.
 *
 * @since 0.1.0
 * @category constructors
 */
export const flooding = (
  options?: ConnectOptions & { readonly messagesPerSecond?: number; readonly payloadBytes?: number }
): Client => {
  const { messagesPerSecond = 1000, payloadBytes = 100, ...rest } = options ?? {}
  const text = "x".repeat(payloadBytes)
  return behaving(
    rest,
    (client) =>
      Effect.replicateEffect(client.send(text), Math.max(1, Math.round(messagesPerSecond / 10)), { discard: true })
        .pipe(
          Effect.zipRight(Effect.sleep(Duration.millis(100))),
          Effect.forever
        )
  )
}

/**
 * What a malformed client sends: a frame that breaks the protocol (1002), text that is no UTF-8 (1007), a message above
 * the limit of the transport (1009), or half a frame and then a reset.
 *
 * @since 0.1.0
 * @category models
 */
export type Malformation = "protocol" | "utf8" | "tooLarge" | "torn"

const violations = {
  protocol: { code: 1002, message: "invalid frame" },
  utf8: { code: 1007, message: "invalid UTF-8" },
  tooLarge: { code: 1009, message: "message too large" }
}

/**
 * Breaks the protocol, at once or after some time.
 *
 * @since 0.1.0
 * @category constructors
 */
export const malformed = (
  options?: ConnectOptions & { readonly how?: Malformation; readonly after?: Duration.DurationInput }
): Client => {
  const { after = 0, how = "protocol", ...rest } = options ?? {}
  const act = (client: MemoryClient) =>
    how === "torn" ? client.resetMidFrame : client.violate(violations[how].code, violations[how].message)
  return behaving(rest, (client) => Effect.zipRight(Effect.sleep(after), act(client)))
}

/**
 * Every kind of client, by name, with its defaults.
 *
 * @since 0.1.0
 * @category testing
 */
export const all = { fast, slow, stalled, bursty, vanishing, neverClosing, flooding, malformed } as const satisfies {
  readonly [name: string]: (options?: ConnectOptions) => Client
}
