/** What happened to a pool, as it is drawn: which worker was in which state when, and which fault hit it. */
import type { Transition } from "@spillway/workers/WorkerPool"
import type { State } from "@spillway/workers/WorkerState"
import type { LinkFault } from "@spillway/workers/WorkerTransport"

/** A worker was in a state from one time to another, in milliseconds since the epoch. */
export interface Segment {
  readonly workerId: string
  readonly state: State
  readonly from: number
  readonly to: number
}

export interface Fault {
  readonly kind: LinkFault["_tag"] | "refuseSpawn"
  readonly workerId: string
  readonly at: number
}

/** When a scenario began, when its last fault was over and the pool whole again, and when it was tried. */
export interface Span {
  readonly name: string
  readonly from: number
  readonly to: number
}

/** Everything that there is to draw. */
export interface Story {
  readonly segments: ReadonlyArray<Segment>
  readonly faults: ReadonlyArray<Fault>
  readonly spans: ReadonlyArray<Span>
  readonly from: number
  readonly to: number
}

export class Recording {
  private readonly segments: Array<Segment> = []
  private readonly faults: Array<Fault> = []
  private readonly spans: Array<Span> = []
  /** The states that still last, by worker. */
  private readonly present = new Map<string, { readonly state: State; readonly since: number }>()

  constructor(private readonly from: number) {}

  /** For `onTransition` of a pool. */
  readonly moved = ({ entry, workerId }: Transition): void => {
    const { at, durationMillis, from, to } = entry
    this.segments.push({ workerId, state: from, from: at - durationMillis, to: at })
    if (to === "terminated") this.present.delete(workerId)
    else this.present.set(workerId, { state: to, since: at })
  }

  fault(kind: Fault["kind"], workerId: string, at: number): void {
    this.faults.push({ kind, workerId, at })
  }

  span(span: Span): void {
    this.spans.push(span)
  }

  story(to: number): Story {
    const lasting = [...this.present].map(([workerId, { since, state }]) => ({ workerId, state, from: since, to }))
    const { faults, from, segments, spans } = this
    return { segments: [...segments, ...lasting], faults: [...faults], spans: [...spans], from, to }
  }
}

/** Workers of one place of the pool have ids that differ in what is behind the last dot. */
export const placeOf = (workerId: string): string => workerId.replace(/\.\d+$/, "")
