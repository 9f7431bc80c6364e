/**
 * A network namespace of its own for a server, whose loopback interface can be taken down: then both sides of every
 * connection are there and nothing arrives any more.
 */
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"

const succeeds = (command: string, args: ReadonlyArray<string>): boolean =>
  ChildProcess.spawnSync(command, args, { stdio: "ignore" }).status === 0

const ways = [["unshare", "-n"], ["unshare", "-Urn"]]

/** Command that runs another one in a new network namespace, or `undefined` where that is not allowed. */
export const newNamespace = (): ReadonlyArray<string> | undefined => {
  const up = "ip link set lo up && exec \"$@\""
  const found = ways.find(([command, ...args]) => succeeds(command!, [...args!, "sh", "-c", `${up}`, "sh", "true"]))
  return found === undefined ? undefined : [...found, "sh", "-c", up, "sh"]
}

/** Command that runs another one in the namespace of a process. */
export const inNamespaceOf = (pid: number): ReadonlyArray<string> => {
  const isOwnUser = Fs.readlinkSync(`/proc/${pid}/ns/user`) !== Fs.readlinkSync("/proc/self/ns/user")
  return ["nsenter", "-t", `${pid}`, ...(isOwnUser ? ["-U", "--preserve-credentials"] : []), "-n"]
}

export const takeLoopbackDown = (pid: number): void => {
  const [command, ...args] = [...inNamespaceOf(pid), "ip", "link", "set", "lo", "down"]
  ChildProcess.execFileSync(command!, args)
}

/** States of the TCP sockets whose local or remote port this is, as the kernel has them. */
export const tcpStates = (pid: number, port: number): ReadonlyArray<string> => {
  const names: Record<string, string> = { "01": "ESTABLISHED", "0A": "LISTEN", "04": "FIN_WAIT1", "06": "TIME_WAIT" }
  const hex = port.toString(16).toUpperCase().padStart(4, "0")
  return Fs.readFileSync(`/proc/${pid}/net/tcp`, "latin1").split("\n").slice(1).flatMap((line) => {
    const [, local = "", remote = "", state = ""] = line.trim().split(/\s+/)
    return local.endsWith(`:${hex}`) || remote.endsWith(`:${hex}`) ? [names[state] ?? state] : []
  })
}
