/**
 * The contract on PostgreSQL: Debian's package, started by this test on a folder of its own and a socket in it.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Layer from "effect/Layer"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { afterAll, assert, beforeAll, it } from "vitest"
import * as PostgresStore from "../src/PostgresStore.js"
import { contract } from "./contract.js"

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

interface Server {
  readonly folder: string
  readonly stop: () => void
}

const start = (binaries: string): Server => {
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

const binaries = findBinaries()

if (binaries === undefined) process.stdout.write("PostgreSQL is not installed: its contract does not run.\n")

it.skipIf(binaries === undefined)("initdb is in PATH or where Debian puts it (apt-get install postgresql)", () => {
  assert.isDefined(binaries)
})

if (binaries !== undefined) {
  let server: Server
  beforeAll(() => {
    server = start(binaries)
  })
  afterAll(() => server.stop())
  const client = Layer.suspend(() =>
    PgClient.layer({ host: server.folder, username: "spillway", database: "postgres", maxConnections: 4 })
  )
  const store = PostgresStore.layer(PgClient.PgClient).pipe(Layer.provide(client))
  contract("store in PostgreSQL (A080)", store, { runs: 6 })
}
