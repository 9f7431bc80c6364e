/**
 * The rules about docblocks behind `tidy.test.ts`.
 */
import ts from "typescript"
import type { File } from "./files.js"
import type { Rule } from "./rules.js"
import { categories } from "./tables.js"

interface Doc {
  readonly text: string
  readonly tags: ReadonlyArray<readonly [name: string, text: string]>
}

const clean = (comment: string) =>
  comment
    .replace(/^\/\*\*|\*\/$/g, "")
    .split("\n")
    .map((line) => line.replace(/^\s*\* ?/, "").trimEnd())
    .join("\n")
    .trim()

/** The docblock directly before a node, or `undefined`. */
const docOf = (node: ts.Node): Doc | undefined => {
  const text = node.getSourceFile().text
  const comments = ts.getLeadingCommentRanges(text, node.getFullStart()) ?? []
  const range = comments.reverse().find(({ pos }) => text.startsWith("/**", pos))
  if (range === undefined) return undefined
  const body = clean(text.slice(range.pos, range.end))
  const tags = [...body.matchAll(/^@(\w+)[ \t]*(.*)$/gm)].map((match) => [match[1]!, match[2]!.trim()] as const)
  return { text: body, tags }
}

const tag = (doc: Doc, name: string) => doc.tags.find(([found]) => found === name)?.[1]

const lineOf = (node: ts.Node) => node.getSourceFile().getLineAndCharacterOfPosition(node.getStart()).line + 1

const isExported = (node: ts.Statement) =>
  ts.canHaveModifiers(node)
  && (ts.getModifiers(node)?.some((modifier) => modifier.kind === ts.SyntaxKind.ExportKeyword) ?? false)

const namesOf = (node: ts.Statement): ReadonlyArray<string> => {
  if (ts.isVariableStatement(node)) return node.declarationList.declarations.map(({ name }) => name.getText())
  if (ts.isExportDeclaration(node)) return [node.exportClause?.getText() ?? "*"]
  return "name" in node ? [(node.name as ts.Node | undefined)?.getText() ?? "default"] : ["default"]
}

const exportsOf = (file: File) => {
  const source = ts.createSourceFile(file.path, file.text, ts.ScriptTarget.ES2022, true)
  return source.statements
    .filter((statement) => isExported(statement) || ts.isExportDeclaration(statement))
    .map((node) => ({ node, name: namesOf(node).join(", "), doc: docOf(node) }))
}

/** The implementation of overloads: its doc is never shown. */
const isImplementation = (
  node: ts.Node,
  index: number,
  all: ReadonlyArray<{ readonly node: ts.Node; readonly name: string }>
) =>
  ts.isFunctionDeclaration(node)
  && node.body !== undefined
  && all.slice(0, index).some((other) => ts.isFunctionDeclaration(other.node) && other.name === all[index]!.name)

const docProblems = (doc: Doc | undefined): ReadonlyArray<string> => {
  if (doc === undefined) return ["has no docblock"]
  if (tag(doc, "internal") !== undefined) return []
  const category = tag(doc, "category")
  const first = doc.text.split(/\n\s*\n|\n@|^@/)[0]!.trim()
  return [
    ...(/[.:?!)](\s|$)/.test(first) ? [] : ["has no first sentence"]),
    ...(tag(doc, "since") ? [] : ["has no @since"]),
    ...(category === undefined
      ? ["has no @category"]
      : categories.includes(category)
      ? []
      : [`has the category "${category}"; the list is ${categories.join(", ")}`])
  ]
}

/** Every export of a public module says what it does, since when, and where it belongs. */
export const publicDocs: Rule = (file) =>
  exportsOf(file).flatMap(({ doc, name, node }, index, all) =>
    isImplementation(node, index, all)
      ? []
      : docProblems(doc).map((problem) => `${file.path}:${lineOf(node)} export ${name} ${problem}`)
  )

/** A public module opens with what it decides. */
export const moduleDocs: Rule = (file) => {
  const block = /^\s*(\/\*\*[\s\S]*?\*\/)/.exec(file.text)
  if (block === null) return [`${file.path} does not open with a docblock`]
  const body = clean(block[1]!)
  return [
    ...(/^[^@]/.test(body) ? [] : [`${file.path} opens with a docblock that says nothing`]),
    ...(/^@since /m.test(body) ? [] : [`${file.path} has no @since in its opening docblock`])
  ]
}

/** The call signatures of `export const x: { (a): b; (c): d }`. */
const signaturesOf = (node: ts.Statement): ReadonlyArray<ts.CallSignatureDeclaration> => {
  if (!ts.isVariableStatement(node)) return []
  return node.declarationList.declarations.flatMap(({ type }) =>
    type !== undefined && ts.isTypeLiteralNode(type) ? type.members.filter(ts.isCallSignatureDeclaration) : []
  )
}

/**
 * Every overload carries the doc of the whole, in the same words: an editor shows only the doc of the overload that was
 * called, so a missing copy is an undocumented function and a different one is a contradiction.
 */
export const overloadDocs: Rule = (file) => {
  const all = exportsOf(file)
  const constants = all.flatMap(({ doc, name, node }) => {
    const signatures = signaturesOf(node)
    return signatures.length < 2
      ? []
      : signatures.map((signature) => ({ name, node: signature, doc: docOf(signature), whole: doc }))
  })
  const functions = all.flatMap(({ doc, name, node }, index) => {
    const first = all.find((other) => ts.isFunctionDeclaration(other.node) && other.name === name)
    if (!ts.isFunctionDeclaration(node) || first?.node === node || isImplementation(node, index, all)) return []
    return [{ name, node, doc, whole: first?.doc }]
  })
  return [...constants, ...functions].flatMap(({ doc, name, node, whole }) =>
    doc?.text === whole?.text
      ? []
      : [`${file.path}:${lineOf(node)} an overload of ${name} has ${doc === undefined ? "no" : "another"} docblock`]
  )
}
