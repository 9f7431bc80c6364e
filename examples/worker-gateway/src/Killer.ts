/** Kills worker processes, from outside, as the kernel would: with SIGKILL, and only what is gone counts. */
import * as WorkerPool from "@spillway/workers/WorkerPool"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import { Board } from "./Board.js"

export interface Killed {
  readonly workerId: string
  readonly pid: number
  /** From the signal until there was no such process; `null`: it is still there. */
  readonly goneMillis: number | null
}

/** Sends a signal; whether there was such a process. 0 only asks. */
const signal = (pid: number, which: "SIGKILL" | 0): boolean => {
  try {
    return process.kill(pid, which)
  } catch {
    return false
  }
}

const gone = (pid: number) =>
  Effect.repeat(Effect.delay(Effect.sync(() => signal(pid, 0)), "1 millis"), { while: (isThere) => isThere }).pipe(
    Effect.timeoutOption("5 seconds"),
    Effect.map(Option.isSome)
  )

const killOne = (workerId: string, pid: number) =>
  Effect.gen(function*() {
    const { tally } = yield* Board
    const at = yield* Clock.currentTimeMillis
    if (!signal(pid, "SIGKILL")) return []
    tally.killed(workerId, pid, at)
    const isGone = yield* gone(pid)
    const killed: Killed = { workerId, pid, goneMillis: isGone ? (yield* Clock.currentTimeMillis) - at : null }
    return [killed]
  })

/** Kills so many workers that serve, those that are busy first. */
export const kill = (count: number) =>
  Effect.gen(function*() {
    const pool = yield* WorkerPool.WorkerPool
    const workers = [...yield* Random.shuffle(yield* pool.workers)]
    const inState = (state: string) => workers.filter(({ machine }) => machine.state === state)
    const victims = [...inState("busy"), ...inState("ready")].slice(0, count)
    const killed = yield* Effect.forEach(
      victims,
      ({ id, pid }) => pid === undefined ? Effect.succeed([]) : killOne(id, pid),
      { concurrency: "unbounded" }
    )
    return killed.flat()
  })
