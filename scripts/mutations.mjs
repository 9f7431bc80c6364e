/**
 * Deliberate faults of the core, one textual change each. `scripts/mutate.mjs` plants them one at a time in a copy and
 * runs the suites; `scripts/mutations.test.ts` checks that each still has its place in the sources.
 */
const outbox = "packages/spillway/src/internal/outbox.ts"
const queue = "packages/spillway/src/internal/laneQueue.ts"
const ring = "packages/spillway/src/internal/ring.ts"
const sharedBatch = "packages/spillway/src/internal/sharedBatch.ts"
const window = "packages/spillway/src/internal/sessionWindow.ts"
const publication = "packages/spillway/src/internal/hubPublication.ts"
const writer = "packages/spillway/src/internal/sessionWriter.ts"
const sending = "packages/spillway/src/internal/sessionSend.ts"
const ending = "packages/spillway/src/internal/sessionEnding.ts"
const session = "packages/spillway/src/internal/session.ts"
const timers = "packages/spillway/src/internal/sessionTimers.ts"
const registry = "packages/spillway/src/internal/registry.ts"
const tasks = "packages/spillway/src/internal/sessionTasks.ts"
const drain = "packages/spillway/src/internal/drain.ts"
const inbox = "packages/spillway/src/internal/inbox.ts"
const deadlines = "packages/spillway/src/internal/deadlines.ts"
const bounded = "packages/spillway/src/internal/bounded.ts"

/** `{ name, path, from, to }`; `from` occurs once in the file. */
export const mutations = [
  {
    name: "wrong eviction order: the highest evictable lane first",
    path: queue,
    from: "    let lane = 3\n    while (!this.fits(3, items, bytes)) {",
    to: "    let lane = 2\n    while (!this.fits(3, items, bytes)) {"
  },
  {
    name: "a lost byte in the accounting of evictions",
    path: queue,
    from: "this.shift(ring, ring.bytesAt(ring.head))",
    to: "this.shift(ring, ring.bytesAt(ring.head) - 1)"
  },
  {
    name: "a leaked waiter: an interrupted offer stays in the list",
    path: sending,
    from: "() => Effect.sync(() => writer.outbox.cancel(waiter, writer.now)))",
    to: "() => Effect.void)"
  },
  {
    name: "the gauge falls before the drain",
    path: ending,
    from: "    soFar.exit = session.shutDown()\n",
    to:
      "    soFar.exit = session.shutDown()\n    ;(session.host as unknown as { sessions: Set<unknown> }).sessions.delete(session)\n"
  },
  {
    name: "the drain is skipped when the link is lost",
    path: ending,
    from: "    soFar.tasks = yield* endTasks(session)\n",
    to: "    if (session.linkAlive) soFar.tasks = yield* endTasks(session)\n"
  },
  {
    name: "a drain is interrupted with its first caller",
    path: drain,
    from: "        Effect.forkDaemon,\n",
    to: "        Effect.fork,\n"
  },
  {
    name: "the deadline of an ended session is not cancelled",
    path: registry,
    from: "    this.deadlines.remove(session)\n",
    to: ""
  },
  {
    name: "unbounded inbound: the socket is never paused",
    path: session,
    from: "      this.connection.pause()\n",
    to: ""
  },
  {
    name: "a paused socket is never resumed",
    path: session,
    from: "        if (!this.timers.isThrottled) this.connection.resume()\n",
    to: ""
  },
  {
    name: "the control lane is blocked by a full outbox",
    path: queue,
    from: "    return lane === 0\n      ? this.control.queuedItems + items",
    to: "    return lane === 0 && this.countedItems < this.options.itemsMax\n      ? this.control.queuedItems + items"
  },
  {
    name: "early binding: messages leave the lanes while a write is under way",
    path: writer,
    from: "      if (this.inFlight || this.stopped || !this.linkAlive) return false\n",
    to: "      if (this.stopped || !this.linkAlive) return false\n"
  },
  {
    name: "the bound below the lanes is ignored",
    path: writer,
    from: "      item = outbox.take(now, room)\n",
    to: "      item = outbox.take(now)\n"
  },
  {
    name: "newcomers overtake those who wait",
    path: outbox,
    from: "    if (this.waiterCount !== 0 && this.first![lane] !== undefined) return Queue.WOULD_WAIT\n",
    to: ""
  },
  {
    name: "waiters are not told of the end",
    path: writer,
    from: "    this.sealed = true\n    this.outbox.closeWaiters()\n",
    to: "    this.sealed = true\n"
  },
  {
    name: "a cancelled waiter's room is offered to nobody",
    path: outbox,
    from: "    this.unlink(waiter)\n    if (this.waiterCount !== 0) this.admit(now)\n",
    to: "    this.unlink(waiter)\n"
  },
  {
    name: "messages of a lost write are forgotten",
    path: writer,
    from: "    this.lostByLane ??= this.inFlightByLane\n",
    to: ""
  },
  {
    name: "a delivery that was lost with the link is never settled",
    path: writer,
    from: "    for (const item of this.tracked ?? []) item.settle({ _tag: \"Undelivered\" })\n",
    to: ""
  },
  {
    name: "a message may be taken at the very end of its age",
    path: queue,
    from: "      if (ring.expiresAt(ring.head) > now &&",
    to: "      if (ring.expiresAt(ring.head) >= now &&"
  },
  {
    name: "bulk starves",
    path: queue,
    from: "    return bulkReady && share !== 0 && this.importantRun >= share ? this.bulk : this.important\n",
    to: "    return this.important\n"
  },
  {
    name: "control does not go first",
    path: queue,
    from: "    if ((waiting & controlBit) !== 0 && this.isReady(this.control, now)) return this.control\n" +
      "    if ((waiting & criticalBit) !== 0 && this.isReady(this.critical, now)) return this.critical\n",
    to: "    if ((waiting & criticalBit) !== 0 && this.isReady(this.critical, now)) return this.critical\n" +
      "    if ((waiting & controlBit) !== 0 && this.isReady(this.control, now)) return this.control\n"
  },
  {
    name: "a stalled write is never noticed",
    path: writer,
    from: "    host.arm(owner, owner.timers.stallCheckAt)\n",
    to: ""
  },
  {
    name: "a silent peer is never presumed dead",
    path: timers,
    from: "    this.pongDueAt = now + pongTimeout\n",
    to: ""
  },
  {
    name: "what is heard does not prove life",
    path: timers,
    from: "    this.lastHeardAt = now\n    this.pongDueAt = Infinity\n  }",
    to: "    this.lastHeardAt = now\n  }"
  },
  {
    name: "a finalizer without a bound of its own",
    path: ending,
    from: "    if (!isOwn) finalizers!.set(",
    to: "    if (isOwn && session.finalizersCut) finalizers!.set("
  },
  {
    name: "waits in finalizers that are not interruptible",
    path: bounded,
    from: "Effect.interruptible(Effect.timeoutOption(effect, millis))",
    to: "Effect.timeoutOption(effect, millis)"
  },
  {
    name: "the connection is not terminated",
    path: ending,
    from: "  const terminate = Effect.sync(() => session.connection.terminate())\n",
    to: "  const terminate = Effect.void\n"
  },
  {
    name: "tasks are not interrupted at the end of their grace",
    path: ending,
    from: "      forced.add(record)\n      interruptTask(record)\n",
    to: "      forced.add(record)\n"
  },
  {
    name: "the first of several exits decides, whatever the others are",
    path: session,
    from: "precedence(exit) < precedence(this.exit)",
    to: "false"
  },
  {
    name: "messages follow the close frame",
    path: ending,
    from: "    session.writer.stop()\n",
    to: ""
  },
  {
    name: "a task may be started on a session that ends",
    path: tasks,
    from: "    if (session.decided) return Effect.succeed(false)\n",
    to: ""
  },
  {
    name: "a task that failed does not end its session",
    path: tasks,
    from:
      "      if (exit._tag === \"Failure\") session.requestEnd({ _tag: \"Crashed\", task: record.name, cause: exit.cause })\n",
    to: ""
  },
  {
    name: "sleepers are not woken by the shutdown",
    path: session,
    from: "    if (waiters !== undefined) { for (const wake of waiters) wake() }\n",
    to: ""
  },
  {
    name: "a reader that is gone keeps its place",
    path: inbox,
    from: "    if (this.waiter === undefined || this.waiter.isGone) this.waiter = reader\n",
    to: "    if (this.waiter === undefined) this.waiter = reader\n"
  },
  {
    name: "the end of a drain's total terminates nobody",
    path: drain,
    from: "    for (const session of left) session.connection.terminate()\n",
    to: ""
  },
  {
    name: "connections that come while draining are served",
    path: registry,
    from: "      registry.phase === \"accepting\" && !registry.isRefusing\n        ? startHandler(",
    to: "      registry.phase !== \"done\"\n        ? startHandler("
  },
  {
    name: "an earlier deadline does not wake the sweeper",
    path: registry,
    from: "    if (this.deadlines.ensure(session, dueAt) && this.onRearm !== undefined) this.onRearm()\n",
    to: "    this.deadlines.ensure(session, dueAt)\n"
  },
  {
    name: "a full delivery window holds nothing back",
    path: writer,
    from: "      if (window?.room === 0 && !this.owner.isReadingPaused) return awaitPong(this, window, now)\n",
    to: ""
  },
  {
    name: "a peer that confirms nothing is never given up",
    path: window,
    from: "    owner.timers.sendStarted(now, writer.progress)\n",
    to: ""
  },
  {
    name: "pongs are waited for that are not seen",
    path: writer,
    from: "window?.room === 0 && !this.owner.isReadingPaused",
    to: "window?.room === 0"
  },
  {
    name: "a moved deadline is not put in order",
    path: deadlines,
    from: "    this.up(index)\n    this.down(last.heapIndex)\n",
    to: "    this.down(last.heapIndex)\n"
  },
  {
    name: "conflation forgets the bytes that were added",
    path: queue,
    from: "    if (lane !== 0) this.countedBytes += more\n",
    to: ""
  },
  {
    name: "what woke a wait leaves its deadline behind",
    path: bounded,
    from: "        for (const back of undo) back()\n",
    to: ""
  },
  {
    name: "a hurry cuts no wait of an ending",
    path: ending,
    from: "session.host.onHurry(() => cutTo(hurriedMillis))",
    to: "session.host.onHurry(() => cutTo(hurriedMillis * 1_000))"
  },
  {
    name: "the sweeper is not woken when it waits for nothing",
    path: registry,
    from: "    if (this.deadlines.nextDueAt < dueAt) wake()\n    else this.onRearm = wake\n",
    to: "    if (this.deadlines.nextDueAt < dueAt) wake()\n    else if (dueAt !== Infinity) this.onRearm = wake\n"
  },
  {
    name: "shared: who looks at an outbox loses what it shares",
    path: outbox,
    from: "    for (const offer of batch.offers()) offerTo(lanes, offer)\n",
    to: ""
  },
  {
    name: "shared: what left in a batch is not counted",
    path: outbox,
    from: "    this.passedImportant += batch.important\n",
    to: ""
  },
  {
    name: "shared: a batch that is too old leaves all the same",
    path: outbox,
    from: "if (batch === undefined || now >= batch.expiresAt) return undefined",
    to: "if (batch === undefined) return undefined"
  },
  {
    name: "shared: a batch leaves in the order in which it was offered",
    path: sharedBatch,
    from: "return this.leaving ??= this.leave()",
    to: "return this.leaving ??= this.offers().map((offer) => offer.item)"
  },
  {
    name: "shared: what is charged while it is shared is charged again in the lanes",
    path: writer,
    from: "    this.chargedBytes += bytes\n",
    to: ""
  },
  {
    name: "shared: sessions that share a message hold it once in all",
    path: publication,
    from: "ledger.hold(this.message.frame, sharers)",
    to: "ledger.hold(this.message.frame)"
  },
  {
    name: "shared: what sessions share is charged to one of them",
    path: publication,
    from: "sharers * this.shared!.bytes",
    to: "this.shared!.bytes"
  },
  {
    name: "shared: a throttled session shares",
    path: writer,
    from: "!this.isThrottled && ",
    to: ""
  },
  {
    name: "target: a lane sheds its last message",
    path: ring,
    from: "((this.tail - this.head) | 0) < 2",
    to: "((this.tail - this.head) | 0) < 1"
  },
  {
    name: "target: a standing queue never ends",
    path: ring,
    from: "    if (this.isStanding === true) this.isStanding = false\n",
    to: ""
  }
]
