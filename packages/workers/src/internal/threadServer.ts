/** The worker's side of a thread: requests one at a time. What is an exit already costs no fiber. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type { MessagePort } from "node:worker_threads"
import type { Handlers, RemoteFailure } from "../MemoryWorkers.js"
import type { RunFork } from "./memoryLink.js"
import {
  hasMore,
  none,
  progressItemsMax,
  type ToPool,
  toPoolCount,
  type ToWorker,
  toWorkerCount,
  unwrap
} from "./threadMessages.js"

type Request = Extract<ToWorker, readonly ["request", ...ReadonlyArray<unknown>]>

const isOver = <A, E>(work: Effect.Effect<A, E>): work is Exit.Exit<A, E> => Exit.isExit(work)

export class ThreadServer {
  private readonly requests: Array<Request> = []
  private isBusy = false
  private isStopping = false
  private hasStopped = false
  private sent: Int32Array | undefined = undefined
  private replies: MessagePort | undefined = undefined
  /** Messages that were taken. */
  private taken = 0
  private progressItems = 0
  private wakeProgress: (() => void) | undefined = undefined
  private readonly handlers: Handlers

  constructor(
    handlers: Handlers,
    private readonly runFork: RunFork,
    /** The next message that has come already; `undefined`: messages come by `onMessage` only. */
    private readonly receive: (() => ToWorker | undefined) | undefined
  ) {
    this.handlers = { ping: () => Effect.succeed({ status: "ok" }), ...handlers }
  }

  onMessage(message: ToWorker): void {
    this.take(message)
    this.listen()
  }

  /** Sleeps until something is sent, and takes what has come; until there is something to wait for in the event loop. */
  private listen(): void {
    const { receive, sent } = this
    if (sent === undefined || receive === undefined) return
    while (!this.isBusy && !this.hasStopped) {
      const count = Atomics.load(sent, toWorkerCount)
      // Looking for a message that is not there costs as much as taking one.
      const message = hasMore(sent, toWorkerCount, this.taken) ? receive() : undefined
      if (message === undefined) Atomics.wait(sent, toWorkerCount, count)
      else this.take(message)
    }
  }

  private send(message: ToPool, buffers: ReadonlyArray<ArrayBuffer>): void {
    this.replies!.postMessage(message, buffers)
    Atomics.add(this.sent!, toPoolCount, 1)
  }

  private take(message: ToWorker): void {
    this.taken = (this.taken + 1) | 0
    switch (message[0]) {
      case "open":
        this.sent = message[1]
        this.replies = message[2]
        return
      case "request":
        this.requests.push(message)
        return this.next()
      case "taken":
        this.progressItems -= message[1]
        return this.wakeProgress?.()
      case "stop":
        this.isStopping = true
        return this.next()
      case "hang":
        this.send(["hangs"], none)
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
    }
  }

  private next(): void {
    while (!this.isBusy) {
      const request = this.requests.shift()
      if (request === undefined) {
        if (!this.isStopping || this.hasStopped) return
        this.hasStopped = true
        return this.send(["stopped"], none)
      }
      this.serve(request)
    }
  }

  private serve([, id, command, args]: Request): void {
    const work = this.start(id, command, args)
    if (isOver(work)) return this.answer(id, work)
    this.isBusy = true
    this.runFork(Effect.flatMap(Effect.exit(work), (exit) =>
      Effect.sync(() => {
        this.isBusy = false
        this.answer(id, exit)
        this.next()
        this.listen()
      })))
  }

  private start(id: number, command: string, args: unknown): Effect.Effect<unknown, RemoteFailure> {
    const handler = Object.hasOwn(this.handlers, command) ? this.handlers[command] : undefined
    if (handler === undefined) return Effect.fail({ type: "UnknownCommand", explanation: command })
    try {
      return handler(args, { progress: (value) => this.progress(id, value) })
    } catch (defect) {
      return Effect.die(defect)
    }
  }

  private progress(id: number, value: unknown): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.progressItems < progressItemsMax) {
        this.progressItems++
        const [plain, buffers] = unwrap(value)
        return Effect.sync(() => this.send(["progress", id, plain], buffers))
      }
      const room = Effect.async<void>((resume) => {
        this.wakeProgress = () => resume(Effect.void)
      })
      return Effect.zipRight(room, this.progress(id, value))
    })
  }

  private answer(id: number, exit: Exit.Exit<unknown, RemoteFailure>): void {
    if (exit._tag === "Failure") {
      const failure = Option.getOrElse(Cause.failureOption(exit.cause), () => ({
        type: "Defect",
        explanation: Cause.pretty(exit.cause)
      }))
      return this.send(["failure", id, failure.type, failure.explanation], none)
    }
    const [result, buffers] = unwrap(exit.value)
    try {
      this.send(["success", id, result], buffers)
    } catch (error) {
      this.send(["failure", id, "NotEncodable", String(error)], none)
    }
  }
}
