/**
 * A client that uploads and searches, and knows what the answer has to be: it counts the words that it has sent, so an index
 * that was lost or built wrongly does not go unnoticed.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import { Dialer } from "spillway/Dialer"
import * as Message from "spillway/Message"
import type { Session } from "spillway/Session"
import { Sessions } from "spillway/Sessions"
import * as Protocol from "./Protocol.js"

/** What became of the requests of one client, or of many. */
export interface Outcome {
  readonly requests: number
  readonly results: number
  /** Failures by tag, all of them typed. */
  readonly failed: Readonly<Record<string, number>>
  /** Requests that nothing was heard of: the session ended. */
  readonly unanswered: number
  /** Searches that found something else than what was uploaded. */
  readonly wrong: number
  readonly progress: number
  readonly rebinds: number
  readonly statesLost: number
  readonly millis: ReadonlyArray<number>
}

export const none: Outcome = {
  requests: 0,
  results: 0,
  failed: {},
  unanswered: 0,
  wrong: 0,
  progress: 0,
  rebinds: 0,
  statesLost: 0,
  millis: []
}

export const sum = (a: Outcome, b: Outcome): Outcome => {
  const failed: Record<string, number> = { ...a.failed }
  for (const [tag, count] of Object.entries(b.failed)) failed[tag] = (failed[tag] ?? 0) + count
  return {
    requests: a.requests + b.requests,
    results: a.results + b.results,
    failed,
    unanswered: a.unanswered + b.unanswered,
    wrong: a.wrong + b.wrong,
    progress: a.progress + b.progress,
    rebinds: a.rebinds + b.rebinds,
    statesLost: a.statesLost + b.statesLost,
    millis: [...a.millis, ...b.millis]
  }
}

const words = ["spill", "way", "worker", "lease", "warm", "cold", "queue", "lane", "drain", "scope"] as const

const decodeReply = Message.decoder(Protocol.Reply)

type End = typeof Protocol.Added.schema.Type | typeof Protocol.Found.schema.Type | typeof Protocol.Failed.schema.Type

class Memory {
  outcome: Outcome = none
  /** How often each word was uploaded since the index was empty. */
  readonly counts = new Map<string, number>()

  add(change: Partial<Outcome>): void {
    this.outcome = sum(this.outcome, { ...none, ...change })
  }

  heard(reply: Protocol.Reply): void {
    if (reply._tag === "Progress") this.add({ progress: 1 })
    if (reply._tag === "Rebound") this.add({ rebinds: 1 })
    if (reply._tag === "StateLost") {
      this.counts.clear()
      this.add({ statesLost: 1 })
    }
  }

  ended(request: Protocol.Request, uploaded: ReadonlyArray<string>, end: End, millis: number): void {
    if (end._tag === "Failed") return this.add({ failed: { [end.error]: 1 }, millis: [millis] })
    this.add({ results: 1, millis: [millis] })
    if (request._tag === "Add") {
      for (const word of uploaded) this.counts.set(word, (this.counts.get(word) ?? 0) + 1)
    } else if (end._tag !== "Found" || end.total !== (this.counts.get(request.word) ?? 0)) this.add({ wrong: 1 })
  }
}

/** The end of a request; `None`: the session is over. */
const awaitEnd = (session: Session, memory: Memory, id: number): Effect.Effect<Option.Option<End>> =>
  Effect.flatMap(session.receive, (inbound) => {
    if (Option.isNone(inbound)) return Effect.succeedNone
    return Effect.flatMap(Effect.orDie(decodeReply(inbound.value.text)), (reply) => {
      memory.heard(reply)
      const isEnd = reply._tag === "Added" || reply._tag === "Found" || reply._tag === "Failed"
      return isEnd && reply.id === id ? Effect.succeedSome<End>(reply) : awaitEnd(session, memory, id)
    })
  })

/** Two uploads, then a search, and so on. */
const nextRequest = (id: number, wordsPerText: number) =>
  Effect.gen(function*() {
    const draw = Effect.map(Random.nextIntBetween(0, words.length), (index) => words[index]!)
    if (id % 3 === 2) return { request: Protocol.Search.make({ id, word: yield* draw }), uploaded: [] }
    const uploaded = yield* Effect.replicateEffect(draw, wordsPerText)
    return { request: Protocol.Add.make({ id, name: `text ${id}`, text: uploaded.join(" ") }), uploaded }
  })

export interface Options {
  readonly url: string
  readonly wordsPerText: number
  /** Asked before each request. */
  readonly goesOn: Effect.Effect<boolean>
}

/** One client, from its first request to its last. */
export const run = ({ goesOn, url, wordsPerText }: Options) =>
  Effect.scoped(Effect.gen(function*() {
    const session = yield* (yield* Sessions).scoped(yield* (yield* Dialer).dial(url))
    const memory = new Memory()
    for (let id = 0; yield* goesOn; id++) {
      const { request, uploaded } = yield* nextRequest(id, wordsPerText)
      const startedAt = yield* Clock.currentTimeMillis
      memory.add({ requests: 1 })
      yield* session.send(Message.jsonOf(request))
      const end = yield* awaitEnd(session, memory, id)
      if (Option.isNone(end)) {
        memory.add({ unanswered: 1 })
        break
      }
      memory.ended(request, uploaded, end.value, (yield* Clock.currentTimeMillis) - startedAt)
    }
    return memory.outcome
  }))

/** So many clients at once. */
export const runMany = (clients: number, options: Options) =>
  Effect.map(
    Effect.all(Array.from({ length: clients }, () => run(options)), { concurrency: "unbounded" }),
    (outcomes) => outcomes.reduce(sum, none)
  )
