/**
 * How a pool starts workers and talks to them: the port of `WorkerPool`. Layers of it are `MemoryWorkers` (no process, no
 * bytes), `ScriptedWorkers` (no process, real bytes) and `ProcessWorkers`; `WorkerLaws` is the contract of all.
 *
 * A link carries requests to one worker and replies back, by number. It never calls back from inside a call; `onExit` is
 * its last word and comes exactly once, whatever ended the worker.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { NotEncodable, PayloadTooLarge, SpawnFailed } from "./WorkerError.js"

/**
 * What a worker is asked. Numbers are unique per worker.
 *
 * @since 0.1.0
 * @category models
 */
export interface Request {
  readonly id: number
  readonly command: string
  readonly args: unknown
}

/**
 * What a worker answers: any number of `Progress`, then one `Success` or `Failure`.
 *
 * @since 0.1.0
 * @category models
 */
export type Reply =
  | { readonly _tag: "Success"; readonly id: number; readonly result: unknown }
  | { readonly _tag: "Failure"; readonly id: number; readonly type: string; readonly explanation: string }
  | { readonly _tag: "Progress"; readonly id: number; readonly value: unknown }

/**
 * How a worker ended: the code that it left, or the signal that ended it.
 *
 * @since 0.1.0
 * @category models
 */
export interface WorkerExit {
  readonly code: number | undefined
  readonly signal: string | undefined
}

/**
 * What a link tells its owner.
 *
 * @since 0.1.0
 * @category models
 */
export interface LinkEvents {
  onReply(reply: Reply): void
  /** What came is no reply. The link is of no use any more. */
  onViolation(why: string): void
  onExit(exit: WorkerExit): void
}

/**
 * A fault that a link can be told to have; `Chaos` does.
 *
 * - `kill` ends the worker at once. `hang` stops it without an end. `slow` delays each reply, until
 *   it is told a delay of 0. `corrupt` changes the next
 *   reply, and `tear` lets only half of it through and nothing after it. `partition` loses everything both ways.
 *   `exhaustMemory` makes the worker use so many bytes more.
 *
 * @since 0.1.0
 * @category models
 */
export type LinkFault =
  | { readonly _tag: "kill" }
  | { readonly _tag: "hang" }
  | { readonly _tag: "slow"; readonly delayMillis: number }
  | { readonly _tag: "corrupt" }
  | { readonly _tag: "tear" }
  | { readonly _tag: "partition" }
  | { readonly _tag: "exhaustMemory"; readonly bytes: number }

/**
 * A way to one worker.
 *
 * @since 0.1.0
 * @category models
 */
export interface WorkerLink {
  /** Number of the operating system's process, where there is one. */
  readonly pid: number | undefined
  /** Bytes that were sent and that nobody took yet. */
  readonly bufferedBytes: number
  /** To be called once, at the beginning. What comes before it is kept. */
  attach(events: LinkEvents): void
  /** Sends a request, or says why it cannot be sent; then nothing was. Harmless after the end. */
  send(request: Request): PayloadTooLarge | NotEncodable | undefined
  /** Stops taking replies from the worker, which then has to wait. */
  pause(): void
  resume(): void
  /** Asks the worker to finish and to end. */
  stop(): void
  /** Ends the worker; it has no say in this. */
  kill(): void
  /** Memory that the worker uses, in bytes; `undefined` when nobody knows. */
  readonly memoryBytes: Effect.Effect<number | undefined>
  /** Makes a fault happen; how often it has really happened is in `faults`. */
  inject(fault: LinkFault): void
  /** Faults that have happened, by kind: a process that was ended, bytes that were changed, replies that were held. */
  readonly faults: { readonly [F in LinkFault["_tag"]]?: number }
}

/**
 * Shape of the service.
 *
 * @since 0.1.0
 * @category models
 */
export interface WorkerTransportShape {
  /** Starts a worker. Whoever starts it ends it. The worker is usable when it answers its first `ping`. */
  readonly spawn: (workerId: string) => Effect.Effect<WorkerLink, SpawnFailed>
  /** Processes of the operating system that live now. */
  readonly processes: number
}

/**
 * The port.
 *
 * @since 0.1.0
 * @category models
 */
export class WorkerTransport
  extends Context.Tag("@spillway/workers/WorkerTransport")<WorkerTransport, WorkerTransportShape>()
{}
