/**
 * A transport without a network: connections whose socket buffers, links and peers are modelled under virtual time.
 *
 * Each direction is a socket buffer of `capacityBytes` that the reader empties over a link with a rate and a latency; a
 * byte keeps its room until it was read. "The kernel took the bytes" is: they are in the socket buffer. What does not
 * fit stays in the process and is what `bufferedBytes` counts. Sizes include WebSocket framing (`frameBytes`).
 *
 * Time is that of `Clock`, so `TestClock` drives everything, to the millisecond, and a run repeats exactly. Without a rate
 * and a latency nothing needs time, yet nothing is told inside the call that caused it: one fiber for all connections,
 * owned by the layer, does it in its next turn.
 *
 * What is random (jitter, the order of serving) comes from `Random`; Effect's TestContext does not seed that one, so give
 * it a seed (`Effect.withRandom(Random.make("seed"))`) for a run that repeats.
 *
 * Where the environment has `Faults`, their rules act on its connections and frames; without any that costs nothing.
 *
 * What is not modelled: the handshake, fragments, compression, lost and reordered packets.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import { PCGRandom } from "effect/Utils"
import * as SpillwayError from "spillway/SpillwayError"
import * as Transport from "spillway/Transport"
import * as Faults_ from "./Faults.js"
import * as memoryClient from "./internal/memoryClient.js"
import { type LinkOptions as InternalOptions, Network } from "./internal/network.js"
import type { PipeOptions } from "./internal/pipe.js"
import * as wire from "./internal/wire.js"
import type * as client from "./MemoryClient.js"

/**
 * How the connection ended as the client saw it.
 *
 * @since 0.1.0
 * @category models
 */
export type ClientEnd = client.ClientEnd

/**
 * The client's end of a memory connection.
 *
 * @since 0.1.0
 * @category models
 */
export type MemoryClient = client.MemoryClient

/**
 * A message that a client received.
 *
 * @since 0.1.0
 * @category models
 */
export type MemoryMessage = client.MemoryMessage

/**
 * One direction of a connection.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface DirectionOptions {
  /** Bytes that the socket buffer holds. */
  readonly capacityBytes?: number
  /** Rate of the link; `Infinity` takes no time. */
  readonly bytesPerSecond?: number
  /** Time that each byte travels; rounded to whole milliseconds. */
  readonly latency?: Duration.DurationInput
  /**
   * What is added to the latency at most: a random time for the bytes that enter the socket buffer together, drawn from
   * `Random` where the connection is made. Bytes never overtake each other.
   */
  readonly latencyJitter?: Duration.DurationInput
}

/**
 * Options of one connection. Those of a direction are for both; `toClient` and `toServer` override them.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface ConnectOptions extends DirectionOptions {
  readonly toClient?: DirectionOptions
  readonly toServer?: DirectionOptions
  readonly protocol?: string
  readonly remoteAddress?: string
  /** The client never answers a close frame. */
  readonly neverCloses?: boolean
  /** The client never answers a ping. */
  readonly noPong?: boolean
  /** Messages that the client keeps at least, and at least 1,024 that nobody has taken. Older ones may be forgotten. */
  readonly historyMessages?: number
}

/**
 * Options of the network. `backlogConnections` may wait to be accepted, further ones are refused. `serveOrder` is the
 * order in which connections are served that have something to do in the same instant: the one in which they came to
 * have it, or one drawn from `Random`. The rest is what connections have unless `connect` says otherwise.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface Options extends ConnectOptions {
  readonly backlogConnections?: number
  readonly serveOrder?: "touched" | "shuffled"
}

/**
 * Defaults of `Options`.
 *
 * @since 0.1.0
 * @category configuration
 */
export const defaults = {
  capacityBytes: 262_144,
  bytesPerSecond: Infinity,
  latency: Duration.zero,
  latencyJitter: Duration.zero,
  protocol: "",
  remoteAddress: "memory",
  neverCloses: false,
  noPong: false,
  historyMessages: 65_536,
  backlogConnections: 1024,
  serveOrder: "touched"
} as const

/**
 * Nobody takes this connection: the network refuses, a fault does, its backlog is full, or its layer has ended.
 *
 * @since 0.1.0
 * @category errors
 */
export class ConnectionRefused extends Data.TaggedError("ConnectionRefused")<{
  readonly why: "refusing" | "fault" | "backlog" | "closed"
}> {
  override get message(): string {
    return `connection refused (${this.why})`
  }
}

/**
 * What has not ended or arrived yet. All zero is a network at rest with nothing left.
 *
 * - `connections`: those of which one end is still open. A half-open one counts until the server's end is closed.
 * - `backlog`: those that wait to be accepted.
 * - `bytes`: written and not yet read, both directions, of these connections.
 * - `timers`: 1 when something is due by the clock.
 *
 * @since 0.1.0
 * @category models
 */
export interface Pending {
  readonly connections: number
  readonly backlog: number
  readonly bytes: number
  readonly timers: number
}

/**
 * Drives a memory network: opens connections to the `Transport` of the same layer.
 *
 * @since 0.1.0
 * @category testing
 */
export class MemoryTransport extends Context.Tag("@spillway/testing/MemoryTransport")<MemoryTransport, {
  /** Opens a connection and returns its client's end. The server's end waits in `Transport.accept`. */
  readonly connect: (options?: ConnectOptions) => Effect.Effect<MemoryClient, ConnectionRefused>
  /** Refuses further connections, or takes them again. */
  readonly setRefusing: (refusing: boolean) => Effect.Effect<void>
  readonly pending: Effect.Effect<Pending>
  /** Attempts to connect so far, refused and duplicated ones included. */
  readonly attempts: Effect.Effect<number>
  /** The clients that a fault connected a second time. They say nothing by themselves. */
  readonly duplicates: Effect.Effect<ReadonlyArray<MemoryClient>>
  /** What callbacks of sessions threw. Nothing should ever be in here. */
  readonly defects: Effect.Effect<ReadonlyArray<unknown>>
}>() {}

/**
 * Bytes on the wire of a frame with this payload. Frames of clients are `masked`, which takes four more.
 *
 * @since 0.1.0
 * @category conversions
 */
export const frameBytes = (payloadBytes: number, options?: { readonly masked?: boolean }): number =>
  wire.frameBytes(payloadBytes, options?.masked === true)

const whole = (key: string, duration: Duration.DurationInput): number => {
  const millis = Math.round(Duration.toMillis(duration))
  if (!Number.isFinite(millis)) throw wrong(key, duration, "finite")
  return millis
}

const wrong = (key: string, value: unknown, expected: string) =>
  new SpillwayError.InvalidOption({ module: "MemoryTransport", key, value, expected })

const direction = (random: PCGRandom, ...sources: ReadonlyArray<DirectionOptions | undefined>): PipeOptions => {
  const merged: Required<DirectionOptions> = Object.assign({}, ...sources)
  const { bytesPerSecond, capacityBytes } = merged
  if (!(Number.isInteger(capacityBytes) && capacityBytes > 0)) {
    throw wrong("capacityBytes", capacityBytes, "a whole number above 0")
  }
  if (!(bytesPerSecond > 0)) throw wrong("bytesPerSecond", bytesPerSecond, "above 0")
  const jitterMillis = whole("latencyJitter", merged.latencyJitter)
  return {
    capacityBytes,
    bytesPerSecond,
    latencyMillis: whole("latency", merged.latency),
    jitterMillis: jitterMillis > 0 ? () => random.integer(jitterMillis + 1) : undefined
  }
}

const linkOptions = (
  random: PCGRandom,
  network: Options,
  connection: ConnectOptions
): Omit<InternalOptions, "faults"> => {
  const merged = { ...defaults, ...network, ...connection }
  return {
    toClient: direction(random, defaults, network, network.toClient, connection, connection.toClient),
    toServer: direction(random, defaults, network, network.toServer, connection, connection.toServer),
    protocol: merged.protocol,
    remoteAddress: merged.remoteAddress,
    neverCloses: merged.neverCloses,
    noPong: merged.noPong,
    historyMessages: merged.historyMessages
  }
}

const accept = (network: Network): Effect.Effect<Transport.Connection, SpillwayError.TransportClosed> =>
  Effect.suspend(() => {
    const connection = network.backlog.shift()
    if (connection !== undefined) return Effect.succeed(connection)
    if (network.closed) return Effect.fail(new SpillwayError.TransportClosed())
    // Woken waiters look again: an interrupted one has taken nothing.
    return Effect.zipRight(network.accepted.wait(() => network.backlog.length > 0 || network.closed), accept(network))
  })

// What is random needs many numbers between two steps of a fiber; `Random` gives the seed of all of them.
const seeded = Effect.map(Random.nextIntBetween(0, 2 ** 31), (seed) => new PCGRandom(seed))

type Faults = Context.Tag.Service<Faults_.Faults>

/** What asks the rules for each frame of a connection. */
const frameFaults = (faults: Faults | undefined, connection: number, remoteAddress: string) =>
  faults?.hasFrameRules !== true
    ? undefined
    : (toClient: boolean, kind: Faults_.FrameKind, payloadBytes: number) =>
      faults.onFrame({ connection, remoteAddress, direction: toClient ? "toClient" : "toServer", kind, payloadBytes })

const services = (network: Network, options: Options, faults: Faults | undefined) => {
  const refuse = (why: ConnectionRefused["why"]) => Effect.fail(new ConnectionRefused({ why }))
  const attempt = (
    link: Omit<InternalOptions, "faults">,
    number: number,
    isDuplicate: boolean
  ): Effect.Effect<MemoryClient, ConnectionRefused> => {
    const act = isDuplicate ? undefined : faults?.onConnect(number, link.remoteAddress)
    if (network.closed) return refuse("closed")
    if (network.refusing) return refuse("refusing")
    if (act?._tag === "Refuse") return refuse("fault")
    if (network.backlog.length >= network.backlogConnections) return refuse("backlog")
    const { client } = network.connect({ ...link, faults: frameFaults(faults, number, link.remoteAddress) })
    if (isDuplicate) network.duplicates.push(client)
    const made = Effect.succeed(memoryClient.make(client))
    return act === undefined
      ? made
      : Effect.zipLeft(made, Effect.ignore(Effect.suspend(() => attempt(link, network.attempts++, true))))
  }
  const memory = MemoryTransport.of({
    connect: (connection = {}) =>
      Effect.flatMap(seeded, (random) => attempt(linkOptions(random, options, connection), network.attempts++, false)),
    setRefusing: (refusing) =>
      Effect.sync(() => {
        network.refusing = refusing
      }),
    pending: Effect.sync(() => ({
      connections: network.links.size,
      backlog: network.backlog.length,
      bytes: network.bytes,
      timers: network.timerAt === Infinity ? 0 : 1
    })),
    attempts: Effect.sync(() => network.attempts),
    duplicates: Effect.sync(() => network.duplicates.map(memoryClient.make)),
    defects: Effect.sync(() => [...network.defects])
  })
  return Context.make(MemoryTransport, memory).pipe(
    Context.add(Transport.Transport, { kind: "memory", accept: accept(network) })
  )
}

/**
 * Both services of a new network. When the scope closes every connection is terminated and `accept` fails. An option that
 * is not usable is a defect.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  options: Options = {}
): Effect.Effect<Context.Context<MemoryTransport | Transport.Transport>, never, Scope.Scope> =>
  Effect.gen(function*() {
    const clock = yield* Effect.clock
    const random = yield* seeded
    yield* Effect.sync(() => linkOptions(random, options, {}))
    const network = new Network(
      clock,
      options.backlogConnections ?? defaults.backlogConnections,
      options.serveOrder === "shuffled" ? random : undefined
    )
    yield* Effect.forkScoped(network.pump)
    yield* Effect.addFinalizer(() => network.close)
    const faults = yield* Effect.serviceOption(Faults_.Faults)
    return services(network, options, Option.getOrUndefined(faults))
  })

/**
 * A network with the given options, as the `Transport` of a program and as `MemoryTransport` to drive it.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options?: Options): Layer.Layer<MemoryTransport | Transport.Transport> =>
  Layer.scopedContext(make(options))
