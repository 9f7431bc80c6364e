/**
 * The check of what would be published: each package is packed, looked at by publint and attw, and imported by a small
 * consumer that sees nothing but the tarballs and their peers.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { Failure, root, run, runModule, runNpm } from "./process.mjs"

const at = (...path) => Path.join(root, ...path)

/** More than this in one tarball is a mistake, such as a test or a map that slipped in. */
const tarballBytesMax = 400_000

/** The packages that are published, most basic first. */
export const folders = () =>
  ["packages/spillway", "packages/testing", "packages/node", "packages/jobs", "packages/workers"].filter((path) =>
    Fs.existsSync(at(path, "src/index.ts"))
  )

const listFiles = (folder) => (Fs.existsSync(folder) ? Fs.readdirSync(folder, { recursive: true }).map(String) : [])

/** Built files whose source is gone: the incremental build leaves them, and a user could import them. */
const leftovers = (folder) =>
  listFiles(at(folder, "dist"))
    .filter((path) => path.endsWith(".js"))
    .filter((path) => !Fs.existsSync(at(folder, "src", path.replace(/\.js$/, ".ts"))))

const must = ({ code, output }, what) => {
  if (code !== 0) throw new Failure(`${what}\n${output ?? ""}`)
}

const pack = async (folder, target) => {
  const ghosts = leftovers(folder)
  if (ghosts.length > 0) throw new Failure(`${folder}/dist holds ${ghosts.join(", ")} without a source: npm run clean`)
  const result = await runNpm(["pack", "--json", "--loglevel=error", "--pack-destination", target], {
    cwd: at(folder),
    capture: true
  })
  must(result, `${folder} could not be packed`)
  const manifest = JSON.parse(Fs.readFileSync(at(folder, "package.json"), "utf8"))
  const tarball = Path.join(target, `${manifest.name.replace("@", "").replace("/", "-")}-${manifest.version}.tgz`)
  const { size } = Fs.statSync(tarball)
  console.log(`${manifest.name}: ${size} bytes`)
  if (size > tarballBytesMax) throw new Failure(`${manifest.name} packs to ${size} bytes, more than ${tarballBytesMax}`)
  return { manifest, tarball }
}

/** Whether a built module imports a package, itself or through others of its own package. */
const loads = (file, name, seen = new Set()) => {
  if (seen.has(file)) return false
  seen.add(file)
  const targets = [...Fs.readFileSync(file, "utf8").matchAll(/^(?:import|export)\b[^"]*"([^"]+)"/gm)].map((found) =>
    found[1]
  )
  return targets.includes(name) ||
    targets.some((target) => target.startsWith(".") && loads(Path.resolve(file, "..", target), name, seen))
}

/** Unpacks the tarballs into a folder of their own, below the installed peers, and imports every public module there. */
const consume = async (packed, target) => {
  const modules = []
  for (const { manifest, tarball } of packed) {
    const folder = Path.join(target, "node_modules", manifest.name)
    Fs.mkdirSync(folder, { recursive: true })
    must(await run("tar", ["-xzf", tarball, "-C", folder, "--strip-components=1"]), `${tarball} could not be unpacked`)
    const dist = Path.join(folder, "dist")
    const names = Fs.readdirSync(dist).filter((file) => /^[A-Z]\w*\.js$/.test(file))
    // Law suites register tests: what loads one, a barrel for instance, loads in a vitest process only.
    const isSuite = (file) => loads(Path.join(dist, file), "@effect/vitest")
    if (!names.some(isSuite)) modules.push(manifest.name)
    modules.push(...names.filter((file) => !isSuite(file)).map((file) => `${manifest.name}/${Path.parse(file).name}`))
  }
  const hidden = `${packed[0].manifest.name}/internal/text`
  const program = [
    ...modules.map((name) => `await import(${JSON.stringify(name)})`),
    `if (await import(${JSON.stringify(hidden)}).then(() => true, () => false)) throw new Error("internal is public")`
  ]
  Fs.writeFileSync(Path.join(target, "consumer.mjs"), `${program.join("\n")}\n`)
  must(await run(process.execPath, [Path.join(target, "consumer.mjs")]), "A packed package cannot be imported")
  console.log(`imported ${modules.length} modules from the tarballs`)
}

export const check = async () => {
  const target = at(".tmp/packed")
  Fs.rmSync(target, { recursive: true, force: true })
  Fs.mkdirSync(target, { recursive: true })
  const packed = []
  for (const folder of folders()) packed.push(await pack(folder, target))
  for (const { tarball } of packed) {
    must(await runModule("publint/src/cli.js", [tarball, "--strict"]), "publint found something")
    must(
      await runModule("@arethetypeswrong/cli/dist/index.js", [tarball, "--profile", "esm-only", "--no-emoji"]),
      "attw found something"
    )
  }
  await consume(packed, target)
  return { code: 0 }
}
