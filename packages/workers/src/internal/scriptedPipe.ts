/** The other end of a framed link, in this process: decodes requests, answers by script or by handlers, in pieces. */
import * as Effect from "effect/Effect"
import type { Codec } from "../Codec.js"
import type { Step } from "../ScriptedWorkers.js"
import type { LinkEvents, Reply, Request, WorkerExit, WorkerLink } from "../WorkerTransport.js"
import { type Pipe, type PipeEvents } from "./framedLink.js"
import { frameOf, FrameReader } from "./frames.js"
import { invariant } from "./invariant.js"
import type { RunFork } from "./memoryLink.js"
import { requestOf, written } from "./messages.js"

interface Settings {
  readonly codec: Codec
  readonly chunkBytes: number
  readonly delayMillis: number
  readonly payloadBytesMax: number
  readonly decide: () => Step
}

export class ScriptedPipe implements Pipe, LinkEvents {
  readonly pid = undefined
  readonly bufferedBytes = 0
  private readonly reader: FrameReader
  private readonly held: Array<Uint8Array> = []
  private isPaused = false
  private hasEnded = false
  /** Replies that take their time. */
  private onTheWay = 0
  private exit: WorkerExit | undefined = undefined

  constructor(
    private readonly settings: Settings,
    private readonly peer: WorkerLink,
    private readonly events: PipeEvents,
    private readonly runFork: RunFork
  ) {
    this.reader = new FrameReader(settings.payloadBytesMax)
    peer.attach(this)
  }

  get memoryBytes(): Effect.Effect<number | undefined> {
    return this.peer.memoryBytes
  }

  write(bytes: Uint8Array): void {
    this.reader.push(bytes)
    for (let payload = this.reader.next(); payload !== undefined; payload = this.reader.next()) {
      invariant(typeof payload !== "number", "a link refuses requests that are too large")
      const request = requestOf(this.settings.codec.decode(payload))
      invariant(request !== undefined, "a link writes requests")
      this.serve(request)
    }
  }

  pause(): void {
    this.isPaused = true
    this.peer.pause()
  }

  resume(): void {
    this.isPaused = false
    this.peer.resume()
    this.later(() => this.flush())
  }

  end(): void {
    this.peer.stop()
  }

  kill(): void {
    this.peer.kill()
  }

  freeze(): boolean {
    this.peer.inject({ _tag: "hang" })
    return true
  }

  onReply(reply: Reply): void {
    this.reply(reply)
  }

  onViolation(): void {
    invariant(false, "the handlers of a scripted worker break no protocol")
  }

  onExit(exit: WorkerExit): void {
    this.exit ??= exit
    this.flush()
  }

  private serve(request: Request): void {
    const { command, id } = request
    if (command === "exhaust_memory") {
      this.peer.inject({ _tag: "exhaustMemory", bytes: Number((request.args as { readonly bytes: number }).bytes) })
      return this.reply({ _tag: "Success", id, result: null })
    }
    const step: Step = command === "ping" ? { _tag: "handle" } : this.settings.decide()
    switch (step._tag) {
      case "handle":
        return void this.peer.send(request)
      case "result":
        return this.reply({ _tag: "Success", id, result: step.result })
      case "error":
        return this.reply({ _tag: "Failure", id, type: step.type, explanation: step.explanation })
      case "garbage":
        return this.bytes(step.bytes)
      case "exit":
        this.exit = { code: step.code, signal: undefined }
        return this.peer.kill()
      case "silence":
    }
  }

  private reply(reply: Reply): void {
    this.bytes(frameOf(this.settings.codec.encode(written(reply))))
  }

  /** Replies travel side by side and stay in order, because all take the same time. */
  private bytes(bytes: Uint8Array): void {
    const { chunkBytes, delayMillis } = this.settings
    this.onTheWay++
    const arrive = () => {
      this.onTheWay--
      for (let from = 0; from < bytes.byteLength; from += chunkBytes) {
        this.held.push(bytes.subarray(from, from + chunkBytes))
      }
      this.flush()
    }
    if (delayMillis <= 0) this.later(arrive)
    else this.runFork(Effect.zipRight(Effect.sleep(delayMillis), Effect.sync(arrive)))
  }

  private flush(): void {
    while (!this.isPaused) {
      const chunk = this.held.shift()
      if (chunk === undefined) break
      this.events.onBytes(chunk)
    }
    // A worker that is killed takes with it what it has not said yet; one that ends by itself does not.
    const { exit } = this
    if (exit === undefined || this.hasEnded) return
    if (exit.signal === undefined && this.onTheWay + this.held.length > 0) return
    this.hasEnded = true
    this.events.onExit(exit)
  }

  private later(act: () => void): void {
    this.runFork(Effect.zipRight(Effect.yieldNow(), Effect.sync(act)))
  }
}
