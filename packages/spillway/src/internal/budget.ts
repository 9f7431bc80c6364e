/** Looks at the load at regular times and does what its level says, to the largest sessions first. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as PubSub from "effect/PubSub"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { BudgetShape, BudgetStats, Change, Level, Options } from "../Budget.js"
import { Sessions, type SessionsShape } from "../Sessions.js"
import { InvalidOption } from "../SpillwayError.js"
import { BudgetState, largest, type Marks } from "./budgetState.js"
import type { SessionImpl } from "./session.js"

type Resolved = Required<Omit<Options, "hint">> & Pick<Options, "hint">

const names: ReadonlyArray<Level> = ["calm", "shed bulk", "shed important", "hint", "refuse", "end"]

/** Changes of the level that a reader may lag behind. */
const changesMax = 256

class BudgetKeeper {
  readonly state: BudgetState
  private hinted = new WeakSet<SessionImpl>()
  private peakBytes = 0
  private shedBulk = 0
  private shedImportant = 0
  private hints = 0
  private ended = 0
  /** Whether the look before has already shed: only what that did not help costs sessions. */
  private hasShed = false

  constructor(
    private readonly sessions: SessionsShape,
    private readonly options: Resolved,
    private readonly marks: Marks,
    private readonly delayMaxMillis: number,
    private readonly tell: (change: Change) => void
  ) {
    this.state = new BudgetState(marks)
  }

  look(now: number, delayMillis: number): void {
    const bytes = this.sessions.memory.chargedBytes
    if (bytes > this.peakBytes) this.peakBytes = bytes
    const from = names[this.state.level]!
    const changed = this.state.note(bytes / this.options.bytesMax, delayMillis / this.delayMaxMillis)
    const { level } = this.state
    this.sessions.unsafeRefuse(level >= 4)
    if (changed) this.tell({ from, to: names[level]!, bytes, delayMillis, at: now })
    if (level === 0) {
      this.hasShed = false
      return
    }
    const all: Array<SessionImpl> = []
    // Every session of an owner is one.
    this.sessions.unsafeForEach((session) => void all.push(session as SessionImpl))
    this.act(all, level)
  }

  /** Sheds until the load is where the level would be left, and not more. */
  private act(all: ReadonlyArray<SessionImpl>, level: number): void {
    const { margin, shedBulk, shedImportant } = this.marks
    const mayEnd = level >= 5 && this.hasShed
    const { bytesMax } = this.options
    this.shed(all, 3, (shedBulk - margin) * bytesMax)
    if (level >= 2) this.shed(all, 2, (shedImportant - margin) * bytesMax)
    this.hasShed = true
    if (level >= 3) this.hint(all)
    else if (this.hints > 0) this.hinted = new WeakSet()
    if (mayEnd) this.end(all)
  }

  private shed(all: ReadonlyArray<SessionImpl>, lane: 2 | 3, downTo: number): void {
    for (
      const { writer } of largest(
        all,
        ({ writer }) => writer.outbox.queue.queuedBytesOf(lane),
        this.options.sessionsPerLook
      )
    ) {
      if (this.sessions.memory.chargedBytes < downTo) return
      this.shedBulk += writer.shed(3)
      if (lane === 2) this.shedImportant += writer.shed(2)
    }
  }

  private hint(all: ReadonlyArray<SessionImpl>): void {
    const { hint, sessionsPerLook } = this.options
    if (hint === undefined) return
    for (const session of largest(all, sizeOf, sessionsPerLook)) {
      if (this.hinted.has(session)) continue
      this.hinted.add(session)
      this.hints++
      session.unsafeOffer(hint(session))
    }
  }

  private end(all: ReadonlyArray<SessionImpl>): void {
    // Those that are ending already, and flush what they can, are not among these.
    let bytes = all.reduce((sum, session) => sum + sizeOf(session), 0)
    for (const session of largest(all, sizeOf, this.options.sessionsPerLook)) {
      if (bytes < this.marks.end * this.options.bytesMax) break
      bytes -= sizeOf(session)
      this.ended++
      session.requestEnd({ _tag: "Overloaded" })
    }
  }

  get stats(): BudgetStats {
    return {
      level: names[this.state.level]!,
      bytes: this.sessions.memory.chargedBytes,
      bytesMax: this.options.bytesMax,
      peakBytes: this.peakBytes,
      shedBulk: this.shedBulk,
      shedImportant: this.shedImportant,
      hinted: this.hints,
      ended: this.ended
    }
  }
}

const sizeOf = ({ writer }: SessionImpl): number => writer.outbox.queue.queuedBytes + writer.inFlightBytes

const invalid = (key: string, value: unknown, expected: string): InvalidOption =>
  new InvalidOption({ module: "Budget", key, value, expected })

const marksOf = (options: Resolved): Effect.Effect<Marks, InvalidOption> => {
  const { endAt, hintAt, margin, refuseAt, shedBulkAt, shedImportantAt } = options
  const rising = { margin, shedBulkAt, shedImportantAt, hintAt, refuseAt, endAt }
  let least = 0
  for (const [key, value] of Object.entries(rising)) {
    if (!(value > least)) return Effect.fail(invalid(key, value, `a ratio above ${least}`))
    least = value
  }
  return Effect.succeed({
    shedBulk: shedBulkAt,
    shedImportant: shedImportantAt,
    hint: hintAt,
    refuse: refuseAt,
    end: endAt,
    margin
  })
}

const periodOf = (key: "delayMax" | "interval", options: Resolved): Effect.Effect<number, InvalidOption> => {
  const millis = Option.match(Duration.decodeUnknown(options[key]), { onNone: () => 0, onSome: Duration.toMillis })
  return millis > 0 ? Effect.succeed(millis) : Effect.fail(invalid(key, options[key], "a positive duration"))
}

export const make = (options: Resolved): Effect.Effect<BudgetShape, InvalidOption, Sessions | Scope.Scope> =>
  Effect.gen(function*() {
    for (const key of ["bytesMax", "sessionsPerLook"] as const) {
      const value = options[key]
      if (!Number.isInteger(value) || value < 1) {
        return yield* Effect.fail(invalid(key, value, "a whole number of at least 1"))
      }
    }
    const marks = yield* marksOf(options)
    const interval = yield* periodOf("interval", options)
    const delayMax = yield* periodOf("delayMax", options)
    const sessions = yield* Sessions
    const changes = yield* PubSub.sliding<Change>(changesMax)
    yield* Effect.addFinalizer(() => PubSub.shutdown(changes))
    yield* Effect.addFinalizer(() => Effect.sync(() => sessions.unsafeRefuse(false)))
    const keeper = new BudgetKeeper(sessions, options, marks, delayMax, (change) => void changes.unsafeOffer(change))
    // How late the sleep ends is the delay of the event loop.
    const look = Effect.flatMap(Clock.currentTimeMillis, (before) =>
      Effect.zipRight(
        Effect.sleep(interval),
        Effect.map(Clock.currentTimeMillis, (now) => keeper.look(now, Math.max(0, now - before - interval)))
      ))
    yield* Effect.forkScoped(Effect.forever(look))
    return {
      get stats() {
        return keeper.stats
      },
      changes: Stream.fromPubSub(changes)
    }
  })
