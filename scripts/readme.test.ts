/**
 * What the documents say, checked: the program of the README compiles and runs, commands exist, links resolve, cited tests
 * and defaults are those of the code. Each check first proves on a small bad sample that it can fail.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, assert, describe, it } from "vitest"
import * as Commands from "./readme/commands.js"
import * as Limits from "./readme/limits.js"
import * as Markdown from "./readme/markdown.js"
import * as Program from "./readme/program.js"

const root = Path.resolve(Path.dirname(fileURLToPath(import.meta.url)), "..")

const read = (path: string): string => Fs.readFileSync(Path.join(root, path), "utf8")

const markdownIn = (folder: string): ReadonlyArray<string> =>
  Fs.readdirSync(Path.join(root, folder)).filter((name) => name.endsWith(".md")).map((name) => Path.join(folder, name))

const readmesIn = (folder: string): ReadonlyArray<string> =>
  Fs.readdirSync(Path.join(root, folder))
    .map((name) => `${folder}/${name}/README.md`)
    .filter((path) => Fs.existsSync(Path.join(root, path)))

const documents = [
  "README.md",
  "CONTRIBUTING.md",
  ...markdownIn("docs"),
  ...markdownIn("docs/adr"),
  ...markdownIn("docs/guides"),
  ...readmesIn("packages"),
  ...readmesIn("examples")
]

/** The one program of the README. */
const programOf = (text: string): string => {
  const programs = Markdown.codeBlocks(text).filter(({ language }) => language === "ts")
  assert.strictEqual(programs.length, 1, "the README has one program")
  return programs[0]!.body
}

describe("the program of the README", () => {
  const text = programOf(read("README.md"))
  const broken = text.replace("Filled({ id })", "Filled({ identity: id })")

  it("compiles, and would not with a wrong field", { timeout: 120_000 }, () => {
    assert.notStrictEqual(broken, text)
    const files = [Program.write(root, "program.ts", text), Program.write(root, "broken.ts", broken)]
    const [errors = [], brokenErrors = []] = Program.typeErrors(root, files)
    assert.deepEqual(errors, [])
    assert.notDeepEqual(brokenErrors, [])
  })

  it("has about thirty lines", () => {
    const lines = text.split("\n").filter((line) => line.trim() !== "" && !line.startsWith("//"))
    assert.isAtMost(lines.length, 36)
  })

  let running: Program.Running | undefined
  afterAll(() => running?.kill())

  it(
    "serves, prices and fills, refuses nonsense, drains on SIGTERM and exits with 0",
    { timeout: 120_000 },
    async () => {
      running = new Program.Running(root, Program.write(root, "program.ts", text), { PORT: "0" })
      const address = await running.printed(/Listening on (http:\/\/\S+:\d+)/)
      const trade = `${address.replace("http", "ws")}/trade`
      const client = new Program.Client(trade)
      const price: unknown = JSON.parse(await client.message((message) => message.includes("\"Price\"")))
      assert.hasAllKeys(price, ["_tag", "symbol", "cents"])
      client.send({ id: 7, symbol: "ACME" })
      const filled = await client.message((message) => message.includes("\"Filled\""))
      assert.strictEqual(filled, "{\"_tag\":\"Filled\",\"id\":7}")
      const metrics = await (await fetch(`${address}/metrics`)).text()
      assert.include(metrics, "\nspillway_sessions 1\n")
      const other = new Program.Client(trade)
      other.send("{\"id\":\"seven\"}")
      assert.strictEqual(await other.code, 1008)
      assert.strictEqual(await running.stop("SIGTERM"), 0)
      assert.strictEqual(await client.code, 1001)
    }
  )
})

describe("commands", () => {
  const good = ["npm start", "npm test", "PORT=9000 npm start -- --help", "npx tsx bench/src/queue.bench.ts"]
  const bad = [
    "npm stop",
    "npm run nothing",
    "npx tsx bench/src/nothing.ts",
    "npx nothing",
    "cargo run",
    "npm install x-y-z"
  ]

  it("are told apart: those that can be run, and those that cannot", () => {
    for (const command of good) assert.isUndefined(Commands.problem(root, command), command)
    for (const command of bad) assert.isDefined(Commands.problem(root, command), command)
    assert.deepEqual(Markdown.commands("```sh\nnpm a\n```\nsee `npm b`, `node`, `X=1 npx c`"), [
      "npm a",
      "npm b",
      "X=1 npx c"
    ])
  })

  for (const path of ["README.md", "CONTRIBUTING.md", ...readmesIn("packages")]) {
    it(`of ${path} exist`, () => {
      const problems = Markdown.commands(read(path)).map((command) => Commands.problem(root, command))
      assert.deepEqual(problems.filter((problem) => problem !== undefined), [])
    })
  }

  it("of the README include the two that do everything", () => {
    const commands = Markdown.commands(read("README.md"))
    assert.includeMembers([...commands], ["npm start", "npm test"])
  })
})

const brokenLinks = (path: string, text: string): ReadonlyArray<string> =>
  Markdown.relativeLinks(text).filter((link) => {
    const [target = "", anchor] = link.split("#")
    const file = Path.join(Path.dirname(path), target)
    if (target !== "" && !Fs.existsSync(Path.join(root, file))) return true
    return anchor !== undefined && !Markdown.anchors(target === "" ? text : read(file)).includes(anchor)
  })

const wrongCitations = (path: string, text: string): ReadonlyArray<string> =>
  Markdown.citations(text)
    .filter(({ quote, target }) => {
      const file = Path.join(Path.dirname(path), target)
      return !Fs.existsSync(Path.join(root, file)) || !read(file).includes(quote)
    })
    .map(({ quote, target }) => `${target}: ${quote}`)

describe("links and cited tests", () => {
  it("are told apart: those that resolve, and those that do not", () => {
    const sample =
      "# A b\n[x](README.md) [y](docs/nothing.md) [z](#a-b) [w](#c) [web](https://example.com) `[code](no)`"
    assert.deepEqual(brokenLinks("SAMPLE.md", sample), ["docs/nothing.md", "#c"])
    const cited = "[t](vitest.config.ts) \"availableParallelism\", \"no such words\" then \"what is no citation\""
    assert.deepEqual(Markdown.citations(cited).map(({ quote }) => quote), ["availableParallelism", "no such words"])
    assert.deepEqual(wrongCitations("SAMPLE.md", cited), ["vitest.config.ts: no such words"])
  })

  for (const path of documents) {
    it(`of ${path} resolve`, () => {
      const text = read(path)
      assert.deepEqual(brokenLinks(path, text), [])
      assert.deepEqual(wrongCitations(path, text), [])
    })
  }
})

describe("defaults", () => {
  const limits = Limits.all(read)

  const wrongDefaults = (text: string): ReadonlyArray<string> =>
    Markdown.citedDefaults(text)
      .filter(([name]) => limits.some((limit) => limit.name === name))
      .filter(([name, value]) => !limits.some((limit) => limit.name === name && limit.value === value))
      .map(([name, value]) => `${name} ${value}`)

  it("are told apart: those of the code, and others", () => {
    assert.deepEqual(wrongDefaults("`sendTimeout` 5 s, `sendTimeout` 6 s, `other` 1, `idleTimeout` off"), [
      "sendTimeout 6 s"
    ])
  })

  it("each limit has a meaning", () => {
    assert.deepEqual(limits.filter(({ meaning }) => meaning === "").map(({ name }) => name), [])
  })

  for (const path of documents) {
    it(`that ${path} cites are those of the code`, () => assert.deepEqual(wrongDefaults(read(path)), []))
  }

  it("the README has the table of limits (UPDATE=1 writes it)", () => {
    const expected = Markdown.replaceBetween(read("README.md"), "limits", Limits.markdown(limits))
    if (process.env["UPDATE"] === "1") Fs.writeFileSync(Path.join(root, "README.md"), expected)
    assert.strictEqual(read("README.md"), expected)
  })
})
