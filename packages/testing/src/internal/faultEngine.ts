/**
 * Which rule acts on what: counters and matching, synchronous.
 */
import type * as Clock from "effect/Clock"
import type * as Faults from "../Faults.js"

/** Times of which the report keeps the moment. */
const firedAtMax = 100

const tagsOfFrames: ReadonlySet<string> = new Set(["Delay", "Stall", "DropLink", "Tear", "Corrupt"])
const tagsOfConnects: ReadonlySet<string> = new Set(["Refuse", "DuplicateConnection"])

export class Entry {
  matched = 0
  fired = 0
  /** Acts that were promised and have not happened yet. */
  promised = 0
  readonly firedAt: Array<number> = []

  constructor(readonly rule: Faults.Rule) {}

  /** Counts a match. `true`: this one is the rule's to act on. */
  meets(): boolean {
    this.matched++
    const { nth = 1, times = 1 } = this.rule.match
    return this.matched >= nth && this.fired + this.promised < times
  }

  get report(): Faults.RuleReport {
    const { fired, matched, rule } = this
    return { rule, matched, fired, firedAt: [...this.firedAt] }
  }
}

interface Subject {
  readonly connection: number
  readonly remoteAddress: string
}

const isOf = (connections: Faults.Connections, connection: number): boolean =>
  typeof connections === "number"
    ? connections === connection
    : "everyNth" in connections
    ? connection >= (connections.offset ?? 0) && (connection - (connections.offset ?? 0)) % connections.everyNth === 0
    : connections.includes(connection)

export class FaultEngine {
  private readonly entries: ReadonlyArray<Entry>
  private readonly ofFrames: ReadonlyArray<Entry>
  private readonly ofConnects: ReadonlyArray<Entry>
  private readonly startedAt: number
  private handlers = 0

  constructor(schedule: Faults.Schedule, readonly clock: Clock.Clock) {
    this.startedAt = clock.unsafeCurrentTimeMillis()
    this.entries = schedule.map((rule) => new Entry(rule))
    this.ofFrames = this.entries.filter(({ rule }) => tagsOfFrames.has(rule.act._tag))
    this.ofConnects = this.entries.filter(({ rule }) => tagsOfConnects.has(rule.act._tag))
  }

  get hasFrameRules(): boolean {
    return this.ofFrames.length > 0
  }

  report(): ReadonlyArray<Faults.RuleReport> {
    return this.entries.map((entry) => entry.report)
  }

  onConnect(connection: number, remoteAddress: string): Faults.ConnectAct | undefined {
    const entry = this.first(this.ofConnects, { connection, remoteAddress }, () => true)
    if (entry === undefined) return undefined
    this.fire(entry)
    return entry.rule.act as Faults.ConnectAct
  }

  onFrame(
    frame: Subject & {
      readonly direction: "toClient" | "toServer"
      readonly kind: Faults.FrameKind
      readonly payloadBytes: number
    }
  ): Faults.FrameAct | undefined {
    const entry = this.first(
      this.ofFrames,
      frame,
      ({ act, match }) =>
        (match.direction === undefined || match.direction === frame.direction) &&
        (match.frame === undefined || match.frame === frame.kind) &&
        // Only messages have a payload that the reader looks at.
        (act._tag !== "Corrupt" || (frame.kind === "message" && frame.payloadBytes > 0))
    )
    if (entry === undefined) return undefined
    this.fire(entry)
    return entry.rule.act as Faults.FrameAct
  }

  /** Number of a handler that starts. */
  nextHandler(): number {
    return this.handlers++
  }

  /** A task starts. The rule that is going to kill it has fired only when `fire` says so. */
  onTask(subject: Subject, name: string): Entry | undefined {
    const entry = this.first(
      this.entries,
      subject,
      ({ act, match }) => act._tag === "KillTask" && (match.task === undefined || match.task === name)
    )
    if (entry !== undefined) entry.promised++
    return entry
  }

  /** A finalizer has run. */
  onFinalizer(subject: Subject): boolean {
    const entry = this.first(this.entries, subject, ({ act }) => act._tag === "FailFinalizer")
    if (entry !== undefined) this.fire(entry)
    return entry !== undefined
  }

  fire(entry: Entry): void {
    entry.fired++
    if (entry.firedAt.length < firedAtMax) entry.firedAt.push(this.now)
  }

  private get now(): number {
    return this.clock.unsafeCurrentTimeMillis() - this.startedAt
  }

  /** Counts for every rule that matches, and returns the first of them whose turn it is. */
  private first(
    entries: ReadonlyArray<Entry>,
    subject: Subject,
    applies: (rule: Faults.Rule) => boolean
  ): Entry | undefined {
    if (entries.length === 0) return undefined
    const now = this.now
    let chosen: Entry | undefined
    for (const entry of entries) {
      const { match } = entry.rule
      if (now < (match.fromMillis ?? 0) || now >= (match.untilMillis ?? Infinity)) continue
      if (match.connection !== undefined && !isOf(match.connection, subject.connection)) continue
      if (match.remoteAddress !== undefined && match.remoteAddress !== subject.remoteAddress) continue
      if (applies(entry.rule) && entry.meets()) chosen ??= entry
    }
    return chosen
  }
}
