import { assert, it } from "@effect/vitest"
import * as ChildProcess from "node:child_process"
import { fileURLToPath } from "node:url"

const fixture = fileURLToPath(new URL("./simulation.fixture.ts", import.meta.url))

const trace = (seed: number): Promise<string> =>
  new Promise((resolve, reject) => {
    const args = ["--import", "tsx", fixture, String(seed)]
    ChildProcess.execFile(process.execPath, args, { maxBuffer: 64 * 1024 * 1024, timeout: 90_000 }, (error, stdout) => {
      if (error === null) resolve(stdout)
      else reject(error)
    })
  })

it("the same seed gives byte-identical event traces in two processes", async () => {
  const [first, second] = await Promise.all([trace(5), trace(5)])
  assert.isAbove(first.split("\n").length, 50)
  assert.strictEqual(second, first)
})
