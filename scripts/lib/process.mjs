/**
 * Child processes for the scripts: one at a time, in the foreground, never left behind.
 */
import { spawn } from "node:child_process"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"

export const root = Path.resolve(Path.dirname(fileURLToPath(import.meta.url)), "../..")

/** A failure that the person at the keyboard can act on: printed as one line, without a stack. */
export class Failure extends Error {}

/** Ends the process with the message of a `Failure`; anything else is a bug and keeps its stack. */
export const exitOnFailure = (error) => {
  console.error(error instanceof Failure ? error.message : error)
  process.exit(1)
}

/** The environment for children: with the programs of `node_modules` first, as inside an npm script. */
const environment = () => {
  const bin = Path.join(root, "node_modules/.bin")
  return { ...process.env, PATH: `${bin}${Path.delimiter}${process.env.PATH ?? ""}` }
}

const signals = ["SIGINT", "SIGTERM", "SIGHUP"]

/**
 * Runs a program to its end and returns its exit code. A signal that reaches this process meanwhile goes on to the
 * program and then ends this process, so that nothing keeps running in the background.
 *
 * `capture: true` returns the output instead of printing it.
 */
export const run = (command, args, options = {}) =>
  new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: options.cwd ?? root,
      env: environment(),
      stdio: options.capture ? ["ignore", "pipe", "pipe"] : ["ignore", "inherit", "inherit"]
    })
    const output = []
    child.stdout?.on("data", (chunk) => output.push(chunk))
    child.stderr?.on("data", (chunk) => output.push(chunk))
    let received
    const forward = (signal) => {
      received = signal
      child.kill(signal)
    }
    for (const signal of signals) process.on(signal, forward)
    child.on("error", (error) => reject(new Failure(`Could not start ${command}: ${error.message}`)))
    child.on("close", (code, signal) => {
      for (const name of signals) process.off(name, forward)
      if (received !== undefined) process.kill(process.pid, received)
      else resolve({ code: code ?? 1, signal, output: Buffer.concat(output).toString("utf8") })
    })
  })

/** Runs a JavaScript program of `node_modules` (path from there) under this Node. */
export const runModule = (path, args, options) =>
  run(process.execPath, [Path.join(root, "node_modules", path), ...args], options)

/** Runs npm: the one that started this script where there is one, so that no second npm gets involved. */
export const runNpm = (args, options) => {
  const cli = process.env.npm_execpath
  if (cli !== undefined && /npm-cli\.c?js$/.test(cli)) return run(process.execPath, [cli, ...args], options)
  return process.platform === "win32" ? run("cmd.exe", ["/c", "npm", ...args], options) : run("npm", args, options)
}
