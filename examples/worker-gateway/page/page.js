/** Clients that upload and search, the figures of the server, and the buttons that kill workers. */
const scheme = location.protocol === "https:" ? "wss" : "ws"
const at = (id) => document.querySelector(`#${id}`)
const words = ["spill", "way", "worker", "lease", "warm", "cold", "queue", "lane", "drain", "scope"]
const draw = () => words[Math.floor(Math.random() * words.length)]
const sockets = new Set()

const ends = new Set(["Added", "Found", "Failed"])

/** One client: two uploads, then a search, and so on. */
const openClient = () => {
  const card = at("client").content.firstElementChild.cloneNode(true)
  const part = (name) => card.querySelector(name)
  const socket = new WebSocket(`${scheme}://${location.host}/ws`)
  let id = 0
  let open
  let rebinds = 0
  sockets.add(socket)
  at("clients").append(card)

  const ask = () => {
    open = ++id
    const text = () => Array.from({ length: 1500 }, draw).join(" ")
    const request = id % 3 === 0
      ? { _tag: "Search", id, word: draw() }
      : { _tag: "Add", id, name: `text ${id}`, text: text() }
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(request))
  }
  const say = (text, kind) => {
    part(".last").textContent = text
    if (kind !== undefined) card.className = kind
  }

  socket.addEventListener("message", ({ data }) => {
    const reply = JSON.parse(data)
    if (reply.worker !== undefined) part(".worker").textContent = reply.worker
    if (reply.documents !== undefined) part(".documents").textContent = String(reply.documents)
    // Progress may come after the end of its request, which overtakes it.
    if (reply._tag === "Progress" && reply.id === open) part("progress").value = reply.done / reply.of
    if (ends.has(reply._tag)) open = undefined
    if (reply._tag === "Added") {
      part("progress").value = 1
      say(`${reply.name}: ${reply.words} words${reply.isRebuildable ? "" : ", no longer rebuildable"}`)
    }
    if (reply._tag === "Found") say(`${reply.word}: ${reply.total} times in ${reply.documents} texts`, "")
    if (reply._tag === "Failed") say(`${reply.error}: ${reply.message}`, "failed")
    if (reply._tag === "Rebound") {
      part(".rebinds").textContent = String(++rebinds)
      say(`from ${reply.from} to ${reply.to}: ${reply.documents} texts in ${reply.millis} ms`, "moved")
    }
    if (reply._tag === "StateLost") say(`${reply.from} took ${reply.documents} texts with it`, "failed")
    // A moment between two requests, so that one can read; a failure is not asked again at once.
    if (reply._tag === "Opened") ask()
    if (ends.has(reply._tag)) setTimeout(ask, reply._tag === "Failed" ? 1000 : 50)
  })
  socket.addEventListener("close", () => {
    sockets.delete(socket)
    card.remove()
  })
}

const showWorkers = (workers) => {
  const rows = workers.map(({ id, operations, pid, sessions, state }) => {
    const row = document.createElement("tr")
    row.className = state
    for (const value of [id, pid ?? "", state, sessions, operations]) {
      const cell = document.createElement("td")
      cell.textContent = String(value)
      row.append(cell)
    }
    return row
  })
  at("workers").replaceChildren(...rows)
}

const last = (millis) => millis.length === 0 ? "none" : `${millis.at(-1)} ms`

const show = (reading) => {
  const { affinity, events, requests } = reading
  const figures = {
    hits: affinity.hits,
    rebinds: reading.rebinds,
    lost: reading.statesLost,
    kills: reading.kills,
    pool: last(reading.poolRecoveryMillis),
    sessions: last(reading.sessionRecoveryMillis),
    requests: requests.taken,
    failed: Object.values(requests.failed).reduce((sum, count) => sum + count, 0)
  }
  for (const [id, value] of Object.entries(figures)) at(id).textContent = String(value)
  showWorkers(reading.workers)
  at("events").replaceChildren(
    ...events.toReversed().map(({ at: when, text }) => {
      const item = document.createElement("li")
      item.textContent = `${new Date(when).toLocaleTimeString()} ${text}`
      return item
    })
  )
}

const watch = () => {
  const socket = new WebSocket(`${scheme}://${location.host}/watch`)
  socket.addEventListener("message", ({ data }) => show(JSON.parse(data)))
  socket.addEventListener("close", () => setTimeout(watch, 500 + Math.random() * 1000))
}

const kill = async (count) => {
  const response = await fetch(`/chaos/kill?count=${count}`, { method: "POST" })
  const { error, killed = [] } = await response.json()
  at("problem").textContent = error ?? killed.map(({ goneMillis, pid }) => `${pid} gone in ${goneMillis} ms`).join(", ")
}

at("open").addEventListener("click", () => {
  for (let client = 0; client < 8; client++) openClient()
})
at("close").addEventListener("click", () => {
  for (const socket of sockets) socket.close()
})
at("kill").addEventListener("click", () => kill(1))
at("killAll").addEventListener("click", () => kill(1000))
watch()
