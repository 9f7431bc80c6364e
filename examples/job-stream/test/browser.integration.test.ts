/**
 * The page in a real browser, on the real program. Where there is no browser the test says so instead of passing.
 */
import * as ChildProcess from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as Timers from "node:timers/promises"
import { fileURLToPath } from "node:url"
import type { BrowserContext, Page } from "playwright-core"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { isThere, launch } from "../../gateway/test/chromium.js"

const root = fileURLToPath(new URL("../../..", import.meta.url))

const until = async <A>(probe: () => A | undefined | Promise<A | undefined>, what: string): Promise<A> => {
  const deadline = Date.now() + 100_000
  for (;;) {
    const value = await probe()
    if (value !== undefined) return value
    if (Date.now() > deadline) throw new Error(`${what}: not within 100 s`)
    await Timers.setTimeout(20)
  }
}

interface Server {
  readonly child: ChildProcess.ChildProcess
  readonly port: number
}

/** Starts what was built of the sources, as the tests of the gateway do. */
const start = async (folder: string, port = 0): Promise<Server> => {
  const child = ChildProcess.spawn(process.execPath, [Path.join(root, "examples/job-stream/dist/main.js")], {
    env: {
      PATH: process.env["PATH"],
      PORT: String(port),
      JOBS_PATH: Path.join(folder, "jobs.db"),
      READABLE: folder
    },
    stdio: ["ignore", "pipe", "pipe"]
  })
  let output = ""
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => (output += text))
  const found = await until(() => {
    if (child.exitCode !== null) throw new Error(`the server has ended: ${output}`)
    return /https?:\/\/\S+:(\d+)/.exec(output)?.[1]
  }, "a server")
  return { child, port: Number(found) }
}

const stop = async ({ child }: Server, signal: NodeJS.Signals): Promise<number | null> => {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode
  const exit = once(child, "exit", { signal: AbortSignal.timeout(20_000) })
  child.kill(signal)
  await exit
  return child.exitCode
}

describe.skipIf(!isThere)("the page in a browser", () => {
  let folder: string
  let server: Server
  let browser: BrowserContext

  beforeAll(async () => {
    if (process.env["SKIP_BUILD"] !== "1") {
      const tsc = Path.join(root, "node_modules/typescript/bin/tsc")
      ChildProcess.execFileSync(process.execPath, [tsc, "-b", "examples/job-stream"], { cwd: root, stdio: "inherit" })
    }
    folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "spillway-job-stream-"))
    const sizes = { small: 3, large: 2_000, larger: 2_000, reloaded: 2_000, restarted: 2_000 }
    for (const [name, files] of Object.entries(sizes)) {
      Fs.mkdirSync(Path.join(folder, name))
      for (let n = 0; n < files; n++) Fs.writeFileSync(Path.join(folder, name, `${n}.txt`), `file ${n}\n`.repeat(20))
    }
    server = await start(folder)
    const profile = Path.join(folder, "profile")
    browser = await launch(profile)
  }, 90_000)

  afterAll(async () => {
    await browser?.close()
    if (server !== undefined) await stop(server, "SIGKILL")
    if (folder !== undefined) Fs.rmSync(folder, { recursive: true, force: true })
  })

  const open = async (): Promise<Page> => {
    const page = await browser.newPage()
    await page.goto(`http://127.0.0.1:${server.port}/`)
    return page
  }

  const byTitle = (page: Page, title: string) =>
    page.locator("article").filter({
      has: page.locator(".title", { hasText: new RegExp(`^${title.replaceAll(".", String.raw`\.`)}$`) })
    })

  const create = async (page: Page, directory: string): Promise<void> => {
    await page.locator("#directory").fill(directory)
    await page.locator("#folder").click()
    await byTitle(page, directory).waitFor()
  }

  const look = (page: Page, title: string) =>
    byTitle(page, title).evaluate((found) => ({
      status: found.className,
      progress: found.querySelector("progress")!.value,
      count: Number(found.querySelector(".count")!.textContent),
      places: [...found.querySelectorAll("li")].map(({ value }) => value),
      result: found.querySelector(".result")!.textContent ?? ""
    }))

  const seen = (page: Page, title: string, what: string, holds: (card: Awaited<ReturnType<typeof look>>) => boolean) =>
    until(async () => {
      const found = await look(page, title)
      return holds(found) ? found : undefined
    }, `${title}: ${what}`)

  it("says what is refused, and shows what failed as text", async () => {
    const page = await open()
    await page.locator("#directory").fill("../outside")
    await page.locator("#folder").click()
    const failed = await seen(page, "../outside", "fails", ({ status }) => status === "FAILED")
    assert.include(failed.result, "outside of what may be read")
    await page.locator("#text").fill("")
    await page.locator("#paste").click()
    await until(async () => (await page.locator("#problem").textContent()) || undefined, "the problem")
    await page.close()
  })

  it("shows several jobs live with their progress, resumes after a reload, and goes on when the server was restarted", {
    timeout: 300_000
  }, async () => {
    const page = await open()
    const errors: Array<string> = []
    page.on("pageerror", (error) => errors.push(error.message))
    await create(page, "large")
    await create(page, "larger")
    await create(page, "small")
    const small = await seen(page, "small", "ends", ({ status }) => status === "SUCCEEDED")
    assert.match(small.result, /"files": 3/)
    await seen(
      page,
      "larger",
      "moves beside large",
      ({ count, progress, status }) => status === "SUCCEEDED" || (status === "RUNNING" && progress > 0 && count > 10)
    )

    // Each of these is begun just before what happens in the middle of it.
    await create(page, "reloaded")
    const before = await seen(page, "reloaded", "moves", ({ count, status }) => status === "RUNNING" && count > 3)
    await page.reload()
    const after = await seen(page, "reloaded", "resumes after the reload", ({ count }) => count > before.count)
    assert.isAtLeast(after.progress, before.progress)

    await create(page, "restarted")
    const atRestart = await seen(page, "restarted", "moves", ({ count, status }) => status === "RUNNING" && count > 3)
    const { port } = server
    assert.strictEqual(await stop(server, "SIGTERM"), 0)
    server = await start(folder, port)
    for (const title of ["large", "larger", "reloaded", "restarted"]) {
      const end = await seen(page, title, "ends", ({ status }) => status === "SUCCEEDED")
      assert.match(end.result, /"files": 2000/)
      // The list shows the last 500, each once and in order.
      assert.deepStrictEqual(end.places, end.places.map((_, index) => end.count - end.places.length + 1 + index))
    }
    assert.isAbove((await look(page, "restarted")).count, atRestart.count)
    assert.deepStrictEqual(errors, [])
    await page.close()
  })
})
