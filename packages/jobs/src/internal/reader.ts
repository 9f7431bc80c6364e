/**
 * One follower of one log: a place, and at most one wait. It reads the store until it has seen its end, then the tail of
 * its channel; whatever the tail no longer holds it reads from the store again.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Reader } from "../EventLog.js"
import { JobNotFound, type ReadError, type StoreFailed } from "../JobError.js"
import * as JobEvent from "../JobEvent.js"
import * as JobState from "../JobState.js"
import type { JobRecord } from "../JobStore.js"
import type { Channel, Listener } from "./channels.js"

type Page = Option.Option<ReadonlyArray<JobEvent.JobEvent>>
type Take = (events: ReadonlyArray<JobEvent.JobEvent>) => number

/** What a follower asks the store for. */
export interface Source {
  read(jobId: string, after: number): Effect.Effect<ReadonlyArray<JobEvent.JobEvent>, StoreFailed>
  get(jobId: string): Effect.Effect<Option.Option<JobRecord>, StoreFailed>
}

export class ReaderImpl implements Reader, Listener {
  private isOver = false
  /** Whether the store may know more than the tail: at the beginning, say that the log ends at this very place. */
  private isDoubtful = true
  /** Place after which the store had nothing. */
  private emptyAfter = -1
  private wake: (() => void) | undefined = undefined
  /** Takes events where they are appended, while this follower has caught up. */
  private take: Take | undefined = undefined

  constructor(
    private readonly source: Source,
    private readonly jobId: string,
    readonly channel: Channel,
    public seq: number
  ) {}

  get behind(): number {
    return Math.max(0, (this.channel.lastSeq ?? 0) - this.seq)
  }

  get waitsAfter(): number | undefined {
    return this.wake === undefined ? undefined : this.seq
  }

  /** Whether there is nothing to do but wait for the bell. */
  private get hasCaughtUp(): boolean {
    const { channel, seq } = this
    if (this.isDoubtful || this.isOver || channel.isForgotten || channel.endSeq !== undefined) return false
    const last = channel.lastSeq
    return last === seq || (this.emptyAfter === seq && (last === undefined || last < seq))
  }

  private moveTo(last: JobEvent.JobEvent): void {
    this.seq = last.seq
    this.isOver = JobEvent.isTerminal(last.kind)
  }

  readonly next: Effect.Effect<Page, ReadError> = Effect.suspend(() => {
    const { channel, seq } = this
    if (this.isOver) return Effect.succeedNone
    if (channel.isForgotten) return Effect.fail(new JobNotFound({ jobId: this.jobId }))
    const page = channel.page(seq)
    if (page !== undefined) {
      this.moveTo(page.value.at(-1)!)
      return Effect.succeed(page)
    }
    if (channel.isEnd(seq)) {
      this.isOver = true
      return Effect.succeedNone
    }
    return this.hasCaughtUp ? Effect.zipRight(this.rings, this.next) : this.ask
  })

  /** Suspends until there is something to look at. Interrupted it is woken once more, and nobody is there. */
  private readonly rings: Effect.Effect<void> = Effect.async<void>((resume) => {
    if (this.hasCaughtUp) this.wake = () => resume(Effect.void)
    else resume(Effect.void)
  })

  rung(): void {
    if (this.wake === undefined || (this.take !== undefined && this.hand(this.take)) || this.hasCaughtUp) return
    const { wake } = this
    this.wake = undefined
    wake()
  }

  doubt(): void {
    this.isDoubtful = true
    this.rung()
  }

  /** Hands over what was appended. Whether the follower still takes everything. */
  private hand(take: Take): boolean {
    for (;;) {
      const page = this.channel.page(this.seq)
      if (page === undefined) return this.hasCaughtUp
      const taken = take(page.value)
      if (taken > 0) this.moveTo(page.value[taken - 1]!)
      if (taken < page.value.length) return false
    }
  }

  readonly live = (take: Take): Effect.Effect<void> =>
    Effect.async<void>((resume) => {
      if (!this.hasCaughtUp) return resume(Effect.void)
      this.take = take
      this.wake = () => {
        this.take = undefined
        resume(Effect.void)
      }
      return Effect.sync(() => {
        this.take = undefined
        this.wake = undefined
      })
    })

  /** Asks the store what comes after the place; where that is nothing, whether anything ever will. */
  private readonly ask: Effect.Effect<Page, ReadError> = Effect.suspend(() => {
    this.isDoubtful = false
    return Effect.flatMap(this.source.read(this.jobId, this.seq), (stored) => {
      if (stored.length > 0) {
        this.moveTo(stored.at(-1)!)
        return Effect.succeed(Option.some(stored))
      }
      return Effect.zipRight(this.checkEnd, this.next)
    })
  })

  private readonly checkEnd: Effect.Effect<void, ReadError> = Effect.suspend(() =>
    Effect.flatMap(
      this.source.get(this.jobId),
      Option.match({
        onNone: () => Effect.fail(new JobNotFound({ jobId: this.jobId })),
        onSome: ({ state }) =>
          Effect.sync(() => {
            if (JobState.isTerminal(state.status)) this.channel.end(state.seq)
            else this.emptyAfter = this.seq
          })
      })
    )
  )
}
