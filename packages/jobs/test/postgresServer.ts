/** PostgreSQL for tests: Debian's package, started by a test on a folder of its own and a socket in it. */
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { assert, it } from "vitest"

/** The folder with `initdb`: in PATH, or where Debian puts it. */
const findBinaries = (): string | undefined => {
  const debian = "/usr/lib/postgresql"
  const versions = Fs.existsSync(debian)
    ? Fs.readdirSync(debian).map((version) => Path.join(debian, version, "bin"))
    : []
  return [...(process.env["PATH"] ?? "").split(":"), ...versions].find((folder) =>
    Fs.existsSync(Path.join(folder, "initdb"))
  )
}

/** PostgreSQL refuses to run as root, so there it runs as its own user. */
const as = (folder: string, command: string, args: ReadonlyArray<string>): void => {
  const isRoot = process.getuid?.() === 0
  const run = isRoot
    ? ["su", ["postgres", "-s", "/bin/sh", "-c", [command, ...args].map((a) => `'${a}'`).join(" ")]] as const
    : [command, [...args]] as const
  ChildProcess.execFileSync(run[0], run[1], { cwd: folder, stdio: "pipe", timeout: 60_000 })
}

export interface PostgresServer {
  readonly folder: string
  readonly stop: () => void
}

export const start = (binaries: string): PostgresServer => {
  const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "spillway-pg-"))
  Fs.chmodSync(folder, 0o777)
  const data = Path.join(folder, "data")
  const binary = (name: string) => Path.join(binaries, name)
  as(folder, binary("initdb"), ["-D", data, "-U", "spillway", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C"])
  // No port: only the socket in its folder.
  const options = `-c listen_addresses= -c unix_socket_directories=${folder} -c fsync=off -c max_connections=30`
  as(folder, binary("pg_ctl"), ["-D", data, "-w", "-l", Path.join(folder, "log"), "-o", options, "start"])
  return {
    folder,
    stop: () => {
      as(folder, binary("pg_ctl"), ["-D", data, "-w", "-m", "immediate", "stop"])
      Fs.rmSync(folder, { recursive: true, force: true })
    }
  }
}

/** Where it is, or undefined; then the output says that `what` does not run, and a test that is skipped says how it would. */
export const binariesFor = (what: string): string | undefined => {
  const binaries = findBinaries()
  if (binaries === undefined) process.stdout.write(`PostgreSQL is not installed: ${what} does not run.\n`)
  it.skipIf(binaries === undefined)("initdb is in PATH or where Debian puts it (apt-get install postgresql)", () => {
    assert.isDefined(binaries)
  })
  return binaries
}
