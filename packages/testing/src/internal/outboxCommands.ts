/**
 * The outbox against the naive model, command by command.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Lane from "spillway/Lane"
import type * as Outbox from "spillway/Outbox"
import * as Outcome from "spillway/Outcome"
import { Overflow, type Policy } from "spillway/Overflow"
import type { Bounds, MakeOutbox } from "../OutboxLaws.js"
import { LawViolation } from "./lawKit.js"
import * as Model from "./outboxModel.js"

interface State {
  readonly model: Model.QueueModel
  readonly bounds: Bounds
  readonly time: { now: number }
  nextId: number
  readonly lastSeq: [number, number, number, number]
}

type Command = FastCheck.Command<State, Outbox.Outbox<number>>

const same = (actual: unknown, expected: unknown, what: string): void => {
  const [a, e] = [JSON.stringify(actual), JSON.stringify(expected)]
  if (a !== e) throw new LawViolation({ what: `${what}: expected ${e}, got ${a}` })
}

/** I1, I2 and the counters of the model. */
const compare = ({ bounds, model }: State, outbox: Outbox.Outbox<number>): void => {
  const { lanes } = Effect.runSync(outbox.stats)
  let [items, bytes] = [0, 0]
  for (const lane of Lane.all) {
    const index = Lane.toIndex(lane)
    const { queuedBytes, queuedItems, ...counters } = lanes[lane]
    for (const [place, count] of Object.entries(model.counters[index])) {
      same(counters[place as keyof typeof counters], count, `${lane} ${place}`)
    }
    same(queuedItems, model.lanes[index].length, `items queued in ${lane}`)
    const { offered, ...places } = counters
    same(offered, Object.values(places).reduce((sum, count) => sum + count, queuedItems), `I2 in ${lane}`)
    if (lane === "control") {
      same(queuedItems <= bounds.reserveItems && queuedBytes <= bounds.reserveBytes, true, "I1 control in its reserve")
    } else [items, bytes] = [items + queuedItems, bytes + queuedBytes]
  }
  same(items <= bounds.itemsMax && bytes <= bounds.bytesMax, true, "I1 items and bytes within their bounds")
}

class Offer implements Command {
  constructor(
    readonly lane: Lane.Lane,
    readonly bytes: number,
    readonly key: string | undefined,
    readonly maxAge: number
  ) {}

  check(): boolean {
    return true
  }

  run(state: State, outbox: Outbox.Outbox<number>): void {
    const { bytes, key, lane } = this
    const index = Lane.toIndex(lane)
    const id = state.nextId++
    const decision = state.model.offer(id, bytes, index, key, this.maxAge, state.time.now)
    const outcome = outbox.unsafeOffer({ item: id, bytes, lane, key, maxAge: Duration.millis(this.maxAge) })
    same(outcome, typeof decision === "string" ? Outcome.rejected("LaneFull") : decision, `outcome of ${this}`)
    if (decision === "WouldWait") {
      state.model.counters[index].offered++
      state.model.counters[index].rejected++
    }
    compare(state, outbox)
  }

  toString(): string {
    return `offer(${this.lane}, ${this.bytes} bytes, key ${this.key}, age ${this.maxAge})`
  }
}

class Poll implements Command {
  check(): boolean {
    return true
  }

  run(state: State, outbox: Outbox.Outbox<number>): void {
    const expected = state.model.take(state.time.now)
    const taken = Option.getOrUndefined(outbox.unsafePoll())
    same(taken?.item, expected?.entry.id, "what is taken")
    if (taken !== undefined && expected !== undefined) {
      same([taken.lane, taken.bytes, taken.seq], [
        Lane.fromIndex(expected.lane),
        expected.entry.bytes,
        expected.entry.seq
      ], "lane, bytes and number of what is taken")
      same(taken.seq > state.lastSeq[expected.lane], true, "I3 first in, first out")
      state.lastSeq[expected.lane] = taken.seq
    }
    compare(state, outbox)
  }

  toString(): string {
    return "poll"
  }
}

class Pass implements Command {
  constructor(readonly millis: number) {}

  check(): boolean {
    return true
  }

  run(state: State): void {
    state.time.now += this.millis
  }

  toString(): string {
    return `pass(${this.millis})`
  }
}

class Shutdown implements Command {
  check(): boolean {
    return true
  }

  run(state: State, outbox: Outbox.Outbox<number>): void {
    const expected = state.model.close().map(({ item, lane }) => [item, Lane.fromIndex(lane)])
    same(Effect.runSync(outbox.shutdown).map(({ item, lane }) => [item, lane]), expected, "what shutdown returns")
    compare(state, outbox)
  }

  toString(): string {
    return "shutdown"
  }
}

const arbitraryOffer = FastCheck.tuple(
  FastCheck.constantFrom(...Lane.all, "important" as const, "bulk" as const, "bulk" as const),
  FastCheck.oneof({ arbitrary: FastCheck.nat(40), weight: 9 }, { arbitrary: FastCheck.nat(130), weight: 1 }),
  FastCheck.option(FastCheck.constantFrom("a", "b", "c"), { nil: undefined, freq: 2 }),
  FastCheck.oneof({ arbitrary: FastCheck.constant(Infinity), weight: 4 }, {
    arbitrary: FastCheck.constantFrom(0, 1, 5, 20),
    weight: 1
  })
).map(([lane, bytes, key, maxAge]) => new Offer(lane, bytes, key, maxAge))

const commands: ReadonlyArray<FastCheck.Arbitrary<Command>> = [
  ...Array.from({ length: 10 }, () => arbitraryOffer),
  ...Array.from({ length: 5 }, () => FastCheck.constant(new Poll())),
  FastCheck.constantFrom(1, 2, 5).map((millis) => new Pass(millis))
]

const bounds: FastCheck.Arbitrary<Bounds> = FastCheck.record({
  itemsMax: FastCheck.integer({ min: 1, max: 12 }),
  bytesMax: FastCheck.integer({ min: 30, max: 120 }),
  reserveItems: FastCheck.integer({ min: 1, max: 4 }),
  reserveBytes: FastCheck.integer({ min: 1, max: 60 }),
  waitersMax: FastCheck.constant(4)
})

const modelOf = (bounds: Bounds, policy: Policy): Model.QueueModel => {
  const rule = (lane: Lane.Lane): Model.ModelRule => ({
    whenFull: policy.lanes[lane].whenFull,
    maxAgeMs: Duration.toMillis(policy.lanes[lane].maxAge),
    targetMs: Duration.toMillis(policy.lanes[lane].target),
    intervalMs: Duration.toMillis(policy.interval)
  })
  return new Model.QueueModel({
    ...bounds,
    rules: [rule("control"), rule("critical"), rule("important"), rule("bulk")],
    importantPerBulk: policy.importantPerBulk,
    refuseBulkAbove: policy.refuseBulkAbove
  })
}

/** A clock that stands still unless the commands move it. */
const clockOf = (time: { readonly now: number }): Clock.Clock =>
  Object.create(Clock.make(), { unsafeCurrentTimeMillis: { value: () => time.now } })

/** Throws with the shortest list of commands that tells the two apart, and the seed and path that replay it. */
export const run = (make: MakeOutbox, policy: Policy, options: { readonly seed: number; readonly numRuns: number }) => {
  const property = FastCheck.property(
    bounds,
    FastCheck.commands([...commands], { maxCommands: 100, size: "max" }),
    FastCheck.commands([...commands, FastCheck.constant(new Shutdown())], { maxCommands: 10, size: "+1" }),
    (bounds, first, second) => {
      const time = { now: 1000 }
      const scope = Effect.runSync(Scope.make())
      const outbox = Effect.runSync(
        make(bounds).pipe(
          Effect.provideService(Overflow, policy),
          Effect.provideService(Scope.Scope, scope),
          Effect.withClock(clockOf(time))
        )
      )
      const state: State = { model: modelOf(bounds, policy), bounds, time, nextId: 0, lastSeq: [0, 0, 0, 0] }
      FastCheck.modelRun(() => ({ model: state, real: outbox }), first)
      FastCheck.modelRun(() => ({ model: state, real: outbox }), second)
      Effect.runSync(Scope.close(scope, Exit.void))
    }
  )
  const { counterexample, counterexamplePath, errorInstance, failed, seed } = FastCheck.check(property, options)
  if (!failed) return
  const why = errorInstance instanceof LawViolation ? errorInstance.what : String(errorInstance)
  throw new LawViolation({ what: `${why}; after ${String(counterexample)}; seed ${seed}, path ${counterexamplePath}` })
}
