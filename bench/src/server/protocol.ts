/** What the server process of `ghosts` and `deploy` is told and says, and how to run it. */
import { type ChildProcess, fork } from "node:child_process"
import { fileURLToPath } from "node:url"
import type { ExitTag } from "spillway/Exit"
import type { SessionOptions } from "spillway/SessionOptions"
import type { DrainOptions, DrainSummary } from "spillway/Sessions"

export interface ProgramOptions {
  /** Durations as milliseconds. */
  readonly session: SessionOptions
  readonly drain: Omit<DrainOptions, "announce">
}

/** A reading of the process, the heap after garbage collection. */
export interface Measured {
  readonly sessions: number
  readonly opened: number
  readonly exits: { readonly [T in ExitTag]: number }
  readonly stuck: number
  readonly sockets: number
  readonly timers: number
  readonly heapBytes: number
  readonly cpuSeconds: number
}

export interface Drained {
  readonly summary: DrainSummary
  /** Sockets that the process still had when everything was released. */
  readonly sockets: number
}

/** What the text begins with that tells a client when to come back. */
export const hint = "draining "

/** What every session is offered in `critical` when a drain begins. */
export const criticalMessages: ReadonlyArray<string> = ["critical 1", "critical 2", "critical 3"]

export class Server {
  private constructor(private readonly child: ChildProcess, readonly port: number) {}

  static async start(options: ProgramOptions): Promise<Server> {
    const file = fileURLToPath(new URL("./program.ts", import.meta.url))
    const child = fork(file, [JSON.stringify(options)], { execArgv: ["--import", "tsx", "--expose-gc"] })
    child.setMaxListeners(0)
    const { port } = await nextOf<{ readonly port: number }>(child, "port")
    return new Server(child, port)
  }

  measure(): Promise<Measured> {
    const answer = nextOf<Measured>(this.child, "heapBytes")
    this.child.send("measure")
    return answer
  }

  /** Measures until nothing is left and no task is stuck any more, or the time is over. */
  async settled(millis: number): Promise<Measured> {
    const endAt = performance.now() + millis
    for (;;) {
      const measured = await this.measure()
      if (measured.sessions + measured.stuck + measured.sockets === 0 || performance.now() > endAt) return measured
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }

  /** Sends SIGTERM; how the drain went, the exit code, and the time until then. */
  async terminate(): Promise<Drained & { readonly exitCode: number | null; readonly millis: number }> {
    const startedAt = performance.now()
    const exit = new Promise<number | null>((resolve) => this.child.once("exit", (code) => resolve(code)))
    const answer = nextOf<{ readonly drained: Drained }>(this.child, "drained")
    this.child.kill("SIGTERM")
    const { drained } = await answer
    const exitCode = await exit
    return { ...drained, exitCode, millis: performance.now() - startedAt }
  }

  async kill(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return
    const exit = new Promise((resolve) => this.child.once("exit", resolve))
    this.child.kill("SIGKILL")
    await exit
  }
}

/** The next message of the process that has the field; what `tsx` says about files has none of them. */
const nextOf = <A extends object>(child: ChildProcess, field: string): Promise<A> =>
  new Promise((resolve, reject) => {
    const onExit = (code: number | null): void => reject(new Error(`the server exited with ${code}`))
    const onMessage = (message: object): void => {
      if (!(field in message)) return
      child.off("exit", onExit).off("message", onMessage)
      resolve(message as A)
    }
    child.once("exit", onExit)
    child.on("message", onMessage)
  })
