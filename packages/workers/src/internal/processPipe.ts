/** The pipe to a process of its own: bytes over stdin and stdout, text for the log over stderr. */
import * as Effect from "effect/Effect"
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process"
import { readFile } from "node:fs/promises"
import type { Options } from "../ProcessWorkers.js"
import type { Pipe, PipeEvents } from "./framedLink.js"

/** Bytes of a line of stderr that are logged; the rest of the line is not. */
export const logLineBytesMax = 8192

const isPosix = process.platform !== "win32"

/** Resident memory of a process in bytes, where the system tells it. */
const residentBytes = (pid: number | undefined): Effect.Effect<number | undefined> =>
  Effect.promise(() =>
    readFile(`/proc/${pid}/status`, "utf8").then((status) => {
      const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]
      return kilobytes === undefined ? undefined : Number(kilobytes) * 1024
    }, () => undefined)
  )

/** The variables that a worker sees: what it was given, and where to find programs. */
const environment = (given: Options["env"]): Record<string, string> => {
  const path = process.env["PATH"]
  return { ...(path === undefined ? {} : { PATH: path }), ...given }
}

export class ProcessPipe implements Pipe {
  private hasExited = false

  constructor(
    private readonly child: ChildProcessWithoutNullStreams,
    events: PipeEvents,
    onLine: (line: string) => void,
    onEnded: () => void
  ) {
    child.stdout.on("data", (chunk: Buffer) => events.onBytes(chunk))
    // A worker that reads no more makes writing fail; that it is gone, or hangs, is found out elsewhere.
    for (const stream of [child.stdin, child.stdout, child.stderr]) stream.on("error", () => {})
    readLines(child.stderr, onLine)
    child.once("exit", (code, signal) => {
      this.hasExited = true
      onEnded()
      // Whatever it has started goes with it, and lets go of the pipes.
      this.signal("SIGKILL")
      child.once("close", () => events.onExit({ code: code ?? undefined, signal: signal ?? undefined }))
    })
  }

  get pid(): number | undefined {
    return this.child.pid
  }

  get bufferedBytes(): number {
    return this.child.stdin.writableLength
  }

  get memoryBytes(): Effect.Effect<number | undefined> {
    return residentBytes(this.child.pid)
  }

  write(bytes: Uint8Array): void {
    if (this.child.stdin.writable) this.child.stdin.write(bytes)
  }

  pause(): void {
    this.child.stdout.pause()
  }

  resume(): void {
    this.child.stdout.resume()
  }

  end(): void {
    this.child.stdin.end()
  }

  kill(): void {
    this.signal("SIGKILL")
    // Replies that nobody has read yet would keep the pipe open.
    this.child.stdout.resume()
  }

  freeze(): boolean {
    return this.signal("SIGSTOP")
  }

  /** To the worker and everything that it has started. */
  private signal(signal: "SIGKILL" | "SIGSTOP"): boolean {
    const { pid } = this.child
    if (pid === undefined) return false
    try {
      if (isPosix) process.kill(-pid, signal)
      else if (!this.hasExited) this.child.kill(signal)
      return true
    } catch {
      // There is nobody left.
      return false
    }
  }
}

/** Lines of a stream, cut at `logLineBytesMax`; what has no end yet is kept up to that size. */
const readLines = (stream: NodeJS.ReadableStream, onLine: (line: string) => void): void => {
  let held = ""
  stream.setEncoding("utf8")
  stream.on("data", (chunk: string) => {
    const lines = (held + chunk).split("\n")
    held = lines.pop()!.slice(0, logLineBytesMax)
    for (const line of lines) if (line !== "") onLine(line.slice(0, logLineBytesMax))
  })
  stream.on("end", () => held !== "" && onLine(held))
}

/** Starts a process; resumes when it runs, or with why it does not. */
export const start = (
  options: Options,
  workerId: string,
  use: (child: ChildProcessWithoutNullStreams) => void
): Effect.Effect<void, string> =>
  Effect.async((resume) => {
    const child = spawn(options.command, [...options.args ?? []], {
      stdio: ["pipe", "pipe", "pipe"],
      cwd: options.cwd,
      env: { ...environment(options.env), SPILLWAY_WORKER_ID: workerId },
      // A group of its own: it can be ended with everything that it has started, and a Ctrl-C at the terminal is ours.
      detached: isPosix,
      windowsHide: true
    })
    child.once("error", (error) => resume(Effect.fail(error.message)))
    child.once("spawn", () => {
      child.on("error", () => {})
      use(child)
      resume(Effect.void)
    })
  })
