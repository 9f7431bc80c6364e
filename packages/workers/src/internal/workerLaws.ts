/** The checks behind `WorkerLaws`. */
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import type * as Scope from "effect/Scope"
import type { Law, LawHarness } from "../WorkerLaws.js"
import type { LinkEvents, LinkFault, Reply, WorkerExit, WorkerLink } from "../WorkerTransport.js"

/** A transport does not do what its contract says. */
export class LawViolation extends Data.TaggedError("LawViolation")<{
  readonly what: string
  readonly expected: unknown
  readonly found: unknown
}> {
  override get message(): string {
    return `${this.what}: expected ${JSON.stringify(this.expected)}, found ${JSON.stringify(this.found)}`
  }
}

const blame = (what: string, expected: unknown, found: unknown) => new LawViolation({ what, expected, found })

type Check<A = void> = Effect.Effect<A, LawViolation, Scope.Scope>

/** What a link has told, in order. */
class Recorder implements LinkEvents {
  readonly replies: Array<Reply> = []
  violation: string | undefined = undefined
  exits: Array<WorkerExit> = []
  afterExit = 0
  isInside = false
  nested = 0

  private heard(): void {
    if (this.isInside) this.nested++
    if (this.exits.length > 0) this.afterExit++
  }
  onReply(reply: Reply): void {
    this.heard()
    this.replies.push(reply)
  }
  onViolation(why: string): void {
    this.heard()
    this.violation = why
  }
  onExit(exit: WorkerExit): void {
    this.heard()
    this.exits.push(exit)
  }
  /** Calls from in here must not call back. */
  inside<A>(act: () => A): A {
    this.isInside = true
    const result = act()
    this.isInside = false
    return result
  }
}

interface Open {
  readonly link: WorkerLink
  readonly told: Recorder
  readonly send: (id: number, command: string, args?: unknown) => void
}

const pass = (harness: LawHarness, millis: number): Effect.Effect<void> =>
  harness.advance === undefined ? Effect.sleep(millis) : harness.advance(Duration.millis(millis))

/** Waits for what must happen: 10 s of virtual time, or a minute on a machine that may be busy. */
const until = (harness: LawHarness, what: string, holds: () => boolean): Check =>
  Effect.gen(function*() {
    const steps = harness.advance === undefined ? 12_000 : 1000
    for (let step = 0; step < steps; step++) {
      if (holds()) return
      yield* pass(harness, harness.advance === undefined ? 5 : 10)
    }
    return yield* blame(what, "to happen", "that it did not")
  })

const same = (what: string, found: unknown, expected: unknown): Check =>
  Equal.equals(JSON.stringify(found), JSON.stringify(expected)) ? Effect.void : blame(what, expected, found)

const open = (harness: LawHarness): Check<Open> =>
  Effect.gen(function*() {
    const spawned = yield* Effect.either(harness.transport.spawn("law"))
    if (spawned._tag === "Left") return yield* blame("spawn", "a link", spawned.left.why)
    const link = spawned.right
    const told = new Recorder()
    link.attach(told)
    const send = (id: number, command: string, args: unknown = {}) =>
      void told.inside(() => link.send({ id, command, args }))
    yield* Effect.addFinalizer(() =>
      Effect.zipRight(
        Effect.sync(() => {
          link.resume()
          link.kill()
        }),
        Effect.ignore(Effect.scoped(until(harness, "the end", () => told.exits.length > 0)))
      ).pipe(Effect.interruptible)
    )
    return { link, told, send }
  })

const answered = (harness: LawHarness, told: Recorder, count: number): Check =>
  until(harness, `${count} replies`, () => told.replies.length >= count)

const ended = (harness: LawHarness, { told }: Open): Check => until(harness, "the end", () => told.exits.length > 0)

const success = (id: number, result: unknown): Reply => ({ _tag: "Success", id, result })

const inOrder = (harness: LawHarness): Check =>
  Effect.gen(function*() {
    const { send, told } = yield* open(harness)
    send(0, "ping", { initialization: true })
    for (let id = 1; id <= 20; id++) send(id, "echo", { id })
    yield* answered(harness, told, 21)
    yield* same("replies", told.replies, [
      success(0, { status: "ok" }),
      ...Array.from({ length: 20 }, (_, index) => success(index + 1, { id: index + 1 }))
    ])
    yield* same("calls from inside a call", told.nested, 0)
  })

const failures = (harness: LawHarness): Check =>
  Effect.gen(function*() {
    const { send, told } = yield* open(harness)
    send(1, "nonsense")
    send(2, "fail")
    send(3, "echo", "still there")
    yield* answered(harness, told, 3)
    yield* same("replies", told.replies, [
      { _tag: "Failure", id: 1, type: "UnknownCommand", explanation: "nonsense" },
      { _tag: "Failure", id: 2, type: "Refused", explanation: "asked to" },
      success(3, "still there")
    ])
  })

const progress = (harness: LawHarness): Check =>
  Effect.gen(function*() {
    const { send, told } = yield* open(harness)
    send(1, "progress", { items: 5 })
    yield* answered(harness, told, 6)
    const told5 = [0, 1, 2, 3, 4].map((value): Reply => ({ _tag: "Progress", id: 1, value }))
    yield* same("replies", told.replies, [...told5, success(1, "done")])
  })

const ownState = (harness: LawHarness): Check =>
  Effect.gen(function*() {
    const [a, b] = [yield* open(harness), yield* open(harness)]
    yield* same("processes", harness.transport.processes, 2 * harness.processesPerWorker)
    for (const id of [1, 2, 3]) a.send(id, "count")
    b.send(1, "count")
    yield* answered(harness, a.told, 3)
    yield* answered(harness, b.told, 1)
    yield* same("the third count of one", a.told.replies.at(-1), success(3, 3))
    yield* same("the first count of the other", b.told.replies.at(-1), success(1, 1))
  })

const large = (harness: LawHarness): Check =>
  Effect.gen(function*() {
    const { send, told } = yield* open(harness)
    const text = "0123456789abcdef".repeat(65_536)
    send(1, "echo", text)
    yield* answered(harness, told, 1)
    const [reply] = told.replies
    yield* same("the answer is whole", reply?._tag === "Success" && reply.result === text, true)
  })

const tooLarge = (harness: LawHarness): Check =>
  Effect.gen(function*() {
    const { payloadBytesMax } = harness
    if (payloadBytesMax === undefined) return
    const { link, send, told } = yield* open(harness)
    const refused = link.send({ id: 1, command: "echo", args: "x".repeat(payloadBytesMax) })
    yield* same("what send returns", refused?._tag, "PayloadTooLarge")
    const odd = link.send({ id: 2, command: "echo", args: 1n })
    yield* same("what send returns for what cannot be written", odd?._tag, "NotEncodable")
    send(3, "echo", "fine")
    yield* answered(harness, told, 1)
    yield* same("replies", told.replies, [success(3, "fine")])
  })

const pausing = (harness: LawHarness): Check =>
  Effect.gen(function*() {
    const { link, send, told } = yield* open(harness)
    send(1, "echo", 1)
    yield* answered(harness, told, 1)
    told.inside(() => link.pause())
    send(2, "progress", { items: 50 })
    yield* pass(harness, 200)
    yield* same("replies while paused", told.replies.length, 1)
    told.inside(() => link.resume())
    yield* answered(harness, told, 52)
    yield* same("the last reply", told.replies.at(-1), success(2, "done"))
    yield* same("calls from inside a call", told.nested, 0)
  })

const stopping = (harness: LawHarness): Check =>
  Effect.gen(function*() {
    const opened = yield* open(harness)
    const { link, send, told } = opened
    send(1, "sleep", { millis: 50 })
    send(2, "echo", 2)
    told.inside(() => link.stop())
    yield* ended(harness, opened)
    yield* same("the last reply", told.replies.at(-1), success(2, 2))
    yield* same("exits", told.exits, [{ code: 0 }])
    send(3, "echo", 3)
    link.stop()
    link.kill()
    link.pause()
    link.resume()
    yield* pass(harness, 50)
    yield* same("what is told after the exit", told.afterExit, 0)
    yield* same("calls from inside a call", told.nested, 0)
    yield* same("processes", harness.transport.processes, 0)
  })

const killing = (harness: LawHarness): Check =>
  Effect.gen(function*() {
    const opened = yield* open(harness)
    const { link, send, told } = opened
    send(1, "sleep", { millis: 60_000 })
    yield* pass(harness, 50)
    told.inside(() => link.kill())
    yield* ended(harness, opened)
    yield* same("exits", told.exits, [{ signal: "SIGKILL" }])
    yield* same("replies", told.replies, [])
    yield* same("processes", harness.transport.processes, 0)
  })

/** A fault that silences a worker; only killing it ends it. */
const silence = (fault: LinkFault) => (harness: LawHarness): Check =>
  Effect.gen(function*() {
    const opened = yield* open(harness)
    const { link, send, told } = opened
    send(1, "echo", 1)
    yield* answered(harness, told, 1)
    told.inside(() => link.inject(fault))
    send(2, "echo", "a text that is long enough to be torn")
    yield* pass(harness, 300)
    yield* same("replies", told.replies.length, 1)
    yield* same(`whether ${fault._tag} has happened`, (link.faults[fault._tag] ?? 0) > 0, true)
    link.kill()
    yield* ended(harness, opened)
    yield* same("exits", told.exits, [{ signal: "SIGKILL" }])
  })

const corrupt = (harness: LawHarness): Check =>
  Effect.gen(function*() {
    const { link, send, told } = yield* open(harness)
    told.inside(() => link.inject({ _tag: "corrupt" }))
    send(1, "echo", 1)
    yield* until(harness, "the violation", () => told.violation !== undefined)
    yield* same("replies", told.replies, [])
    yield* same("faults", link.faults, { corrupt: 1 })
  })

const slow = (harness: LawHarness): Check =>
  Effect.gen(function*() {
    const { link, send, told } = yield* open(harness)
    send(1, "echo", 1)
    yield* answered(harness, told, 1)
    link.inject({ _tag: "slow", delayMillis: 1500 })
    send(2, "echo", 2)
    yield* pass(harness, 100)
    yield* same("replies after 100 ms", told.replies.length, 1)
    yield* answered(harness, told, 2)
    yield* same("faults", link.faults, { slow: 1 })
  })

const memory = (harness: LawHarness): Check =>
  Effect.gen(function*() {
    const { link, send, told } = yield* open(harness)
    send(1, "echo", 1)
    yield* answered(harness, told, 1)
    const before = yield* link.memoryBytes
    link.inject({ _tag: "exhaustMemory", bytes: 50_000_000 })
    yield* until(harness, "the memory is used", () => link.faults.exhaustMemory === 1)
    const after = yield* link.memoryBytes
    if (before === undefined || after === undefined) return
    yield* same("whether it uses more", after - before > 40_000_000, true)
  })

const killed = (harness: LawHarness): Check =>
  Effect.gen(function*() {
    const opened = yield* open(harness)
    opened.link.inject({ _tag: "kill" })
    yield* ended(harness, opened)
    yield* same("faults", opened.link.faults, { kill: 1 })
    yield* same("processes", harness.transport.processes, 0)
  })

export const all: ReadonlyArray<Law> = [
  { sentence: "requests are answered once each, in order, and never from inside a call", check: inOrder },
  {
    sentence: "an unknown command and a failing one are failures with a type, and the worker stays",
    check: failures
  },
  { sentence: "progress comes before its answer, in order", check: progress },
  { sentence: "each worker has a state of its own, and is as many processes as said", check: ownState },
  { sentence: "a large message arrives whole", check: large },
  { sentence: "a request that is too large or cannot be written is refused, and nothing was sent", check: tooLarge },
  { sentence: "pause stops delivery, and resume goes on without loss", check: pausing },
  {
    sentence: "stop lets the worker answer what it has; its exit is told once and last, with code 0",
    check: stopping
  },
  { sentence: "kill ends a worker that is busy, and nothing is left", check: killing },
  { sentence: "the fault kill ends the worker", check: killed },
  { sentence: "the fault hang silences a worker, which can still be killed", check: silence({ _tag: "hang" }) },
  { sentence: "the fault tear lets half a frame through and nothing more", check: silence({ _tag: "tear" }) },
  { sentence: "the fault partition loses everything", check: silence({ _tag: "partition" }) },
  { sentence: "the fault corrupt makes the next reply a violation", check: corrupt },
  { sentence: "the fault slow delays replies", check: slow },
  { sentence: "the fault exhaustMemory uses memory", check: memory }
]
