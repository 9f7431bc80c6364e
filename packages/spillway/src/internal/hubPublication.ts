/** One message on its way to many sessions: offered to each, or shared by those that hold nothing else. */
import type { Published } from "../Hub.js"
import * as Lane from "../Lane.js"
import type { Message } from "../Message.js"
import type { Outcome } from "../Outcome.js"
import * as Outcomes from "../Outcome.js"
import type { Session } from "../Session.js"
import type { Ledger } from "./ledger.js"
import type { OutboxCore } from "./outbox.js"
import { type Reading, type SessionHost, timeOf } from "./sessionHost.js"
import type { Item } from "./sessionItem.js"
import type { SessionWriter } from "./sessionWriter.js"
import { SharedOffer } from "./sharedBatch.js"

/** A session, with what the hub can use of one of our own. */
export type MemberSession = Session & {
  readonly host?: SessionHost
  readonly writer?: SessionWriter
  readonly offerAt?: (message: Message, reading: Reading) => Outcome
}

export type SharingOutbox = OutboxCore<Item>

/** Counts of a publication while it goes on. */
class Counts implements Published {
  sessions = 0
  queued = 0
  evicting = 0
  conflated = 0
  rejected = 0
  evicted = 0

  note(outcome: Outcome): void {
    this.sessions++
    switch (outcome._tag) {
      case "Queued":
        this.queued++
        return
      case "QueuedEvicting":
        this.evicting++
        this.evicted += outcome.evicted
        return
      case "Conflated":
        this.conflated++
        return
      case "Rejected":
        this.rejected++
    }
  }
}

export type Each = (session: Session, outcome: Outcome) => void

/** Offers one message to one session after the other. */
export class Publication {
  readonly counts = new Counts()
  private readonly reading: Reading = { host: undefined, now: 0 }
  private readonly outcomes: Array<readonly [Session, Outcome]> | undefined
  /** Whether the message may be shared at all: a number or a key makes it one of each session's own. */
  private readonly isShareable: boolean
  private shared: SharedOffer<Item> | undefined = undefined
  /** Of the sessions that share it. */
  private ledger: Ledger | undefined = undefined
  /** Not counted yet. */
  private sharers = 0

  constructor(private readonly message: Message, private readonly each: Each | undefined) {
    this.outcomes = each === undefined ? undefined : []
    this.isShareable = message.key === undefined && message.frame.tail === undefined && message.lane !== "control"
  }

  /** Offers to a session whose outbox is idle. `false`: it has to be offered the message by itself. */
  share(session: MemberSession, outbox: SharingOutbox): boolean {
    if (!outbox.isIdle || !this.isShareable) return false
    const shared = this.shared ??= this.sharedBy(session.host!)
    if (!outbox.share(shared)) return false
    this.sharers++
    if (this.outcomes !== undefined) this.outcomes.push([session, Outcomes.queued])
    return true
  }

  /** For the sessions of one host: limits and ledger are its own. */
  private sharedBy(host: SessionHost): SharedOffer<Item> {
    const { frame, lane, maxAgeMillis } = this.message
    this.ledger = host.ledger
    const index = Lane.toIndex(lane) as 1 | 2 | 3
    return new SharedOffer(frame, frame.byteLength, index, maxAgeMillis, timeOf(host, this.reading), host.batchLimits)
  }

  offer(session: MemberSession, message: Message = this.message): void {
    const outcome = session.offerAt === undefined
      ? session.unsafeOffer(message)
      : session.offerAt(message, this.reading)
    this.counts.note(outcome)
    if (this.outcomes !== undefined) this.outcomes.push([session, outcome])
  }

  /**
   * Counts those that share it, once for all of them: each costs next to nothing, and of that this would be much. Returns
   * how many sessions were visited.
   */
  settle(): number {
    const { counts, ledger, sharers } = this
    this.sharers = 0
    counts.sessions += sharers
    counts.queued += sharers
    if (ledger === undefined || sharers === 0) return counts.sessions
    ledger.hold(this.message.frame, sharers)
    ledger.chargedBytes += sharers * this.shared!.bytes
    return counts.sessions
  }

  /** The callback may do what it likes to the hub: nothing is being visited any more. */
  done(): Published {
    const outcomes = this.outcomes
    if (outcomes !== undefined) { for (const [session, outcome] of outcomes) this.each!(session, outcome) }
    return this.counts
  }
}
