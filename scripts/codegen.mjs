/**
 * `npm run codegen`: writes the barrels of the packages and the tables of the documents. What it writes is committed;
 * `npm run check` fails when it is out of date.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { pathToFileURL } from "node:url"
import { barrel, barrelPackages, documents, insert, isPublicModule } from "./lib/codegen.mjs"
import { build, install } from "./lib/prepare.mjs"
import { exitOnFailure, root } from "./lib/process.mjs"

const at = (...path) => Path.join(root, ...path)

const read = (path) => (Fs.existsSync(path) ? Fs.readFileSync(path, "utf8") : undefined)

const write = (path, text) => {
  if (read(at(path)) === text) return
  Fs.mkdirSync(Path.dirname(at(path)), { recursive: true })
  Fs.writeFileSync(at(path), text)
  console.log(`wrote ${path}`)
}

const writeBarrels = () => {
  for (const name of barrelPackages) {
    const src = `packages/${name}/src`
    const files = Fs.readdirSync(at(src)).filter(isPublicModule)
    if (files.length === 0) continue
    const modules = files.map((file) => ({ name: Path.parse(file).name, text: read(at(src, file)) }))
    write(`${src}/index.ts`, barrel(modules))
  }
}

const writeDocuments = async () => {
  for (const { from, module, path, render, title } of documents) {
    const file = at(`packages/${from}/dist`, `${module}.js`)
    if (!Fs.existsSync(file)) continue
    const body = render(await import(pathToFileURL(file).href))
    if (body !== undefined) write(path, insert(read(at(path)), title, body))
  }
}

const codegen = async () => {
  await install()
  writeBarrels()
  // Barrels alone need no build, so that a module under work does not stand in their way.
  if (process.argv.includes("--barrels")) return
  await build("packages/workers", "packages/jobs")
  await writeDocuments()
}

await codegen().catch(exitOnFailure)
