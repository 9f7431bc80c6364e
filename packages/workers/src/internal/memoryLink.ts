/** A worker without a process: handlers that run one at a time, in the order of the requests. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type { Handlers, RemoteFailure } from "../MemoryWorkers.js"
import type { LinkEvents, LinkFault, Reply, Request, WorkerExit, WorkerLink } from "../WorkerTransport.js"

export type RunFork = (effect: Effect.Effect<unknown>) => Fiber.RuntimeFiber<unknown, unknown>

const failure = (id: number, type: string, explanation: string): Reply => ({ _tag: "Failure", id, type, explanation })

const replyOf = (id: number, exit: Exit.Exit<unknown, RemoteFailure>): Reply => {
  if (exit._tag === "Success") return { _tag: "Success", id, result: exit.value }
  return Option.match(Cause.failureOption(exit.cause), {
    onSome: ({ explanation, type }) => failure(id, type, explanation),
    onNone: () => failure(id, "Defect", Cause.pretty(exit.cause))
  })
}

export class MemoryLink implements WorkerLink {
  readonly pid = undefined
  readonly bufferedBytes = 0
  readonly faults: { [F in LinkFault["_tag"]]?: number } = {}
  private events: LinkEvents | undefined = undefined
  private readonly early: Array<(events: LinkEvents) => void> = []
  private readonly requests: Array<Request> = []
  private running: Fiber.RuntimeFiber<unknown, unknown> | undefined = undefined
  private isStopping = false
  private isPaused = false
  private readonly resumed: Array<() => void> = []
  private usedBytes = 0
  private delayMillis = 0
  private isHung = false
  private isPartitioned = false
  private damage: "corrupt" | "tear" | undefined = undefined
  private hasEnded = false

  constructor(
    private readonly handlers: Handlers,
    private readonly runFork: RunFork,
    private readonly onEnded: () => void
  ) {}

  get memoryBytes(): Effect.Effect<number | undefined> {
    return Effect.sync(() => this.usedBytes)
  }

  attach(events: LinkEvents): void {
    this.events = events
    const { early } = this
    if (early.length > 0) this.later(() => early.splice(0).forEach((tell) => tell(events)))
  }

  send(request: Request): undefined {
    if (this.hasEnded) return
    if (this.isPartitioned) return void this.happened("partition")
    this.requests.push(request)
    this.next()
  }

  pause(): void {
    this.isPaused = true
  }

  resume(): void {
    this.isPaused = false
    for (const wake of this.resumed.splice(0)) wake()
  }

  stop(): void {
    if (this.isPartitioned) return void this.happened("partition")
    this.isStopping = true
    this.next()
  }

  kill(): void {
    this.end({ code: undefined, signal: "SIGKILL" })
  }

  inject(fault: LinkFault): void {
    switch (fault._tag) {
      case "kill":
        if (!this.hasEnded) this.happened("kill")
        return this.kill()
      case "hang":
        this.isHung = true
        return this.happened("hang")
      case "slow":
        this.delayMillis = fault.delayMillis
        return
      case "partition":
        this.isPartitioned = true
        return
      case "exhaustMemory":
        this.usedBytes += fault.bytes
        return this.happened("exhaustMemory")
      default:
        this.damage = fault._tag
    }
  }

  private happened(fault: LinkFault["_tag"]): void {
    this.faults[fault] = (this.faults[fault] ?? 0) + 1
  }

  private next(): void {
    if (this.running !== undefined || this.isHung || this.hasEnded) return
    const request = this.requests.shift()
    if (request === undefined) {
      if (this.isStopping) this.end({ code: 0, signal: undefined })
      return
    }
    this.running = this.runFork(this.serve(request))
  }

  private serve(request: Request): Effect.Effect<void> {
    const { args, command, id } = request
    const handler = Object.hasOwn(this.handlers, command) ? this.handlers[command] : undefined
    const work = handler === undefined
      ? Effect.fail<RemoteFailure>({ type: "UnknownCommand", explanation: command })
      : Effect.suspend(() => handler(args, { progress: (value) => this.whenFree({ _tag: "Progress", id, value }) }))
    return Effect.flatMap(Effect.exit(work), (exit) =>
      Effect.zipRight(
        this.whenFree(replyOf(id, exit)),
        Effect.sync(() => {
          this.running = undefined
          this.next()
        })
      ))
  }

  /** Delivers a reply, late when the worker is slow, and not before the owner takes it. */
  private whenFree(reply: Reply): Effect.Effect<void> {
    return Effect.suspend(() => {
      const delay = this.delayMillis > 0
        ? Effect.zipRight(Effect.sync(() => this.happened("slow")), Effect.sleep(this.delayMillis))
        : Effect.void
      const free = Effect.async<void>((resume) => {
        if (!this.isPaused) resume(Effect.void)
        else this.resumed.push(() => resume(Effect.void))
      })
      return delay.pipe(Effect.zipRight(free), Effect.zipRight(Effect.sync(() => this.deliver(reply))))
    })
  }

  private deliver(reply: Reply): void {
    if (this.isHung || this.hasEnded) return
    if (this.isPartitioned) return this.happened("partition")
    const { damage } = this
    if (damage === undefined) return this.tell((events) => events.onReply(reply))
    this.damage = undefined
    this.happened(damage)
    if (damage === "tear") this.isHung = true
    else this.tell((events) => events.onViolation("the reply cannot be decoded"))
  }

  private end(exit: WorkerExit): void {
    if (this.hasEnded) return
    this.hasEnded = true
    this.requests.length = 0
    this.running?.unsafeInterruptAsFork(this.running.id())
    this.onEnded()
    this.later(() => this.tell((events) => events.onExit(exit)))
  }

  private tell(event: (events: LinkEvents) => void): void {
    if (this.events === undefined) this.early.push(event)
    else event(this.events)
  }

  /** Never from inside a call. */
  private later(act: () => void): void {
    this.runFork(Effect.zipRight(Effect.yieldNow(), Effect.sync(act)))
  }
}
