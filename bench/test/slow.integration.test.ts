/** The bench `slow` in small: what it counts, without what depends on the machine. */
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "vitest"
import { overload, scale } from "../src/slow/scenarios.js"

const root = fileURLToPath(new URL("../..", import.meta.url))

describe("slow readers and too much, over real sockets (the bench slow, in small)", () => {
  it.concurrent("A145 overload: every critical arrives, what was shed is what clients see as gaps, and all is calm afterwards", async () => {
    const seen = await overload(2, 6, 4)
    assert.strictEqual(seen.criticalMissing, 0)
    assert.strictEqual(seen.sessions, 6)
    assert.isAbove(seen.shed.bulk, 0, "it was too much")
    assert.deepStrictEqual(seen.shed, seen.gaps)
    assert.strictEqual(seen.shed.critical, 0)
    assert.isDefined(seen.recoveredAfterSeconds)
  })

  it.concurrent("A142 A148 a tenth of the streams slow, beside idle sessions: the others miss nothing and nobody is cut off", async () => {
    const seen = await scale(1, 50, 100)
    assert.strictEqual(seen.sessions, 150)
    assert.strictEqual(seen.fastReceived, 1)
    assert.isBelow(seen.slowReceived, 1, "they were slow")
  })

  it.concurrent("A150 a name that there is not is refused with the usage, and --help says it", () => {
    const bench = (...args: ReadonlyArray<string>) =>
      spawnSync(process.execPath, ["--import", "tsx", "bench/src/slow.bench.ts", ...args], {
        cwd: root,
        encoding: "utf8",
        env: { PATH: process.env["PATH"], TSX_TSCONFIG_PATH: "tsconfig.test.json" }
      })
    const wrong = bench("--only", "nothing")
    assert.strictEqual(wrong.status, 2)
    assert.include(wrong.stderr, "nothing is called nothing")
    assert.include(bench("--help").stdout, "--overload-seconds")
  })
})
