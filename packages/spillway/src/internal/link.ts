/** The loop of a link, and what runs on each of its connections. */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import * as CloseReason from "../CloseReason.js"
import { Dialer, type DialerShape } from "../Dialer.js"
import type * as Link from "../Link.js"
import type { Message } from "../Message.js"
import { type Outcome, rejected } from "../Outcome.js"
import type { Inbound, Session } from "../Session.js"
import { Sessions, type SessionsShape } from "../Sessions.js"
import { DialFailed, type RequestLost } from "../SpillwayError.js"
import * as Tasks from "../Tasks.js"
import type { Connection } from "../Transport.js"
import { suspended } from "./bounded.js"
import { LinkMetrics } from "./linkMetrics.js"
import type { Resolved } from "./linkOptions.js"
import { LinkRequests } from "./linkRequests.js"

/** How long the loop may take to end after the signal: the ending of a session, and some more. */
const endMillis = 45_000

/** Delay before attempt `n`, counted from zero. */
export const delayMillis = (n: number, random: number, { backoff, backoffMax }: Resolved): number =>
  Math.min(backoff * 2 ** n, backoffMax) * (0.75 + 0.5 * random)

type Dialled = { readonly _tag: "Connected"; readonly connection: Connection } | { readonly _tag: "Failed" | "Refused" }

const isDegraded = (state: Link.State): boolean => state === "degraded" || state === "half_open_probe"

class LinkImpl<A> implements Link.Link<A> {
  readonly requests: LinkRequests<A>
  private readonly metrics: LinkMetrics
  private session: Session | undefined = undefined
  private failures = 0
  private dials = 0
  private connects = 0
  private now: Link.State = "reconnect_backoff"

  constructor(
    private readonly options: Link.Options<A>,
    private readonly resolved: Resolved,
    private readonly dialer: DialerShape,
    private readonly sessions: SessionsShape,
    private readonly shutdown: Tasks.Shutdown,
    private readonly published: SubscriptionRef.SubscriptionRef<Link.State>
  ) {
    const { answerTimeout, requestsMax, retriesMax } = resolved
    this.metrics = LinkMetrics.of(options.label)
    this.requests = new LinkRequests(
      { requestsMax, retriesMax, answerMillis: answerTimeout },
      () => this.metrics.requestLost()
    )
  }

  get label() {
    return this.options.label
  }

  get state(): Link.State {
    return this.now
  }

  get stats(): Link.Stats {
    const { answered, count, dropped, retried, unanswered, unmatched } = this.requests
    const { connects, dials, failures, now } = this
    return Object.freeze(
      { state: now, failures, dials, connects, pending: count, answered, dropped, retried, unanswered, unmatched }
    )
  }

  get changes(): Stream.Stream<Link.State> {
    return Stream.takeUntil(Stream.changes(this.published.changes), (state) => state === "closed")
  }

  get awaitConnected(): Effect.Effect<void> {
    return Effect.flatMap(
      Stream.runHead(Stream.filter(this.changes, (state) => state === "connected")),
      (found) => Option.isSome(found) ? Effect.void : Effect.never
    )
  }

  send(message: Message): Effect.Effect<Outcome> {
    return Effect.suspend(() =>
      this.session === undefined ? Effect.succeed(rejected("Closed")) : this.session.send(message)
    )
  }

  request(message: (id: number) => Message): Effect.Effect<A, RequestLost> {
    return suspended<A, RequestLost>((resume) => {
      const request = this.requests.add(message, resume)
      return request === undefined ? undefined : () => this.requests.cancel(request)
    })
  }

  // ---- the loop ----------------------------------------------------------------------------------------------------

  private become(state: Link.State): Effect.Effect<void> {
    return Effect.suspend(() => {
      const change = Number(isDegraded(state)) - Number(isDegraded(this.now))
      if (change !== 0) this.metrics.degraded(change > 0 ? 1 : -1)
      this.now = state
      return Effect.zipRight(
        SubscriptionRef.set(this.published, state),
        Effect.annotateLogs(Effect.logDebug(`link is ${state}`), "label", this.label.name)
      )
    })
  }

  /** `true` when the link is to end. */
  private sleep(millis: number): Effect.Effect<boolean> {
    return Tasks.sleepUntilShutdown(this.shutdown, millis)
  }

  /** One attempt, which the shutdown ends. A connection that was opened in the same instant is not lost. */
  private get dial(): Effect.Effect<Dialled> {
    return Effect.suspend(() => {
      this.dials++
      let opened: Connection | undefined = undefined
      let isOver = false
      const { breaker, url } = this.options
      // The mask protects the window between having a connection and remembering it: what follows may be interrupted.
      const open = Effect.uninterruptibleMask((restore) =>
        Effect.map(restore(this.dialer.dial(url)), (connection) => {
          // Left behind at the timeout or the shutdown, and through all the same.
          if (isOver) connection.terminate()
          else opened = connection
        })
      )
      const inTime = Effect.timeoutFail(Effect.disconnect(open), {
        duration: this.resolved.dialTimeout,
        onTimeout: () => new DialFailed({ url, why: `no answer within ${this.resolved.dialTimeout} ms` })
      })
      const guarded = breaker === undefined ? inTime : breaker.guard(inTime)
      return guarded.pipe(
        Effect.as<Dialled["_tag"]>("Connected"),
        Effect.raceFirst(Effect.as(this.shutdown.awaitSignal, "Failed" as const)),
        Effect.catchAllCause((cause) => {
          const refused = Option.exists(Cause.failureOption(cause), ({ _tag }) => _tag === "BreakerOpen")
          return Effect.as(
            Effect.annotateLogs(Effect.logDebug("link could not connect", cause), "label", this.label.name),
            refused ? "Refused" as const : "Failed" as const
          )
        }),
        Effect.map((tag): Dialled => {
          isOver = true
          return opened !== undefined
            ? { _tag: "Connected", connection: opened }
            : { _tag: tag === "Connected" ? "Failed" : tag }
        }),
        Effect.onInterrupt(() =>
          Effect.sync(() => {
            isOver = true
            opened?.terminate()
          })
        )
      )
    })
  }

  /** Sends what has no answer yet, in order; sends again what nobody answered in time. Ends with the session. */
  private pump(session: Session): Effect.Effect<void> {
    const { requests } = this
    const changed = Effect.async<void>((resume) => {
      if (requests.nextUnsent() !== undefined) return resume(Effect.void)
      requests.onUnsent = () => resume(Effect.void)
      return Effect.sync(() => {
        requests.onUnsent = undefined
      })
    })
    const step: Effect.Effect<boolean> = Effect.flatMap(Clock.currentTimeMillis, (now) => {
      requests.expire(now)
      const request = requests.nextUnsent()
      if (request !== undefined) {
        // Marked before it is offered: while the offer waits it must not be taken again.
        request.sentAt = now
        return Effect.map(session.send(request.message), (outcome) => {
          if (outcome._tag !== "Rejected") return true
          if (outcome.reason === "TooLarge") requests.refuse(request)
          return outcome.reason !== "Closed"
        })
      }
      const wait = requests.nextDueAt - now
      const timer = wait === Infinity ? Effect.never : Effect.sleep(wait)
      return Effect.raceAll([
        Effect.as(changed, true),
        Effect.as(timer, true),
        Effect.as(session.awaitShutdown, false)
      ])
    })
    return Effect.repeat(step, { while: (goesOn) => goesOn })
  }

  private onInbound(message: Inbound): Effect.Effect<void> {
    const answer = this.options.answer?.(message) ?? Option.none()
    if (Option.isSome(answer)) {
      this.requests.answer(answer.value.id, answer.value.value)
      return Effect.void
    }
    return this.options.onMessage?.(message) ?? Effect.void
  }

  /** A session on the connection, to its end, or to the shutdown. */
  private use(connection: Connection): Effect.Effect<void> {
    const handler = (session: Session) =>
      Effect.zipRight(
        session.fork("requests", "lifetime", this.pump(session)),
        session.runForEach((message) => this.onInbound(message))
      )
    const open = Effect.suspend(() => {
      this.connects++
      this.metrics.connected()
      this.requests.connected()
      return Effect.tap(this.sessions.open(connection, handler), (session) => {
        this.session = session
        return this.become("connected")
      })
    })
    const close = (session: Session) =>
      Effect.zipRight(
        Effect.suspend(() => {
          this.session = undefined
          return session.close(CloseReason.normal)
        }),
        session.awaitExit
      )
    return Effect.acquireUseRelease(
      open,
      // From the shutdown of the session on nothing is offered to it: a message would be refused one by one.
      (session) => Effect.raceFirst(session.awaitShutdown, this.shutdown.awaitSignal),
      close
    )
  }

  /** Uses a connection and says how many attempts have failed after it. */
  private useAndCount(connection: Connection): Effect.Effect<void> {
    return Effect.gen(this, function*() {
      const connectedAt = yield* Clock.currentTimeMillis
      yield* this.use(connection)
      const lastedMillis = (yield* Clock.currentTimeMillis) - connectedAt
      this.failures = lastedMillis >= this.resolved.stableAfter ? 0 : this.failures + 1
    })
  }

  /** Attempts with growing delays; `false` when they are used up. The first one of the link's life has no delay. */
  private backoff(isFirst: boolean): Effect.Effect<boolean> {
    return Effect.gen(this, function*() {
      yield* this.become("reconnect_backoff")
      for (let skip = isFirst; this.failures < this.resolved.attemptsMax; skip = false) {
        const delay = delayMillis(this.failures, yield* Random.next, this.resolved)
        if (!skip && (yield* this.sleep(delay))) return true
        const dialled = yield* this.dial
        if (dialled._tag === "Refused") return false
        if (dialled._tag === "Connected") {
          yield* this.useAndCount(dialled.connection)
          if (!this.shutdown.isSignalled) yield* this.become("reconnect_backoff")
        } else this.failures++
        if (this.shutdown.isSignalled) return true
      }
      return false
    })
  }

  /** Rests, probes, and rests again. Returns when a probe has led to a connection that was lost again, or to end. */
  private get degraded(): Effect.Effect<void> {
    return Effect.gen(this, function*() {
      while (!this.shutdown.isSignalled) {
        yield* this.become("degraded")
        if (yield* this.sleep(this.resolved.degradedFor)) return
        yield* this.become("half_open_probe")
        const dialled = yield* this.dial
        if (dialled._tag === "Connected") {
          this.failures = this.resolved.attemptsMax - 1
          yield* this.useAndCount(dialled.connection)
          if (this.failures === 0) return
        }
      }
    })
  }

  get loop(): Effect.Effect<void> {
    return Effect.gen(this, function*() {
      for (let isFirst = true; !this.shutdown.isSignalled; isFirst = false) {
        if (!(yield* this.backoff(isFirst))) yield* this.degraded
      }
    }).pipe(Effect.ensuring(Effect.suspend(() => {
      this.requests.close()
      return this.become("closed")
    })))
  }
}

export const make = <A>(
  options: Link.Options<A>,
  resolved: Resolved
): Effect.Effect<Link.Link<A>, never, Dialer | Sessions | Scope.Scope> =>
  Effect.gen(function*() {
    const dialer = yield* Dialer
    const sessions = yield* Sessions
    const published = yield* SubscriptionRef.make<Link.State>("reconnect_backoff")
    const tasks = yield* Tasks.makeSet({
      label: options.label,
      timeout: endMillis,
      ...(options.shutdown === undefined ? {} : { shutdown: options.shutdown })
    })
    const link = new LinkImpl(options, resolved, dialer, sessions, tasks.shutdown, published)
    yield* Tasks.createNamedTask(link.loop, { name: "link", tasks })
    return link
  })
