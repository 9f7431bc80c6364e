/** What all benches have in common, and what they left in `bench/results`. */
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import { afterEach, assert, beforeEach, describe, it, vi } from "vitest"
import { claim, median, parse, quantile, writeResults } from "../src/report.js"

const root = fileURLToPath(new URL("../..", import.meta.url))
const read = (path: string): string => Fs.readFileSync(Path.join(root, path), "utf8")

const suffix = ".bench.ts"
const benches = Fs.readdirSync(Path.join(root, "bench/src"))
  .filter((file) => file.endsWith(suffix))
  .map((file) => file.slice(0, -suffix.length))
const resultFiles = Fs.readdirSync(Path.join(root, "bench/results"))

class Exit extends Error {
  constructor(readonly code: unknown) {
    super(`exit ${String(code)}`)
  }
}

let out: Array<string> = []
let errors: Array<string> = []
const exitCode = process.exitCode

beforeEach(() => {
  ;[out, errors] = [[], []]
  process.exitCode = undefined
  vi.spyOn(console, "log").mockImplementation((line: string) => void out.push(line))
  vi.spyOn(console, "error").mockImplementation((line: string) => void errors.push(line))
  vi.spyOn(process, "exit").mockImplementation((code) => {
    throw new Exit(code)
  })
})

afterEach(() => {
  vi.restoreAllMocks()
  process.exitCode = exitCode
})

describe("the command line of a bench", () => {
  const usage = "npx tsx bench/src/some.bench.ts [--seconds N] [--kind KIND] [--fast]"
  const read = (...args: ReadonlyArray<string>) =>
    parse(usage, { seconds: 20, kind: "node", fast: false, part: undefined }, args)
  const exitOf = (...args: ReadonlyArray<string>): unknown => {
    try {
      read(...args)
    } catch (error) {
      if (error instanceof Exit) return error.code
      throw error
    }
    return "none"
  }

  it("A150 has its defaults, and what is given has their types", () => {
    const { fast, json, kind, part, seconds } = read()
    assert.deepStrictEqual([seconds, kind, fast, part, json], [20, "node", false, undefined, undefined])
    const given = read("--seconds", "1.5", "--kind", "python", "--fast", "--json", "a.json")
    assert.deepStrictEqual([given.seconds, given.kind, given.fast, given.json], [1.5, "python", true, "a.json"])
  })

  it("A150 --help prints the usage and ends with 0", () => {
    assert.strictEqual(exitOf("--help"), 0)
    assert.deepStrictEqual([out, errors], [[usage], []])
  })

  for (const wrong of [["--nothing"], ["--seconds", "many"], ["--seconds"], ["stray"]]) {
    it(`A150 ${wrong.join(" ")} ends with 2, says what is wrong and prints the usage`, () => {
      assert.strictEqual(exitOf(...wrong), 2)
      assert.strictEqual(errors.length, 1)
      assert.include(errors[0]!, wrong[0]!)
      assert.isTrue(errors[0]!.endsWith(`\n${usage}`))
    })
  }

  it("A150 claim prints what it claims, and makes the run a failure only when it does not hold", () => {
    claim("fast", true)
    assert.isUndefined(process.exitCode)
    claim("small", false)
    claim("fast", true)
    assert.strictEqual(process.exitCode, 1)
    assert.deepStrictEqual(out, ["  holds: fast", "  FAILS: small", "  holds: fast"])
  })

  it("A150 quantile takes the value at its share, median the mean of the middle two", () => {
    const sorted = Array.from({ length: 100 }, (_, i) => i)
    assert.deepStrictEqual([0, 0.5, 0.99, 1].map((share) => quantile(sorted, share)), [0, 50, 99, 99])
    assert.deepStrictEqual([median([3, 1, 2]), median([4, 1, 3, 2])], [2, 2.5])
    assert.deepStrictEqual([quantile([], 0.5), median([])], [NaN, NaN])
  })
})

describe("every bench", () => {
  /** What a bench does by itself of what it should leave to the module. */
  const problemsOf = (source: string): ReadonlyArray<string> => [
    ...(/import \{[^}]*\bparse\b[^}]*\} from "\.\/report\.js"[^]* = parse\(/.test(source) ? [] : ["parse"]),
    ...(/parseArgs|process\.argv\.(indexOf|includes)/.test(source) ? ["options"] : []),
    ...(/cpus\(\)\[0\]|process\.version|rev-parse/.test(source) ? ["machine"] : [])
  ]

  it("A150 is told apart from one that reads its options or the machine by itself", () => {
    const bad = "import { parseArgs } from \"node:util\"\nconsole.log(Os.cpus()[0]?.model)"
    assert.deepStrictEqual(problemsOf(bad), ["parse", "options", "machine"])
  })

  for (const name of benches) {
    it(`A150 ${name} leaves its options and the machine to the module report`, () => {
      assert.deepStrictEqual(problemsOf(read(`bench/src/${name}${suffix}`)), [])
    })
  }
})

describe("committed results", () => {
  /** Measured before results said what they ran on, beside the version of Node. A new run says it. */
  const withoutCpu = new Set([
    "connections",
    "deploy",
    "ghosts",
    "handshakes",
    "workers-chaos",
    "workers-pool"
  ])

  const problemsOf = (name: string, json: string): ReadonlyArray<string> => {
    const { machine = {}, ...rest } = JSON.parse(json) as Record<string, Record<string, unknown>>
    const { commit = "abcdef0", cores, cpu, node, ...unknown } = machine
    const saysCpu = typeof cpu === "string" && cpu !== ""
    const isOld = withoutCpu.has(name) && cpu === undefined && cores === undefined
    return [
      ...(Object.keys(rest).join() === "parameters,results" ? [] : ["form"]),
      ...(Object.values(rest).every((value) => typeof value === "object" && value !== null) ? [] : ["values"]),
      ...(typeof node === "string" && /^v\d+\./.test(node) ? [] : ["node"]),
      ...(saysCpu || isOld ? [] : ["cpu"]),
      ...(/^[0-9a-f]{7,}$/.test(String(commit)) && Object.keys(unknown).length === 0 ? [] : ["machine"])
    ]
  }

  it("A150 what a run writes is right, and anything else is not", () => {
    const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "spillway-report-"))
    try {
      const path = Path.join(folder, "some.json")
      writeResults(undefined, { parameters: {}, results: {} })
      assert.deepStrictEqual(Fs.readdirSync(folder), [])
      writeResults(path, { parameters: { seconds: 1 }, results: [1, 2] })
      const written = Fs.readFileSync(path, "utf8")
      assert.deepStrictEqual(problemsOf("some", written), [])
      const { machine, parameters, results } = JSON.parse(written) as Record<string, object>
      assert.deepStrictEqual([parameters, results], [{ seconds: 1 }, [1, 2]])
      const wrong = JSON.stringify({ machine: { ...machine, cpu: undefined, cpus: 2 }, parameters, figures: results })
      assert.deepStrictEqual(problemsOf("some", wrong), ["form", "cpu", "machine"])
      assert.deepStrictEqual(problemsOf("some", "{\"node\":\"v20\"}"), ["form", "values", "node", "cpu"])
    } finally {
      Fs.rmSync(folder, { recursive: true })
    }
  })

  for (const file of resultFiles) {
    it(`A150 ${file} is of a bench, and has machine, parameters and results`, () => {
      const name = Path.basename(file, ".json")
      assert.include(benches, name)
      assert.deepStrictEqual(problemsOf(name, read(`bench/results/${file}`)), [])
    })
  }
})

describe("the figures of the README", () => {
  const [, figures = ""] = /<!-- figures:([\s\S]*?)<!-- \/figures -->/.exec(read("README.md")) ?? []
  const rows = figures.split("\n").filter((line) => line.startsWith("| ")).slice(2)
  const cited = rows.map((row) => /`npm run bench -- ([\w-]+)` \|$/.exec(row)?.[1])

  it("A150 are printed by benches that there are, whose results are kept", () => {
    assert.isAbove(rows.length, 0)
    for (const [at, name] of cited.entries()) {
      assert.isDefined(name, rows[at])
      assert.include(benches, name)
      assert.include(resultFiles, `${name}.json`)
    }
  })
})
