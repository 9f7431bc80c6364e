/** The program itself: the server and its load as processes. */
import { execFile, spawn } from "node:child_process"
import { once } from "node:events"
import { createRequire } from "node:module"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { assert, beforeAll, describe, it } from "vitest"

const root = fileURLToPath(new URL("../../..", import.meta.url))
const main = fileURLToPath(new URL("../dist/main.js", import.meta.url))
const run = promisify(execFile)

type Environment = Readonly<Record<string, string>>

const env = (environment: Environment) => ({ PATH: process.env["PATH"], PORT: "0", ...environment })

const program = (environment: Environment, ...args: ReadonlyArray<string>) =>
  run(process.execPath, [main, ...args], { env: env(environment) })

/** Whoever has built everything before says so. */
const build = async () => {
  if (process.env["SKIP_BUILD"] === "1") return
  const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc")
  await run(process.execPath, [tsc, "-b", "examples/market-data"], { cwd: root })
}

beforeAll(build)

/** Cells of the row of a kind of client. */
const rowOf = (stdout: string, kind: string) => {
  const line = stdout.split("\n").find((line) => line.startsWith(kind))
  assert.isDefined(line, stdout)
  return line!.slice(kind.length).trim().split(/ +/)
}

describe("the program", () => {
  it("load prints what each kind of client has seen; it ends with 0, since nobody missed a fill or has a wrong price", async () => {
    const { stdout } = await program({
      SYMBOLS: "20",
      UPDATES_PER_SECOND: "2000",
      FILL_EVERY: "100",
      LOAD_FAST: "2",
      LOAD_1M: "1",
      LOAD_64K: "1",
      LOAD_STALLED: "1",
      LOAD_WARM_UP: "300 millis",
      LOAD_TIME: "1 second"
    }, "load")
    for (const kind of ["2 fast", "1 1 Mbit/s", "1 64 kbit/s", "1 stalled"]) {
      const [prices, p50, p95, p99, fills, missed, twice, , , wrong] = rowOf(stdout, kind)
      assert.deepStrictEqual([missed, twice, wrong], ["0", "0", "0"], kind)
      assert.isAbove(Number(fills), 0)
      for (const figure of [prices, p50, p95, p99]) assert.match(figure!, /^(\d+|-)$/)
    }
    assert.match(
      stdout,
      /^server: \d+ prices\/s, \d+ depths\/s, \d+ fills\/s, CPU \d+ %, RSS \d+ MiB, at most \d+ MiB/m
    )
    assert.match(stdout, /^right \d+ ms after the feed paused: all$/m)
  })

  it("SIGTERM drains the server, which ends with 0", async () => {
    const child = spawn(process.execPath, [main], { env: env({}), stdio: ["ignore", "pipe", "inherit"] })
    let stdout = ""
    const listens = new Promise<void>((resolve) =>
      child.stdout.setEncoding("utf8").on("data", (text: string) => {
        stdout += text
        if (stdout.includes("listens on")) resolve()
      })
    )
    await listens
    const exit = once(child, "exit")
    child.kill("SIGTERM")
    assert.deepStrictEqual((await exit)[0], 0)
  })
})
