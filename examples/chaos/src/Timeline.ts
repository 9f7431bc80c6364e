/** A story as a picture: a row for each place of the pool, the states of its workers in colours, a mark for each fault. */
import type { State } from "@spillway/workers/WorkerState"
import { type Fault, placeOf, type Segment, type Span, type Story } from "./Recording.js"

const width = 1600
const left = 110
const right = 20
const top = 78
const rowHeight = 34
const barHeight = 20
const foot = 70

/** `terminated` has no length. */
const colours: { readonly [S in Exclude<State, "terminated">]: string } = {
  initializing: "#9ec5fe",
  ready: "#a7d7a9",
  busy: "#2e8b57",
  degraded: "#f0ad4e",
  terminating: "#d9534f"
}

const letters: { readonly [K in Fault["kind"]]: string } = {
  kill: "K",
  hang: "H",
  slow: "S",
  corrupt: "C",
  tear: "T",
  partition: "P",
  exhaustMemory: "M",
  refuseSpawn: "R"
}

const entities: { readonly [character: string]: string } = { "&": "&amp;", "<": "&lt;", ">": "&gt;", "\"": "&quot;" }

const escape = (text: string): string => text.replace(/[&<>"]/g, (character) => entities[character]!)

type Attributes = { readonly [name: string]: string | number }

const element = (name: string, attributes: Attributes, ...children: ReadonlyArray<string>): string => {
  const all = Object.entries(attributes).map(([key, value]) =>
    ` ${key}="${escape(typeof value === "number" ? String(Math.round(value * 100) / 100) : value)}"`
  ).join("")
  return children.length === 0 ? `<${name}${all}/>` : `<${name}${all}>${children.join("")}</${name}>`
}

const text = (x: number, y: number, value: string, attributes: Attributes = {}): string =>
  element("text", { x, y, ...attributes }, escape(value))

const seconds = (millis: number): string => `${(millis / 1000).toFixed(2)} s`

/** Segments of one state that are too close to be told apart become one. A picture of a long run stays small. */
const merged = (segments: ReadonlyArray<Segment>, leastMillis: number): ReadonlyArray<Segment> => {
  const result: Array<Segment> = []
  for (const segment of segments) {
    const before = result.at(-1)
    const isSame = before !== undefined && before.workerId === segment.workerId && before.state === segment.state
    if (isSame && segment.from - before.to <= leastMillis) result[result.length - 1] = { ...before, to: segment.to }
    else result.push(segment)
  }
  return result
}

/** The places in the order of their numbers, overflow last. */
const placesOf = (segments: ReadonlyArray<Segment>): ReadonlyArray<string> =>
  [...new Set(segments.map(({ workerId }) => placeOf(workerId)))].sort((a, b) =>
    a.length - b.length || (a < b ? -1 : 1)
  )

class Picture {
  private readonly places: ReadonlyArray<string>
  private readonly height: number

  constructor(private readonly story: Story, private readonly title: string) {
    this.places = placesOf(story.segments)
    this.height = top + this.places.length * rowHeight + foot
  }

  private x(at: number): number {
    const { from, to } = this.story
    return left + ((at - from) / Math.max(1, to - from)) * (width - left - right)
  }

  private y(workerId: string): number {
    return top + this.places.indexOf(placeOf(workerId)) * rowHeight
  }

  private bar({ from, state, to, workerId }: Segment): string {
    const { story } = this
    // What is too short to see is there all the same.
    const length = Math.max(0.75, this.x(to) - this.x(from))
    const label = `${workerId} ${state}, ${seconds(from - story.from)} to ${seconds(to - story.from)}`
    return element(
      "rect",
      {
        class: "state",
        "data-worker": workerId,
        "data-state": state,
        x: this.x(from),
        y: this.y(workerId),
        width: length,
        height: barHeight,
        fill: state === "terminated" ? "none" : colours[state]
      },
      element("title", {}, escape(label))
    )
  }

  private bars(): ReadonlyArray<string> {
    const { segments, from, to } = this.story
    const pixelMillis = (to - from) / (width - left - right)
    const [busy, others] = [true, false].map((isBusy) =>
      segments.filter(({ state }) => (state === "busy") === isBusy && state !== "terminated")
    ) as [Array<Segment>, Array<Segment>]
    const byWorker = (a: Segment, b: Segment) =>
      a.workerId === b.workerId ? a.from - b.from : a.workerId < b.workerId ? -1 : 1
    // A worker that serves is ready with busy moments on top.
    const calm = merged([...others].sort(byWorker), 5 * pixelMillis)
    return [...calm, ...merged([...busy].sort(byWorker), pixelMillis)].map((segment) => this.bar(segment))
  }

  /** A line where it happened; the letter beside it, where it covers no other. */
  private mark({ at, kind, workerId }: Fault, letterX: number): string {
    const [x, y] = [this.x(at), this.y(workerId)]
    const label = `${kind} hits ${workerId} at ${seconds(at - this.story.from)}`
    return element(
      "g",
      { class: "fault", "data-fault": kind, "data-worker": workerId },
      element("title", {}, escape(label)),
      element("line", { x1: x, x2: x, y1: y - 5, y2: y + barHeight, stroke: "#111", "stroke-width": 1.5 }),
      element("circle", { cx: letterX, cy: y - 3, r: 6.5, fill: "#111" }),
      text(letterX, y, letters[kind], { fill: "#fff", "font-size": 9, "text-anchor": "middle" })
    )
  }

  private marks(): ReadonlyArray<string> {
    const lastX = new Map<string, number>()
    return this.story.faults.map((fault) => {
      const place = placeOf(fault.workerId)
      const letterX = Math.max(this.x(fault.at), (lastX.get(place) ?? -Infinity) + 13.5)
      lastX.set(place, letterX)
      return this.mark(fault, letterX)
    })
  }

  private band({ from, to }: Span, index: number): string {
    const x = this.x(from)
    return element("rect", {
      x,
      y: 44,
      width: Math.max(1, this.x(to) - x),
      height: this.height - foot - 44,
      fill: index % 2 === 0 ? "#f1f3f5" : "#e3e7eb"
    })
  }

  /** In two heights, so that short scenarios beside each other stay legible. */
  private name({ from, name }: Span, index: number): string {
    const attributes = { class: "scenario", "font-size": 9, fill: "#495057" }
    return text(this.x(from) + 2, index % 2 === 0 ? 54 : 64, name, attributes)
  }

  private axis(): ReadonlyArray<string> {
    const { from, to } = this.story
    const y = this.height - foot + 4
    return Array.from({ length: 11 }, (_, step) => {
      const at = from + ((to - from) * step) / 10
      const line = element("line", { x1: this.x(at), x2: this.x(at), y1: y, y2: y + 5, stroke: "#868e96" })
      return line + text(this.x(at), y + 17, seconds(at - from), { "text-anchor": "middle", fill: "#495057" })
    })
  }

  private legend(): ReadonlyArray<string> {
    const y = this.height - 28
    const states = Object.entries(colours).map(([state, fill], index) =>
      element("rect", { x: left + index * 110, y, width: 14, height: 14, fill })
      + text(left + index * 110 + 20, y + 11, state)
    )
    const faults = Object.entries(letters).map(([kind, letter]) => `${letter} ${kind}`).join(", ")
    return [...states, text(left + 580, y + 11, `faults: ${faults}`)]
  }

  draw(): string {
    const { spans } = this.story
    const names = this.places.map((place) => text(8, this.y(place) + 14, place))
    return element(
      "svg",
      {
        xmlns: "http://www.w3.org/2000/svg",
        viewBox: `0 0 ${width} ${this.height}`,
        "font-family": "system-ui, sans-serif",
        "font-size": 11
      },
      element("title", {}, escape(this.title)),
      element("rect", { width, height: this.height, fill: "#fff" }),
      text(8, 24, this.title, { "font-size": 15 }),
      ...spans.map((span, index) => this.band(span, index)),
      ...spans.map((span, index) => this.name(span, index)),
      ...names,
      ...this.bars(),
      ...this.marks(),
      ...this.axis(),
      ...this.legend()
    )
  }
}

/** The picture, as one SVG element without scripts or links. */
export const draw = (story: Story, title: string): string => `${new Picture(story, title).draw()}\n`
