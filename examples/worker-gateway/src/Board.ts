/** What is counted, and what `/watch` shows: one reading of the pool, of the requests and of the recoveries. */
import * as WorkerPool from "@spillway/workers/WorkerPool"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import type * as Protocol from "./Protocol.js"

/** Recoveries and events that are shown. */
const shownMax = 12

const keep = <A>(items: Array<A>, item: A): void => {
  items.push(item)
  if (items.length > shownMax) items.shift()
}

/** Workers of one place have ids that differ in what is behind the last dot. */
const placeOf = (workerId: string): string => workerId.replace(/\.\d+$/, "")

type Reading = Omit<Protocol.Reading, "_tag">

export class Tally {
  private taken = 0
  private results = 0
  private readonly failed: Record<string, number> = {}
  private abandoned = 0
  private sessions = 0
  private kills = 0
  private rebinds = 0
  private statesLost = 0
  private readonly poolRecoveryMillis: Array<number> = []
  private readonly sessionRecoveryMillis: Array<number> = []
  private readonly events: Array<{ readonly at: number; readonly text: string }> = []
  /** Places without a worker that serves, and since when. */
  private readonly down = new Map<string, number>()

  opened(change: 1 | -1): void {
    this.sessions += change
  }

  request(): void {
    this.taken++
  }

  result(): void {
    this.results++
  }

  failure(error: string): void {
    this.failed[error] = (this.failed[error] ?? 0) + 1
  }

  abandon(): void {
    this.abandoned++
  }

  killed(workerId: string, pid: number, at: number): void {
    this.kills++
    keep(this.events, { at, text: `${workerId} (process ${pid}) was killed` })
  }

  rebound(millis: number): void {
    this.rebinds++
    keep(this.sessionRecoveryMillis, millis)
  }

  stateLost(): void {
    this.statesLost++
  }

  onEvent(event: WorkerPool.PoolEvent): void {
    if (event._tag === "WorkerRemoved" && event.cause !== "closed") {
      this.down.set(placeOf(event.workerId), event.at)
      keep(this.events, { at: event.at, text: `${event.workerId} is out: ${event.cause}` })
    }
    if (event._tag !== "WorkerReady") return
    const place = placeOf(event.workerId)
    const since = this.down.get(place)
    this.down.delete(place)
    if (since !== undefined) keep(this.poolRecoveryMillis, event.at - since)
    keep(this.events, { at: event.at, text: `${event.workerId} (process ${event.pid}) serves` })
  }

  read(status: WorkerPool.Status, workers: ReadonlyArray<WorkerPool.WorkerInfo>): Reading {
    const { abandoned, failed, results, taken } = this
    const ended = results + abandoned + Object.values(failed).reduce((sum, count) => sum + count, 0)
    const { first = 0, hits = 0, misses = 0, rate = 1 } = status.affinity ?? {}
    return {
      sessions: this.sessions,
      workers: workers.map(({ id, machine, operations, pid, sessions }) => ({
        id,
        pid: pid ?? null,
        state: machine.state,
        sessions,
        operations
      })),
      waiting: status.waiting,
      affinity: { hits, misses, first, rate },
      requests: { taken, results, failed: { ...failed }, abandoned, open: taken - ended },
      kills: this.kills,
      rebinds: this.rebinds,
      statesLost: this.statesLost,
      poolRecoveryMillis: [...this.poolRecoveryMillis],
      sessionRecoveryMillis: [...this.sessionRecoveryMillis],
      events: [...this.events]
    }
  }
}

export class Board extends Context.Tag("@spillway-examples/worker-gateway/Board")<Board, {
  readonly tally: Tally
  readonly read: Effect.Effect<Reading>
}>() {
  static readonly layer = Layer.scoped(
    Board,
    Effect.gen(function*() {
      const pool = yield* WorkerPool.WorkerPool
      const tally = new Tally()
      yield* Effect.forkScoped(Stream.runForEach(pool.events, (event) => Effect.sync(() => tally.onEvent(event))))
      const read = Effect.zipWith(pool.status, pool.workers, (status, workers) => tally.read(status, workers))
      return { tally, read }
    })
  )
}
