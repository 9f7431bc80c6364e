/** Small versions of the benches `ghosts` and `deploy`: what they claim stays true. */
import { assert, beforeAll, describe, it } from "@effect/vitest"
import { fileURLToPath } from "node:url"
import { deploy } from "../src/server/deploy.js"
import { ghosts } from "../src/server/ghosts.js"

// The server process reads the sources of the packages, as the tests do.
beforeAll(() => {
  process.env["TSX_TSCONFIG_PATH"] = fileURLToPath(new URL("../../tsconfig.test.json", import.meta.url))
})

const sum = (numbers: ReadonlyArray<number>): number => numbers.reduce((total, n) => total + n, 0)

describe("ghosts", () => {
  it("A118 A147 sessions that end in every way leave no session, socket, timer or heap, also in the middle of SIGTERM", async () => {
    const figures = await ghosts({ warmUp: 60, sessions: 100, concurrency: 50, openAtSignal: 40, cycles: 300 })
    const { after, before, cycled, signal } = figures
    for (const { sessions, sockets, stuck } of [after, cycled]) {
      assert.deepStrictEqual({ sessions, sockets, stuck }, { sessions: 0, sockets: 0, stuck: 0 })
    }
    assert.strictEqual(after.opened - before.opened, 100)
    // Each way really happened: peers that went, broke the protocol, or were found to be silent.
    assert.isAbove(after.exits.ReceiveTimeout, before.exits.ReceiveTimeout)
    assert.isAbove(after.exits.Disconnected, before.exits.Disconnected)
    assert.isAtMost(after.timers, before.timers)
    assert.isAtMost(figures.heapRatio, 1.1)
    // So few cycles leave some noise of the heap; what ghosts keep is many times as much.
    assert.isAtMost(figures.leakBytesPerSession, 8 * 1024)
    assert.deepStrictEqual([signal.exitCode, signal.sockets], [0, 0])
    assert.isAtMost(signal.summary.durationMillis, 10_000 + 1_000)
  })
})

describe("deploy", () => {
  it("every healthy client gets critical, hint and 4001, closes are spread, exit 0 within the budget, all come back", async () => {
    const options = {
      clients: 120,
      deafEvery: 20,
      total: 6_000,
      grace: 300,
      reconnectJitter: 500,
      flushTimeout: 500
    }
    const figures = await deploy(options)
    const { closeCodes, drained: { summary }, healthy } = figures
    assert.strictEqual(figures.exitCode, 0)
    assert.isAtMost(summary.durationMillis, options.total + 1_000)
    assert.strictEqual(healthy, 114)
    assert.deepStrictEqual([figures.gotCritical, figures.gotHint, figures.reconnected], [healthy, healthy, healthy])
    assert.deepStrictEqual(closeCodes, { "4001": healthy })
    assert.strictEqual(sum(summary.closesPerSecond), options.clients)
    assert.isAtLeast(summary.closesPerSecond.filter((count) => count > 0).length, 3)
    // The deaf ones were really clogged: something that they were sent could not leave.
    assert.isAbove(summary.undelivered.important, 0)
  })
})
