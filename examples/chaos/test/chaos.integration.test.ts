/** The program itself, with real processes. */
import { execFile } from "node:child_process"
import * as Fs from "node:fs"
import { createRequire } from "node:module"
import * as Os from "node:os"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { faultOf } from "./xml.js"

const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "spillway-chaos-"))
const root = fileURLToPath(new URL("../../..", import.meta.url))
const run = promisify(execFile)
const program = (...args: ReadonlyArray<string>) =>
  run(process.execPath, [fileURLToPath(new URL("../dist/main.js", import.meta.url)), ...args], { cwd: folder })

/** Whoever has built everything before says so. */
const build = async () => {
  if (process.env["SKIP_BUILD"] === "1") return
  const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc")
  await run(process.execPath, [tsc, "-b", "examples/chaos"], { cwd: root })
}

beforeAll(build)
afterAll(() => Fs.rmSync(folder, { recursive: true, force: true }))

describe("the program", () => {
  it("A136 A137 kills real workers, prints a row for each scenario and draws both kills", async () => {
    const { stdout } = await program("--seed", "3", "--size", "2", "--out", "picture.svg", "singleKill", "corruption")
    assert.match(stdout, /^singleKill +1 +1 kill +yes +\d+ ms +5 of 5 +2$/m)
    assert.match(stdout, /^corruption +1 +1 corrupt +yes +\d+ ms +5 of 5 +2$/m)
    const svg = Fs.readFileSync(Path.join(folder, "picture.svg"), "utf8")
    assert.isUndefined(faultOf(svg))
    assert.deepStrictEqual([...svg.matchAll(/data-fault="(\w+)"/g)].map(([, kind]) => kind), ["kill", "corrupt"])
  })

  it("a wrong argument ends it with 1 and one line", async () => {
    const error = await program("nonsense").then(() => undefined, (error: { code: number; stderr: string }) => error)
    assert.strictEqual(error?.code, 1)
    assert.match(error?.stderr ?? "", /there is no scenario nonsense; see --help\n$/)
  })
})
