import { assert, describe, it } from "vitest"
import { analyseText, report } from "../src/Analysis.js"
import { line } from "../src/line.js"

describe("analysis", () => {
  it("counts bytes, lines and words, and knows the words that come often", () => {
    const file = analyseText("a.md", "One fish,\ntwo fish — Fisch\n")
    assert.deepInclude(file, { bytes: 29, lines: 3, words: 5, longestLine: 16 })
    assert.deepStrictEqual(file.often[0], ["fish", 2])
  })

  it("a report sums up, largest and most frequent first", () => {
    const all = report([
      analyseText("a.md", "fish"),
      analyseText("b/c.ts", "fish and chips"),
      analyseText("LICENSE", "")
    ])
    assert.deepInclude(all, { files: 3, bytes: 18 })
    assert.deepStrictEqual(all.largest[0], ["b/c.ts", 14])
    assert.deepStrictEqual(all.often[0], ["fish", 2])
    assert.deepStrictEqual(all.kinds, [[".md", 1], [".ts", 1], ["other", 1]])
  })

  it("a line in a terminal holds nothing that the terminal obeys", () => {
    assert.notMatch(line({ type: "error", data: { message: "\u001b[2Jgone\nnext" } }), /\p{Cc}/u)
  })
})
