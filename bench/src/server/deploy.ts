/** A deploy: one server goes down under a population of clients that follows its hints to the next one. */
import { WebSocket } from "ws"
import { criticalMessages, type Drained, hint, type ProgramOptions, Server } from "./protocol.js"

export interface DeployOptions {
  readonly clients: number
  /** Every so-manieth client reads nothing. */
  readonly deafEvery: number
  readonly total: number
  readonly grace: number
  readonly reconnectJitter: number
  /** Time to write what is left for one session, and as much again for the answer to its close. */
  readonly flushTimeout: number
}

export interface DeployFigures {
  readonly exitCode: number | null
  readonly millis: number
  readonly drained: Drained
  readonly healthy: number
  /** Healthy clients that got everything in `critical`, the hint, and were closed with 1001 or 4001. */
  readonly gotCritical: number
  readonly gotHint: number
  readonly closeCodes: Readonly<Record<string, number>>
  readonly deaf: number
  /** Sessions that the next server had opened, and how many per second since the first. */
  readonly reconnected: number
  readonly reconnectsPerSecond: ReadonlyArray<number>
  readonly peakToMean: number
}

class Client {
  readonly texts: Array<string> = []
  code: number | undefined = undefined
  closed: Promise<void>

  constructor(readonly ws: WebSocket) {
    ws.on("message", (data: Buffer) => this.texts.push(data.toString()))
    this.closed = new Promise((resolve) => {
      ws.once("close", (code: number) => {
        this.code = code
        resolve()
      })
    })
  }

  get hint(): { readonly afterMillis: number; readonly jitterMillis: number } | undefined {
    const text = this.texts.find((each) => each.startsWith(hint))
    return text === undefined ? undefined : JSON.parse(text.slice(hint.length))
  }
}

const connect = (port: number, path: string): Promise<Client> =>
  new Promise((resolve, reject) => {
    const ws = new WebSocket(`ws://127.0.0.1:${port}/${path}`, { perMessageDeflate: false })
    const client = new Client(ws)
    ws.once("error", reject)
    ws.once("open", () => {
      ws.off("error", reject).on("error", () => {})
      resolve(client)
    })
  })

const connectAll = async (port: number, path: string, count: number): Promise<Array<Client>> => {
  const clients: Array<Client> = []
  while (clients.length < count) {
    const batch = Math.min(100, count - clients.length)
    clients.push(...await Promise.all(Array.from({ length: batch }, () => connect(port, path))))
  }
  return clients
}

const sleep = (millis: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, millis))

/** How many of the times fall into each second since the first. */
const perSecond = (times: ReadonlyArray<number>): ReadonlyArray<number> => {
  const first = Math.min(...times)
  const counts: Array<number> = []
  for (const at of times) {
    const second = Math.floor((at - first) / 1000)
    while (counts.length <= second) counts.push(0)
    counts[second]!++
  }
  return counts
}

/** A deaf client must be there when the drain comes: nothing ends it before. */
const serverOptions = (options: DeployOptions): ProgramOptions => ({
  session: {
    sendTimeout: 120_000,
    pongTimeout: 120_000,
    flushTimeout: options.flushTimeout,
    closeTimeout: options.flushTimeout
  },
  drain: { total: options.total, grace: options.grace, reconnectJitter: options.reconnectJitter }
})

export const deploy = async (options: DeployOptions): Promise<DeployFigures> => {
  const [old, next] = await Promise.all([Server.start(serverOptions(options)), Server.start(serverOptions(options))])
  const clients: Array<Client> = []
  try {
    const deafCount = Math.floor(options.clients / options.deafEvery)
    const healthy = await connectAll(old.port, "plain", options.clients - deafCount)
    const deaf = await connectAll(old.port, "deaf", deafCount)
    for (const client of deaf) client.ws.pause()
    clients.push(...healthy, ...deaf)
    const reconnectedAt: Array<number> = []
    // Each comes back when the hint says, counted from its close.
    const comingBack = healthy.map(async (client) => {
      await client.closed
      const { afterMillis, jitterMillis } = client.hint ?? { afterMillis: 0, jitterMillis: 0 }
      await sleep(afterMillis + Math.random() * jitterMillis)
      clients.push(await connect(next.port, "plain"))
      reconnectedAt.push(performance.now())
    })
    const { exitCode, millis, ...drained } = await old.terminate()
    await Promise.all(comingBack)
    const closeCodes: Record<string, number> = {}
    for (const { code } of healthy) closeCodes[String(code)] = (closeCodes[String(code)] ?? 0) + 1
    const reconnectsPerSecond = perSecond(reconnectedAt)
    const mean = reconnectedAt.length / reconnectsPerSecond.length
    return {
      exitCode,
      millis,
      drained,
      healthy: healthy.length,
      gotCritical: healthy.filter(({ texts }) => criticalMessages.every((text) => texts.includes(text))).length,
      gotHint: healthy.filter(({ hint }) => hint !== undefined).length,
      closeCodes,
      deaf: deaf.length,
      reconnected: (await next.measure()).opened,
      reconnectsPerSecond,
      peakToMean: Math.max(...reconnectsPerSecond) / mean
    }
  } finally {
    for (const { ws } of clients) ws.terminate()
    await Promise.all([old.kill(), next.kill()])
  }
}
