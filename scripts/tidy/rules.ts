/**
 * The rules behind `tidy.test.ts`. Each takes one file and returns what is wrong with it, one sentence per finding.
 */
import ts from "typescript"
import type { File } from "./files.js"
import * as Tables from "./tables.js"

export type Rule = (file: File) => ReadonlyArray<string>

const parsed = new WeakMap<File, ts.SourceFile>()

/** Once for each file, whatever the number of rules. */
const parse = (file: File): ts.SourceFile => {
  const known = parsed.get(file)
  if (known !== undefined) return known
  const source = ts.createSourceFile(file.path, file.text, ts.ScriptTarget.ES2022, true)
  parsed.set(file, source)
  return source
}

const lineOf = (node: ts.Node) => node.getSourceFile().getLineAndCharacterOfPosition(node.getStart()).line + 1

const at = (file: File, line: number, message: string) => `${file.path}:${line} ${message}`

/** The node and all below it, in order. */
const nodes = (node: ts.Node, into: Array<ts.Node> = []): ReadonlyArray<ts.Node> => {
  into.push(node)
  ts.forEachChild(node, (child) => void nodes(child, into))
  return into
}

/** The modules a file imports or re-exports from, types included, with their lines. */
const imports = (file: File): ReadonlyArray<{ readonly from: string; readonly line: number }> =>
  parse(file).statements.flatMap((statement) =>
    (ts.isImportDeclaration(statement) || ts.isExportDeclaration(statement)) && statement.moduleSpecifier !== undefined
      ? [{ from: (statement.moduleSpecifier as ts.StringLiteral).text, line: lineOf(statement) }]
      : []
  )

// -----------------------------------------------------------------------------
// Layers
// -----------------------------------------------------------------------------

const layerOf = (module: string) => {
  const isIn = (layer: ReadonlyArray<string>) =>
    layer.some((entry) => (entry.endsWith("*") ? module.startsWith(entry.slice(0, -1)) : entry === module))
  // An exact name counts before a pattern: `internal/sessionId` could be listed in a layer of its own.
  const exact = Tables.layers.findIndex((layer) => layer.includes(module))
  return exact === -1 ? Tables.layers.findIndex(isIn) : exact
}

const core = "packages/spillway/src/"

const resolve = (module: string, from: string) => {
  const url = new URL(from, `file:///${module}`)
  return url.pathname.slice(1).replace(/\.js$/, "")
}

/** Core modules import from their own layer and the more basic ones only. */
export const layerOrder: Rule = (file) => {
  const module = file.path.slice(core.length).replace(/\.ts$/, "")
  const own = layerOf(module)
  if (own === -1) return [`${file.path} is in no layer: add "${module}" to layers in scripts/tidy/tables.ts`]
  return imports(file).flatMap(({ from, line }) => {
    if (!from.startsWith(".")) return []
    const target = resolve(module, from)
    const layer = layerOf(target)
    if (layer === -1) return [at(file, line, `imports "${target}", which is in no layer of scripts/tidy/tables.ts`)]
    return layer > own ? [at(file, line, `is in layer ${own} and imports "${target}" of layer ${layer}`)] : []
  })
}

const foreign: ReadonlyArray<readonly [RegExp, string]> = [
  [
    /^node:|^(fs|path|net|http|https|os|events|stream|buffer|util|crypto|timers|tls|url)(\/|$)/,
    "Node: use packages/node"
  ],
  [/^@effect\/platform(-|\/|$)/, "@effect/platform: use the Transport port"],
  [/^@spillway\//, "a package that stands on it"],
  [/^(?!effect\/|\.)/, "something other than effect/Module or its own files"]
]

/** The core imports `effect/Module` and itself. */
export const coreImports: Rule = (file) =>
  imports(file).flatMap(({ from, line }) => {
    const found = foreign.find(([pattern]) => pattern.test(from))
    return found === undefined ? [] : [at(file, line, `imports "${from}"; the core must not import ${found[1]}`)]
  })

// -----------------------------------------------------------------------------
// Length
// -----------------------------------------------------------------------------

/** Files stay within one sitting. */
export const fileLength: Rule = (file) => {
  const lines = file.text.replace(/\n$/, "").split("\n").length
  const listed = file.path in Tables.longFiles
  if (lines > Tables.fileLinesHardMax) {
    return [`${file.path} has ${lines} lines; ${Tables.fileLinesHardMax} is the limit`]
  }
  return lines > Tables.fileLinesMax && !listed
    ? [
      `${file.path} has ${lines} lines, more than ${Tables.fileLinesMax}: split it, or list it with a reason in longFiles`
    ]
    : []
}

const nameOf = (node: ts.FunctionLikeDeclaration): string => {
  if (node.name !== undefined) return node.name.getText()
  let parent: ts.Node = node.parent
  while (!ts.isSourceFile(parent)) {
    if (ts.isVariableDeclaration(parent) || ts.isPropertyAssignment(parent)) return parent.name.getText()
    parent = parent.parent
  }
  return "anonymous"
}

/** Functions stay within one screen. */
export const functionLength: Rule = (file) => {
  const source = parse(file)
  return nodes(source).flatMap((node) => {
    if (!ts.isFunctionLike(node) || !("body" in node) || node.body === undefined) return []
    const lines = source.getLineAndCharacterOfPosition(node.end).line + 2 - lineOf(node)
    const name = nameOf(node as ts.FunctionLikeDeclaration)
    return lines > Tables.functionLinesMax && !(`${file.path}#${name}` in Tables.longFunctions)
      ? [at(file, lineOf(node), `function ${name} has ${lines} lines, more than ${Tables.functionLinesMax}`)]
      : []
  })
}

// -----------------------------------------------------------------------------
// Banned names
// -----------------------------------------------------------------------------

/** Whether an identifier stands for a value of that name in the global scope, as far as the syntax tells. */
const isGlobalUse = (node: ts.Identifier) => {
  const parent = node.parent
  if (ts.isPropertyAccessExpression(parent) && parent.name === node) {
    return parent.expression.getText() === "globalThis"
  }
  const isDeclaration = "name" in parent && parent.name === node && !ts.isPropertyAccessExpression(parent)
  return !isDeclaration && !ts.isTypeQueryNode(parent) && !ts.isQualifiedName(parent)
}

const bannedName = (node: ts.Node): string | undefined => {
  if (ts.isPropertyAccessExpression(node)) {
    const text = node.getText()
    return text in Tables.banned ? text : undefined
  }
  if (ts.isNewExpression(node) && node.expression.getText() === "Date") {
    return (node.arguments?.length ?? 0) === 0 ? "new Date()" : undefined
  }
  if (ts.isFunctionLike(node) && ts.canHaveModifiers(node)) {
    const isAsync = ts.getModifiers(node)?.some((modifier) => modifier.kind === ts.SyntaxKind.AsyncKeyword)
    return isAsync === true ? "async function" : undefined
  }
  return ts.isIdentifier(node) && node.text in Tables.banned && isGlobalUse(node) ? node.text : undefined
}

/** No ambient time, randomness, timers or output: they come through Effect, so that a test can own them. */
export const bannedNames: Rule = (file) =>
  nodes(parse(file)).flatMap((node) => {
    const name = bannedName(node)
    if (name === undefined) return []
    if (Tables.bannedExceptions.some((exception) => exception.path === file.path && exception.name === name)) return []
    return [at(file, lineOf(node), `uses ${name}; use ${Tables.banned[name]}`)]
  })

// -----------------------------------------------------------------------------
// Tests
// -----------------------------------------------------------------------------

const testRoots = new Set(["it", "test", "describe", "suite", "bench", "effect", "scoped", "live", "scopedLive"])
const markers = new Set(["only", "skip", "todo", "fails"])

const rootName = (node: ts.Expression): string => {
  if (ts.isPropertyAccessExpression(node) || ts.isCallExpression(node)) return rootName(node.expression)
  return node.getText()
}

/** No test is left focused or switched off. `skipIf` with a condition is fine: it says when. */
export const testMarkers: Rule = (file) =>
  nodes(parse(file)).flatMap((node) =>
    ts.isPropertyAccessExpression(node) && markers.has(node.name.text) && testRoots.has(rootName(node))
      ? [at(file, lineOf(node), `leaves .${node.name.text} in a test`)]
      : []
  )

/** Names of tests state behaviour, and say nothing about where the question came from. */
export const testNames: Rule = (file) =>
  nodes(parse(file)).flatMap((node) => {
    if (!ts.isCallExpression(node) || !testRoots.has(rootName(node))) return []
    const title = node.arguments[0]
    if (title === undefined || !(ts.isStringLiteralLike(title) || ts.isTemplateExpression(title))) return []
    return /#\d+|\b(issue|bug|pr|gh)[ -]?#?\d+/i.test(title.getText())
      ? [at(file, lineOf(node), `names an issue in a test: ${title.getText()}; put the number in a comment`)]
      : []
  })

// -----------------------------------------------------------------------------
// Text
// -----------------------------------------------------------------------------

const findLines = (file: File, pattern: RegExp, message: string) =>
  file.text.split("\n").flatMap((line, index) => (pattern.test(line) ? [at(file, index + 1, message)] : []))

// Spelled in two parts, so that this file does not break its own rule.
const marker = new RegExp(`\\b(${["TO" + "DO", "FIX" + "ME", "XX" + "X"].join("|")})\\b(?!.*#\\d+)`)

/** Open ends are issues, not comments. */
export const openEnds: Rule = (file) => findLines(file, marker, "has an open end without an issue number (#n)")

const machinePath = new RegExp(
  `(?<![\\w.~$}/-])/(${["wo" + "rk", "ro" + "ot", "ho" + "me", "Us" + "ers"].join("|")})/\\w`
)

/** Nothing in the repository depends on where somebody keeps it. */
export const machinePaths: Rule = (file) => findLines(file, machinePath, "names a folder of one machine")

const registryHost = new RegExp(
  `\\bregistry\\.[\\w-]+\\.(com|org|net|io|dev)\\b|"resolved": "https?:|https?://[^/\\s"]*\\b${"veri"}daccio`
)

/** Where packages come from is the business of whoever installs them. */
export const registryHosts: Rule = (file) => findLines(file, registryHost, "names a package registry")
