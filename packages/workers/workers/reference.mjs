/**
 * A worker of @spillway/workers in Node, without dependencies (docs/WORKER_PROTOCOL.md). Copy it and change `commands`, or
 * import it from a program of yours and add to them. What a command prints goes to the log.
 */
import { writeSync } from "node:fs"
import { Worker } from "node:worker_threads"

const { env } = process
let count = 0
const ballast = []

/** A failure that the caller shall see with a type of its own. */
export const refused = (type, message) => Object.assign(new Error(message), { type })
const pause = (millis) => new Promise((resolve) => setTimeout(resolve, millis))

/** By name. Whoever imports this module adds to them at once; the first request comes later. */
export const commands = {
  ping: async ({ initialization }) => {
    if (initialization) await pause(Number(env.WORKER_START_MILLIS ?? 0))
    return { status: "ok" }
  },
  whoami: () => env.SPILLWAY_WORKER_ID,
  echo: (args) => args,
  sleep: async ({ millis }) => {
    await pause(millis)
    return env.SPILLWAY_WORKER_ID
  },
  spin: ({ millis }) => {
    for (const until = performance.now() + millis; performance.now() < until;);
  },
  count: () => ++count,
  fail: () => {
    throw refused("Refused", "asked to")
  },
  shout: ({ text }) => void console.log(text),
  progress: async ({ items }, progress) => {
    for (let item = 0; item < items; item++) {
      // One after the other: each waits while the other side does not read.
      // oxlint-disable-next-line no-await-in-loop
      await progress(item)
    }
    return "done"
  },
  crash: ({ code = 1 }) => process.exit(code),
  exhaust_memory: ({ bytes }) => void ballast.push(Buffer.alloc(bytes, 1))
}

const write = process.stdout.write.bind(process.stdout)
// Frames go to stdout; whatever is printed goes to stderr, so that it cannot break a frame.
process.stdout.write = (text) => writeSync(2, text) > 0

/** How messages become bytes: the same as the pool's codec. Whoever imports this module puts another one in its place. */
export const codec = {
  encode: (value) => Buffer.from(JSON.stringify(value)),
  decode: (bytes) => JSON.parse(bytes.toString("utf8"))
}

/** A promise while the other side does not read, and nothing otherwise. */
const send = (value) => {
  const payload = codec.encode(value)
  const frame = Buffer.allocUnsafe(4 + payload.length)
  frame.writeUInt32BE(payload.length)
  frame.set(payload, 4)
  return write(frame) ? undefined : new Promise((resolve) => process.stdout.once("drain", resolve))
}

const serve = async ({ args, command, id }) => {
  try {
    if (!Object.hasOwn(commands, command)) throw refused("UnknownCommand", command)
    const result = await commands[command](args ?? {}, (progress) => send({ id, progress }))
    await send({ id, success: true, result: result ?? null })
  } catch (error) {
    await send({ id, success: false, error: { type: error.type ?? error.name, message: error.message } })
  }
}

const requests = []
const requestsMax = 64
let isBusy = false
let hasEnded = false

/** One after the other. */
const next = async () => {
  if (isBusy) return
  isBusy = true
  // oxlint-disable-next-line no-await-in-loop
  while (requests.length > 0) await serve(requests.shift())
  isBusy = false
  if (hasEnded) process.exit(0)
  process.stdin.resume()
}

let held = Buffer.alloc(0)
process.stdin.on("data", (chunk) => {
  held = held.length === 0 ? chunk : Buffer.concat([held, chunk])
  while (held.length >= 4 && held.length >= 4 + held.readUInt32BE()) {
    const end = 4 + held.readUInt32BE()
    requests.push(codec.decode(held.subarray(4, end)))
    held = held.subarray(end)
  }
  if (requests.length > requestsMax) process.stdin.pause()
  void next()
})
process.stdin.on("end", () => {
  hasEnded = true
  void next()
})

// A command that computes keeps this thread from seeing that stdin was closed: another one sees that the parent is gone.
const watch = `
setInterval(() => process.ppid === ${process.ppid} || process.kill(process.pid, "SIGKILL"), 500)
`
new Worker(watch, { eval: true, stdin: false, resourceLimits: { maxOldGenerationSizeMb: 8 } }).unref()
