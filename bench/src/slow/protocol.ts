/** What the server process is told and says, and how to run it. */
import { type ChildProcess, spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import type { Snapshot } from "spillway/Sessions"
import { onServerCore } from "../pin.js"

export type Peer = "ws" | "spillway"

export const lanes = ["critical", "important", "bulk"] as const
export type LaneName = typeof lanes[number]

/** What to publish; the rest of the shares is `bulk`. */
export interface Order {
  readonly perSecond: number
  readonly seconds: number
  readonly bytes: number
  readonly shares: { readonly critical: number; readonly important: number }
  /** Whether messages carry the number in their lane of their session. */
  readonly numbered: boolean
}

export interface Published {
  readonly critical: number
  readonly important: number
  readonly bulk: number
  /** How far behind its plan the publisher was at most, and how long it took in all. */
  readonly lateMillisMax: number
  readonly seconds: number
}

export interface Reading {
  readonly cpuSeconds: number
  readonly rssBytes: number
  readonly heapBytes: number
  /** Of the event loop since the last reading. */
  readonly delayP99Millis: number
  readonly sessions: Snapshot | undefined
}

export class Server {
  private constructor(private readonly child: ChildProcess, readonly port: number) {}

  static async start(peer: Peer): Promise<Server> {
    const file = fileURLToPath(new URL("./server.ts", import.meta.url))
    const command = [process.execPath, "--import", "tsx", "--expose-gc", file, peer]
    const [program, ...args] = onServerCore(command)
    const child = spawn(program, args, { stdio: ["ignore", "inherit", "inherit", "ipc"] })
    child.setMaxListeners(0)
    return new Server(child, await answerOf<number>(child, "port"))
  }

  private ask<A>(id: string, question: unknown): Promise<A> {
    const answer = answerOf<A>(this.child, id)
    this.child.send(question as object)
    return answer
  }

  publish(order: Order): Promise<Published> {
    return this.ask("publish", order)
  }

  read(): Promise<Reading> {
    return this.ask("read", "read")
  }

  /** A reading after garbage collection. */
  collect(): Promise<Reading> {
    return this.ask("collect", "collect")
  }

  stop(): Promise<void> {
    return new Promise((resolve) => {
      this.child.removeAllListeners("exit")
      this.child.once("exit", () => resolve())
      this.child.disconnect()
    })
  }
}

const answerOf = <A>(child: ChildProcess, wanted: string): Promise<A> =>
  new Promise((resolve, reject) => {
    const exited = (code: number | null): void => reject(new Error(`the server exited with ${code}`))
    const listen = (message: { readonly id: string; readonly answer: A }): void => {
      if (message.id !== wanted) return
      child.off("exit", exited)
      child.off("message", listen)
      resolve(message.answer)
    }
    child.once("exit", exited)
    child.on("message", listen)
  })
