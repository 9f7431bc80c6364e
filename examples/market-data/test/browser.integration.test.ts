/** The page in a real browser. Where there is none the test says so instead of passing. */
import * as Effect from "effect/Effect"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import type { Page } from "playwright-core"
import { assert, describe, it } from "vitest"
import * as Chromium from "../../gateway/test/chromium.js"
import type { FeedShape } from "../src/Feed.js"
import { run, start, until } from "./support.js"

const text = (page: Page, id: string) => Effect.promise(() => page.locator(`#${id}`).textContent())
const attribute = (page: Page, id: string, name: string) =>
  Effect.promise(() => page.locator(`#${id}`).getAttribute(name))

const pointsOf = (page: Page, line: string) =>
  Effect.map(attribute(page, line, "points"), (points) => points!.split(" ").filter((point) => point !== ""))

/**
 * A page, and what it complains of, in a browser of its own. That one is gone before the server is: it holds connections that
 * it has not used, and a server that closes waits for those.
 */
const open = (port: number) =>
  Effect.gen(function*() {
    const profile = yield* Effect.acquireRelease(
      Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "spillway-market-"))),
      (profile) => Effect.sync(() => Fs.rmSync(profile, { recursive: true, force: true }))
    )
    const browser = yield* Effect.acquireRelease(
      Effect.promise(() => Chromium.launch(profile)),
      (browser) => Effect.promise(() => browser.close())
    )
    const page = yield* Effect.promise(() => browser.newPage())
    const errors: Array<string> = []
    page.on("pageerror", (error) => errors.push(error.message))
    page.on("console", (message) => message.type() === "error" && errors.push(message.text()))
    yield* Effect.promise(() => page.goto(`http://127.0.0.1:${port}`))
    return { page, errors }
  })

/** For a person to look at: set SCREENSHOTS to a folder. */
const screenshot = (page: Page, name: string) =>
  Effect.promise(async () => {
    const folder = process.env["SCREENSHOTS"]
    if (folder !== undefined) await page.screenshot({ path: Path.join(folder, `${name}.png`), fullPage: true })
  })

/** Presses the button; then nothing more is published. */
const pause = (page: Page) =>
  Effect.promise(() => Promise.all([page.waitForResponse("**/feed/pause"), page.locator("#pause").click()]))

/** Until the page shows the last price of a symbol and has the last fill. */
const awaitLast = (page: Page, feed: FeedShape, index: number) =>
  until(Effect.gen(function*() {
    const quote = (yield* feed.quotes)[index]!
    const { fills } = yield* feed.stats
    return (yield* attribute(page, "price", "data-n")) === String(quote.n) &&
      (yield* text(page, "price")) === (quote.cents / 100).toFixed(2) &&
      (yield* attribute(page, "fillList", "data-last")) === String(fills)
  }))

describe.skipIf(!Chromium.isThere)("the page in a browser", () => {
  it("draws the price and its own lag; when the feed pauses it shows the last price and has every fill", () =>
    run(Effect.gen(function*() {
      const { feed, port } = yield* start({ symbols: 5, updatesPerSecond: 1_000, fillEvery: 50 })
      const { errors, page } = yield* open(port)
      yield* until(Effect.map(pointsOf(page, "priceLine"), ({ length }) => length > 20))
      yield* until(Effect.map(pointsOf(page, "lagLine"), ({ length }) => length > 20))
      yield* until(Effect.map(text(page, "roundTrip"), (shown) => /^\d+ ms$/.test(shown ?? "")))
      assert.match((yield* text(page, "lag")) ?? "", /^\d+ ms$/)
      assert.match((yield* text(page, "lagMost")) ?? "", /^\d+ ms$/)
      yield* until(Effect.promise(async () => (await page.locator("#depth tr").count()) === 5))
      yield* screenshot(page, "market-data")

      yield* pause(page)
      yield* awaitLast(page, feed, 0)
      assert.strictEqual(yield* text(page, "missed"), "0")
      assert.deepStrictEqual(errors, [])
    })))

  it("another symbol is another connection, which misses no fill", () =>
    run(Effect.gen(function*() {
      const { feed, port } = yield* start({ symbols: 5, updatesPerSecond: 1_000, fillEvery: 10 })
      const { page } = yield* open(port)
      yield* until(Effect.map(text(page, "fills"), (fills) => Number(fills) > 10))
      yield* Effect.promise(() => page.locator("#symbol").selectOption("AAC"))
      yield* pause(page)
      yield* awaitLast(page, feed, 2)
      assert.strictEqual(yield* text(page, "missed"), "0")
    })))
})
