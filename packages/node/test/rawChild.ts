/**
 * Servers and clients as processes of their own.
 */
import * as ChildProcess from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import { until, upgradeRequest } from "./raw.js"
import { probeArguments, type Probed, root } from "./rawProbe.js"

/**
 * How long the main thread of a process has been ready to run without a processor to run on, in milliseconds; 0 where
 * the kernel does not say. On a busy machine this is the part of a delay that is nobody's doing.
 */
export const starvedMillis = (pid: number): number => {
  try {
    return Number(Fs.readFileSync(`/proc/${pid}/schedstat`, "utf8").split(" ")[1]) / 1e6
  } catch {
    return 0
  }
}

/** The state of a process as the kernel has it; `undefined` when there is none. `kill -0` also finds zombies. */
export const processState = (pid: number): string | undefined => {
  try {
    return /\) (\w)/.exec(Fs.readFileSync(`/proc/${pid}/stat`, "latin1"))?.[1]
  } catch {
    return undefined
  }
}

export class Child {
  stdout = ""
  stderr = ""
  private constructor(readonly process: ChildProcess.ChildProcess, readonly pid: number) {
    process.stdout!.setEncoding("utf8").on("data", (text: string) => (this.stdout += text))
    process.stderr!.setEncoding("utf8").on("data", (text: string) => (this.stderr += text))
  }

  static spawn(command: string, args: ReadonlyArray<string>, env: Readonly<Record<string, string>> = {}): Child {
    const child = ChildProcess.spawn(command, args, {
      cwd: root,
      env: { PATH: process.env["PATH"], ...env },
      stdio: ["ignore", "pipe", "pipe", "ipc"]
    })
    return new Child(child, child.pid!)
  }

  /** The program of the gateway, built from the sources of now. */
  static async gateway(env: Readonly<Record<string, string>>): Promise<Child> {
    const tsc = Path.join(root, "node_modules/typescript/bin/tsc")
    if (process.env["SKIP_BUILD"] !== "1") {
      ChildProcess.execFileSync(process.execPath, [tsc, "-b", "examples/gateway"], { cwd: root, stdio: "inherit" })
    }
    const main = Path.join(root, "examples/gateway/dist/main.js")
    const child = Child.spawn(process.execPath, [...probeArguments, main], { PORT: "0", LOG_LEVEL: "error", ...env })
    await child.printed(/:\d+\s/)
    return child
  }

  /** A test program in TypeScript that reads the sources of the packages, as the tests do. */
  static async fixture(name: string, args: ReadonlyArray<string>, prefix: ReadonlyArray<string> = []): Promise<Child> {
    const file = fileURLToPath(new URL(name, import.meta.url))
    const [command, ...rest] = [...prefix, process.execPath, "--import", "tsx", ...probeArguments, file, ...args]
    const child = Child.spawn(command!, rest, { TSX_TSCONFIG_PATH: Path.join(root, "tsconfig.test.json") })
    await child.printed(/port=\d+\s/)
    return child
  }

  /**
   * A client of nothing but sockets: so many connections, each of which sends the bytes after its handshake. It says
   * "open" when all handshakes are done and then reads what comes.
   */
  static async client(
    port: number,
    options: { readonly path: string; readonly count: number; readonly bytes: Uint8Array },
    prefix: ReadonlyArray<string> = []
  ): Promise<Child> {
    const request = JSON.stringify(upgradeRequest(options.path))
    const bytes = Buffer.from(options.bytes).toString("hex")
    const program = `
      let open = 0
      for (let i = 0; i < ${options.count}; i++) {
        const socket = require("node:net").connect(${port}, "127.0.0.1", () => socket.write(${request}))
        socket.on("error", () => {})
        socket.once("data", () => {
          socket.write(Buffer.from("${bytes}", "hex"))
          socket.resume()
          if (++open === ${options.count}) process.stdout.write("open\\n")
        })
      }
      setInterval(() => {}, 1 << 30)`
    const [command, ...rest] = [...prefix, process.execPath, "-e", program]
    const child = Child.spawn(command!, rest)
    await child.printed(/open/)
    return child
  }

  async printed(pattern: RegExp, millis = 30_000): Promise<void> {
    await until(`${pattern} in the output`, () => {
      if (this.isGone) throw new Error(`the process has ended: ${this.stdout}${this.stderr}`)
      return pattern.test(this.stdout)
    }, millis)
  }

  get port(): number {
    return Number(/(?::|port=)(\d+)\s/.exec(this.stdout)![1])
  }

  get isGone(): boolean {
    return this.process.exitCode !== null || this.process.signalCode !== null
  }

  /** The route's JSON, over a connection of its own. */
  async json(path: string): Promise<any> {
    const response = await fetch(`http://127.0.0.1:${this.port}${path}`, { headers: { connection: "close" } })
    return response.json()
  }

  probe(): Promise<Probed> {
    return this.ask("probe")
  }

  /** The answer of the process to a message. What `tsx` says about the files that it loads is not one. */
  async ask<A>(message: string): Promise<A> {
    this.process.send(message)
    for (;;) {
      const [answer] = await once(this.process, "message", { signal: AbortSignal.timeout(20_000) })
      if (!("type" in answer)) return answer as A
    }
  }

  /** Sockets among the open files of the process. */
  get socketFiles(): number {
    return Fs.readdirSync(`/proc/${this.pid}/fd`).filter((fd) => {
      try {
        return Fs.readlinkSync(`/proc/${this.pid}/fd/${fd}`).startsWith("socket:")
      } catch {
        return false
      }
    }).length
  }

  signal(name: NodeJS.Signals): void {
    this.process.kill(name)
  }

  async stop(): Promise<void> {
    if (this.isGone) return
    const exit = once(this.process, "exit")
    this.process.kill("SIGKILL")
    await exit
  }
}
