/** One client of one job: a connection at a time, the place in the log, and what was received and not yet taken. */
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import type { DialerShape } from "spillway/Dialer"
import * as Message from "spillway/Message"
import { DialFailed, type InvalidMessage } from "spillway/SpillwayError"
import type { Connection, ConnectionEnd } from "spillway/Transport"
import type { Options } from "../JobClient.js"
import { JobNotFound } from "../JobError.js"
import * as JobState from "../JobState.js"
import * as JobWire from "../JobWire.js"

type Failure = JobNotFound | DialFailed | InvalidMessage

const decode = Message.decoder(JobWire.Frame)
const utf8 = new TextDecoder()

const describe = (end: ConnectionEnd): string =>
  end._tag === "PeerClose" ? `closed with ${end.code} ${end.reason}` : end._tag

/** What one connection has brought. */
class Line {
  readonly texts: Array<string> = []
  end: ConnectionEnd | undefined = undefined
  heardAt: number
  isPaused = false
  private wake: (() => void) | undefined = undefined

  constructor(readonly connection: Connection, private readonly clock: Clock.Clock, private readonly max: number) {
    this.heardAt = clock.unsafeCurrentTimeMillis()
    connection.attach({
      onMessage: (data) => {
        this.texts.push(utf8.decode(data))
        if (this.texts.length >= this.max && !this.isPaused) {
          this.isPaused = true
          connection.pause()
        }
        this.hear()
      },
      onPing: () => this.hear(),
      onPong: () => this.hear(),
      onFlushed: () => {},
      onClose: (end) => {
        this.end = end
        this.wake?.()
      }
    })
  }

  private hear(): void {
    this.heardAt = this.clock.unsafeCurrentTimeMillis()
    this.wake?.()
  }

  take(): ReadonlyArray<string> {
    const taken = this.texts.splice(0)
    if (this.isPaused && this.end === undefined) {
      this.isPaused = false
      this.connection.resume()
    }
    return taken
  }

  /** Suspends until something was received, heard or over. */
  readonly changed: Effect.Effect<void> = Effect.async<void>((resume) => {
    if (this.texts.length > 0 || this.end !== undefined) return resume(Effect.void)
    this.wake = () => {
      this.wake = undefined
      resume(Effect.void)
    }
    return Effect.sync(() => {
      this.wake = undefined
    })
  })
}

export class Follower {
  private line: Line | undefined = undefined
  private attempts = 0
  private isOver = false
  private seq: number
  private readonly url: Options["url"]
  private readonly dialTimeout: number
  private readonly silenceTimeout: number
  private readonly backoff: number
  private readonly backoffMax: number

  constructor(
    private readonly jobId: string,
    private readonly dialer: DialerShape,
    private readonly options: Required<Options>
  ) {
    this.seq = options.since
    this.url = options.url
    this.dialTimeout = Duration.toMillis(options.dialTimeout)
    this.silenceTimeout = Duration.toMillis(options.silenceTimeout)
    this.backoff = Duration.toMillis(options.backoff)
    this.backoffMax = Duration.toMillis(options.backoffMax)
  }

  unsafeClose(): void {
    const line = this.line
    this.line = undefined
    if (line !== undefined && line.end === undefined) line.connection.terminate()
  }

  /** The next frames; fails with `None` when the job has ended. */
  readonly next: Effect.Effect<Chunk.Chunk<JobWire.Frame>, Option.Option<Failure>> = Effect.suspend(() => {
    if (this.isOver) return Effect.fail(Option.none())
    return Effect.mapError(this.line === undefined ? this.connect : this.receive(this.line), Option.some)
  })

  private readonly connect: Effect.Effect<Chunk.Chunk<JobWire.Frame>, Failure> = Effect.suspend(() => {
    const url = this.url(this.jobId, this.seq)
    const opened = Effect.uninterruptibleMask((restore) =>
      Effect.zipWith(restore(this.dialer.dial(url)), Effect.clock, (connection, clock) => {
        this.line = new Line(connection, clock, this.options.bufferFramesMax)
      })
    )
    return opened.pipe(
      Effect.timeoutFail({ duration: this.dialTimeout, onTimeout: () => new DialFailed({ url, why: "no answer" }) }),
      Effect.matchEffect({
        onSuccess: () => Effect.succeed(Chunk.empty()),
        onFailure: ({ why }) => this.comeBack(why)
      })
    )
  })

  private comeBack(why: string): Effect.Effect<Chunk.Chunk<JobWire.Frame>, DialFailed> {
    return Effect.suspend(() => {
      this.unsafeClose()
      if (++this.attempts >= this.options.attemptsMax) {
        return Effect.fail(new DialFailed({ url: this.url(this.jobId, this.seq), why }))
      }
      const longest = Math.min(this.backoff * 2 ** (this.attempts - 1), this.backoffMax)
      return Effect.flatMap(Random.next, (share) => Effect.as(Effect.sleep(longest * share), Chunk.empty()))
    })
  }

  private receive(line: Line): Effect.Effect<Chunk.Chunk<JobWire.Frame>, Failure> {
    return Effect.flatMap(Effect.timeoutOption(line.changed, this.silenceTimeout), () => {
      const texts = line.take()
      if (texts.length > 0) return this.accept(texts)
      if (line.end !== undefined) return this.ended(line.end)
      return Effect.flatMap(
        Clock.currentTimeMillis,
        (now) => now - line.heardAt >= this.silenceTimeout ? this.comeBack("silent") : Effect.succeed(Chunk.empty())
      )
    })
  }

  private ended(end: ConnectionEnd): Effect.Effect<Chunk.Chunk<JobWire.Frame>, Failure> {
    if (end._tag === "PeerClose" && end.code === 1008) return Effect.fail(new JobNotFound({ jobId: this.jobId }))
    return this.comeBack(describe(end))
  }

  private accept(texts: ReadonlyArray<string>): Effect.Effect<Chunk.Chunk<JobWire.Frame>, InvalidMessage> {
    return Effect.map(Effect.forEach(texts, decode), (frames) => {
      // An error alone is no progress: whoever sends nothing else is come back to more and more slowly.
      if (frames.some(({ type }) => type !== "error")) this.attempts = 0
      return Chunk.fromIterable(frames.filter((frame) => this.isNew(frame)))
    })
  }

  private isNew(frame: JobWire.Frame): boolean {
    if (this.isOver) return false
    if (frame.type === "state" && JobState.isTerminal(frame.data.status)) this.isOver = true
    if (frame.type !== "event") return true
    if (frame.data.seq <= this.seq) return false
    this.seq = frame.data.seq
    return true
  }
}
