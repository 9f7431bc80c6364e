/** The bench `workers-chaos` for a few seconds, on Node workers. */
import { assert, describe, it } from "vitest"
import { chaos } from "../src/workers/chaos.js"

describe("chaos on real workers", () => {
  it("A131 A136 A137 A138 real faults under load: all happen, all recover, none lost, nothing left", async () => {
    const figures = await chaos({
      seconds: 5,
      size: 4,
      sessions: 20,
      operationsPerSecond: 100,
      startMillis: 20,
      calmMillis: 200,
      kind: "node",
      scenarios: ["everything", "hang", "deadStarts", "tornFrame"]
    }, () => {})
    const { calm, happened, load, orphans, rows, undead, workersEver, zombies } = figures
    assert.isAtLeast(rows.length, 1)
    for (const row of rows) {
      assert.strictEqual(row.real, row.runs, `${row.scenario} really happened`)
      assert.strictEqual(row.probesSucceeded, row.probes, `after ${row.scenario}`)
      assert.isAtMost(row.recoveredMillisMax, 60_000, row.scenario)
    }
    assert.isAtLeast(happened.kill, 2)
    assert.isAtLeast(happened.corrupt, 1)
    assert.isAbove(workersEver, 4)
    const failed = Object.values(load.failed).reduce((sum, count) => sum + count, 0)
    assert.strictEqual(load.succeeded + failed, load.started)
    assert.strictEqual(load.wrong, 0)
    assert.isAbove(calm.hits, 0)
    assert.strictEqual(calm.misses, 0)
    assert.deepStrictEqual({ orphans, zombies, undead }, { orphans: 0, zombies: 0, undead: 0 })
  })
})
