/** A browser for tests of pages. Where there is none this says so, and the tests do not run. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { type BrowserContext, chromium } from "playwright-core"

const candidates = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]

const findBrowser = (): string | undefined => {
  const folders = (process.env["PATH"] ?? "").split(Path.delimiter)
  const named = process.env["CHROME_PATH"]
  return [
    ...(named === undefined ? [] : [named]),
    ...folders.flatMap((folder) => candidates.map((name) => Path.join(folder, name)))
  ]
    .find((path) => Fs.existsSync(path))
}

const executablePath = findBrowser()

export const isThere = executablePath !== undefined

if (!isThere) {
  process.stdout.write("THE BROWSER TEST DID NOT RUN: no chromium in PATH, and CHROME_PATH is not set.\n")
}

/** Quiet: a browser that was started for a test has nothing to look up, update or synchronise. */
const args = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync"
]

/** Starts it with a profile of its own. */
export const launch = (profile: string): Promise<BrowserContext> =>
  chromium.launchPersistentContext(profile, { executablePath: executablePath!, headless: true, args })
