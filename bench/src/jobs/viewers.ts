/** Viewers of one job as real WebSocket connections: they look at every frame that comes, and at when it comes. */
import { type ChildProcess, spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import { WebSocket } from "ws"
import { canPin, onServerCore, pinGenerator } from "../pin.js"
import { quantile } from "../report.js"
import { type Answer, nowMillis, type Order, type Plan } from "./viewerServer.js"

/** What the wire has of a frame, as far as it is looked at. */
interface Frame {
  readonly type: "connected" | "state" | "event" | "error"
  readonly data: {
    readonly seq: number
    readonly status: string
    readonly event_type: string
    readonly payload: { readonly at: number } | null
  }
}

/** One viewer: every event once and in order, then one terminal state, then 1000. Anything else is an error. */
class Viewer {
  private seq = 0
  private terminals = 0
  readonly opened: Promise<void>
  readonly ended: Promise<number>

  constructor(url: string, private readonly latencies: Array<number>) {
    const socket = new WebSocket(url, { perMessageDeflate: false })
    this.opened = new Promise((resolve, reject) => {
      socket.once("error", reject)
      // The state at the beginning: it follows from here on.
      socket.on("message", (data: Buffer) => {
        const frame = JSON.parse(data.toString()) as Frame
        if (frame.type === "state") resolve()
        try {
          this.accept(frame)
        } catch (error) {
          reject(error as Error)
          socket.terminate()
        }
      })
    })
    this.ended = new Promise((resolve, reject) => {
      socket.once("close", (code) => {
        if (code === 1000 && this.terminals === 1) resolve(this.seq)
        else {reject(
            new Error(`a viewer ended with ${code} and ${this.terminals} terminal states after event ${this.seq}`)
          )}
      })
    })
  }

  private accept({ data, type }: Frame): void {
    if (type === "error" || this.terminals > 0) throw new Error(`${type} after ${this.terminals} terminal states`)
    if (type === "state" && data.status === "SUCCEEDED") this.terminals++
    if (type !== "event") return
    if (data.seq !== ++this.seq) throw new Error(`event ${data.seq} instead of ${this.seq}`)
    if (data.event_type === "MESSAGE") this.latencies.push(nowMillis() - data.payload!.at)
  }
}

const ask = (server: ChildProcess, order?: Order): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const exited = (code: number | null): void => reject(new Error(`the server exited with ${code}`))
    server.once("exit", exited)
    server.once("message", (message) => {
      server.off("exit", exited)
      resolve(message as Answer)
    })
    if (order !== undefined) server.send(order)
  })

const connect = async (url: string, count: number): Promise<{ viewers: Array<Viewer>; latencies: Array<number> }> => {
  const latencies: Array<number> = []
  const viewers: Array<Viewer> = []
  while (viewers.length < count) {
    const batch = Array.from({ length: Math.min(100, count - viewers.length) }, () => new Viewer(url, latencies))
    await Promise.all(batch.map(({ opened }) => opened))
    viewers.push(...batch)
  }
  return { viewers, latencies }
}

const at = (sorted: ReadonlyArray<number>, share: number): number => Number(quantile(sorted, share).toFixed(2))

/** So many viewers of one job, which does what the plan says; server and viewers on a core each where that can be. */
export const viewers = async (path: string, count: number, plan: Plan): Promise<object> => {
  pinGenerator()
  const file = fileURLToPath(new URL("./viewerServer.ts", import.meta.url))
  const command = [process.execPath, ...process.execArgv, file, path]
  const [program, ...args] = onServerCore(command)
  const server = spawn(program, args, { stdio: ["ignore", "inherit", "inherit", "ipc"] })
  try {
    const listening = await ask(server)
    const created = await ask(server, { create: plan })
    if (!("port" in listening) || !("created" in created)) throw new Error("the server says something else")
    const id = created.created
    const { latencies, viewers } = await connect(`ws://127.0.0.1:${listening.port}/ws/tasks/${id}`, count)
    // Whatever connecting left behind is over.
    await new Promise((resolve) => setTimeout(resolve, 1_000))
    const begin = performance.now()
    const cost = ask(server, { run: id })
    const ends = await Promise.all(viewers.map(({ ended }) => ended))
    const seconds = (performance.now() - begin) / 1_000
    const done = await cost
    if (!("cpuSeconds" in done)) throw new Error("the server says something else")
    // STARTED, the events, RESULT.
    if (ends.some((seq) => seq !== plan.events + 2)) throw new Error("a viewer did not see every event")
    const deliveries = count * (plan.events + 2)
    latencies.sort((a, b) => a - b)
    return {
      viewers: count,
      ...plan,
      isPinned: canPin,
      eventsPerSecond: Math.round(plan.events / done.seconds),
      deliveriesPerSecond: Math.round(deliveries / seconds),
      serverCpuSecondsPerMillionDeliveries: Number((done.cpuSeconds / deliveries * 1e6).toFixed(2)),
      serverPeakRssMegabytes: done.peakRssMegabytes,
      emitToClientMillis: { p50: at(latencies, 0.5), p99: at(latencies, 0.99), worst: at(latencies, 1) }
    }
  } finally {
    server.disconnect()
  }
}
