/**
 * What the laws of a transport are written with: a recording session, and waiting that ends.
 */
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as Frame from "spillway/Frame"
import type * as Transport from "spillway/Transport"
import type { LawClient, LawHarness } from "../LawHarness.js"

export class LawViolation extends Data.TaggedError("LawViolation")<{ readonly what: string }> {
  override get message(): string {
    return `a law does not hold: ${this.what}`
  }
}

export type Check<A = void> = Effect.Effect<A, LawViolation, Scope.Scope>

export type Event =
  | { readonly _tag: "Message"; readonly data: Uint8Array; readonly binary: boolean }
  | { readonly _tag: "Flushed" }
  | { readonly _tag: "Pong"; readonly payload: Uint8Array | undefined }
  | { readonly _tag: "Close"; readonly end: Transport.ConnectionEnd }

/** A session that does nothing but write down what it is told. The bytes of messages are kept, not copied. */
export class Recorder implements Transport.ConnectionEvents {
  readonly log: Array<Event> = []
  /** Called after each event was written down. */
  hook: (event: Event) => void = () => {}

  onMessage(data: Uint8Array, binary: boolean): void {
    this.push({ _tag: "Message", data, binary })
  }
  onFlushed(): void {
    this.push({ _tag: "Flushed" })
  }
  onPong(payload?: Uint8Array): void {
    this.push({ _tag: "Pong", payload })
  }
  onClose(end: Transport.ConnectionEnd): void {
    this.push({ _tag: "Close", end })
  }

  count(tag: Event["_tag"]): number {
    return this.log.filter((event) => event._tag === tag).length
  }

  get messages(): ReadonlyArray<Event & { readonly _tag: "Message" }> {
    return this.log.filter((event) => event._tag === "Message")
  }

  get texts(): ReadonlyArray<string> {
    return this.messages.map((message) => textOf(message.data))
  }

  get end(): Transport.ConnectionEnd | undefined {
    return this.log.find((event) => event._tag === "Close")?.end
  }

  private push(event: Event): void {
    this.log.push(event)
    this.hook(event)
  }
}

export interface Pair {
  readonly connection: Transport.Connection
  readonly client: LawClient
  readonly events: Recorder
}

/** Opens a connection without attaching to it. The connection is terminated when the law's scope closes. */
export const open = (harness: LawHarness): Check<Pair> =>
  Effect.gen(function*() {
    const { client, connection } = yield* harness.connect
    // A broken transport may throw here; the law has said so before.
    yield* Effect.addFinalizer(() => Effect.ignoreLogged(Effect.try(() => connection.terminate())))
    return { connection, client, events: new Recorder() }
  })

export const openAttached = (harness: LawHarness): Check<Pair> =>
  Effect.tap(open(harness), (pair) => Effect.sync(() => pair.connection.attach(pair.events)))

export const check = (condition: boolean, what: string): Effect.Effect<void, LawViolation> =>
  condition ? Effect.void : Effect.fail(new LawViolation({ what }))

export const same = (actual: unknown, expected: unknown, what: string): Effect.Effect<void, LawViolation> => {
  const [a, e] = [JSON.stringify(actual), JSON.stringify(expected)]
  return check(a === e, `${what}: expected ${clip(e)}, got ${clip(a)}`)
}

const clip = (text: string | undefined): string =>
  text === undefined ? "undefined" : text.length > 300 ? `${text.slice(0, 300)}…` : text

/** Lets time pass. */
export const pass = (harness: LawHarness, millis: number): Effect.Effect<void> =>
  (harness.advance ?? Effect.sleep)(Duration.millis(millis))

/** Long enough for anything that would wrongly happen. */
export const quiet = (harness: LawHarness): Effect.Effect<void> => Effect.repeatN(pass(harness, 25), 1)

/** Lets time pass until the condition holds, at most the patience of the harness (3 s). */
export const until = (
  harness: LawHarness,
  condition: () => boolean,
  what: string
): Effect.Effect<void, LawViolation> => {
  const steps = Math.ceil(Duration.toMillis(harness.patience ?? "3 seconds") / 10)
  const loop = (left: number): Effect.Effect<void, LawViolation> =>
    Effect.suspend(() =>
      condition()
        ? Effect.void
        : left === 0
        ? Effect.fail(new LawViolation({ what: `never happened: ${what}` }))
        : Effect.zipRight(pass(harness, 10), loop(left - 1))
    )
  return loop(steps)
}

/** The result of an effect that suspends until the network has done something. Failures count as violations. */
export const within = <A, E>(harness: LawHarness, effect: Effect.Effect<A, E>, what: string): Check<A> =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkScoped(effect)
    yield* until(harness, () => fiber.unsafePoll() !== null, what)
    return yield* Effect.mapError(
      Fiber.join(fiber),
      (error) => new LawViolation({ what: `${what}: failed with ${String(error)}` })
    )
  })

export const takeN = (harness: LawHarness, client: LawClient, count: number) =>
  within(harness, Effect.replicateEffect(client.take, count), `the peer receives ${count} messages`)

/** Writes frames in one gathered write. */
export const write = (
  connection: Transport.Connection,
  frames: ReadonlyArray<Frame.Frame>,
  seq: (index: number) => number = (index) => index
): boolean => {
  connection.cork()
  frames.forEach((frame, index) => connection.write(frame, seq(index)))
  return connection.uncork()
}

/** Writes a small frame to an idle peer and waits until it was taken, which is at once where the transport can tell. */
export const writeSmall = (harness: LawHarness, { connection, events }: Pair): Check<void> =>
  Effect.gen(function*() {
    const before = events.count("Flushed")
    const atOnce = write(connection, [Frame.text("small")])
    if (harness.takesLater !== true) return yield* check(atOnce, "uncork is false for one small frame to an idle peer")
    const expected = before + (atOnce ? 0 : 1)
    yield* until(harness, () => events.count("Flushed") === expected, "onFlushed after one small frame")
  })

export const textOf = (bytes: Uint8Array): string => Frame.toText(Frame.binary(bytes), 0)

/** Most bytes that one WebSocket frame adds to its payload. */
export const framingMax = 14

// Letters without a pattern, so that a transport that compresses has to carry about as much.
const noise = (() => {
  let state = 1
  let text = ""
  while (text.length < 65_536) {
    state = (state * 48_271) % 2_147_483_647
    text += String.fromCharCode(33 + (state % 90))
  }
  return text
})()

/** A frame of 64 KiB that can be told from others by the number at its start. */
export const chunk = (index: number): Frame.Frame => {
  const head = `${index}:`
  return Frame.text(head + noise.slice(head.length))
}

/** Writes frames of 64 KiB until one is not taken at once. Returns how many were written. */
export const clog = (connection: Transport.Connection, from = 0): Effect.Effect<number, LawViolation> =>
  Effect.suspend(() => {
    for (let count = 1; count <= 1024; count++) {
      if (!write(connection, [chunk(from + count - 1)])) return Effect.succeed(count)
    }
    return Effect.fail(new LawViolation({ what: "64 MiB were taken although the peer does not read" }))
  })

/** Waits until no more bytes are taken, and returns how many are left. */
const atRest = (harness: LawHarness, connection: Transport.Connection): Check<number> =>
  Effect.gen(function*() {
    let [left, equal] = [-1, 0]
    for (let round = 0; round < 200; round++) {
      equal = connection.bufferedBytes === left ? equal + 1 : 0
      if (equal === 2) return left
      left = connection.bufferedBytes
      yield* quiet(harness)
    }
    return yield* Effect.fail(new LawViolation({ what: "bytes are taken for ever although the peer does not read" }))
  })

/** Writes to a peer that does not read, ever more, until bytes are left in the process and stay there. */
export const clogged = (harness: LawHarness): Check<Pair & { readonly count: number }> =>
  Effect.gen(function*() {
    const pair = yield* openAttached(harness)
    const { connection } = pair
    yield* pair.client.stall
    yield* quiet(harness)
    let count = 0
    for (let burst = 1; burst <= 512; burst *= 2) {
      for (let i = 0; i < burst; i++) write(connection, [chunk(count++)])
      // The kernel may find room for more in a while.
      if ((yield* atRest(harness, connection)) > 0) return { ...pair, count }
    }
    return yield* Effect.fail(new LawViolation({ what: "64 MiB were taken although the peer does not read" }))
  })
