/**
 * The laws that are checked on each session, from its public stats alone.
 */
import * as Lane from "spillway/Lane"
import type { Stats } from "spillway/Session"
import type { Resolved } from "spillway/SessionOptions"
import type { Invariant, View, Watched } from "../Simulation.js"

const law = (name: string, check: (view: View) => string | undefined): Invariant => ({ name, check })

const counted = (stats: Stats): number =>
  stats.lanes.critical.queued + stats.lanes.important.queued + stats.lanes.bulk.queued

const i1 = law("I1", ({ watched: { options, stats } }) =>
  counted(stats) > options.outboxItemsMax
    ? `${counted(stats)} messages are queued, ${options.outboxItemsMax} may be`
    : stats.lanes.control.queued > options.controlItemsMax
    ? `${stats.lanes.control.queued} control messages are queued, ${options.controlItemsMax} may be`
    : stats.queuedBytes > options.outboxBytesMax + options.controlBytesMax
    ? `${stats.queuedBytes} bytes are queued`
    : stats.queuedItems === 0 && stats.queuedBytes !== 0
    ? `nothing is queued, but ${stats.queuedBytes} bytes are`
    : undefined)

const i2 = law("I2", ({ watched: { stats } }) => {
  for (const lane of Lane.all) {
    const { offered, ...places } = stats.lanes[lane]
    let sum = 0
    for (const count of Object.values(places)) {
      if (count < 0) return `a count of ${lane} is negative: ${JSON.stringify(stats.lanes[lane])}`
      sum += count
    }
    if (sum !== offered) return `${lane} does not add up: ${JSON.stringify(stats.lanes[lane])}`
  }
  return undefined
})

const i5 = law("I5", ({ watched: { stats } }) =>
  stats.lanes.critical.evicted + stats.lanes.control.evicted > 0
    ? "a critical or control message was evicted"
    : undefined)

/** An offer that waits when its session has ended waits for ever. */
const i6 = law("I6 S14", ({ watched }) => {
  if (watched.report === undefined) return undefined
  if (watched.pending > 0) return `${watched.pending} offers still wait after the end`
  for (const lane of Lane.all) {
    const { offered } = watched.stats.lanes[lane]
    if (offered < watched.told[lane]) return `${watched.told[lane]} offers of ${lane} got an outcome, ${offered} count`
  }
  return undefined
})

const s1 = law("S1", ({ watched: { report, stats } }) => {
  if (report === undefined) return undefined
  if (stats.queuedItems + stats.queuedBytes + stats.inFlightBytes > 0) return "messages are left in an ended session"
  if (stats.state !== "closed") return `an ended session is ${stats.state}`
  if (stats.tasks.length > report.stuck.length) return `tasks run on: ${stats.tasks.join(", ")}`
  for (const lane of Lane.all) {
    if (stats.lanes[lane].undelivered !== report.undelivered[lane]) return `the report lies about ${lane}`
  }
  return undefined
})

const order: ReadonlyArray<Stats["state"]> = ["open", "draining", "closing", "closed"]

const s2 = law(
  "S2",
  ({ watched: { states } }) =>
    states.every((state, i) => i === 0 || order.indexOf(state) > order.indexOf(states[i - 1]!))
      ? undefined
      : `its states were ${states.join(", ")}`
)

/** All steps of an ending one after the other, each with what it may take; a finalizer always gets 50 ms. */
const endingMax = (options: Resolved): number =>
  Math.max(options.handlerGrace, options.taskGrace) + options.handlerGrace + options.ackTimeout +
  options.finalizerTimeout + options.flushTimeout + options.closeTimeout + 1_000

const s3 = law(
  "S3",
  ({ watched: { frozenMillis, options, report } }) =>
    report !== undefined && report.durationMillis > endingMax(options) + frozenMillis
      ? `the ending took ${report.durationMillis} ms`
      : undefined
)

/** While the inbox is full the handler's slowness is measured instead, and a write that moves puts the verdict off. */
const deadAfter = ({ frozenMillis, options }: Watched): number =>
  Math.max(1.5 * options.pingInterval + options.pongTimeout, options.sendTimeout) + frozenMillis + 2_500

const s5 = law("S5", ({ now, watched }) => {
  const { options, silentSince, stats } = watched
  if (silentSince === undefined || stats.state !== "open" || stats.unreadMessages > 0) return undefined
  return now - silentSince > Math.min(deadAfter(watched), options.receiveTimeout + deadAfter(watched))
    ? `its peer is silent for ${now - silentSince} ms and it is still open`
    : undefined
})

const s8 = law("S8 S10", ({ watched: { arrived, outOfOrder, read, report } }) =>
  outOfOrder !== undefined
    ? `message ${outOfOrder} that the handler got is not the next one of the wire`
    : report !== undefined && read > 0 && read + report.unread !== arrived
    ? `${arrived} messages arrived, ${read} were read, ${report.unread} are reported as unread`
    : undefined)

const s9 = law("S9", ({ watched: { options, stats } }) =>
  stats.unreadMessages > options.inboxItemsMax
    ? `${stats.unreadMessages} messages are unread, ${options.inboxItemsMax} may be`
    : undefined)

export const all: ReadonlyArray<Invariant> = [i1, i2, i5, i6, s1, s2, s3, s5, s8, s9]
