import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "vitest"
import { killRounds } from "../src/jobs/kill.js"

const root = fileURLToPath(new URL("../..", import.meta.url))

/** Moments of the kills that differ and repeat. */
const seeded = (seed: number) => () => {
  seed = (seed * 48_271) % 2_147_483_647
  return seed / 2_147_483_647
}

describe("kill -9 of a process that writes jobs, at random moments (the bench jobs-kill, in small)", () => {
  it("loses no acknowledged event, leaves no gap and nothing twice, and no job is forgotten (A076, TL1, TL2, TL3, TL5, TL8)", async () => {
    const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "spillway-jobs-kill-"))
    try {
      const totals = await killRounds({
        path: Path.join(folder, "jobs.db"),
        rounds: 2,
        command: [process.execPath, "--import", "tsx", Path.join(root, "bench/src/jobs/main.ts")],
        env: { PATH: process.env["PATH"], TSX_TSCONFIG_PATH: Path.join(root, "tsconfig.test.json") },
        random: seeded(7)
      })
      assert.strictEqual(totals.kills, 2)
      assert.isAbove(totals.acknowledged, 0)
      assert.isAbove(totals.resumed + totals.lost, 0)
    } finally {
      Fs.rmSync(folder, { recursive: true, force: true })
    }
  })
})
