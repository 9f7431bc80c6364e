/**
 * The two sides of membership, prefixes, and what is retained. Synchronous and plain, so that no reader sees half a change.
 *
 * A publication visits the members of the topic, then those of each prefix that matches. A member that several of its
 * subscriptions lead to is visited once: visiting stamps it with the number of the publication.
 */
import type { HubStats, PresenceEvent, Published, Selector } from "../Hub.js"
import type { Message } from "../Message.js"
import type { Session } from "../Session.js"
import { TooManyTopics } from "../SpillwayError.js"
import { type Policy, type PolicyOf, withTopicKey } from "./hubPolicy.js"
import { Watcher } from "./hubPresence.js"
import { type Each, type MemberSession, Publication, type SharingOutbox } from "./hubPublication.js"
import { Retained } from "./hubRetained.js"
import { invariant } from "./invariant.js"

export interface Limits {
  readonly topicsPerSessionMax: number
  readonly topicsMax: number
  readonly retainedItemsMax: number
  readonly retainedBytesMax: number
  readonly presenceEventsMax: number
}

class Member {
  /** The last publication that was offered to it. */
  stamp = 0
  /** Of a session of ours: looked at before the session, which then nearly always is not. */
  readonly outbox: SharingOutbox | undefined
  readonly topics = new Set<string>()
  prefixes: Set<string> | undefined = undefined
  /** Scopes that hold the membership. */
  holders = 1

  constructor(readonly session: MemberSession) {
    this.outbox = session.writer?.outbox
  }

  get subscriptions(): number {
    return this.topics.size + (this.prefixes?.size ?? 0)
  }

  has(selector: Selector): boolean {
    return typeof selector === "string" ? this.topics.has(selector) : this.prefixes?.has(selector.prefix) === true
  }

  /** Whether messages of the topic already reach it. */
  covers(topic: string): boolean {
    if (this.topics.has(topic)) return true
    if (this.prefixes !== undefined) { for (const prefix of this.prefixes) if (topic.startsWith(prefix)) return true }
    return false
  }
}

class Topic {
  readonly members = new Set<Member>()
  watchers: Set<Watcher> | undefined = undefined
  constructor(readonly policy: Policy) {}
}

export class HubTopics {
  private readonly members = new Map<Session, Member>()
  private readonly topics = new Map<string, Topic>()
  private readonly prefixes = new Map<string, Set<Member>>()
  /** How many prefixes have this length. */
  private readonly prefixLengths = new Map<number, number>()
  private readonly retained: Retained
  /** Topics that have members. */
  private subscribedTopics = 0
  private published = 0
  private offers = 0

  constructor(private readonly limits: Limits, private readonly policyOf: PolicyOf) {
    this.retained = new Retained(limits.retainedItemsMax, limits.retainedBytesMax)
  }

  // ---- membership --------------------------------------------------------------------------------------------------

  join(session: Session): void {
    const member = this.members.get(session)
    if (member === undefined) this.members.set(session, new Member(session))
    else member.holders++
  }

  leave(session: Session): void {
    const member = this.members.get(session)
    if (member === undefined || --member.holders > 0) return
    this.members.delete(session)
    for (const topic of member.topics) this.part(member, topic)
    for (const prefix of member.prefixes ?? []) this.partPrefix(member, prefix)
  }

  /** Which of these are new to the session, after having added them; or why none was. `undefined`: it is no member. */
  add(session: Session, selectors: ReadonlyArray<Selector>): ReadonlyArray<Selector> | TooManyTopics | undefined {
    const member = this.members.get(session)
    if (member === undefined) return undefined
    const added = fresh(member, selectors)
    const { topicsMax, topicsPerSessionMax } = this.limits
    if (member.subscriptions + added.length > topicsPerSessionMax) {
      return new TooManyTopics({ limit: "session", topicsMax: topicsPerSessionMax })
    }
    const made = added.filter((selector) => !this.isKnown(selector)).length
    if (made > 0 && this.subscribedTopics + this.prefixes.size + made > topicsMax) {
      return new TooManyTopics({ limit: "server", topicsMax })
    }
    for (const selector of added) {
      if (typeof selector === "string") this.addTopic(member, selector)
      else this.addPrefix(member, selector.prefix)
    }
    return added
  }

  remove(session: Session, selectors: ReadonlyArray<Selector>): void {
    const member = this.members.get(session)
    if (member === undefined) return
    for (const selector of selectors) {
      if (typeof selector === "string") {
        if (member.topics.delete(selector)) this.part(member, selector)
      } else if (member.prefixes?.delete(selector.prefix) === true) this.partPrefix(member, selector.prefix)
    }
  }

  private isKnown(selector: Selector): boolean {
    return typeof selector === "string"
      ? (this.topics.get(selector)?.members.size ?? 0) > 0
      : this.prefixes.has(selector.prefix)
  }

  private addTopic(member: Member, name: string): void {
    if (!member.covers(name)) this.replay(member, name)
    member.topics.add(name)
    const topic = this.topicOf(name)
    if (topic.members.size === 0) this.subscribedTopics++
    topic.members.add(member)
    this.tell(topic, { _tag: "Joined", session: member.session })
  }

  private addPrefix(member: Member, prefix: string): void {
    for (const name of this.retained.topics()) {
      if (name.startsWith(prefix) && !member.covers(name)) this.replay(member, name)
    }
    ;(member.prefixes ??= new Set()).add(prefix)
    const members = this.prefixes.get(prefix)
    if (members !== undefined) return void members.add(member)
    this.prefixes.set(prefix, new Set([member]))
    this.prefixLengths.set(prefix.length, (this.prefixLengths.get(prefix.length) ?? 0) + 1)
  }

  private replay(member: Member, name: string): void {
    this.retained.forEach(name, (message) => member.session.unsafeOffer(message))
  }

  private part(member: Member, name: string): void {
    const topic = this.topics.get(name)!
    topic.members.delete(member)
    if (topic.members.size === 0) this.subscribedTopics--
    this.tell(topic, { _tag: "Left", session: member.session })
    this.dropUnused(name, topic)
  }

  private partPrefix(member: Member, prefix: string): void {
    const members = this.prefixes.get(prefix)!
    members.delete(member)
    if (members.size > 0) return
    this.prefixes.delete(prefix)
    const left = this.prefixLengths.get(prefix.length)! - 1
    if (left === 0) this.prefixLengths.delete(prefix.length)
    else this.prefixLengths.set(prefix.length, left)
  }

  private topicOf(name: string): Topic {
    let topic = this.topics.get(name)
    if (topic === undefined) {
      topic = new Topic(this.policyOf(name))
      this.topics.set(name, topic)
    }
    return topic
  }

  private dropUnused(name: string, topic: Topic): void {
    if (topic.members.size === 0 && topic.watchers === undefined) this.topics.delete(name)
  }

  // ---- publishing --------------------------------------------------------------------------------------------------

  publish(name: string, message: Message, retainAs: string | undefined, each: Each | undefined): Published {
    const topic = this.topics.get(name)
    const policy = topic === undefined ? this.policyOf(name) : topic.policy
    const treated = policy.treat(name, message)
    const keptAs = retainAs ?? policy.retainName(message)
    if (keptAs !== undefined) this.retained.set(name, keptAs, treated)
    const publication = new Publication(treated, each)
    const stamp = ++this.published
    try {
      if (topic !== undefined) this.visit(topic.members, stamp, publication, name, treated)
      for (const length of this.prefixLengths.keys()) {
        if (length > name.length) continue
        const members = this.prefixes.get(name.slice(0, length))
        if (members !== undefined) this.visit(members, stamp, publication, name, treated)
      }
    } finally {
      this.offers += publication.settle()
    }
    return publication.done()
  }

  private visit(
    members: ReadonlySet<Member>,
    stamp: number,
    publication: Publication,
    name: string,
    message: Message
  ): void {
    let conflated: Message | undefined = undefined
    for (const member of members) {
      if (member.stamp === stamp) continue
      member.stamp = stamp
      const { outbox, session } = member
      if (outbox !== undefined && publication.share(session, outbox)) continue
      if (session.writer?.conflates === true) publication.offer(session, conflated ??= withTopicKey(name, message))
      else publication.offer(session)
    }
  }

  broadcast(forEach: (f: (session: Session) => void) => void, message: Message, each: Each | undefined): Published {
    const publication = new Publication(message, each)
    this.published++
    try {
      forEach((session: MemberSession) => {
        const { writer } = session
        if (writer === undefined || !publication.share(session, writer.outbox)) publication.offer(session)
      })
    } finally {
      this.offers += publication.settle()
    }
    return publication.done()
  }

  forget(topic: string, name: string | undefined): void {
    if (name === undefined) this.retained.deleteTopic(topic)
    else this.retained.delete(topic, name)
  }

  // ---- presence and readings ---------------------------------------------------------------------------------------

  watch(name: string): Watcher {
    const topic = this.topicOf(name)
    const watcher = new Watcher(
      this.limits.presenceEventsMax,
      () => ({ _tag: "Present", sessions: this.sessionsOf(name) })
    )
    ;(topic.watchers ??= new Set()).add(watcher)
    return watcher
  }

  unwatch(name: string, watcher: Watcher): void {
    const topic = this.topics.get(name)!
    topic.watchers!.delete(watcher)
    if (topic.watchers!.size === 0) topic.watchers = undefined
    this.dropUnused(name, topic)
  }

  private tell(topic: Topic, event: PresenceEvent): void {
    if (topic.watchers !== undefined) { for (const watcher of topic.watchers) watcher.push(event) }
  }

  sessionsOf(name: string): ReadonlyArray<Session> {
    return [...this.topics.get(name)?.members ?? []].map((member) => member.session)
  }

  forEachMember(f: (session: Session) => void): void {
    for (const session of this.members.keys()) f(session)
  }

  memberCounts(): ReadonlyMap<string, number> {
    return new Map(
      [...this.topics].filter(([, { members }]) => members.size > 0).map(([name, { members }]) => [name, members.size])
    )
  }

  get stats(): HubStats {
    let subscriptions = 0
    for (const member of this.members.values()) subscriptions += member.subscriptions
    return {
      members: this.members.size,
      topics: this.subscribedTopics,
      prefixes: this.prefixes.size,
      subscriptions,
      retainedItems: this.retained.retainedItems,
      retainedBytes: this.retained.retainedBytes,
      published: this.published,
      offers: this.offers
    }
  }

  /** Asserts every invariant. O(n). */
  check(): void {
    this.retained.check()
    let topics = 0
    for (const [name, topic] of this.topics) {
      invariant(topic.members.size > 0 || topic.watchers !== undefined, "a topic without members and readers is gone")
      if (topic.members.size > 0) topics++
      for (const member of topic.members) {
        invariant(
          member.topics.has(name) && this.members.get(member.session) === member,
          "H1: both sides agree on topics"
        )
      }
    }
    invariant(topics === this.subscribedTopics, "topics with members are counted")
    invariant(topics + this.prefixes.size <= this.limits.topicsMax, "topics stay within their bound")
    const lengths = new Map<number, number>()
    for (const [prefix, members] of this.prefixes) {
      invariant(members.size > 0, "a prefix without members is gone")
      for (const member of members) invariant(member.prefixes!.has(prefix), "H1: both sides agree on prefixes")
      lengths.set(prefix.length, (lengths.get(prefix.length) ?? 0) + 1)
    }
    invariant(
      lengths.size === this.prefixLengths.size &&
        [...lengths].every(([length, count]) => this.prefixLengths.get(length) === count),
      "lengths of prefixes are counted"
    )
    for (const member of this.members.values()) this.checkMember(member)
  }

  private checkMember(member: Member): void {
    invariant(member.holders > 0, "a member is held by a scope")
    invariant(member.subscriptions <= this.limits.topicsPerSessionMax, "topics of a session stay within their bound")
    for (const name of member.topics) {
      invariant(this.topics.get(name)?.members.has(member) === true, "H1: both sides agree on topics")
    }
    for (const prefix of member.prefixes ?? []) {
      invariant(this.prefixes.get(prefix)?.has(member) === true, "H1: both sides agree on prefixes")
    }
  }
}

/** Those that the member has not got, each once. */
const fresh = (member: Member, selectors: ReadonlyArray<Selector>): ReadonlyArray<Selector> => {
  const seen = new Set<string>()
  return selectors.filter((selector) => {
    const id = typeof selector === "string" ? `t${selector}` : `p${selector.prefix}`
    if (seen.has(id) || member.has(selector)) return false
    seen.add(id)
    return true
  })
}
