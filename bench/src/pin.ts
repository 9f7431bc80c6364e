/** The server has one core and the load generator another, where `taskset` is there. */
import { spawnSync } from "node:child_process"
import * as Os from "node:os"

export const canPin = Os.cpus().length > 1 && spawnSync("taskset", ["-V"]).status === 0

/** What is said of it beside the machine. */
export const pinning = canPin ? "server on core 0, load on core 1" : "not pinned"

/** The load generator keeps to its own core from now on. */
export const pinGenerator = (): void => {
  if (canPin) spawnSync("taskset", ["-acp", "1", String(process.pid)])
}

/** The command of a server, kept to its core. */
export const onServerCore = (command: ReadonlyArray<string>): readonly [string, ...Array<string>] => {
  const [first, ...others] = canPin ? ["taskset", "-c", "0", ...command] : command
  return [first!, ...others]
}
