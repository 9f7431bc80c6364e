/**
 * The house rules that a program can check, as ordinary tests. Each rule first proves on a small bad sample that it can
 * fail, then looks at the repository. What is allowed stands in `tidy/tables.ts`.
 */
import { assert, describe, it } from "vitest"
import * as Codegen from "./lib/codegen.mjs"
import * as Lock from "./lib/lock.mjs"
import { installState } from "./lib/prepare.mjs"
import * as Docs from "./tidy/docs.js"
import * as Files from "./tidy/files.js"
import * as Rules from "./tidy/rules.js"
import * as Tables from "./tidy/tables.js"

const files = Files.readAll()

const core = "packages/spillway/src/"

interface Check {
  readonly name: string
  readonly rule: Rules.Rule
  readonly applies: (path: string) => boolean
  /** Path and text of files the rule must refuse, and of files it must accept. */
  readonly bad: ReadonlyArray<readonly [path: string, text: string]>
  readonly good: ReadonlyArray<readonly [path: string, text: string]>
}

const doc = (first: string, ...tags: ReadonlyArray<string>) =>
  ["/**", ...[first, "", ...tags].map((line) => ` * ${line}`), " */\n"].join("\n")

const full = doc("Makes it.", "@since 0.1.0", "@category constructors")

const lines = (count: number) => "const a = 1\n".repeat(count)

const checks: ReadonlyArray<Check> = [
  {
    name: "core modules import from their own layer and more basic ones",
    rule: Rules.layerOrder,
    applies: (path) => Files.isCore(path) && !Files.isBarrel(path),
    bad: [
      [`${core}Lane.ts`, `import type * as Hub from "./Hub.js"`],
      [`${core}internal/ring.ts`, `import { x } from "../Session.js"`],
      [`${core}Nowhere.ts`, ""],
      [`${core}Hub.ts`, `export * from "./Nowhere.js"`]
    ],
    good: [
      [`${core}Hub.ts`, `import * as Lane from "./Lane.js"\nimport * as Effect from "effect/Effect"`],
      [`${core}internal/sessionWriter.ts`, `import type { Session } from "../Session.js"`]
    ]
  },
  {
    name: "the core imports effect/Module and itself",
    rule: Rules.coreImports,
    applies: Files.isCore,
    bad: [
      [`${core}Lane.ts`, `import * as Fs from "node:fs"`],
      [`${core}Lane.ts`, `import type { Socket } from "@effect/platform/Socket"`],
      [`${core}Lane.ts`, `import { Effect } from "effect"`],
      [`${core}Lane.ts`, `import type { WebSocket } from "ws"`]
    ],
    good: [[`${core}Hub.ts`, `import * as Effect from "effect/Effect"\nimport * as Lane from "./Lane.js"`]]
  },
  {
    name: `source files have at most ${Tables.fileLinesMax} lines`,
    rule: Rules.fileLength,
    applies: (path) => Files.isSource(path) && !Files.isBarrel(path),
    bad: [["a.ts", lines(Tables.fileLinesMax + 1)], ["a.ts", lines(Tables.fileLinesHardMax + 1)]],
    good: [["a.ts", lines(Tables.fileLinesMax)]]
  },
  {
    name: `functions have at most ${Tables.functionLinesMax} lines`,
    rule: Rules.functionLength,
    applies: Files.isSource,
    bad: [
      ["a.ts", `function f() {\n${lines(Tables.functionLinesMax - 1)}}`],
      ["a.ts", `const f = () => {\n${lines(Tables.functionLinesMax - 1)}}`],
      ["a.ts", `class A { m() {\n${lines(Tables.functionLinesMax - 1)}} }`]
    ],
    good: [["a.ts", `function f() {\n${lines(Tables.functionLinesMax - 2)}}`]]
  },
  {
    name: "source has no ambient time, randomness, timers, output or async functions",
    rule: Rules.bannedNames,
    applies: Files.isSource,
    bad: [
      "const a = Date.now()",
      "const a = { now: Date.now }",
      "const a = new Date()",
      "const a = Math.random()",
      "setTimeout(f, 1)",
      "globalThis.setTimeout(f, 1)",
      "const a = setInterval",
      "setImmediate(f)",
      "console.log(1)",
      "async function f() {}",
      "const f = async () => 1",
      "class A { async m() {} }"
    ].map((text) => ["packages/node/src/A.ts", text] as const),
    good: [
      "socket.setTimeout(0)",
      "const a = new Date(millis)",
      "const a = Effect.async((resume) => resume(b))",
      "interface A { readonly setTimeout: number; readonly console: string }"
    ].map((text) => ["packages/node/src/A.ts", text] as const)
  },
  {
    name: "no test is left focused or switched off",
    rule: Rules.testMarkers,
    applies: Files.isTest,
    bad: ["it.only('a', f)", "describe.skip('a', f)", "it.effect.skip('a', f)", "it.todo('a')"].map((text) =>
      ["a.test.ts", text] as const
    ),
    good: [["a.test.ts", "it.skipIf(noBrowser)('a', f)\nStream.skip(1)"]]
  },
  {
    name: "names of tests carry no issue numbers",
    rule: Rules.testNames,
    applies: Files.isTest,
    bad: [["a.test.ts", "it('closes (#12)', f)"], ["a.test.ts", "it.effect(`issue 12: closes`, f)"]],
    good: [["a.test.ts", "it('a message of 12 bytes fits', f)"]]
  },
  {
    name: "public modules open with a docblock",
    rule: Docs.moduleDocs,
    applies: Files.isPublic,
    bad: [["A.ts", "export const a = 1"], ["A.ts", "/** @since 0.1.0 */"], ["A.ts", "/** Something. */"]],
    good: [["A.ts", doc("Decides.", "@since 0.1.0")]]
  },
  {
    name: "public exports have a first sentence, @since and a listed @category",
    rule: Docs.publicDocs,
    applies: Files.isPublic,
    bad: [
      ["A.ts", "export const a = 1"],
      ["A.ts", `${doc("no sentence", "@since 0.1.0", "@category models")}export type A = 1`],
      ["A.ts", `${doc("Is.", "@category models")}export interface A {}`],
      ["A.ts", `${doc("Is.", "@since 0.1.0")}export class A {}`],
      ["A.ts", `${doc("Is.", "@since 0.1.0", "@category utils")}export function a() {}`],
      ["A.ts", `const a = 1\nexport { a }`]
    ],
    good: [
      ["A.ts", `${full}export const a = 1\nconst b = 2`],
      [
        "A.ts",
        `${full}export function a(b: 1): 1\n${full}export function a(b: 2): 2\nexport function a(b: any) { return b }`
      ]
    ]
  },
  {
    name: "overloads carry equal docblocks",
    rule: Docs.overloadDocs,
    applies: Files.isPublic,
    bad: [
      ["A.ts", `${full}export const a: {\n${full}(b: 1): 1\n(b: 2): 2\n} = f`],
      ["A.ts", `${full}export const a: {\n${full}(b: 1): 1\n${full.replace("it", "that")}(b: 2): 2\n} = f`],
      ["A.ts", `${full}export function a(b: 1): 1\nexport function a(b: 2): 2\nexport function a(b: any) { return b }`]
    ],
    good: [["A.ts", `${full}export const a: {\n${full}(b: 1): 1\n${full}(b: 2): 2\n} = f`]]
  },
  {
    name: "no open end without an issue",
    rule: Rules.openEnds,
    applies: (path) => /\.(ts|mjs|cjs|sh|html|css)$/.test(path),
    bad: [["a.ts", "// TO" + "DO later"], ["a.ts", "/* FIX" + "ME */"]],
    good: [["a.ts", "// TO" + "DO(#12): when the port allows it"]]
  },
  {
    name: "no path of one machine",
    rule: Rules.machinePaths,
    applies: () => true,
    bad: ["wo" + "rk", "ro" + "ot", "ho" + "me"].map((folder) => ["a.md", `see "/${folder}/me/file"`] as const),
    good: [["a.md", "see packages/node/src and https://example.com/ho" + "me/page"]]
  },
  {
    name: "no package registry",
    rule: Rules.registryHosts,
    applies: () => true,
    bad: [["package-lock.json", `"resolved": "ht` + `tps://example.com/a.tgz"`], ["a.md", "regis" + "try.example.org"]],
    good: [["a.ts", "registry.entries()\nregistry.sessions.size\n// the registry of close codes"], [
      "package-lock.json",
      `"resolved": "bench"`
    ]]
  }
]

describe("tidy", () => {
  for (const { applies, bad, good, name, rule } of checks) {
    describe(name, () => {
      it("refuses the bad samples and accepts the good ones", () => {
        for (const [path, text] of bad) assert.notDeepEqual(rule({ path, text }), [], `accepted: ${text.slice(0, 80)}`)
        for (const [path, text] of good) assert.deepEqual(rule({ path, text }), [], `refused: ${text.slice(0, 80)}`)
      })

      it("holds in the repository", () => {
        const found = files.filter(({ path }) => applies(path)).flatMap(rule)
        assert.deepEqual(found, [])
      })
    })
  }
})

describe("exceptions", () => {
  it("each names a file that exists and a reason", () => {
    const paths = new Set(files.map(({ path }) => path))
    const listed = [
      ...Object.entries(Tables.longFiles),
      ...Object.entries(Tables.longFunctions).map(([key, reason]) => [key.split("#")[0]!, reason] as const),
      ...Tables.bannedExceptions.map(({ path, reason }) => [path, reason] as const)
    ]
    for (const [path, reason] of listed) {
      assert.isTrue(paths.has(path), `${path} is gone: take it off its list in scripts/tidy/tables.ts`)
      assert.isTrue(reason.length > 10, `${path} needs a reason`)
    }
  })
})

describe("generated files", () => {
  const textOf = (path: string) => files.find((file) => file.path === path)?.text

  it("a barrel names each module once, with the first paragraph of its doc", () => {
    const modules = [{ name: "B", text: doc("Does b.", "@since 0.1.0") }, { name: "A", text: "export {}" }]
    const expected = "/**\n * Does b.\n *\n * @since 0.1.0\n */\nexport * as B from \"./B.js\"\n"
    assert.isTrue(Codegen.barrel(modules).endsWith(expected))
  })

  it("a document keeps what is written by hand around its table", () => {
    const once = Codegen.insert("# A\n\nBefore.\n", "A", "one")
    assert.isTrue(once.startsWith("# A\n\nBefore.\n") && once.includes("\n\none\n\n"))
    assert.strictEqual(Codegen.insert(once, "A", "one"), once)
    assert.isFalse(Codegen.insert(once, "A", "two").includes("one"))
  })

  for (const name of Codegen.barrelPackages) {
    it(`the barrel of packages/${name} is up to date (npm run codegen)`, () => {
      const src = `packages/${name}/src/`
      const modules = files
        .filter(({ path }) => path.startsWith(src) && Codegen.isPublicModule(path.slice(src.length)))
        .map(({ path, text }) => ({ name: path.slice(src.length, -3), text }))
      if (modules.length > 0) assert.strictEqual(textOf(`${src}index.ts`), Codegen.barrel(modules))
    })
  }

  for (const { from, module, path, render, title } of Codegen.documents) {
    it(`${path} is up to date (npm run codegen)`, async () => {
      const source = `packages/${from}/src/${module}.ts`
      if (textOf(source) === undefined) return
      const body = render(await import(/* @vite-ignore */ `../${source}`))
      if (body === undefined) return
      assert.strictEqual(textOf(path), Codegen.insert(textOf(path), title, body))
    })
  }
})

describe("installed dependencies", () => {
  const lock = {
    packages: {
      "": {},
      "node_modules/a": { version: "1.0.0" },
      "node_modules/b": { version: "1.0.0", optional: true }
    }
  }
  const a = (version: string) => ({ packages: { "node_modules/a": { version } } })

  it("are absent without a record, stale when a version or a folder differs, fresh otherwise", () => {
    assert.strictEqual(installState(lock, undefined, () => true), "absent")
    assert.strictEqual(installState(lock, a("0.9.0"), () => true), "stale")
    assert.strictEqual(installState(lock, { packages: {} }, () => true), "stale")
    assert.strictEqual(installState(lock, a("1.0.0"), () => false), "stale")
    assert.strictEqual(installState(lock, a("1.0.0"), () => true), "fresh")
  })
})

describe("lock file", () => {
  const lock = {
    packages: {
      "": {},
      "node_modules/a": { version: "1.0.0", dev: true, optionalDependencies: { "@a/linux-arm64-musl": "1.0.0" } }
    }
  }

  it("gets an entry for an optional package that npm left out", () => {
    assert.deepEqual(Lock.missing(lock).map(({ name }) => name), ["@a/linux-arm64-musl"])
    const completed = Lock.complete(lock)
    assert.deepEqual(Lock.missing(completed), [])
    assert.deepEqual(completed.packages["node_modules/@a/linux-arm64-musl"], {
      version: "1.0.0",
      cpu: ["arm64"],
      libc: ["musl"],
      os: ["linux"],
      dev: true,
      optional: true
    })
  })

  it("has every optional package, so that npm ci accepts it (npm run lock)", () => {
    const text = files.find(({ path }) => path === "package-lock.json")!.text
    assert.deepEqual(Lock.missing(JSON.parse(text)).map(({ name }) => name), [])
  })
})
