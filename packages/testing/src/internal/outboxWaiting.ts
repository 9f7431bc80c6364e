/**
 * The outbox where it suspends: waiting offers and takes, their interruption, and its end.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Lane from "spillway/Lane"
import type * as Outbox from "spillway/Outbox"
import * as Outcome from "spillway/Outcome"
import { Overflow } from "spillway/Overflow"
import type { Bounds, MakeOutbox } from "../OutboxLaws.js"
import { settle } from "../Settle.js"
import { check, LawViolation, same } from "./lawKit.js"

const bounds: Bounds = {
  itemsMax: 2,
  bytesMax: 1000,
  reserveItems: 2,
  reserveBytes: 1000,
  waitersMax: 4
}

const made = (make: MakeOutbox) =>
  Effect.mapError(make(bounds), (error) => new LawViolation({ what: `make failed: ${error.message}` }))

/** The lanes whose offers wait when they are full. */
const waitingLanes = Effect.map(Overflow, ({ lanes, refuseBulkAbove }) =>
  Lane.all.filter((lane) => {
    const { whenFull } = lanes[lane]
    // Early refusal of bulk comes before waiting.
    if (lane === "bulk" && refuseBulkAbove < 1) return false
    return whenFull === "suspend" || (whenFull === "evictLower" && (lane === "control" || lane === "critical"))
  }))

const offer = (outbox: Outbox.Outbox<number>, lane: Lane.Lane, item: number) =>
  Effect.fork(Effect.exit(outbox.offer({ item, bytes: 1, lane })))

type Offered = Effect.Effect.Success<ReturnType<typeof offer>>

const isTaken = (exit: Exit.Exit<Outcome.Outcome, unknown>): boolean =>
  Exit.isSuccess(exit) && Outcome.isTaken(exit.value)

const stillWaiting = (fibers: ReadonlyArray<Offered>): number =>
  fibers.filter((fiber) => fiber.unsafePoll() === null).length

/** Fills a lane with 0 and 1 and has 2 to 5 wait. */
const crowded = (make: MakeOutbox, lane: Lane.Lane) =>
  Effect.gen(function*() {
    const outbox = yield* made(make)
    for (const item of [0, 1]) outbox.unsafeOffer({ item, bytes: 1, lane })
    const fibers = yield* Effect.forEach([2, 3, 4, 5], (item) => Effect.zipLeft(offer(outbox, lane, item), settle))
    yield* same([stillWaiting(fibers), (yield* outbox.stats).waiters], [4, 4], `offers that wait in ${lane}`)
    return { outbox, fibers }
  })

/** Takes so many, one after the other, with everything at rest in between. */
const takeEach = (outbox: Outbox.Outbox<number>, count: number) =>
  Effect.replicateEffect(Effect.zipLeft(Effect.map(Effect.orDie(outbox.take), ({ item }) => item), settle), count)

export const inOrder = (make: MakeOutbox) =>
  Effect.flatMap(
    waitingLanes,
    Effect.forEach((lane) =>
      Effect.gen(function*() {
        const { fibers, outbox } = yield* crowded(make, lane)
        const barging = outbox.unsafeOffer({ item: 99, bytes: 1, lane })
        yield* same(barging, Outcome.rejected("LaneFull"), "an immediate offer behind those that wait")
        const taken = yield* takeEach(outbox, 6)
        yield* same(taken, [0, 1, 2, 3, 4, 5], "order of what waited")
        const exits = yield* Effect.forEach(fibers, Fiber.join)
        yield* check(exits.every(isTaken), "an offer that waited was not admitted")
        yield* same((yield* outbox.stats).waiters, 0, "waiters left")
      }), { discard: true })
  )

export const interruptedOffer = (make: MakeOutbox) =>
  Effect.flatMap(
    waitingLanes,
    Effect.forEach((lane) =>
      Effect.gen(function*() {
        const { fibers, outbox } = yield* crowded(make, lane)
        yield* Fiber.interrupt(fibers[1]!)
        yield* same((yield* outbox.stats).waiters, 3, "waiters after one was interrupted")
        const taken = yield* takeEach(outbox, 5)
        yield* same(taken, [0, 1, 2, 4, 5], "what is taken when one that waited was interrupted")
        yield* same((yield* outbox.stats).queuedItems, 0, "items left")
      }), { discard: true })
  )

export const interruptedTake = (make: MakeOutbox) =>
  Effect.gen(function*() {
    const outbox = yield* made(make)
    const first = yield* Effect.fork(outbox.take)
    const second = yield* Effect.fork(outbox.take)
    yield* settle
    yield* same([first.unsafePoll(), second.unsafePoll()], [null, null], "takes of an empty outbox")
    outbox.unsafeOffer({ item: 7, bytes: 1, lane: "important" })
    const interrupted = yield* Fiber.interrupt(first)
    yield* settle
    // Either it had it in its last step, or the other one gets it. Never both, never neither.
    const got = [interrupted, second.unsafePoll()].filter((exit) => exit !== null && Exit.isSuccess(exit))
    yield* same(got.length, 1, "takers that got the message")
    yield* Fiber.interrupt(second)
    yield* same((yield* outbox.stats).queuedItems, 0, "items left")
  })

export const shutdown = (make: MakeOutbox) =>
  Effect.gen(function*() {
    const [lane] = yield* waitingLanes
    const outbox = yield* made(make)
    const take = yield* Effect.fork(Effect.flip(outbox.take))
    yield* settle
    yield* outbox.shutdown
    yield* same((yield* Effect.orDie(Fiber.join(take)))._tag, "OutboxClosed", "a take that is suspended")
    const late = outbox.unsafeOffer({ item: 9, bytes: 1, lane: "control" })
    yield* same(late, Outcome.rejected("Closed"), "an offer after the end")
    if (lane === undefined) return
    const crowd = yield* crowded(make, lane)
    const rest = yield* crowd.outbox.shutdown
    yield* same(rest.map(({ item }) => item), [0, 1], "what shutdown returns")
    yield* same((yield* crowd.outbox.shutdown).length, 0, "what shutdown returns the second time")
    const exits = yield* Effect.forEach(crowd.fibers, Fiber.join)
    yield* check(exits.every(Exit.isFailure), "an offer that waited did not fail")
    yield* same((yield* crowd.outbox.stats).waiters, 0, "waiters left")
  })
