/**
 * Whether a command that a document names can be run in this repository.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"

interface Manifest {
  readonly name?: string
  readonly scripts?: Readonly<Record<string, string>>
  readonly dependencies?: Readonly<Record<string, string>>
  readonly devDependencies?: Readonly<Record<string, string>>
  readonly peerDependencies?: Readonly<Record<string, string>>
}

const manifest = (path: string): Manifest => JSON.parse(Fs.readFileSync(path, "utf8")) as Manifest

/** Every package that the workspace is made of or depends on. */
const installable = (root: string): ReadonlySet<string> => {
  const names = new Set<string>()
  for (const folder of ["", ...Fs.readdirSync(Path.join(root, "packages")).map((name) => `packages/${name}`)]) {
    const path = Path.join(root, folder, "package.json")
    if (!Fs.existsSync(path)) continue
    const { dependencies, devDependencies, name, peerDependencies } = manifest(path)
    if (name !== undefined) names.add(name)
    for (const key of Object.keys({ ...dependencies, ...devDependencies, ...peerDependencies })) names.add(key)
  }
  return names
}

const npm = (root: string, args: ReadonlyArray<string>): string | undefined => {
  const [verb = "", ...rest] = args
  if (verb === "install") {
    const known = installable(root)
    const unknown = rest.filter((name) => !name.startsWith("-") && !known.has(name))
    return unknown.length === 0 ? undefined : `no package ${unknown.join(", ")}`
  }
  const script = verb === "run" ? rest[0] : verb === "start" || verb === "test" ? verb : undefined
  return script !== undefined && manifest(Path.join(root, "package.json")).scripts?.[script] !== undefined
    ? undefined
    : `no npm script ${verb} ${rest.join(" ")}`
}

const isPath = (word: string): boolean => !word.startsWith("-") && word.includes("/") && !word.includes("=")

/** Why the command cannot be run, or `undefined`. */
export const problem = (root: string, command: string): string | undefined => {
  const words = command.split(/\s+/).filter((word) => !/^[A-Z_]+=/.test(word))
  const [program, ...args] = words
  if (program === "npm") return npm(root, args)
  if (program === "npx" && !Fs.existsSync(Path.join(root, "node_modules/.bin", args[0] ?? "-"))) {
    return `no program ${args[0]}`
  }
  if (program !== "npx" && program !== "node") return `unknown program ${program}`
  const missing = args.filter((word) => isPath(word) && !Fs.existsSync(Path.join(root, word)))
  return missing.length === 0 ? undefined : `no file ${missing.join(", ")}`
}
