/** Real workers for live tests. */
import * as Codec from "@spillway/workers/Codec"
import type { Options } from "@spillway/workers/ProcessWorkers"
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"

const here = Path.dirname(fileURLToPath(import.meta.url))
const folder = Path.resolve(here, "../workers")

export const node = (env: Readonly<Record<string, string>> = {}): Options => ({
  command: process.execPath,
  args: [Path.join(folder, "reference.mjs")],
  env
})

/** The interpreter itself: `python3` may be a script that looks for it. Where there is none, its part is left out. */
const interpreter = (() => {
  if (process.env["SPILLWAY_TEST_PYTHON"] !== undefined) return process.env["SPILLWAY_TEST_PYTHON"]
  try {
    return execFileSync("python3", ["-c", "import sys; print(sys.executable)"], { encoding: "utf8" }).trim()
  } catch {
    return undefined
  }
})()

/** Tells a process that a test starts where the interpreter is. */
export const pythonEnv: Readonly<Record<string, string>> = interpreter === undefined
  ? {}
  : { SPILLWAY_TEST_PYTHON: interpreter }

export const hasPython = interpreter !== undefined

export const python = (env: Readonly<Record<string, string>> = {}): Options => ({
  command: interpreter ?? "python3",
  // Without the packages of this machine: the worker uses none.
  args: ["-I", "-S", Path.join(folder, "reference.py")],
  env
})

/** The same workers with another codec, each by an implementation of its own. */
export const nodeMsgPack = (): Options => ({
  ...node(),
  args: [Path.join(here, "msgpack.fixture.mjs")],
  codec: Codec.msgPack
})

export const pythonMsgPack = (): Options => ({
  ...python({ REFERENCE_WORKER: Path.join(folder, "reference.py") }),
  args: ["-I", "-S", "-B", Path.join(here, "msgpack.fixture.py")],
  codec: Codec.msgPack
})

/** State of a process as the system has it: `Z` is a zombie; `undefined`: there is none. */
export const stateOf = (pid: number): string | undefined => {
  try {
    return /^\d+ \(.*\) (\w)/s.exec(Fs.readFileSync(`/proc/${pid}/stat`, "utf8"))?.[1]
  } catch {
    return undefined
  }
}
