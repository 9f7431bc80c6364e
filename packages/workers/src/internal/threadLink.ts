/** The pool's side of a thread. */
import * as Effect from "effect/Effect"
import { MessageChannel, type MessagePort, receiveMessageOnPort, type Worker } from "node:worker_threads"
import { NotEncodable } from "../WorkerError.js"
import type { LinkEvents, LinkFault, Reply, Request, WorkerExit, WorkerLink } from "../WorkerTransport.js"
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

/** As the platform's runner expects it: 0 is a message, 1 the end. */
type Envelope = readonly [0, ToWorker] | readonly [1]

const faultRequestId = -1

export class ThreadLink implements WorkerLink {
  readonly pid = undefined
  readonly bufferedBytes = 0
  readonly memoryBytes: Effect.Effect<number | undefined> = Effect.succeed(undefined)
  readonly faults: { [F in LinkFault["_tag"]]?: number } = {}
  private events: LinkEvents | undefined = undefined
  private readonly held: Array<Reply> = []
  private exit: WorkerExit | undefined = undefined
  private hasToldExit = false
  private isKilled = false
  private isPaused = false
  private isSilent = false
  private isPartitioned = false
  private delayMillis = 0
  private damage: "corrupt" | "tear" | undefined = undefined
  private takenItems = 0
  private readonly sent = new Int32Array(new SharedArrayBuffer(8))
  private readonly replies: MessagePort
  /** Replies that were taken from the port. */
  private taken = 0

  constructor(
    private readonly thread: Worker,
    private readonly runFork: RunFork,
    /** The links of the transport, which is in it for as long as its thread lives. */
    private readonly links: Set<ThreadLink>
  ) {
    const { port1, port2 } = new MessageChannel()
    this.replies = port1
    this.post([0, ["open", this.sent, port2]], [port2])
    port1.on("message", (message: ToPool) => {
      this.took(message)
      // This thread is awake: what the others have answered meanwhile needs no turn of its own.
      for (const link of links) link.poll()
    })
    port1.on("messageerror", (error) => this.events?.onViolation(String(error)))
    // What a thread dies of is told by its exit.
    thread.on("error", () => {})
    thread.once("exit", (code) => {
      this.poll()
      port1.close()
      links.delete(this)
      this.exit = this.isKilled ? { code: undefined, signal: "SIGKILL" } : { code, signal: undefined }
      this.flush()
    })
    links.add(this)
  }

  attach(events: LinkEvents): void {
    this.events = events
    this.later()
  }

  send(request: Request): NotEncodable | undefined {
    const { args, command, id } = request
    if (this.exit !== undefined) return undefined
    if (this.isPartitioned) return void this.happened("partition")
    const [plain, buffers] = unwrap(args)
    try {
      this.post([0, ["request", id, command, plain]], buffers)
      return undefined
    } catch (error) {
      return new NotEncodable({ command, why: String(error) })
    }
  }

  pause(): void {
    this.isPaused = true
  }

  resume(): void {
    this.isPaused = false
    this.later()
  }

  stop(): void {
    if (this.exit !== undefined) return
    if (this.isPartitioned) this.happened("partition")
    else this.post([0, ["stop"]], none)
  }

  kill(): void {
    if (this.exit !== undefined) return
    this.isKilled = true
    // What a thread has not said yet goes with it.
    this.held.length = 0
    this.isPaused = false
    void this.thread.terminate()
  }

  inject(fault: LinkFault): void {
    if (this.exit !== undefined) return
    switch (fault._tag) {
      case "kill":
        this.happened("kill")
        return this.kill()
      case "hang":
        return this.post([0, ["hang"]], none)
      case "slow":
        this.delayMillis = fault.delayMillis
        return
      case "partition":
        this.isPartitioned = true
        return
      case "exhaustMemory":
        return this.post([0, ["request", faultRequestId, "exhaust_memory", { bytes: fault.bytes }]], none)
      default:
        this.damage = fault._tag
    }
  }

  private post(envelope: Envelope, handedOver: ReadonlyArray<ArrayBuffer | MessagePort>): void {
    this.thread.postMessage(envelope, handedOver)
    Atomics.add(this.sent, toWorkerCount, 1)
    Atomics.notify(this.sent, toWorkerCount)
  }

  private took(message: ToPool): void {
    this.taken = (this.taken + 1) | 0
    this.arrived(message)
  }

  /** Takes the replies that have come. */
  private poll(): void {
    while (hasMore(this.sent, toPoolCount, this.taken)) {
      const received: { readonly message: ToPool } | undefined = receiveMessageOnPort(this.replies)
      if (received === undefined) return
      this.took(received.message)
    }
  }

  private happened(fault: LinkFault["_tag"]): void {
    this.faults[fault] = (this.faults[fault] ?? 0) + 1
  }

  private arrived(message: ToPool): void {
    if (message[0] === "hangs") return this.happened("hang")
    if (this.isSilent || this.isKilled) return
    if (this.isPartitioned) return this.happened("partition")
    if (message[0] === "stopped") return this.post([1], none)
    const reply = replyOf(message)
    if (reply.id === faultRequestId) return reply._tag === "Success" ? this.happened("exhaustMemory") : undefined
    if (this.delayMillis <= 0) return this.deliver(reply)
    this.happened("slow")
    this.runFork(Effect.zipRight(Effect.sleep(this.delayMillis), Effect.sync(() => this.deliver(reply))))
  }

  private deliver(reply: Reply): void {
    const { damage, events } = this
    if (damage !== undefined) {
      this.damage = undefined
      this.happened(damage)
      if (damage === "tear") this.isSilent = true
      else events?.onViolation("the reply cannot be decoded")
      return
    }
    if (this.isPaused || events === undefined || this.held.length > 0) this.held.push(reply)
    else this.tell(reply, events)
  }

  private tell(reply: Reply, events: LinkEvents): void {
    events.onReply(reply)
    if (reply._tag !== "Progress" || ++this.takenItems < progressItemsMax / 2 || this.exit !== undefined) return
    this.post([0, ["taken", this.takenItems]], none)
    this.takenItems = 0
  }

  private flush(): void {
    const { events } = this
    if (events === undefined) return
    while (!this.isPaused) {
      const reply = this.held.shift()
      if (reply === undefined) break
      this.tell(reply, events)
    }
    if (this.exit === undefined || this.hasToldExit || this.isPaused) return
    this.hasToldExit = true
    events.onExit(this.exit)
  }

  private later(): void {
    this.runFork(Effect.zipRight(Effect.yieldNow(), Effect.sync(() => this.flush())))
  }
}

const replyOf = (message: Extract<ToPool, readonly [string, number, ...ReadonlyArray<unknown>]>): Reply => {
  switch (message[0]) {
    case "success":
      return { _tag: "Success", id: message[1], result: message[2] }
    case "failure":
      return { _tag: "Failure", id: message[1], type: message[2], explanation: message[3] }
    case "progress":
      return { _tag: "Progress", id: message[1], value: message[2] }
  }
}
