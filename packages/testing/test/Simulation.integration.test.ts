import { assert, it } from "@effect/vitest"
import * as ChildProcess from "node:child_process"
import { fileURLToPath } from "node:url"

const path = (name: string): string => fileURLToPath(new URL(name, import.meta.url))

const fixture = path("./simulation.fixture.ts")

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

/** What the command says about a core with a fault in it, and its exit code. */
const simulate = (args: ReadonlyArray<string>): Promise<{ readonly code: number | null; readonly text: string }> =>
  new Promise((resolve) => {
    const all = ["--import", "tsx", path("./simulate.fixture.mjs"), ...args]
    const child = ChildProcess.execFile(process.execPath, all, { timeout: 90_000 }, (_, stdout, stderr) => {
      resolve({ code: child.exitCode, text: stdout + stderr })
    })
  })

it("a campaign that finds a fault ends with one line that replays it, and that line finds the same", async () => {
  const found = await simulate(["--seeds", "20", "--from", "3", "--sessions", "5", "--hours", "0.02", "--pace", "1"])
  assert.strictEqual(found.code, 1)
  assert.match(found.text, /seed \d+: I1 is broken \d+ ms after the start: session \d+ \(\w+\): .*bytes/)
  const line = /^ {2}replay: npm run simulate -- (.*)$/m.exec(found.text)?.[1]
  assert.isDefined(line)
  const replayed = await simulate(line!.split(" "))
  assert.strictEqual(replayed.code, 1)
  assert.strictEqual(replayed.text.trim(), found.text.trim())
})
