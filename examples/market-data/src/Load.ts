/**
 * The load: a server in a process of its own, clients of four kinds for a while, and then, with the feed paused, whether each
 * of them has the last price of every symbol and has seen every fill once.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Clock from "effect/Clock"
import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Ref from "effect/Ref"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { Follower } from "./Follower.js"
import * as Link from "./Link.js"
import * as ServerProcess from "./ServerProcess.js"
import type { SettingsShape } from "./Settings.js"
import * as Table from "./Table.js"
import { Ages, type Viewer } from "./Viewer.js"

/** A kind of client: all of its connections go over such a link. */
interface Kind {
  readonly name: string
  readonly clients: number
  readonly bytesPerSecond?: number
  /** Reads nothing until the end. */
  readonly isStalled?: boolean
}

const kindsOf = ({ loadFast, loadKbit, loadMbit, loadStalled }: SettingsShape): ReadonlyArray<Kind> => [
  { name: "fast", clients: loadFast },
  { name: "1 Mbit/s", clients: loadMbit, bytesPerSecond: 125_000 },
  { name: "64 kbit/s", clients: loadKbit, bytesPerSecond: 8_000 },
  { name: "stalled", clients: loadStalled, isStalled: true }
]

interface Group {
  readonly kind: Kind
  readonly followers: ReadonlyArray<Follower>
}

const until = (condition: () => boolean) => Effect.repeat(Effect.sleep("20 millis"), { until: condition })

const startGroup = (kind: Kind, port: number): Effect.Effect<Group, never, Scope.Scope> =>
  Effect.gen(function*() {
    const { bytesPerSecond, clients } = kind
    const link = bytesPerSecond === undefined ? { port } : yield* Link.make({ port, bytesPerSecond })
    const followers = Array.from({ length: clients }, () => new Follower(`127.0.0.1:${link.port}`))
    yield* Effect.forEach(followers, ({ follow }) => Effect.forkScoped(follow), { discard: true })
    yield* until(() => followers.every(({ viewer }) => viewer.welcome !== undefined))
    if (kind.isStalled === true) yield* Effect.forEach(followers, (follower) => follower.stall(true))
    return { kind, followers }
  })

const sum = (followers: ReadonlyArray<Follower>, of: (follower: Follower) => number): number =>
  followers.reduce((total, follower) => total + of(follower), 0)

/** The largest memory of the server, looked at four times a second until the scope closes. */
const watchMemory = (server: ServerProcess.ServerProcess) =>
  Effect.gen(function*() {
    const most = yield* Ref.make(0)
    const look = Effect.flatMap(
      server.stats,
      ({ process }) => Ref.update(most, (before) => Math.max(before, process.residentBytes))
    )
    yield* Effect.forkScoped(Effect.repeat(Effect.ignore(look), Schedule.spaced("250 millis")))
    return Ref.get(most)
  })

/** Time for the slow ones to read what they still have to get. */
const settleMillisMax = 60_000

/** What was counted between the warm-up and the pause. */
type Counted = Pick<Table.Row, "pricesPerSecond" | "ages">

const rowOf = ({ followers, kind }: Group, counted: Counted, prices: ServerProcess.Prices): Table.Row => {
  const viewers = followers.map(({ viewer }) => viewer)
  const of = (count: (viewer: Viewer) => number) => viewers.reduce((total, viewer) => total + count(viewer), 0)
  return {
    kind: kind.name,
    clients: kind.clients,
    pricesPerSecond: counted.pricesPerSecond,
    ages: counted.ages,
    fillsSeen: of(({ fillsSeen }) => fillsSeen),
    fillsMissed: of(({ fillsMissed }) => fillsMissed),
    fillsTwice: of(({ fillsTwice }) => fillsTwice),
    // What is missing at the end counts as missed.
    fillsLeft: of(({ after = 0 }) => prices.fills - after),
    depthsSeen: of(({ depthsSeen }) => depthsSeen),
    depthsShed: of(({ depthsShed }) => depthsShed),
    pricesWrong: sum(followers, (follower) => follower.wrong(prices)),
    pricesBack: of(({ ticksBack }) => ticksBack),
    connections: sum(followers, ({ connections }) => connections)
  }
}

/** Runs it all and returns what each kind has seen; `true` when everybody is right. */
export const run = (settings: SettingsShape) =>
  Effect.gen(function*() {
    const server = yield* ServerProcess.start
    const memory = yield* watchMemory(server)
    const groups = yield* Effect.forEach(kindsOf(settings), (kind) => startGroup(kind, server.port))
    const ticksOf = ({ followers }: Group) => sum(followers, ({ viewer }) => viewer.ticksSeen)
    const followers = groups.flatMap((group) => group.followers)
    const { loadTime, loadWarmUp } = settings
    yield* Console.log(`${followers.length} clients: ${Duration.format(loadWarmUp)}, then ${Duration.format(loadTime)}`)
    yield* Effect.sleep(loadWarmUp)
    for (const { viewer } of followers) viewer.ages = new Ages()
    const [before, ticksBefore, beganAt] = [yield* server.stats, groups.map(ticksOf), yield* Clock.currentTimeMillis]
    yield* Effect.sleep(loadTime)
    const [after, ticksAfter, endedAt] = [yield* server.stats, groups.map(ticksOf), yield* Clock.currentTimeMillis]
    const ages = groups.map((group) => group.followers.map(({ viewer }) => viewer.ages))
    for (const { viewer } of followers) viewer.ages = new Ages()
    yield* server.pause
    const prices = yield* server.prices
    yield* Effect.forEach(followers, (follower) => follower.stall(false), { discard: true })
    yield* until(() => followers.every((follower) => follower.isUpToDate(prices))).pipe(
      Effect.timeoutOption(settleMillisMax)
    )
    const settledMillis = (yield* Clock.currentTimeMillis) - endedAt
    const seconds = (endedAt - beganAt) / 1_000
    const rows = groups.map((group, i) => {
      const each = (ticksAfter[i]! - ticksBefore[i]!) / seconds / Math.max(1, group.kind.clients)
      return rowOf(group, { pricesPerSecond: each, ages: ages[i]! }, prices)
    })
    yield* Console.log(Table.text(rows.filter(({ clients }) => clients > 0)))
    yield* Console.log(Table.serverLine({ before, after, end: yield* server.stats, seconds, memory: yield* memory }))
    yield* Console.log(`right ${settledMillis} ms after the feed paused: ${Table.holds(rows) ? "all" : "NOT ALL"}`)
    return Table.holds(rows)
  }).pipe(Effect.scoped, Effect.provide(NodeHttpClient.layer))
