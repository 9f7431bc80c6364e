/** Looks at every session, keeps its lag, and does to it what the rule in force says. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as PubSub from "effect/PubSub"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Session } from "../Session.js"
import { Sessions, type SessionsShape } from "../Sessions.js"
import type { Action, Event, Lagging, Options, Ranked, Rule, SlowConsumersShape } from "../SlowConsumers.js"
import { InvalidOption } from "../SpillwayError.js"
import { Lag, type LagRule, type Readings } from "./lag.js"
import type { SessionImpl } from "./session.js"
import { oldestMillis, stalledMillis } from "./sessionStats.js"

type Resolved = Required<Options>

/** Every session of an owner is one. */
const implOf = (session: Session): SessionImpl => session as SessionImpl

const invalid = (key: string, value: unknown, expected: string): InvalidOption =>
  new InvalidOption({ module: "SlowConsumers", key, value, expected })

const millisOf = (key: string, value: Duration.DurationInput): Effect.Effect<number, InvalidOption> =>
  Option.match(Duration.decodeUnknown(value), {
    onNone: () => Effect.fail(invalid(key, value, "a duration")),
    onSome: (duration) => Effect.succeed(Duration.toMillis(duration))
  })

const ruleOf = (rule: Rule): Effect.Effect<LagRule, InvalidOption> =>
  Effect.gen(function*() {
    const forMillis = yield* millisOf("rules.for", rule.for ?? 0)
    if (rule.reason !== "bytes" && rule.reason !== "items") {
      return { reason: rule.reason, above: yield* millisOf("rules.above", rule.above), forMillis }
    }
    const { above, reason } = rule
    return above >= 0 && above < 1
      ? { reason, above, forMillis }
      : yield* Effect.fail(invalid("rules.above", above, "a ratio of at least 0 and less than 1"))
  })

class Consumers {
  /** By session, from the first look at it on; gone with the session. */
  readonly lags = new WeakMap<SessionImpl, Lag>()
  readonly ackLags = new WeakMap<Session, number>()
  readonly inForce = new Map<SessionImpl, Lagging>()

  constructor(
    readonly sessions: SessionsShape,
    readonly options: Resolved,
    readonly rules: ReadonlyArray<LagRule>,
    readonly recoverMillis: number,
    readonly tell: (event: Event) => void
  ) {}

  readings(session: SessionImpl, now: number): Readings {
    const { bytesMax, itemsMax } = session.writer.outbox.queue.options
    const { countedBytes, countedItems } = session.writer.outbox.queue
    return {
      bytes: countedBytes / bytesMax,
      items: countedItems / itemsMax,
      age: oldestMillis(session.writer, now),
      "no progress": stalledMillis(session.writer, now),
      "ack lag": this.ackLags.get(session) ?? 0
    }
  }

  /** One look at everybody. Actions come after it, so that none changes what is being visited. */
  look(now: number): void {
    for (const session of this.inForce.keys()) if (session.isEnding) this.inForce.delete(session)
    const todo: Array<() => void> = []
    this.sessions.unsafeForEach((session) => {
      const impl = implOf(session)
      let lag = this.lags.get(impl)
      if (lag === undefined) this.lags.set(impl, lag = new Lag(this.rules, this.recoverMillis))
      const readings = this.readings(impl, now)
      if (lag.note(readings, now)) todo.push(() => this.changed(impl, lag, readings, now))
      else if (lag.level >= 0 && this.options.rules[lag.level]!.action === "shed to critical") {
        todo.push(() => impl.writer.shed(2))
      }
    })
    for (const act of todo) act()
  }

  private changed(session: SessionImpl, lag: Lag, readings: Readings, now: number): void {
    if (lag.level < 0) {
      this.inForce.delete(session)
      restore(session)
      return this.tell({ _tag: "Recovered", session: session.id, lagMillis: now - lag.since, at: now })
    }
    const { action, reason } = this.options.rules[lag.level]!
    const event: Lagging = { _tag: "Lagging", session: session.id, reason, action, value: readings[reason], at: now }
    this.inForce.set(session, event)
    this.act(session, event)
    this.tell(event)
  }

  act(session: SessionImpl, { action, ...event }: Lagging): void {
    switch (action) {
      case "warn":
        return void session.unsafeOffer(this.options.warning({ action, ...event }))
      case "conflate":
        session.writer.conflate(true)
        return
      case "throttle":
        return session.writer.throttle(true)
      case "shed to critical":
        return void session.writer.shed(2)
      case "disconnect":
        return session.requestEnd({ _tag: "SlowConsumer", why: event.reason })
    }
  }

  ranking(now: number, count: number): ReadonlyArray<Ranked> {
    const ranked: Array<Ranked> = []
    this.sessions.unsafeForEach((session) => {
      const { writer } = implOf(session)
      if (writer.outbox.queue.queuedItems === 0) return
      ranked.push({
        session: session.id,
        oldestMillis: oldestMillis(writer, now),
        fillRatio: writer.outbox.queue.fillRatio,
        stalledMillis: stalledMillis(writer, now)
      })
    })
    return ranked.sort((a, b) => b.oldestMillis - a.oldestMillis || b.fillRatio - a.fillRatio).slice(0, count)
  }
}

const restore = (session: SessionImpl): void => {
  session.writer.conflate(false)
  session.writer.throttle(false)
}

/** What to say when an action is done by hand: the reading that stands out most. */
const byHand = (session: SessionImpl, action: Action, readings: Readings, at: number): Lagging => {
  const reason = readings.items > readings.bytes ? "items" : "bytes"
  return { _tag: "Lagging", session: session.id, reason, action, value: readings[reason], at }
}

const service = (consumers: Consumers, events: PubSub.PubSub<Event>): SlowConsumersShape => ({
  slowSessions: (threshold = 0.8) =>
    Effect.sync(() => {
      const ids: Array<string> = []
      consumers.sessions.unsafeForEach((session) => {
        if (implOf(session).writer.outbox.queue.fillRatio > threshold) ids.push(session.id)
      })
      return ids
    }),
  top: (count) => Effect.map(Clock.currentTimeMillis, (now) => consumers.ranking(now, count)),
  apply: (session, action) =>
    Effect.map(Clock.currentTimeMillis, (now) => {
      const impl = implOf(session)
      consumers.act(impl, byHand(impl, action, consumers.readings(impl, now), now))
    }),
  restore: (session) => Effect.sync(() => restore(implOf(session))),
  lagging: Effect.sync(() => [...consumers.inForce.values()]),
  reportAckLag: (session, lag) => Effect.sync(() => void consumers.ackLags.set(session, Duration.toMillis(lag))),
  events: Stream.fromPubSub(events)
})

export const make = (
  options: Resolved
): Effect.Effect<SlowConsumersShape, InvalidOption, Sessions | Scope.Scope> =>
  Effect.gen(function*() {
    const rules = yield* Effect.forEach(options.rules, ruleOf)
    const recoverMillis = yield* millisOf("recoverAfter", options.recoverAfter)
    const interval = yield* millisOf("interval", options.interval)
    if (!(interval > 0)) return yield* Effect.fail(invalid("interval", options.interval, "a positive duration"))
    const { eventsMax } = options
    if (!Number.isInteger(eventsMax) || eventsMax < 1) {
      return yield* Effect.fail(invalid("eventsMax", eventsMax, "a whole number of at least 1"))
    }
    const sessions = yield* Sessions
    const events = yield* PubSub.sliding<Event>(eventsMax)
    yield* Effect.addFinalizer(() => PubSub.shutdown(events))
    const consumers = new Consumers(sessions, options, rules, recoverMillis, (event) => void events.unsafeOffer(event))
    const look = Effect.map(Clock.currentTimeMillis, (now) => consumers.look(now))
    yield* Effect.forkScoped(Effect.forever(Effect.zipRight(Effect.sleep(interval), look)))
    return service(consumers, events)
  })
