/**
 * Handlers that are interrupted, over live sockets: by the loss of their connection and by the end of the server.
 */
import * as Effect from "effect/Effect"
import * as Message from "spillway/Message"
import type { Session } from "spillway/Session"
import { afterEach, assert, describe, it } from "vitest"
import { Peer, range, until } from "./raw.js"
import { EchoServer, nothing } from "./rawEcho.js"

let server: EchoServer | undefined

afterEach(async () => {
  Peer.destroyAll()
  await server?.stop()
  server = undefined
})

/** A server whose handler never ends by itself, and what its finalizers wrote down. */
const start = async () => {
  const log: Array<string> = []
  const note = (what: string) => Effect.sync(() => void log.push(what))
  const handler = (_session: Session) =>
    Effect.addFinalizer(() => note("first")).pipe(
      Effect.zipRight(Effect.addFinalizer(() => Effect.zipRight(Effect.sleep("5 millis"), note("second")))),
      Effect.zipRight(Effect.onInterrupt(Effect.never, () => note("interrupted")))
    )
  server = await EchoServer.start({
    handler,
    session: { sendTimeout: "20 seconds", flushTimeout: "300 millis", closeTimeout: "300 millis" }
  })
  return { log, server }
}

/** A session whose peer reads nothing, with something in the kernel, something below the lanes and something queued. */
const stalled = async (server: EchoServer) => {
  const peer = await Peer.open(server.port, "/custom")
  peer.socket.pause()
  await until("the session is there", () => server.all.length === 1)
  const session = server.all[0]!
  const large = Message.text("x".repeat(300_000), { lane: "important" })
  await until("the kernel takes no more", () => {
    session.unsafeOffer(large)
    return session.stats.inFlightBytes > 0 && session.stats.queuedItems > 0
  })
  for (const i of range(3)) session.unsafeOffer(Message.text(`${i}`, { lane: "critical" }))
  return { peer, session }
}

const finalizersRan = ["interrupted", "second", "first"]

describe("A112 the handler is interrupted", () => {
  it("A112 by the loss of the connection: finalizers run, nothing hangs, and what was undelivered is reported", async () => {
    const { log, server } = await start()
    const { peer } = await stalled(server)
    peer.reset()
    await server.backTo(nothing, 10_000)
    const { report } = server.snapshot.closed.at(-1)!
    assert.deepStrictEqual(log, finalizersRan)
    assert.strictEqual(report.exit._tag, "Disconnected")
    assert.strictEqual(report.undelivered.critical, 3)
    assert.isAbove(report.undelivered.important, 0)
    assert.deepInclude(report, { forced: 0, stuck: [] })
  })

  it("A112 by the end of the server: the same, within its budget, though the peer reads nothing", async () => {
    const { log, server } = await start()
    const { peer } = await stalled(server)
    const drained = await Effect.runPromise(server.sessions.drain({ total: "3 seconds", grace: "0 millis" }))
    const { report } = server.snapshot.closed.at(-1)!
    assert.deepStrictEqual(log, finalizersRan)
    assert.strictEqual(report.exit._tag, "ServerDraining")
    assert.strictEqual(report.undelivered.critical, 3)
    assert.deepInclude(report.phases, { finalizers: "done", flush: "cut" })
    assert.strictEqual(drained.stuck.length, 0)
    peer.destroy()
    await server.backTo(nothing, 10_000)
  })
})
