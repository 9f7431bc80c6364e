/**
 * The page in a real browser. Where there is none the test says so instead of passing.
 */
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import type { Browser, BrowserContext, Page } from "playwright-core"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { isThere, launch } from "./chromium.js"
import { build, Server, sleep, until } from "./support.js"

let server: Server
let browser: BrowserContext
let profile: string

const openPage = async (options: Parameters<Browser["newPage"]>[0] = {}): Promise<Page> => {
  const page = await browser.newPage()
  if (options.viewport != null) await page.setViewportSize(options.viewport)
  await page.emulateMedia({ colorScheme: options.colorScheme ?? null })
  await page.goto(server.url)
  return page
}

const state = (page: Page) => page.locator("#connection").getAttribute("data-state")

/** For a person to look at: set SCREENSHOTS to a folder. */
const screenshot = async (page: Page, name: string) => {
  const folder = process.env["SCREENSHOTS"]
  if (folder !== undefined) await page.screenshot({ path: Path.join(folder, `${name}.png`), fullPage: true })
}

describe.skipIf(!isThere)("the page in a browser", () => {
  beforeAll(async () => {
    build()
    server = await Server.start({ GATEWAY_DRAIN_GRACE: "1 second" })
    profile = Fs.mkdtempSync(Path.join(Os.tmpdir(), "spillway-browser-"))
    browser = await launch(profile)
  }, 90_000)

  afterAll(async () => {
    await browser?.close()
    await server?.stop()
    if (profile !== undefined) Fs.rmSync(profile, { recursive: true, force: true })
  })

  it("shows live data of this machine that change, and that it is connected", async () => {
    const page = await openPage({ viewport: { width: 1200, height: 900 }, colorScheme: "light" })
    const errors: Array<string> = []
    page.on("pageerror", (error) => errors.push(error.message))
    page.on("console", (message) => message.type() === "error" && errors.push(message.text()))
    await until(async () => (await state(page)) === "connected" || undefined, 20_000)
    for (const metric of ["load", "memory", "event-loop-delay", "network-in"]) {
      const value = await page.locator(`#metric-${metric} output`).textContent({ timeout: 10_000 })
      assert.match(value ?? "", /\d/, metric)
    }
    const times = new Set<string>()
    const seen = new Set<string>()
    await until(async () => {
      times.add((await page.locator("#metric-cpu").getAttribute("data-timestamp")) ?? "")
      seen.add((await page.locator("#metric-cpu output").textContent()) ?? "")
      return times.size >= 5 && seen.size >= 2 ? true : undefined
    }, 20_000)
    await until(async () =>
      Number(await page.locator("#lanes tr[data-lane=bulk] td").first().textContent()) > 20 || undefined
    )
    await until(async () => (await page.locator("#session").textContent())?.includes("1 session") || undefined)
    await sleep(4_000)
    await screenshot(page, "light")
    assert.deepStrictEqual(errors, [])
    await page.close()
  })

  it("shows messages of a topic that it subscribes to, its own and others', as text", async () => {
    const page = await openPage({ viewport: { width: 1200, height: 900 }, colorScheme: "dark" })
    await until(async () => (await state(page)) === "connected" || undefined, 20_000)
    await page.locator("#subscribe button").click()
    await page.locator("#publish input").fill("from the page")
    await page.locator("#publish button").click()
    await page.getByText("from the page").waitFor()
    await server.publish("news", { lane: "critical", data: "<img src=x onerror=alert(1)>" })
    await page.getByText("<img src=x onerror=alert(1)>").waitFor()
    assert.strictEqual(await page.locator("#messages img").count(), 0)
    // Alerts are critical as well.
    await until(async () =>
      Number(await page.locator("#lanes tr[data-lane=critical] td").first().textContent()) >= 1 || undefined
    )
    for (let i = 0; i < 8; i++) {
      await server.publish("news", { lane: i % 2 === 0 ? "bulk" : "important", data: { number: i } })
    }
    await sleep(2_000)
    await screenshot(page, "dark")
    await page.setViewportSize({ width: 390, height: 844 })
    await screenshot(page, "phone")
    const width = await page.evaluate<number>("document.documentElement.scrollWidth")
    assert.isAtMost(width, 390, "nothing is wider than a phone")
    await page.close()
  })

  it("disconnects and connects on demand", async () => {
    const page = await openPage()
    await until(async () => (await state(page)) === "connected" || undefined)
    await page.locator("#toggle").click()
    await until(async () => (await state(page)) === "disconnected" || undefined)
    await page.locator("#toggle").click()
    await until(async () => (await state(page)) === "connected" || undefined)
    await page.close()
  })

  it("says that the server drains, and connects again when it is back", async () => {
    const page = await openPage({ viewport: { width: 1200, height: 900 } })
    await until(async () => (await state(page)) === "connected" || undefined)
    const port = String(server.port)
    server.signal("SIGTERM")
    await until(async () => (await state(page)) === "draining" || undefined)
    await until(async () => (await state(page)) === "disconnected" || undefined)
    assert.match((await page.locator("#connection").textContent()) ?? "", /4001.*again in/)
    await screenshot(page, "drained")
    assert.strictEqual(await server.exited(10_000), 0)
    server = await Server.start({ PORT: port })
    await until(async () => (await state(page)) === "connected" || undefined, 30_000)
    const timestamp = await page.locator("#metric-load").getAttribute("data-timestamp")
    await until(async () =>
      (await page.locator("#metric-load").getAttribute("data-timestamp")) !== timestamp || undefined
    )
    await page.close()
  })
})
