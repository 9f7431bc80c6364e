/**
 * The files that the rules look at: everything that is, or would be, committed.
 */
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"

export const root = Path.resolve(Path.dirname(fileURLToPath(import.meta.url)), "../..")

export interface File {
  /** From the root of the repository, with forward slashes. */
  readonly path: string
  readonly text: string
}

const ignoredFolders = new Set([".git", ".tmp", "node_modules", "dist", "coverage"])

const isIgnored = (path: string, name: string) => ignoredFolders.has(name) || /^packages\/[^/]+\/docs$/.test(path)

const walk = (folder: string): ReadonlyArray<string> =>
  Fs.readdirSync(Path.join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = folder === "" ? entry.name : `${folder}/${entry.name}`
    if (entry.isDirectory()) return isIgnored(path, entry.name) ? [] : walk(path)
    return entry.isFile() ? [path] : []
  })

/** Paths known to git, or every path when this is a copy without a repository. */
const paths = (): ReadonlyArray<string> => {
  try {
    const listed = execFileSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], {
      cwd: root,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"]
    })
    return listed.split("\0").filter((path) => path !== "" && Fs.existsSync(Path.join(root, path)))
  } catch {
    return walk("")
  }
}

const isBinary = (bytes: Buffer) => bytes.subarray(0, 8000).includes(0)

/** Every text file of the repository. */
export const readAll = (): ReadonlyArray<File> =>
  [...paths()].sort().flatMap((path) => {
    const bytes = Fs.readFileSync(Path.join(root, path))
    return isBinary(bytes) ? [] : [{ path, text: bytes.toString("utf8") }]
  })

export const isPackageSource = (path: string) => /^packages\/[^/]+\/src\/.+\.ts$/.test(path)

export const isSource = (path: string) => isPackageSource(path) || /^examples\/[^/]+\/src\/.+\.ts$/.test(path)

export const isCore = (path: string) => /^packages\/spillway\/src\/.+\.ts$/.test(path)

export const isTest = (path: string) => /\.(test|test-d|laws)\.ts$/.test(path) && !path.startsWith("scripts/")

export const isBarrel = (path: string) => /^packages\/[^/]+\/src\/index\.ts$/.test(path)

/** A module that users can import by name: `packages/x/src/Name.ts`. */
export const isPublic = (path: string) => /^packages\/[^/]+\/src\/[^/]+\.ts$/.test(path) && !isBarrel(path)
