/**
 * What every vitest project of the workspace has in common.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import type { TestProjectInlineConfiguration } from "vitest/config"

const root = Path.dirname(fileURLToPath(import.meta.url))

const src = (name: string) => Path.join(root, "packages", name, "src")

/**
 * Tests run the sources, not `dist`: a change is tested without a build, and stack traces point at what one edits.
 * `tsconfig.test.json` has the same table as `paths`.
 */
const alias = [
  ...["jobs", "node", "testing", "workers"].flatMap((name) => [
    { find: new RegExp(`^@spillway/${name}$`), replacement: `${src(name)}/index.ts` },
    { find: new RegExp(`^@spillway/${name}/(.+)$`), replacement: `${src(name)}/$1.ts` }
  ]),
  { find: /^spillway$/, replacement: `${src("spillway")}/index.ts` },
  { find: /^spillway\/(.+)$/, replacement: `${src("spillway")}/$1.ts` }
]

const project = (
  name: string,
  dir: string,
  test: NonNullable<TestProjectInlineConfiguration["test"]>
): TestProjectInlineConfiguration => ({
  root: Path.join(root, dir),
  resolve: { alias },
  test: { name, pool: "forks", ...test }
})

/**
 * Tests that need nothing but the process they run in: no socket, no child process, no real time. The files of a project
 * share a thread and what they import, as loading Effect for each took longer than its tests.
 */
export const unit = (name: string, dir: string, include: Array<string>): TestProjectInlineConfiguration =>
  project(name, dir, {
    include,
    exclude: ["**/node_modules/**", "**/*.integration.test.ts", "**/*.alone.test.ts"],
    pool: "threads",
    testTimeout: 60_000,
    hookTimeout: 60_000
  })

/**
 * Unit tests that look at what all of a process share (metrics, labels): each file has a process to itself.
 */
export const alone = (name: string, dir: string): TestProjectInlineConfiguration =>
  project(`${name}:alone`, dir, { include: ["test/**/*.alone.test.ts"], testTimeout: 60_000, hookTimeout: 60_000 })

/**
 * Tests with real sockets, child processes and clocks. They mostly wait, and what they assert holds on a busy machine, so
 * their files run beside others; within a file one test runs at a time.
 */
export const live = (name: string, dir: string): TestProjectInlineConfiguration =>
  project(`${name}:live`, dir, {
    include: ["test/**/*.integration.test.ts"],
    testTimeout: 120_000,
    hookTimeout: 60_000
  })

/**
 * The folders below `parent` that are workspaces, in alphabetical order.
 */
export const workspaces = (parent: string): ReadonlyArray<string> =>
  Fs.readdirSync(Path.join(root, parent))
    .filter((name) => Fs.existsSync(Path.join(root, parent, name, "package.json")))
    .sort()
    .map((name) => `${parent}/${name}`)
