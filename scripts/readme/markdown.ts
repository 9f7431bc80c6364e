/**
 * What the tests of the documents read out of Markdown: code blocks, commands, links, cited tests and cited defaults.
 * Pure functions of text.
 */

export interface CodeBlock {
  readonly language: string
  readonly body: string
}

const fence = /^```(\w*)\n([\s\S]*?)^```$/gm

/** The fenced code blocks, in order. */
export const codeBlocks = (text: string): ReadonlyArray<CodeBlock> =>
  [...text.matchAll(fence)].map(([, language = "", body = ""]) => ({ language, body }))

/** What is left when code is taken out: there, brackets and quotes mean something else. */
const withoutBlocks = (text: string): string => text.replace(fence, "")

const isCommand = (code: string): boolean => /^(?:[A-Z_]+=\S+ )*(?:npm|npx|node) \S/.test(code)

/** The lines of shell blocks, and whatever stands as inline code and begins like a command. */
export const commands = (text: string): ReadonlyArray<string> => {
  const blocks = codeBlocks(text).filter(({ language }) => language === "sh")
  const lines = blocks.flatMap(({ body }) => body.split("\n")).filter((line) => line !== "" && !line.startsWith("#"))
  const inline = [...withoutBlocks(text).matchAll(/`([^`\n]+)`/g)].map(([, code = ""]) => code).filter(isCommand)
  return [...lines, ...inline]
}

/** The targets of links that are not addresses of the web. */
export const relativeLinks = (text: string): ReadonlyArray<string> =>
  [...withoutBlocks(text).replace(/`[^`\n]*`/g, "").matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target = ""]) => target)
    .filter((target) => !/^[a-z]+:/.test(target))

/** The anchors that headings have on GitHub. */
export const anchors = (text: string): ReadonlyArray<string> =>
  [...withoutBlocks(text).matchAll(/^#+ (.+)$/gm)].map(([, heading = ""]) =>
    heading.toLowerCase().replace(/[^\w\- ]/g, "").replaceAll(" ", "-")
  )

export interface Citation {
  /** Link target. */
  readonly target: string
  readonly quote: string
}

/** The quoted text that follows a link to a source file: names of tests, with commas between them. */
export const citations = (text: string): ReadonlyArray<Citation> => {
  const found: Array<Citation> = []
  for (const link of text.matchAll(/\]\(([^)\s]+\.ts)\)/g)) {
    const quote = /[\s,;:]*(?:(?:counter-test|and|law)\s+)?"([^"]+)"/y
    quote.lastIndex = link.index + link[0].length
    for (let next = quote.exec(text); next !== null; next = quote.exec(text)) {
      found.push({ target: link[1]!, quote: next[1]!.replace(/\s+/g, " ") })
    }
  }
  return found
}

/** Names of options that are followed by a value, as in "`sendTimeout` 5 s". */
export const citedDefaults = (text: string): ReadonlyArray<readonly [name: string, value: string]> =>
  [...withoutBlocks(text).matchAll(/`(\w+)` (off|[\d.]*\d(?: (?:ms|s|KiB|MiB)\b)?)/g)].map((
    [, name = "", value = ""]
  ) => [name, value] as const)

/** Puts a body between two marker lines, of which the first begins with `<!-- name: begin`. */
export const replaceBetween = (text: string, name: string, body: string): string => {
  const begin = new RegExp(`^<!-- ${name}: begin.*-->\n`, "m").exec(text)
  const end = text.indexOf(`<!-- ${name}: end -->`)
  if (begin === null || end === -1) throw new Error(`the markers of ${name} are missing`)
  return `${text.slice(0, begin.index + begin[0].length)}\n${body}\n\n${text.slice(end)}`
}
