/**
 * The fault plan of a campaign: rules drawn from the seed, and what befalls the server.
 */
import * as Faults from "../Faults.js"
import type { FaultPlan, World } from "../Simulation.js"

type Draw = (world: World) => readonly [Faults.Match, Faults.Act]

const direction = (world: World) => world.dice.pick(["toClient", "toServer"] as const)

/** One kind of rule each. What a rule is about is narrow enough to be rare and wide enough to happen. */
const draws: ReadonlyArray<Draw> = [
  (world) => [{ direction: direction(world), nth: world.dice.between(1, 30), times: 3 }, {
    _tag: "Delay",
    millis: world.dice.between(1, 4_000)
  }],
  (world) => [{ direction: direction(world), nth: world.dice.between(1, 40) }, {
    _tag: "Stall",
    millis: world.dice.between(500, 20_000)
  }],
  (world) => [{ direction: direction(world), frame: "message", nth: world.dice.between(1, 40) }, { _tag: "DropLink" }],
  (world) => [{ direction: direction(world), frame: "message", nth: world.dice.between(1, 40) }, { _tag: "Tear" }],
  // The first byte is no UTF-8 any more, so that the reader notices; a client that noticed nothing would report nonsense.
  (
    world
  ) => [{ direction: "toServer", frame: "message", nth: world.dice.between(1, 40) }, { _tag: "Corrupt", mask: 128 }],
  (world) => [{ nth: world.dice.between(1, 60), times: world.dice.between(1, 5) }, { _tag: "Refuse" }],
  (world) => [{ nth: world.dice.between(1, 60) }, { _tag: "DuplicateConnection" }],
  (
    world
  ) => [{ task: world.dice.pick(["handler", "producer", "background"]), nth: world.dice.between(1, 20), times: 2 }, {
    _tag: "KillTask",
    afterMillis: world.dice.between(0, 20_000),
    by: world.dice.pick(["interruption", "defect"] as const)
  }],
  (world) => [{ nth: world.dice.between(1, 10), times: 3 }, { _tag: "FailFinalizer" }]
]

const rules: FaultPlan["rules"] = (world, sessions) => {
  const count = Math.max(draws.length, Math.min(24, Math.ceil(sessions / 4)))
  return Array.from({ length: count }, (_, i) => {
    const [match, act] = draws[i % draws.length]!(world)
    const offset = world.dice.below(sessions)
    const aimed = act._tag === "Delay" || act._tag === "Stall"
    return Faults.rule(aimed ? { ...match, connection: { everyNth: sessions, offset } } : match, act)
  })
}

export const mixed: FaultPlan = {
  rules,
  deployEvery: "90 seconds",
  clogEvery: "60 seconds",
  freezeEvery: "60 seconds",
  refuseEvery: "60 seconds"
}

/** The kinds that a campaign with this plan must have met. */
export const kinds: ReadonlyArray<string> = [
  ...Faults.kinds,
  "deploy",
  "clog",
  "freeze",
  "refuse"
]
