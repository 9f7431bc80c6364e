// The page of the gateway: one WebSocket, what comes over it, and what the server says about it. No build step, no
// dependency; texts from the network go into the page as text, never as HTML.

const lanes = ["critical", "important", "bulk"]
const shownMessages = 100
const historyLength = 120
// Codes after which trying again would end the same way. 4500 to 4599 and 4600 to 4999 mean "stop" by the registry.
const isFinal = (code) => [1002, 1003, 1007, 1008, 1009].includes(code) || code >= 4500

const byId = (id) => document.getElementById(id)
const element = (tag, attributes = {}, ...children) => {
  const made = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value)
  made.append(...children)
  return made
}

// ---------------------------------------------------------------------------------------------------------------------
// State

const topics = new Set(["host", "alerts"])
const readings = new Map()
const raised = new Map()
const counters = new Map(lanes.map((lane) => [lane, { received: 0, before: 0, rate: 0, seq: 0, gaps: 0, waiting: 0 }]))
const session = {
  id: undefined,
  openedAt: undefined,
  attempts: 0,
  draining: undefined,
  info: undefined,
  limits: undefined
}
let socket
let retryTimer
let wanted = true

// ---------------------------------------------------------------------------------------------------------------------
// Connection

const show = (state, text = state) => {
  const pill = byId("connection")
  pill.dataset.state = state
  if (pill.textContent !== text) pill.textContent = text
  byId("toggle").textContent = wanted ? "Disconnect" : "Connect"
}

const connect = () => {
  clearTimeout(retryTimer)
  show("connecting")
  const url = new URL("ws", location.href)
  url.protocol = url.protocol.replace("http", "ws")
  url.searchParams.set("topics", [...topics].join(","))
  const current = new WebSocket(url)
  socket = current
  current.addEventListener("message", ({ data }) => current === socket && onFrame(JSON.parse(data)))
  current.addEventListener("close", ({ code, reason }) => current === socket && onClose(code, reason))
}

const onClose = (code, reason) => {
  socket = undefined
  session.id = undefined
  session.info = undefined
  const why = reason === "" ? `code ${code}` : `${reason}, code ${code}`
  const note = session.draining
  session.draining = undefined
  if (!wanted || isFinal(code)) {
    wanted = false
    return show("disconnected", `disconnected (${why})`)
  }
  retryIn(delayOf(note), why)
}

/** What the server asked for, if it did; otherwise a random part of a wait that doubles up to 30 s. */
const delayOf = (note) => {
  if (note !== undefined) return note.afterMs + Math.random() * note.jitterMs
  const most = Math.min(30_000, 500 * 2 ** session.attempts++)
  return 250 + Math.random() * most
}

const retryIn = (millis, why) => {
  show("disconnected", `disconnected (${why}), again in ${(millis / 1000).toFixed(1)} s`)
  retryTimer = setTimeout(connect, millis)
}

const say = (frame) => {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(frame))
}

// ---------------------------------------------------------------------------------------------------------------------
// Frames

const onFrame = (frame) => {
  switch (frame.type) {
    case "welcome":
      return onWelcome(frame)
    case "message":
      return onMessage(frame)
    case "draining":
      session.draining = frame
      return show("draining", "server draining")
    case "error":
      return addLine("error", frame.code, frame.message)
  }
}

const onWelcome = (frame) => {
  Object.assign(session, { id: frame.session, openedAt: Date.now(), attempts: 0, draining: undefined })
  for (const counter of counters.values()) Object.assign(counter, { seq: 0, waiting: 0 })
  raised.clear()
  show("connected")
  renderAlerts()
}

const onMessage = ({ topic, lane, seq, data }) => {
  const counter = counters.get(lane)
  if (counter !== undefined) {
    counter.received++
    // The numbers of a session start at 1 in each lane. A step of more than one: messages were shed in between.
    counter.gaps += Math.max(0, seq - counter.seq - 1)
    counter.seq = seq
  }
  if (topic === "host") return keepReading(data)
  if (topic === "alerts") return onAlert(lane, data)
  addLine(lane, topic, typeof data === "string" ? data : JSON.stringify(data))
}

const keepReading = (reading) => {
  const kept = readings.get(reading.metric)
  const history = kept === undefined ? [] : kept.history
  history.push(reading.value)
  if (history.length > historyLength) history.shift()
  readings.set(reading.metric, { reading, history })
}

const onAlert = (lane, alert) => {
  if (alert.state === "raised") raised.set(alert.metric, alert)
  else raised.delete(alert.metric)
  addLine(lane, "alerts", `${alert.metric} ${alert.state}: ${format(alert)}`)
  renderAlerts()
}

// ---------------------------------------------------------------------------------------------------------------------
// Rendering

const bytes = (value) => {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"]
  let at = 0
  while (value >= 1024 && at < units.length - 1) {
    value /= 1024
    at++
  }
  return `${value >= 100 || at === 0 ? Math.round(value) : value.toFixed(1)} ${units[at]}`
}

const percent = (value) => `${(value * 100).toFixed(1)} %`

const units = {
  ratio: percent,
  "per core": (value) => value.toFixed(2),
  ms: (value) => `${value.toFixed(1)} ms`,
  "bytes per second": (value) => `${bytes(value)}/s`
}

const format = ({ unit, value }) => (units[unit] ?? String)(value)

const details = {
  load: ({ one, five, fifteen }) => [one, five, fifteen].map((value) => value.toFixed(2)).join(" · "),
  cpu: ({ cores }) => `of ${cores} cores`,
  memory: ({ usedBytes, totalBytes }) => `${bytes(usedBytes)} of ${bytes(totalBytes)}`,
  "event loop delay": ({ meanMillis }) => `worst; mean ${meanMillis.toFixed(1)} ms`,
  "network in": (detail) => `${bytes(detail.bytes)} since boot`,
  "network out": (detail) => `${bytes(detail.bytes)} since boot`
}

const titles = {
  load: "Load per core",
  cpu: "Processors",
  memory: "Memory",
  "event loop delay": "Event loop delay",
  "network in": "Network in",
  "network out": "Network out"
}

const svg = (tag, attributes) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag)
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value)
  return made
}

const tileOf = (metric) => {
  const id = `metric-${metric.replaceAll(/[^a-z0-9]/gi, "-")}`
  const found = byId(id)
  if (found !== null) return found
  const chart = svg("svg", {
    viewBox: `0 0 ${historyLength - 1} 100`,
    preserveAspectRatio: "none",
    "aria-hidden": "true"
  })
  chart.append(svg("path", { class: "area" }), svg("path", { class: "line" }))
  const tile = element(
    "article",
    { class: "tile", id },
    element("h3", {}, titles[metric] ?? metric),
    element("output"),
    element("p"),
    chart
  )
  byId("host").querySelector(".empty")?.remove()
  byId("host").append(tile)
  return tile
}

const lineOf = (history, unit) => {
  const top = Math.max(...history, unit === "ratio" ? 1 : 0, 1e-9)
  const left = historyLength - history.length
  return history.map((value, at) => `${at === 0 ? "M" : "L"}${left + at} ${(98 - (value / top) * 94).toFixed(1)}`).join(
    ""
  )
}

const renderReadings = () => {
  for (const [metric, { reading, history }] of readings) {
    const tile = tileOf(metric)
    tile.dataset.timestamp = reading.timestamp
    tile.querySelector("output").textContent = format(reading)
    tile.querySelector("p").textContent = details[metric]?.(reading.detail) ?? ""
    const line = lineOf(history, reading.unit)
    tile.querySelector(".line").setAttribute("d", line)
    tile.querySelector(".area").setAttribute("d", `${line}V100H${historyLength - history.length}Z`)
  }
}

const renderLanes = () => {
  const most = session.limits?.outboxItems ?? 1
  byId("lanes").replaceChildren(...lanes.map((lane) => {
    const { gaps, rate, received, seq, waiting } = counters.get(lane)
    const cells = [received, rate, seq, gaps, waiting].map((value) => element("td", {}, String(value)))
    const meter = element("meter", {
      min: 0,
      max: most,
      high: most * 0.7,
      value: waiting,
      "aria-label": `${lane}: waiting`
    })
    const name = element("span", { class: "lane", "data-lane": lane }, lane)
    return element(
      "tr",
      { "data-lane": lane },
      element("th", { scope: "row" }, name),
      ...cells,
      element("td", { class: "wide" }, meter)
    )
  }))
}

const renderSession = () => {
  const { info } = session
  const rows = [
    ["id", session.id ?? "none"],
    ["open for", session.id === undefined ? "not open" : `${Math.round((Date.now() - session.openedAt) / 1000)} s`],
    [
      "state",
      info === undefined
        ? "unknown"
        : [info.state, info.slow && "slow", info.pressure && "under pressure"].filter(Boolean).join(", ")
    ],
    [
      "outbox",
      info === undefined
        ? "unknown"
        : `${info.queuedItems} messages, ${bytes(info.queuedBytes)} (${percent(info.fillRatio)} full)`
    ],
    ["sent", info === undefined ? "unknown" : `${info.sentMessages} messages, ${bytes(info.sentBytes)}`],
    ["shed", info === undefined ? "unknown" : `${info.shedMessages} messages`],
    [
      "on this server",
      session.total === undefined ? "unknown" : `${session.total} session${session.total === 1 ? "" : "s"}`
    ]
  ]
  byId("session").replaceChildren(
    ...rows.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)])
  )
}

const renderAlerts = () => {
  byId("alerts").replaceChildren(
    ...[...raised.values()].map((alert) =>
      element(
        "p",
        { class: "alert" },
        `${alert.metric}: ${format(alert)}, above ${format({ ...alert, value: alert.threshold })}`
      )
    )
  )
}

const renderTopics = () => {
  byId("topics").replaceChildren(...[...topics].map((topic) => {
    const button = element("button", { type: "button", title: `Unsubscribe from ${topic}` }, topic)
    button.addEventListener("click", () => {
      topics.delete(topic)
      say({ type: "unsubscribe", topics: [topic] })
      renderTopics()
    })
    return element("li", {}, button)
  }))
}

const addLine = (kind, what, text) => {
  const list = byId("messages")
  list.querySelector(".empty")?.remove()
  const name = element("span", { class: "lane", "data-lane": kind }, what)
  const time = element("time", {}, new Date().toLocaleTimeString())
  list.prepend(element("li", { "data-kind": kind }, time, name, element("span", { class: "what" }, text)))
  while (list.children.length > shownMessages) list.lastElementChild.remove()
}

// ---------------------------------------------------------------------------------------------------------------------
// Clocks: the values ten times a second but never in a hidden tab, the server's view once a second

const paint = () => {
  if (!document.hidden) renderReadings()
}

const everySecond = async () => {
  for (const counter of counters.values()) {
    counter.rate = counter.received - counter.before
    counter.before = counter.received
  }
  if (session.id !== undefined && !document.hidden) await askServer(session.id)
  renderLanes()
  renderSession()
}

/** What waits in the lanes is known to the server only. A failure leaves the last values; the connection tells more. */
const askServer = async (id) => {
  try {
    const response = await fetch(`stats?session=${encodeURIComponent(id)}`, { signal: AbortSignal.timeout(900) })
    const stats = await response.json()
    if (id !== session.id || stats.session === null) return
    Object.assign(session, { info: stats.session, limits: stats.limits, total: stats.sessions })
    for (const lane of lanes) counters.get(lane).waiting = stats.session.lanes[lane].queued
  } catch {
    session.info = undefined
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Controls

byId("toggle").addEventListener("click", () => {
  wanted = !wanted
  if (wanted) return connect()
  clearTimeout(retryTimer)
  if (socket === undefined) show("disconnected")
  else socket.close(1000)
})

byId("subscribe").addEventListener("submit", (event) => {
  event.preventDefault()
  const topic = new FormData(event.target).get("topic")
  topics.add(topic)
  say({ type: "subscribe", topics: [topic] })
  renderTopics()
})

byId("publish").addEventListener("submit", (event) => {
  event.preventDefault()
  const topic = byId("subscribe").elements.topic.value
  const form = new FormData(event.target)
  say({ type: "publish", topic, lane: form.get("lane"), data: form.get("data") })
})

addEventListener("online", () => wanted && socket === undefined && connect())

renderTopics()
renderLanes()
renderSession()
setInterval(paint, 100)
setInterval(everySecond, 1000)
connect()
