/**
 * What is promised of the repository as a whole: its commands, its dependencies, typed errors, laws that replay. Each check
 * first proves on a bad sample that it can fail.
 */
import * as FastCheck from "effect/FastCheck"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { assert, describe, it } from "vitest"
import * as Files from "./tidy/files.js"

const read = (path: string): string => Fs.readFileSync(Path.join(Files.root, path), "utf8")

const json = (path: string) => JSON.parse(read(path))

const files = Files.readAll()

describe("A001: one command each", () => {
  it("A001 what users look for is at the top", () => {
    const top = ["package.json", "tsconfig.json", "packages", "examples", "vitest.workspace.ts", "README.md", "LICENSE"]
    assert.deepStrictEqual(top.filter((name) => !Fs.existsSync(Path.join(Files.root, name))), [])
  })

  it("A001 install, types, build and tests are one command, which continuous integration runs", () => {
    const { scripts, engines } = json("package.json")
    for (const name of ["start", "test", "check", "build"]) assert.isString(scripts[name], name)
    assert.strictEqual(engines.node, ">=20")
    assert.match(read(".ci/run"), /^exec npm test$/m)
  })
})

/** What each package may need to run, beside the packages of this repository. */
const runtime: Readonly<Record<string, ReadonlyArray<string>>> = {
  spillway: ["effect"],
  jobs: ["@effect/platform", "effect", "libsql"],
  node: ["@effect/platform", "@effect/platform-node", "effect", "ws"],
  testing: ["@effect/vitest", "effect"],
  workers: ["@effect/platform", "@msgpack/msgpack", "effect"]
}

interface Manifest {
  readonly dependencies?: Record<string, string>
  readonly peerDependencies?: Record<string, string>
}

const needs = ({ dependencies, peerDependencies }: Manifest): ReadonlyArray<string> =>
  Object.keys({ ...dependencies, ...peerDependencies })
    .filter((name) => name !== "spillway" && !name.startsWith("@spillway/"))
    .sort()

/** Places in a lock file where a package is installed. */
const copies = (lock: { readonly packages: Record<string, unknown> }, name: string): ReadonlyArray<string> =>
  Object.keys(lock.packages).filter((path) => path.endsWith(`node_modules/${name}`))

describe("A002: dependencies", () => {
  it("A002 a package needs what its entry in the table says and nothing else", () => {
    assert.deepStrictEqual(needs({ dependencies: { left: "1" }, peerDependencies: { effect: "3" } }), [
      "effect",
      "left"
    ])
    const found = Fs.readdirSync(Path.join(Files.root, "packages")).map((folder) =>
      [folder, needs(json(`packages/${folder}/package.json`))] as const
    )
    assert.deepStrictEqual(Object.fromEntries(found), runtime)
  })

  it("A002 there is one effect in the tree, of the third major", () => {
    const twice = { packages: { "node_modules/effect": {}, "node_modules/a/node_modules/effect": {} } }
    assert.lengthOf(copies(twice, "effect"), 2)
    const lock = json("package-lock.json")
    assert.deepStrictEqual(copies(lock, "effect"), ["node_modules/effect"])
    assert.match(lock.packages["node_modules/effect"].version, /^3\.22\./)
  })
})

/** Types of effects, layers and streams in a text whose channel of errors is `any` or `unknown`. */
const untyped = (text: string): ReadonlyArray<string> => {
  const found: Array<string> = []
  for (const match of text.matchAll(/\b(?:Effect\.Effect|Layer\.Layer|Stream\.Stream)</g)) {
    const parts: Array<string> = [""]
    let depth = 0
    for (let at = match.index + match[0].length; at < text.length; at++) {
      const char = text[at]!
      if (char === ">" && text[at - 1] !== "=" && depth-- === 0) break
      if ("<([{".includes(char)) depth++
      if (")]}".includes(char)) depth--
      if (char === "," && depth === 0) parts.push("")
      else parts[parts.length - 1] += char
    }
    if (/^\s*(any|unknown)\s*$/.test(parts[1] ?? "")) found.push(`${match[0]}${parts.join(",")}>`)
  }
  return found
}

/** Types that take effects of any kind in and give none out. */
const takes: ReadonlySet<string> = new Set([
  "packages/testing/src/SessionLaws.ts: Effect.Effect<unknown, unknown, Scope.Scope>"
])

describe("A007: typed errors", () => {
  it("A007 no public module has an effect whose error is any or unknown", () => {
    assert.lengthOf(untyped("const a: Effect.Effect<Map<string, () => void>, any, never>"), 1)
    assert.lengthOf(untyped("(x: Effect.Effect<unknown, E>) => Layer.Layer<never, InvalidOption, Scope.Scope>"), 0)
    const found = files.filter((file) => Files.isPublic(file.path)).flatMap(({ path, text }) =>
      untyped(text.replace(/^ \*.*$/gm, "")).map((type) => `${path}: ${type}`)
    )
    assert.deepStrictEqual(found.filter((type) => !takes.has(type)), [])
  })
})

describe("A009: laws", () => {
  const laws = ["laneQueue", "outboxCore", "Session"].map((name) => `packages/spillway/test/${name}.laws.test.ts`)

  it("A009 a law that fails prints the seed and the path that replay it", () => {
    const failing = FastCheck.property(FastCheck.nat(), (n) => n < 10)
    const message = (() => {
      try {
        FastCheck.assert(failing, { seed: 7 })
      } catch (error) {
        return String(error)
      }
      return ""
    })()
    assert.match(message, /seed: 7, path: "[\d:]+"/)
  })

  it("A009 the lane queue, the outbox and whole sessions have such laws, under a seed of their own", () => {
    for (const path of laws) {
      const text = read(path)
      assert.match(text, /FastCheck|fastCheck/, path)
      assert.match(text, /\bseed\b/, path)
    }
  })
})
