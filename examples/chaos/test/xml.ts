/** Whether a text is one well-formed XML element, as far as this picture uses XML: no declarations, comments or CDATA. */

const attribute = /^\s+([A-Za-z_:][\w:.-]*)="([^"<]*)"/
const reference = /&(?!(?:amp|lt|gt|quot|apos|#\d+);)/

/** What is wrong with it; `undefined`: nothing. */
export const faultOf = (text: string): string | undefined => {
  const open: Array<string> = []
  let isOver = false
  for (const [piece] of text.trim().matchAll(/<[^>]*>|[^<]+/g)) {
    if (reference.test(piece)) return `a bare & in ${piece}`
    if (!piece.startsWith("<")) {
      if (open.length === 0) return `text outside: ${piece}`
      continue
    }
    if (isOver) return "a second element"
    const closing = /^<\/([\w:.-]+)>$/.exec(piece)
    if (closing !== null) {
      if (open.pop() !== closing[1]) return `${piece} closes nothing`
      isOver = open.length === 0
      continue
    }
    const opening = /^<([A-Za-z_][\w:.-]*)(.*?)(\/?)>$/s.exec(piece)
    if (opening === null) return `no tag: ${piece}`
    const names = new Set<string>()
    let rest = opening[2]!
    for (let found = attribute.exec(rest); found !== null; found = attribute.exec(rest)) {
      if (names.has(found[1]!)) return `${found[1]} twice in ${piece}`
      names.add(found[1]!)
      rest = rest.slice(found[0].length)
    }
    if (rest.trim() !== "") return `no attribute: ${rest}`
    if (opening[3] === "") open.push(opening[1]!)
    else isOver = open.length === 0
  }
  return open.length > 0 || !isOver ? "it does not end" : undefined
}
