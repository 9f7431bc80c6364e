/**
 * The workload of a campaign: clients and handlers that do everything, well and badly.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as CloseReason from "spillway/CloseReason"
import * as Frame from "spillway/Frame"
import * as Lane from "spillway/Lane"
import * as Message from "spillway/Message"
import type { Inbound, Session } from "spillway/Session"
import type { ConnectOptions } from "../MemoryTransport.js"
import type { Peer, Workload, World } from "../Simulation.js"

/** The paths that a campaign with this workload must have taken. */
export const paths: ReadonlyArray<string> = [
  "offer Queued",
  "offer QueuedEvicting",
  "offer Conflated",
  "offer Rejected",
  "deliver Sent",
  "deliver Evicted",
  "deliver Expired",
  "deliver Conflated",
  "deliver Undelivered",
  "send waited",
  "send interrupted",
  "handler threw",
  "handler ignored interruption",
  "finalizer hung",
  "task ended its session",
  "receive interrupted",
  "inbox full",
  "pressure",
  "slow"
]

const filler = "x".repeat(60_000)

const sizes: ReadonlyArray<readonly [weight: number, bytes: number]> = [
  [8, 20],
  [4, 40],
  [6, 200],
  [2, 3_000],
  [1, 30_000]
]

const payloadBytes = (world: World): number => world.dice.weighted(sizes)

/** Frames by lane and size, made once for all worlds: their text says lane and number, so that a receiver sees the order. */
const frames = new Map<string, Frame.Frame>()

const frame = (lane: Lane.Lane, bytes: number): Frame.Frame => {
  const key = `${lane} ${bytes}`
  let found = frames.get(key)
  if (found === undefined) {
    found = Frame.sequenced(`${Lane.toIndex(lane)}:`, `:${filler.slice(0, bytes)}`)
    frames.set(key, found)
  }
  return found
}

const message = (world: World, lane: Lane.Lane): Message.Message =>
  Message.fromFrame(frame(lane, payloadBytes(world)), {
    lane,
    key: world.dice.chance(0.2) ? `k${world.dice.below(3)}` : undefined,
    maxAge: world.dice.chance(0.15) ? world.dice.between(1, 3_000) : undefined
  })

const anyLane = (world: World): Lane.Lane =>
  world.dice.weighted([[1, "control"], [3, "critical"], [8, "important"], [8, "bulk"]] as const)

const answer = (world: World, session: Session, inbound: Inbound): void => {
  if (inbound.data.byteLength > 0 && world.dice.chance(0.5)) world.offer(session, message(world, anyLane(world)))
}

/** Reads with a deadline that is often too short, so that it is interrupted at any step of its wait. */
const receiving = (session: Session, world: World): Effect.Effect<void> => {
  // What has left the inbox has been read, also when the deadline is over in the same instant.
  const receive = Effect.uninterruptibleMask((restore) =>
    Effect.map(restore(session.receive), Option.map((inbound) => world.read(session, inbound)))
  )
  return Effect.suspend(() => Effect.timeoutOption(receive, world.wait(4_000))).pipe(
    Effect.map((received) => {
      if (received._tag === "None") world.note("receive interrupted")
      return received._tag === "None" || received.value._tag === "Some"
    }),
    Effect.repeat({ while: (goesOn) => goesOn }),
    Effect.asVoid
  )
}

/** What a handler does with what it receives. */
const reading = (session: Session, world: World): Effect.Effect<unknown, Error> => {
  const kind = world.dice.weighted([[4, "now"], [3, "slowly"], [1, "one by one"], [1, "never"], [1, "enough"]] as const)
  switch (kind) {
    case "now":
      return session.runForEach((inbound) => {
        world.read(session, inbound)
        answer(world, session, inbound)
      })
    case "slowly":
      return session.runForEach((inbound) => {
        world.read(session, inbound)
        return Effect.zipRight(
          world.calm ? Effect.void : Effect.sleep(world.dice.wait(300)),
          Effect.sync(() => answer(world, session, inbound))
        )
      })
    case "one by one":
      return receiving(session, world)
    case "never":
      return session.awaitShutdown
    case "enough":
      return Effect.zipRight(
        session.sleepUntilShutdown(world.wait(60_000)),
        Effect.sync(() => {
          if (session.state === "open") world.note("task ended its session")
        })
      )
  }
}

/** One thing that a producer does. */
const act = (session: Session, world: World): Effect.Effect<unknown> => {
  const kind = world.dice.weighted([[8, "one"], [4, "burst"], [3, "send"], [3, "deliver"], [1, "flood"]] as const)
  switch (kind) {
    case "one":
      return Effect.sync(() => world.offer(session, message(world, anyLane(world))))
    case "burst":
    case "flood": {
      const lane = anyLane(world)
      return Effect.sync(() => {
        for (let left = kind === "flood" ? 120 : world.dice.between(2, 12); left > 0; left--) {
          world.offer(session, message(world, lane))
        }
      })
    }
    case "send": {
      const sends = Effect.forEach(
        Array.from({ length: world.dice.between(1, 30) }),
        () => world.send(session, message(world, world.dice.chance(0.7) ? "critical" : anyLane(world))),
        { concurrency: "unbounded" }
      )
      return Effect.timeoutOption(sends, world.dice.between(0, 4_000))
    }
    case "deliver":
      return Effect.timeoutOption(
        Effect.forEach(
          Array.from({ length: world.dice.between(1, 12) }, () => message(world, anyLane(world))),
          (message) => world.deliver(session, message),
          { concurrency: "unbounded" }
        ),
        world.dice.between(1, 8_000)
      )
  }
}

const producer = (session: Session, world: World): Effect.Effect<unknown> => {
  const meanMillis = world.dice.weighted([[6, 40_000], [3, 8_000], [1, 800]] as const)
  const step: Effect.Effect<unknown> = Effect.flatMap(
    Effect.suspend(() => session.sleepUntilShutdown(world.wait(meanMillis))),
    (ending) => ending || world.calm ? Effect.void : Effect.zipRight(act(session, world), step)
  )
  // It lives as long as the session, also when it has nothing to say any more.
  return Effect.zipRight(step, session.awaitShutdown)
}

const finalizer = (world: World): Effect.Effect<void> => {
  const kind = world.dice.weighted([[6, "fast"], [2, "slow"], [1, "hangs"], [1, "dies"]] as const)
  if (kind === "slow") return Effect.sleep(world.dice.wait(500))
  if (kind === "dies") return Effect.dieMessage("a finalizer of the workload dies")
  if (kind === "fast") return Effect.void
  return Effect.zipRight(Effect.sync(() => world.note("finalizer hung")), Effect.uninterruptible(world.awaitEnd))
}

/** How a handler or one of its tasks goes wrong, if it does. */
const misbehaving = (session: Session, world: World): Effect.Effect<unknown> => {
  const kind = world.dice.weighted(
    [[14, "not"], [2, "throws"], [2, "stubborn"], [2, "ends"], [1, "interrupted"]] as const
  )
  const later = session.sleepUntilShutdown(world.wait(60_000))
  switch (kind) {
    case "not":
      return Effect.void
    case "throws":
      return session.fork(
        "background",
        "finite",
        Effect.zipRight(
          later,
          Effect.suspend(() => {
            world.note("handler threw")
            return Effect.dieMessage("a task of the workload dies")
          })
        )
      )
    case "stubborn":
      return session.fork(
        "background",
        "finite",
        Effect.uninterruptible(Effect.zipRight(
          Effect.sync(() => world.note("handler ignored interruption")),
          world.awaitEnd
        ))
      )
    case "ends":
      return session.fork("background", world.dice.pick(["lifetime", "completion", "finite"] as const), later)
    case "interrupted":
      return session.fork("background", "finite", Effect.zipRight(later, Effect.interrupt))
  }
}

const handler = (session: Session, world: World): Effect.Effect<unknown, Error, Scope.Scope> =>
  Effect.gen(function*() {
    const { dice } = world
    for (let left = dice.below(3); left > 0; left--) yield* Effect.addFinalizer(() => finalizer(world))
    yield* misbehaving(session, world)
    yield* session.fork("producer", "lifetime", producer(session, world))
    if (dice.chance(0.1)) {
      yield* session.fork(
        "producer",
        "finite",
        Effect.onInterrupt(producer(session, world), () => Effect.sleep(dice.wait(2_000)))
      )
    }
    if (dice.chance(0.05)) {
      yield* session.fork(
        "background",
        "finite",
        Effect.zipRight(
          session.sleepUntilShutdown(world.wait(40_000)),
          session.close(dice.pick([CloseReason.normal, CloseReason.overloaded]))
        )
      )
    }
    return yield* reading(session, world)
  })

/** A fault that a client is, for some time. */
const misbehave = (peer: Peer, world: World): Effect.Effect<unknown, Error> => {
  const { client } = peer
  const { dice } = world
  const kind = dice.weighted(
    [
      [8, "stall"],
      [6, "slow"],
      [2, "close"],
      [1, "eof"],
      [2, "reset"],
      [1, "resetMidFrame"],
      [1, "resetAfter"],
      [2, "halfOpen"],
      [1, "violate"],
      [3, "flood"]
    ] as const
  )
  world.fault(`client ${kind}`)
  switch (kind) {
    case "stall":
      return client.stall.pipe(Effect.zipRight(Effect.sleep(dice.wait(6_000))), Effect.zipRight(client.unstall))
    case "slow":
      return client.setRead(dice.between(2_000, 20_000)).pipe(
        Effect.zipRight(Effect.sleep(dice.wait(10_000))),
        Effect.zipRight(client.setRead(Infinity))
      )
    case "close":
      return client.close(dice.pick([1000, 1001, 4000]), "bye")
    case "resetAfter":
      return client.resetAfter(dice.between(1, 2_000))
    case "violate":
      return client.violate(dice.pick([1002, 1007, 1009]), "no")
    case "halfOpen":
      // What goes to such a client is lost: it is a new one that comes back, after a while.
      return Effect.zipRight(client.halfOpen, Effect.sync(peer.silent))
    case "flood":
      return Effect.replicateEffect(client.send(filler.slice(0, payloadBytes(world))), dice.between(20, 100))
    default:
      return client[kind]
  }
}

const client = (peer: Peer, world: World): Effect.Effect<unknown, Error> => {
  const meanMillis = world.dice.weighted([[6, 40_000], [2, 10_000], [1, 2_000]] as const)
  const step: Effect.Effect<unknown, Error> = Effect.suspend(() =>
    world.calm && peer.core ? Effect.void : Effect.zipRight(
      Effect.sleep(world.wait(meanMillis)),
      Effect.suspend(() =>
        world.calm && peer.core
          ? Effect.void
          : world.dice.chance(0.6)
          ? peer.client.send(filler.slice(0, payloadBytes(world)))
          : misbehave(peer, world)
      )
    ).pipe(Effect.zipRight(step))
  )
  return step
}

const connect = (world: World): ConnectOptions => {
  const { dice } = world
  const slow = dice.chance(0.1)
  return {
    capacityBytes: dice.pick([8_192, 65_536, 262_144]),
    latency: dice.pick([0, 5, 40, 300]),
    latencyJitter: dice.pick([0, 0, 10, 200]),
    ...(slow ? { bytesPerSecond: dice.pick([20_000, 200_000]) } : {}),
    neverCloses: !world.calm && dice.chance(0.05),
    noPong: !world.calm && dice.chance(0.03)
  }
}

export const mixed: Workload = {
  name: "mixed",
  handler,
  client,
  connect,
  options: ({ dice, pace }) => ({
    session: {
      outboxItemsMax: dice.pick([4, 16, 64, 1024]),
      outboxBytesMax: dice.pick([35_000, 100_000, 1_048_576]),
      controlItemsMax: dice.pick([2, 10, 100]),
      inboxItemsMax: dice.pick([4, 16, 256]),
      pingInterval: dice.between(10_000, 25_000) * Math.min(4, Math.max(1, pace)),
      pongTimeout: dice.between(2_000, 10_000),
      receiveTimeout: dice.pick([30_000, 300_000]) * Math.min(4, Math.max(1, pace)),
      sendTimeout: dice.pick([2_000, 5_000]),
      ...(dice.chance(0.3) ? { deliveryDelay: dice.pick([20, 50, 200]) } : {}),
      slowThreshold: dice.pick([50, 500]),
      slowConsumer: dice.pick(["mark", "mark", "disconnect"] as const),
      ...(dice.chance(0.3) ? { idleTimeout: 60_000 * pace, idleActivity: "messages" as const } : {}),
      ...(dice.chance(0.3) ? { heartbeatInterval: 15_000 * pace } : {}),
      taskGrace: dice.pick([1_000, 10_000, 30_000]),
      flushTimeout: dice.pick([0, 3_000])
    },
    overflow: {
      importantPerBulk: dice.pick([0, 1, 8]),
      refuseBulkAbove: dice.pick([0.5, 0.9, 1]),
      lanes: {
        bulk: { whenFull: dice.pick(["evictLower", "dropOldest", "dropNewest", "conflate", "suspend"] as const) },
        important: {
          whenFull: dice.pick(["evictLower", "dropOldest", "dropNewest", "suspend", "disconnect"] as const)
        },
        critical: { whenFull: dice.pick(["evictLower", "suspend", "suspend", "disconnect"] as const) }
      }
    }
  })
}
