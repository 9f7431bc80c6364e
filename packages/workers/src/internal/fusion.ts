/** Windows, their items and their deadlines; the backlog of all streams together. */
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import { InvalidOption } from "spillway/SpillwayError"
import type { Fused, Fusion, FusionFull, FusionStream, Item, Options, Stats } from "../Fusion.js"

type Resolved<M extends string, V, E> = Required<Options<M, V, E>>

/** Windows of a stream that say whether it is slow. */
const recentWindows = 10

interface Window<M extends string, V, E> {
  readonly key: string | number
  readonly startedAt: number
  readonly expects: ReadonlySet<M>
  readonly values: { [K in M]?: V }
  readonly missing: { [K in M]?: "late" | E }
  readonly work: Set<Fiber.RuntimeFiber<unknown, unknown>>
  timer: Fiber.RuntimeFiber<unknown, unknown> | undefined
  isOver: boolean
}

class Core<M extends string, V, E> {
  readonly streams = new Set<StreamImpl<M, V, E>>()
  backlogItems = 0
  openWindows = 0
  successful = 0
  partial = 0
  failed = 0
  sumMillis = 0
  throttled = 0
  refused = 0
  private readonly waiting = new Set<() => void>()
  readonly deadlineMillis: number
  readonly slowMillis: number

  constructor(
    readonly options: Resolved<M, V, E>,
    readonly clock: Clock.Clock,
    readonly full: (backlogItemsMax: number) => FusionFull
  ) {
    this.deadlineMillis = Duration.toMillis(options.deadline)
    this.slowMillis = Duration.toMillis(options.slowAt)
  }

  get isHigh(): boolean {
    return this.backlogItems > this.options.throttleAt * this.options.backlogItemsMax
  }

  taken(): void {
    this.backlogItems++
  }

  finished(items: number): void {
    this.backlogItems -= items
    if (this.isHigh) return
    const wakes = [...this.waiting]
    this.waiting.clear()
    for (const wake of wakes) wake()
  }

  readonly untilLow: Effect.Effect<void> = Effect.async<void>((resume) => {
    if (!this.isHigh) return resume(Effect.void)
    const wake = () => resume(Effect.void)
    this.waiting.add(wake)
    return Effect.sync(() => this.waiting.delete(wake))
  })

  get stats(): Stats {
    const total = this.successful + this.failed
    return {
      total,
      successful: this.successful,
      partial: this.partial,
      failed: this.failed,
      meanMillis: total === 0 ? 0 : this.sumMillis / total,
      successRatio: total === 0 ? 1 : this.successful / total,
      streams: this.streams.size,
      slowStreams: [...this.streams].filter(({ isSlow }) => isSlow).length,
      openWindows: this.openWindows,
      backlogItems: this.backlogItems,
      throttled: this.throttled,
      refused: this.refused
    }
  }
}

class StreamImpl<M extends string, V, E> implements FusionStream<M> {
  private readonly windows = new Map<string | number, Window<M, V, E>>()
  private readonly recent: Array<number> = []
  /** Items of windows that are not over. */
  private items = 0

  constructor(
    private readonly core: Core<M, V, E>,
    private readonly scope: Scope.Scope,
    private readonly emit: (fused: Fused<M, V, E>) => Effect.Effect<void>
  ) {}

  /** By the windows that are over, and by how long the oldest open one has taken already. */
  get isSlow(): boolean {
    const { clock, slowMillis } = this.core
    const [oldest] = this.windows.values()
    if (oldest !== undefined && clock.unsafeCurrentTimeMillis() - oldest.startedAt > slowMillis) return true
    return this.recent.length > 0 &&
      this.recent.reduce((sum, millis) => sum + millis, 0) / this.recent.length > slowMillis
  }

  readonly offer = (item: Item<M>): Effect.Effect<void, FusionFull> => {
    const admit: Effect.Effect<void, FusionFull> = Effect.suspend(() => {
      const { backlogItemsMax } = this.core.options
      if (this.core.isHigh && this.isSlow) {
        this.core.throttled++
        return Effect.zipRight(this.core.untilLow, admit)
      }
      if (this.core.backlogItems >= backlogItemsMax) {
        this.core.refused++
        return Effect.fail(this.core.full(backlogItemsMax))
      }
      return this.take(item)
    })
    return admit
  }

  close(): void {
    this.core.streams.delete(this)
    for (const window of this.windows.values()) {
      window.isOver = true
      this.core.openWindows--
    }
    this.windows.clear()
    this.core.finished(this.items)
    this.items = 0
  }

  private take(item: Item<M>): Effect.Effect<void> {
    return Effect.uninterruptible(Effect.gen(this, function*() {
      let window = this.windows.get(item.window)
      if (window === undefined) window = yield* this.begin(item)
      if (!window.expects.has(item.modality) || window.work.size >= window.expects.size) return
      this.core.taken()
      this.items++
      const own = window
      const handle = Effect.suspend(() => this.core.options.modalities[item.modality](item.data))
      const fiber = yield* Effect.forkIn(
        Effect.interruptible(Effect.flatMap(Effect.exit(handle), (exit) => this.handled(own, item.modality, exit))),
        this.scope
      )
      own.work.add(fiber)
    }))
  }

  private begin(item: Item<M>): Effect.Effect<Window<M, V, E>> {
    const all = Object.keys(this.core.options.modalities) as Array<M>
    const window: Window<M, V, E> = {
      key: item.window,
      startedAt: this.core.clock.unsafeCurrentTimeMillis(),
      expects: new Set(item.expects ?? all),
      values: {},
      missing: {},
      work: new Set(),
      timer: undefined,
      isOver: false
    }
    this.windows.set(item.window, window)
    this.core.openWindows++
    const expire = Effect.zipRight(Effect.sleep(this.core.deadlineMillis), Effect.suspend(() => this.end(window)))
    return Effect.map(Effect.forkIn(Effect.interruptible(expire), this.scope), (timer) => {
      window.timer = timer
      return window
    })
  }

  private handled(window: Window<M, V, E>, modality: M, exit: Exit.Exit<V, E>): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (window.isOver) return Effect.void
      if (exit._tag === "Success") window.values[modality] = exit.value
      else {
        const failure = Cause.failureOption(exit.cause)
        window.missing[modality] = failure._tag === "Some" ? failure.value : "late"
      }
      const done = Object.keys(window.values).length + Object.keys(window.missing).length
      return done < window.expects.size ? Effect.void : this.end(window)
    })
  }

  /** Once per window. What still works for it is interrupted and waited for by nobody. */
  private end(window: Window<M, V, E>): Effect.Effect<void> {
    if (window.isOver) return Effect.void
    window.isOver = true
    const { core } = this
    const millis = core.clock.unsafeCurrentTimeMillis() - window.startedAt
    for (const modality of window.expects) {
      if (!(modality in window.values) && !(modality in window.missing)) window.missing[modality] = "late"
    }
    const { key, missing, values } = window
    const isComplete = Object.keys(missing).length === 0
    const isFailed = !isComplete && core.options.onMissing === "fail"
    if (isFailed) core.failed++
    else core.successful++
    if (!isComplete && !isFailed) core.partial++
    core.sumMillis += millis
    this.recent.push(millis)
    if (this.recent.length > recentWindows) this.recent.shift()
    this.windows.delete(key)
    core.openWindows--
    this.items -= window.work.size
    core.finished(window.work.size)
    const fused: Fused<M, V, E> = isComplete
      ? { _tag: "Complete", window: key, values, millis }
      : { _tag: isFailed ? "Failed" : "Partial", window: key, values, missing, millis }
    return Effect.withFiberRuntime((self) => {
      for (const fiber of [...window.work, window.timer]) {
        if (fiber !== undefined && fiber !== (self as Fiber.RuntimeFiber<unknown, unknown>)) {
          fiber.unsafeInterruptAsFork(self.id())
        }
      }
      return this.emit(fused)
    })
  }
}

const check = <M extends string, V, E>(options: Resolved<M, V, E>): Effect.Effect<void, InvalidOption> => {
  const invalid = (key: string, value: unknown, expected: string) =>
    Effect.fail(new InvalidOption({ module: "Fusion", key, value, expected }))
  const { backlogItemsMax, deadline, modalities, slowAt, throttleAt } = options
  if (Object.keys(modalities).length === 0) return invalid("modalities", "{}", "at least one modality")
  if (!(Duration.toMillis(deadline) > 0)) return invalid("deadline", deadline, "a positive duration")
  if (!(Duration.toMillis(slowAt) > 0)) return invalid("slowAt", slowAt, "a positive duration")
  if (!(throttleAt > 0 && throttleAt <= 1)) return invalid("throttleAt", throttleAt, "a ratio above 0, at most 1")
  if (Number.isInteger(backlogItemsMax) && backlogItemsMax >= 1) return Effect.void
  return invalid("backlogItemsMax", backlogItemsMax, "a whole number of at least 1")
}

export const make = <M extends string, V, E>(
  options: Resolved<M, V, E>,
  full: (backlogItemsMax: number) => FusionFull
): Effect.Effect<Fusion<M, V, E>, InvalidOption> =>
  Effect.gen(function*() {
    yield* check(options)
    const core = new Core(options, yield* Effect.clock, full)
    return {
      open: (emit) =>
        Effect.gen(function*() {
          const scope = yield* Effect.scope
          const stream = new StreamImpl(core, scope, emit)
          core.streams.add(stream)
          yield* Effect.addFinalizer(() => Effect.sync(() => stream.close()))
          return stream
        }),
      stats: Effect.sync(() => core.stats)
    }
  })
