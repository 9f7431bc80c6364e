/**
 * The contract of `spillway/Transport` as tests: each law is one sentence of it and an effect that checks it.
 *
 * A transport passes when every law holds for it: `laws` registers them. A single law is run with `check`, which is how
 * the suite itself is tested: for each law there is a transport that breaks it and is caught.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as lawKit from "./internal/lawKit.js"
import * as ending from "./internal/lawsEnding.js"
import * as reading from "./internal/lawsReading.js"
import * as writing from "./internal/lawsWriting.js"
import { group, register } from "./internal/lawTest.js"
import type * as harness from "./LawHarness.js"

/**
 * The peer of a connection, as far as the laws need one.
 *
 * @since 0.1.0
 * @category models
 */
export type LawClient = harness.LawClient

/**
 * A transport under test.
 *
 * @since 0.1.0
 * @category models
 */
export type LawHarness = harness.LawHarness

/**
 * A transport does not do what its contract says.
 *
 * @since 0.1.0
 * @category errors
 */
export const LawViolation = lawKit.LawViolation

/**
 * A transport does not do what its contract says.
 *
 * @since 0.1.0
 * @category errors
 */
export type LawViolation = lawKit.LawViolation

/**
 * One sentence of the contract and the check of it, which fails with `LawViolation` or ends in a few seconds.
 *
 * @since 0.1.0
 * @category models
 */
export interface Law {
  readonly sentence: string
  readonly check: (harness: LawHarness) => Effect.Effect<void, LawViolation, Scope.Scope>
}

const law = (sentence: string, check: Law["check"]): Law => ({ sentence, check })

/**
 * All laws by name.
 *
 * @since 0.1.0
 * @category testing
 */
export const all = {
  inOrder: law(
    "messages are delivered in the order they were sent, text as text and binary as binary",
    reading.inOrder
  ),
  bytesAreTheReceivers: law("the bytes of a message belong to the receiver", reading.bytesAreTheReceivers),
  keptUntilAttached: law(
    "A116: messages that arrive before attach are kept and delivered in order, none lost",
    reading.keptUntilAttached
  ),
  endKeptUntilAttached: law(
    "an end that happens before attach is reported after the messages before it",
    reading.endKeptUntilAttached
  ),
  pauseStopsDelivery: law(
    "pause stops delivery at once, also inside onMessage, and resume continues in order without loss",
    reading.pauseStopsDelivery
  ),
  pauseHidesControl: law("close frames and pongs are not seen while paused", reading.pauseHidesControl),
  droppedAfterClose: law("messages that arrive after close are dropped", reading.droppedAfterClose),
  pongIsReported: law("a ping that the peer answers is reported once", reading.pongIsReported),
  pongReturnsPayload: law("a pong carries what its ping carried", reading.pongReturnsPayload),
  pingOvertakesNothing: law("a ping overtakes nothing that was written before it", reading.pingOvertakesNothing),
  oneCorkInOrder: law(
    "frames arrive in the order they were written, text as text, binary as binary, sequence numbers filled in",
    writing.oneCorkInOrder
  ),
  frameIsNotChanged: law("a frame is shared: writing does not change it", writing.frameIsNotChanged),
  largeFrame: law("a frame larger than the socket buffer arrives whole", writing.largeFrame),
  uncorkTellsWhatIsLeft: law("uncork returns true if and only if bufferedBytes is 0", writing.uncorkTellsWhatIsLeft),
  bufferedBytesIsExact: law(
    "with a stalled peer bufferedBytes grows by what is written and framing, no more",
    writing.bufferedBytesIsExact
  ),
  flushedOnce: law("onFlushed is called once, when every byte was taken and not before", writing.flushedOnce),
  progressIffTaken: law("writeProgress changes if and only if bytes were taken", writing.progressIffTaken),
  nothingLostWhenClogged: law(
    "what is written to a stalled peer arrives complete and in order when it reads again",
    writing.nothingLostWhenClogged
  ),
  classified: law(
    "A115: 1000, 1001, no code, end of stream and reset are told apart, and none is a crash",
    ending.classified
  ),
  codeArrives: law("the code and the reason of close arrive at the peer, and the end is Local", ending.codeArrives),
  answersClose: law("the peer's close frame is answered", ending.answersClose),
  writesBeforeClose: law(
    "close comes after everything written before it and nothing after it",
    ending.writesBeforeClose
  ),
  closeBehindBacklog: law("close waits behind what the kernel has not taken", ending.closeBehindBacklog),
  closeResumes: law("close reads again if paused, and works without a session", ending.closeResumes),
  terminateEnds: law(
    "A117: terminate ends a peer that never answers, and onClose is called before it returns",
    ending.terminateEnds
  ),
  closedOnce: law("onClose is called exactly once, however many ends there are", ending.closedOnce),
  silentAfterEnd: law("nothing is called after onClose", ending.silentAfterEnd),
  harmlessAfterEnd: law(
    "all methods are harmless after the end and never throw, and isOpen is not true",
    ending.harmlessAfterEnd
  ),
  neverNested: law(
    "callbacks never nest inside calls, except onMessage in attach and resume and onClose in terminate",
    ending.neverNested
  )
} as const satisfies Readonly<Record<string, Law>>

/**
 * Options of `laws`: whether the tests run on the real clock, and their limit in milliseconds of real time each.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface Options {
  readonly live?: boolean
  readonly timeoutMillis?: number
}

/**
 * Registers one test for each law. `make` builds the transport anew for each. With `live` the tests run on the real
 * clock, as transports with sockets need, and some at a time; otherwise on a virtual clock and with a seeded random.
 *
 * @since 0.1.0
 * @category testing
 */
export const laws = <E>(
  name: string,
  make: Effect.Effect<LawHarness, E, Scope.Scope>,
  options: Options = {}
): void => {
  const test = register(options)
  group(options, `Transport laws: ${name}`, () => {
    for (const { check, sentence } of Object.values<Law>(all)) test(sentence, () => Effect.flatMap(make, check))
  })
}
