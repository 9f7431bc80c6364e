/**
 * The NATS server as a peer, where it is installed: subscribers come to its WebSocket listener, and the publisher is a plain
 * client of its protocol over TCP. Its own process is the server whose CPU counts; the publisher's is left out.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import { MarkerCounter } from "./counters.js"
import type { Running } from "./protocol.js"

const program = "nats-server"

/** With the folders where systems keep it that not everybody has in their path. */
const env = { ...process.env, PATH: `${process.env["PATH"] ?? ""}:/usr/local/sbin:/usr/sbin` }

const statOf = (pid: number | "self"): string => `/proc/${pid}/stat`

/** Version of the NATS server that is installed, or why it cannot be measured here. */
export const natsInstalled = (): { readonly version: string } | { readonly reason: string } => {
  const { status, stdout } = spawnSync(program, ["-v"], { encoding: "utf8", env })
  if (status !== 0) return { reason: `${program} is not installed` }
  if (!Fs.existsSync(statOf("self"))) {
    return { reason: "the CPU of another process is read from /proc, which is not here" }
  }
  return { version: stdout.trim().replace(/^\D*/, "") }
}

/** User and system time of the process, which Linux gives in hundredths of a second. */
const cpuSecondsOf = (pid: number): number => {
  const stat = Fs.readFileSync(statOf(pid), "latin1")
  // The name of the program, in brackets, is the second field and may hold spaces.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  return (Number(fields[11]) + Number(fields[12])) / 100
}

interface Ports {
  readonly nats: number
  readonly websocket: number
}

const portIn = (urls: ReadonlyArray<string>): number => Number(new URL(urls[0]!).port)

/** The server writes its ports, which the system chose, into a file once it listens. */
const portsIn = async (file: string): Promise<Ports> => {
  for (let tries = 0; tries < 500; tries++) {
    const text = Fs.existsSync(file) ? Fs.readFileSync(file, "utf8") : ""
    if (text.endsWith("}")) {
      const { nats, websocket } = JSON.parse(text) as { readonly [name: string]: ReadonlyArray<string> }
      return { nats: portIn(nats!), websocket: portIn(websocket!) }
    }
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  throw new Error(`${program} did not say where it listens`)
}

const launch = async (): Promise<Ports & { readonly child: ChildProcess }> => {
  const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "spillway-nats-"))
  const config = Path.join(folder, "nats.conf")
  const loopback = "listen: \"127.0.0.1:-1\""
  Fs.writeFileSync(
    config,
    `${loopback}\nports_file_dir: ${JSON.stringify(folder)}\nwebsocket { ${loopback}, no_tls: true }\n`
  )
  const child = spawn(program, ["-c", config], { stdio: "ignore", env })
  process.on("exit", () => {
    child.kill()
    Fs.rmSync(folder, { recursive: true, force: true })
  })
  child.on("exit", () => process.exit(child.killed ? 0 : 1))
  return { ...await portsIn(Path.join(folder, `${program}_${child.pid}.ports`)), child }
}

export const startNats = async (): Promise<Running> => {
  const { child, nats, websocket } = await launch()
  const socket = Net.connect({ port: nats, host: "127.0.0.1", noDelay: true })
  const pongs = new MarkerCounter("PONG\r\n")
  let afterPong = (): void => {}
  socket.on("data", (data) => {
    if (data.includes("PING\r\n")) socket.write("PONG\r\n")
    if (pongs.count(data) > 0) afterPong()
  })
  socket.write("CONNECT {\"verbose\":false}\r\n")
  const commands: Array<Buffer> = []
  // As its clients do, what a tick publishes leaves in one write.
  const flush = (): void => void socket.write(Buffer.concat(commands.splice(0)))
  const lineEnd = Buffer.from("\r\n")
  return {
    port: websocket,
    publish: (payload) => {
      if (commands.length === 0) queueMicrotask(flush)
      commands.push(Buffer.from(`PUB m ${payload.length}\r\n`), payload, lineEnd)
    },
    // The server answers a ping once it has done what came before it. It would else see many ticks as one.
    tickDone: () =>
      new Promise((resolve) => {
        afterPong = resolve
        commands.push(Buffer.from("PING\r\n"))
      }),
    cpuSeconds: () => cpuSecondsOf(child.pid!),
    stop: () => void child.kill()
  }
}
