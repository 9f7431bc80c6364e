import * as Fs from "node:fs"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import { assert, it } from "vitest"
import { mutations } from "./mutations.mjs"

const root = Path.resolve(Path.dirname(fileURLToPath(import.meta.url)), "..")

it("each mutation has exactly one place in the sources, and changes it", () => {
  assert.isAtLeast(mutations.length, 15)
  for (const { from, name, path, to } of mutations) {
    const text = Fs.readFileSync(Path.join(root, path), "utf8")
    assert.strictEqual(text.split(from).length, 2, `"${name}" in ${path}`)
    assert.notStrictEqual(from, to, name)
  }
})
