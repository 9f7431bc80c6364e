/** The feed and its sessions on a network in memory, under virtual time. */
import { MemoryTransport, Settle } from "@spillway/testing"
import type { MemoryClient } from "@spillway/testing"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Overflow from "spillway/Overflow"
import * as Sessions from "spillway/Sessions"
import * as Telemetry from "spillway/Telemetry"
import * as Feed from "../src/Feed.js"
import * as MarketSession from "../src/MarketSession.js"
import * as Settings from "../src/Settings.js"
import { Viewer } from "../src/Viewer.js"

export const settings: Settings.SettingsShape = {
  host: "127.0.0.1",
  port: 0,
  symbols: 50,
  updatesPerSecond: 0,
  depthEvery: 4,
  fillEvery: 50,
  fillsQueued: 200,
  fillsKept: 1_000,
  seed: 7,
  deliveryDelay: Duration.millis(50),
  sendTimeout: Duration.seconds(10),
  sessionsMax: 100,
  control: true,
  loadFast: 1,
  loadMbit: 1,
  loadKbit: 1,
  loadStalled: 1,
  loadWarmUp: Duration.seconds(1),
  loadTime: Duration.seconds(1)
}

export interface Options {
  readonly settings?: Partial<Settings.SettingsShape>
  readonly makeTick?: Feed.MakeTick
}

/** What the next connection asks for in its handshake. */
export class Handshake {
  wanted: Feed.Wanted = {}
}

export const run = <A, E>(
  options: Options,
  body: (world: World) => Effect.Effect<A, E>
): Effect.Effect<A, unknown> => {
  const all = { ...settings, ...options.settings }
  const layer = Feed.layer(options.makeTick).pipe(
    Layer.provideMerge(Sessions.layer(Settings.toSessionOptions(all))),
    Layer.provide([Overflow.layer(Settings.overflow), Telemetry.layerNoop]),
    Layer.provideMerge(Layer.merge(MemoryTransport.layer(), Layer.succeed(Settings.Settings, all)))
  )
  return Settle.provide(layer)(Effect.scoped(Effect.gen(function*() {
    const handshake = new Handshake()
    const sessions = yield* Sessions.Sessions
    yield* Effect.forkScoped(
      sessions.serve((session) =>
        Effect.provideService(MarketSession.handler(session), MarketSession.Asked, handshake.wanted)
      )
    )
    return yield* body(new World(yield* Feed.Feed, yield* MemoryTransport.MemoryTransport, sessions, handshake))
  })))
}

/** One client, and what it has seen of what its end received. */
export class Peer {
  readonly viewer = new Viewer()
  private read = 0

  constructor(readonly client: MemoryClient.MemoryClient) {}

  /** Looks at everything that has come since the last look. */
  get look(): Effect.Effect<Viewer> {
    return Effect.map(this.client.received, (all) => {
      for (const { at, text } of all.slice(this.read)) this.viewer.heard(text, at)
      this.read = all.length
      return this.viewer
    })
  }
}

export class World {
  constructor(
    readonly feed: Feed.FeedShape,
    private readonly memory: Effect.Effect.Success<typeof MemoryTransport.MemoryTransport>,
    readonly sessions: Sessions.SessionsShape,
    private readonly handshake: Handshake
  ) {}

  connect(wanted: Feed.Wanted = {}, options: MemoryTransport.ConnectOptions = {}) {
    return Effect.gen(this, function*() {
      this.handshake.wanted = wanted
      const peer = new Peer(yield* Effect.orDie(this.memory.connect(options)))
      yield* Settle.settle
      return peer
    })
  }

  /** Publishes some, and lets virtual time pass. */
  publish(count: number, duration: Duration.DurationInput = 0) {
    return Effect.zipRight(this.feed.publish(count), Settle.advance(duration))
  }
}
