/**
 * Type-checks a program and runs it as a process of its own, against the sources of the packages.
 */
import { type ChildProcess, spawn } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import ts from "typescript"
import { WebSocket } from "ws"

const config = "tsconfig.test.json"

/** Writes a program where it finds the dependencies of the repository. */
export const write = (root: string, name: string, text: string): string => {
  const file = Path.join(root, ".tmp/readme", name)
  Fs.mkdirSync(Path.dirname(file), { recursive: true })
  Fs.writeFileSync(file, text)
  return file
}

/** What the compiler has to say about each of the files, with the strictness of the repository. */
export const typeErrors = (root: string, files: ReadonlyArray<string>): ReadonlyArray<ReadonlyArray<string>> => {
  const json: unknown = ts.readConfigFile(Path.join(root, config), ts.sys.readFile).config
  const { options } = ts.parseJsonConfigFileContent(json, ts.sys, root)
  const program = ts.createProgram(files, options)
  return files.map((file) =>
    ts.getPreEmitDiagnostics(program, program.getSourceFile(file)).map(({ messageText }) =>
      ts.flattenDiagnosticMessageText(messageText, "\n")
    )
  )
}

const within = <A>(what: string, promise: Promise<A>, millis = 100_000): Promise<A> => {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${millis} ms: ${what}`)), millis)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

/** A running program, by what it prints. */
export class Running {
  private output = ""
  private readonly child: ChildProcess
  private readonly exited: Promise<number | null>

  constructor(root: string, file: string, environment: Readonly<Record<string, string>>) {
    this.child = spawn(process.execPath, ["--import", "tsx", file], {
      cwd: root,
      env: { ...process.env, TSX_TSCONFIG_PATH: Path.join(root, config), ...environment },
      stdio: ["ignore", "pipe", "pipe"]
    })
    this.exited = new Promise((resolve) => this.child.once("exit", (code) => resolve(code)))
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.on("data", (chunk: Buffer) => {
        this.output += chunk.toString()
      })
    }
  }

  /** The first match in what the program prints; fails when it exits or takes too long. */
  async printed(pattern: RegExp): Promise<string> {
    const found = new Promise<string>((resolve) => {
      const look = (): void => {
        const match = pattern.exec(this.output)
        if (match !== null) resolve(match[1] ?? match[0])
      }
      look()
      this.child.stdout?.on("data", look)
      this.child.stderr?.on("data", look)
    })
    const gone = this.exited.then((code) => {
      throw new Error(`exited with ${code}:\n${this.output}`)
    })
    return within(`print ${pattern}`, Promise.race([found, gone]))
  }

  /** Asks it to stop and returns its exit code. */
  stop(signal: NodeJS.Signals): Promise<number | null> {
    this.child.kill(signal)
    return within(`exit after ${signal}`, this.exited)
  }

  kill(): void {
    this.child.kill("SIGKILL")
  }
}

/** A client that keeps what it got. */
export class Client {
  readonly messages: Array<string> = []
  readonly socket: WebSocket
  private readonly closed: Promise<number>

  constructor(url: string) {
    this.socket = new WebSocket(url)
    this.socket.on("error", () => {})
    this.socket.on("message", (data: Buffer) => this.messages.push(data.toString()))
    this.closed = new Promise((resolve) => this.socket.once("close", (code) => resolve(code)))
  }

  /** Suspends until a message fits. */
  async message(fits: (message: string) => boolean): Promise<string> {
    const found = new Promise<string>((resolve) => {
      const look = (): void => {
        const message = this.messages.find(fits)
        if (message !== undefined) resolve(message)
      }
      look()
      this.socket.on("message", look)
    })
    const gone = this.closed.then((code) => {
      throw new Error(`closed with ${code}`)
    })
    return within("a message", Promise.race([found, gone]))
  }

  send(message: unknown): void {
    const text = typeof message === "string" ? message : JSON.stringify(message)
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(text)
    else this.socket.once("open", () => this.socket.send(text))
  }

  /** The close code. */
  get code(): Promise<number> {
    return within("a close", this.closed)
  }
}
