import { assert, it } from "@effect/vitest"
import { Clients, Faults, type MemoryClient, MemoryTransport, Settle } from "@spillway/testing"
import { Effect, Layer, type Scope, type Utils } from "effect"
import { Overflow, Sessions, Telemetry } from "spillway"
import { Archive } from "../src/Archive.js"
import { Room } from "../src/Room.js"

const app = Layer.mergeAll(Room.layer, Sessions.layer()).pipe(
  Layer.provide([Overflow.layerDefault, Telemetry.layerNoop]),
  Layer.provideMerge(Layer.merge(Archive.layerMemory, MemoryTransport.layer({ latency: 5 })))
)
type Step = Effect.Effect<any, unknown, Layer.Layer.Success<typeof app> | Scope.Scope>
const test = (name: string, rules: Faults.Schedule, body: () => Generator<Utils.YieldWrap<Step>, void, never>) =>
  it.scoped(name, () =>
    Effect.all([Sessions.Sessions, Room]).pipe(
      Effect.flatMap(([sessions, room]) => Effect.forkScoped(sessions.serve(Faults.handler(room.handler)))),
      Effect.zipRight(Effect.gen(body)),
      Effect.zipRight(Faults.assertAllFired),
      Settle.provide(Layer.provideMerge(app, Faults.layer(rules)))
    ))

const say = (client: MemoryClient.MemoryClient, command: object) => client.send(JSON.stringify(command))
const enter = (kind: Clients.Client, name: string) =>
  Effect.tap(kind, (client) => Effect.zipRight(say(client, { _tag: "Enter", name }), Settle.advance(20)))
const linesOf = (client: MemoryClient.MemoryClient) =>
  Effect.map(client.received, (all) => all.filter(({ text }) => text.includes("Said")).length)
const members = Effect.flatMap(Room, (room) => room.members)

test("a slow member costs the others nothing, and is gone when it has not read for 5 s", [], function*() {
  const ada = yield* enter(Clients.fast(), "ada")
  yield* enter(Clients.stalled({ toClient: { capacityBytes: 1_000 } }), "sloth")
  for (let line = 0; line < 40; line++) yield* say(ada, { _tag: "Say", text: "x".repeat(1_000) })
  yield* Settle.advance("2100 millis")
  assert.deepStrictEqual([yield* linesOf(ada), yield* members], [40, ["ada", "sloth"]])
  yield* Settle.advance("10 seconds")
  assert.deepStrictEqual(yield* members, ["ada"])
})

const cut = Faults.rule({ connection: 0, direction: "toServer", nth: 3 }, { _tag: "DropLink" })
test("a line whose author is gone while it is archived is told all the same, once", [cut], function*() {
  const [ada, bob] = [yield* enter(Clients.fast(), "ada"), yield* enter(Clients.fast(), "bob")]
  for (const command of [{ _tag: "Say", text: "going" }, { _tag: "Type" }]) yield* say(ada, command)
  yield* Settle.advance(100)
  assert.deepStrictEqual([yield* linesOf(bob), yield* (yield* Archive).lines], [1, ["ada: going"]])
  assert.deepStrictEqual(yield* members, ["bob"])
})

test("a deploy tells all that was said before it, and closes everyone in time", [], function*() {
  const clients = yield* Effect.forEach(["ada", "bob", "cy"], (name) => enter(Clients.fast(), name))
  yield* Effect.forEach(clients, (client) => say(client, { _tag: "Say", text: "last words" }))
  yield* Effect.fork((yield* Sessions.Sessions).drain({ grace: "1 second" }))
  yield* Settle.advance("2 seconds")
  for (const client of clients) {
    assert.deepStrictEqual([yield* linesOf(client), (yield* client.ended)?.code], [3, 1001])
  }
})

test("hostile members are sent away, and the room goes on", [], function*() {
  const ada = yield* enter(Clients.fast(), "ada")
  const junk = yield* Clients.flooding({ messagesPerSecond: 100 })
  const invalid = yield* enter(Clients.malformed({ how: "utf8", after: 50 }), "mal")
  yield* enter(Clients.vanishing({ after: 50 }), "ghost")
  yield* Settle.advance("1 second")
  yield* say(ada, { _tag: "Say", text: "still here" })
  yield* Settle.advance("1 minute")
  assert.deepStrictEqual([(yield* junk.ended)?.code, (yield* invalid.ended)?.code], [1008, 1007])
  assert.deepStrictEqual([yield* linesOf(ada), yield* members], [1, ["ada"]])
})
