import { assert, describe, it } from "@effect/vitest"
import * as Leaks from "@spillway/testing/Leaks"
import { layer as memoryLayer, MemoryTransport } from "@spillway/testing/MemoryTransport"
import { settle } from "@spillway/testing/Settle"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Net from "node:net"
import * as Overflow from "spillway/Overflow"
import * as Sessions from "spillway/Sessions"
import * as Telemetry from "spillway/Telemetry"
import { Transport } from "spillway/Transport"

const leftBy = <A, E, R, R2 = never, R3 = never>(
  program: Effect.Effect<A, E, R>,
  options?: Leaks.Options<R2, R3>
) =>
  Effect.map(
    Effect.flip(Leaks.assertNoLeaks(program, options)),
    (error) => error instanceof Leaks.Leaked ? error.left : error
  )

const server = Sessions.layer({ taskGrace: "1 second" }).pipe(
  Layer.provide([Overflow.layerDefault, Telemetry.layerNoop]),
  Layer.provideMerge(memoryLayer())
)

/** A session with its client. */
const open = Effect.gen(function*() {
  const client = yield* Effect.flatMap(MemoryTransport, (memory) => memory.connect())
  const connection = yield* Effect.flatMap(Transport, (transport) => transport.accept)
  const sessions = yield* Sessions.Sessions
  const session = yield* sessions.open(connection, (session) => session.awaitShutdown)
  return { client, session }
})

describe("assertNoLeaks", () => {
  it.effect("passes the result on when nothing is left", () =>
    Effect.gen(function*() {
      const program = Effect.zipRight(Effect.scoped(Effect.forkScoped(Effect.sleep("1 hour"))), Effect.succeed(7))
      const options = { probe: Leaks.and(Leaks.testClock, Leaks.process), rest: settle }
      assert.strictEqual(yield* Leaks.assertNoLeaks(program, options), 7)
    }))

  it.effect("counter-test: a daemon and its timer are found", () =>
    Effect.gen(function*() {
      const daemon = yield* Effect.sync((): Array<Fiber.RuntimeFiber<void>> => [])
      const program = Effect.map(Effect.forkDaemon(Effect.sleep("1 hour")), (fiber) => daemon.push(fiber))
      const left = yield* leftBy(program, { probe: Leaks.testClock, rest: settle })
      assert.isAtLeast((left as Leaks.Counts)["fibers"] ?? 0, 1)
      assert.include(left, { "timers of TestClock": 1 })
      yield* Fiber.interruptAll(daemon)
    }))

  it.effect("a session that has ended leaves nothing", () =>
    Effect.gen(function*() {
      const program = Effect.flatMap(open, ({ session }) => Effect.zipRight(session.close(), session.awaitExit))
      yield* Leaks.assertNoLeaks(program, { probe: Leaks.and(Leaks.sessions, Leaks.network), rest: settle })
    }).pipe(Effect.provide(server)))

  it.effect("counter-test: a session that was left open is found, with its task and its connection", () =>
    Effect.gen(function*() {
      const left = yield* leftBy(open, { probe: Leaks.and(Leaks.sessions, Leaks.network), rest: settle })
      assert.deepInclude(left, { sessions: 1, tasks: 1, connections: 1 })
    }).pipe(Effect.provide(server)))

  it.live("counter-test: a server, a listener and a timer of the process are found", () =>
    Effect.gen(function*() {
      const undo: Array<() => void> = []
      const program = Effect.async<void>((resume) => {
        const listener = () => {}
        const timer = setInterval(listener, 60_000)
        const listening = Net.createServer().listen(0, "127.0.0.1", () => resume(Effect.void))
        globalThis.process.on("SIGUSR2", listener)
        undo.push(
          () => clearInterval(timer),
          () => listening.close(),
          () => globalThis.process.off("SIGUSR2", listener)
        )
      })
      const left = yield* leftBy(program, { probe: Leaks.process })
      assert.include(left, { Timeout: 1, TCPServerWrap: 1, "listeners of the process": 1 })
      for (const f of undo) f()
    }))
})
