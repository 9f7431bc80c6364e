/**
 * Starts the real program as a child process, and clients that remember what they saw.
 */
import * as ChildProcess from "node:child_process"
import { once } from "node:events"
import * as Net from "node:net"
import * as Path from "node:path"
import * as Timers from "node:timers/promises"
import { fileURLToPath } from "node:url"
import WebSocket from "ws"

const root = fileURLToPath(new URL("../../..", import.meta.url))

const main = Path.join(root, "examples/gateway/dist/main.js")

/**
 * Tests run sources, a child process runs what was built of them: this makes it the same thing. `SKIP_BUILD=1` runs what
 * was built before.
 */
export const build = (): void => {
  if (process.env["SKIP_BUILD"] === "1") return
  const tsc = Path.join(root, "node_modules/typescript/bin/tsc")
  ChildProcess.execFileSync(process.execPath, [tsc, "-b", "examples/gateway"], { cwd: root, stdio: "inherit" })
}

type Environment = Readonly<Record<string, string>>

const spawn = (environment: Environment, args: ReadonlyArray<string>) =>
  ChildProcess.spawn(process.execPath, [main, ...args], {
    env: { PATH: process.env["PATH"], PORT: "0", ...environment },
    stdio: ["ignore", "pipe", "pipe"]
  })

const collect = (child: ReturnType<typeof spawn>) => {
  const output = { stdout: "", stderr: "" }
  child.stdout.setEncoding("utf8").on("data", (text: string) => (output.stdout += text))
  child.stderr.setEncoding("utf8").on("data", (text: string) => (output.stderr += text))
  return output
}

/** Runs the program to its end. */
export const run = async (environment: Environment, ...args: ReadonlyArray<string>) => {
  const child = spawn(environment, args)
  const output = collect(child)
  const [code] = await once(child, "close", { signal: AbortSignal.timeout(20_000) })
  return { code: code as number, ...output }
}

export class Server {
  private constructor(
    readonly child: ReturnType<typeof spawn>,
    readonly output: { readonly stdout: string; readonly stderr: string },
    readonly url: string
  ) {}

  /** Resolves when the program has said where it listens. */
  static async start(environment: Environment = {}): Promise<Server> {
    const child = spawn(environment, [])
    const output = collect(child)
    const url = await until(
      () => {
        if (child.exitCode !== null) throw new Error(`the server has ended: ${output.stdout}${output.stderr}`)
        return /https?:\/\/\S+/.exec(output.stdout)?.[0]
      },
      20_000,
      1
    )
    return new Server(child, output, url)
  }

  get port(): number {
    return Number(new URL(this.url).port)
  }

  get exitCode(): number | null {
    return this.child.exitCode
  }

  signal(name: NodeJS.Signals): void {
    this.child.kill(name)
  }

  /** The exit code, once the process is gone. */
  async exited(withinMillis: number): Promise<number | null> {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      await once(this.child, "exit", { signal: AbortSignal.timeout(withinMillis) })
    }
    return this.child.exitCode
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return
    const exit = once(this.child, "exit")
    this.child.kill("SIGKILL")
    await exit
  }

  get(path: string, headers: Record<string, string> = {}): Promise<Response> {
    // A connection of its own, so that a test sees what a new client sees.
    return fetch(`${this.url}${path}`, { headers: { connection: "close", ...headers } })
  }

  async json(path: string): Promise<any> {
    return (await this.get(path)).json()
  }

  publish(topic: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
    return fetch(`${this.url}/publish/${topic}`, {
      method: "POST",
      headers,
      body: typeof body === "string" ? body : JSON.stringify(body)
    })
  }

  connect(path: string, options: WebSocket.ClientOptions = {}): Client {
    return new Client(new WebSocket(`${this.url.replace("http", "ws")}${path}`, options))
  }

  /** A client whose handshake is done. */
  async open(path: string, options: WebSocket.ClientOptions = {}): Promise<Client> {
    const client = this.connect(path, options)
    await client.opened
    return client
  }

  /** Sends bytes over TCP and resolves with everything that comes back until the server ends the connection. */
  async raw(text: string, options: { readonly end?: boolean } = {}): Promise<string> {
    const socket = Net.connect(this.port, "127.0.0.1")
    let answer = ""
    socket.setEncoding("latin1").on("data", (part: string) => (answer += part)).on("error", () => {})
    if (options.end === true) socket.end(text)
    else socket.write(text)
    await once(socket, "close", { signal: AbortSignal.timeout(20_000) })
    return answer
  }
}

export interface Closed {
  readonly code: number
  readonly reason: string
}

/** A client of `/ws` or `/echo`. */
export class Client {
  readonly frames: Array<any> = []
  readonly raw: Array<{ readonly data: Buffer; readonly binary: boolean }> = []
  readonly opened: Promise<void>
  readonly closed: Promise<Closed>
  /** Status of the answer when the handshake was refused. */
  readonly refused: Promise<number>

  constructor(readonly ws: WebSocket) {
    this.opened = new Promise((resolve, reject) => ws.once("open", () => resolve()).once("error", reject))
    this.opened.catch(() => {})
    this.closed = new Promise((resolve) =>
      ws.once("close", (code, reason) => resolve({ code, reason: reason.toString() }))
    )
    this.refused = new Promise((resolve) =>
      ws.once("unexpected-response", (request, response) => {
        resolve(response.statusCode!)
        request.destroy()
      })
    )
    ws.on("error", () => {})
    ws.on("message", (data: Buffer, binary) => {
      this.raw.push({ data, binary })
      if (!binary && data[0] === 123) this.frames.push(JSON.parse(data.toString()))
    })
  }

  say(frame: unknown): void {
    this.ws.send(typeof frame === "string" ? frame : JSON.stringify(frame))
  }

  of(type: string): ReadonlyArray<any> {
    return this.frames.filter((frame) => frame.type === type)
  }

  messages(topic: string): ReadonlyArray<any> {
    return this.frames.filter((frame) => frame.type === "message" && frame.topic === topic)
  }

  /** The first frame of a type, now or later. */
  first(type: string): Promise<any> {
    return until(() => this.of(type)[0])
  }

  /** Resolves when the server has handled everything that was said before. */
  async handled(): Promise<void> {
    const before = this.of("pong").length
    this.say({ type: "ping" })
    await until(() => this.of("pong").length > before || undefined)
  }

  /** Stops reading: what the server sends stays in its buffers and the kernel's. */
  stall(): void {
    this.ws.pause()
  }
}

/** Polls until there is a value. */
export const until = async <A>(
  read: () => A | undefined | Promise<A | undefined>,
  withinMillis = 60_000,
  everyMillis = 10
): Promise<A> => {
  const end = performance.now() + withinMillis
  for (;;) {
    const value = await read()
    if (value !== undefined) return value
    if (performance.now() > end) throw new Error(`nothing within ${withinMillis} ms: ${read.toString()}`)
    await Timers.setTimeout(everyMillis)
  }
}

/** Whether numbers are 1, 2, 3 and so on: nothing was shed. */
export const isContiguous = (numbers: ReadonlyArray<number>): boolean => numbers.every((seq, i) => seq === i + 1)

export const sleep = (millis: number): Promise<void> => Timers.setTimeout(millis)
