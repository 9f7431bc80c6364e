/** One symbol at a time: its price, its depth, how late this page is, and every fill, also across reconnections. */
const scheme = location.protocol === "https:" ? "wss" : "ws"
const at = (id) => document.querySelector(`#${id}`)
const shownMillis = 10_000
const fillsShown = 12

/** What is plotted: pairs of a time and a value, of the last seconds. */
class Series {
  points = []

  push(time, value) {
    this.points.push([time, value])
    while (this.points[0][0] < time - shownMillis) this.points.shift()
  }

  /** Draws it from the lowest to the highest value; the lag from zero. */
  draw(line, height, least) {
    const values = this.points.map(([, value]) => value)
    const low = least ?? Math.min(...values)
    const high = Math.max(...values, low + 1)
    const end = this.points.at(-1)?.[0] ?? 0
    line.setAttribute(
      "points",
      this.points.map(([time, value]) =>
        `${(600 - (end - time) * 600 / shownMillis).toFixed(1)},${
          (height - 4 - (value - low) * (height - 8) / (high - low)).toFixed(1)
        }`
      ).join(" ")
    )
    return [low, high]
  }
}

const state = {
  socket: undefined,
  symbol: undefined,
  feed: undefined,
  /** The last fill that was seen: what the next connection asks to go on from. */
  after: undefined,
  fills: 0,
  missed: 0,
  /** How far the server's clock is ahead of this one, by the fastest answer to a ping. */
  offset: 0,
  roundTrip: Infinity,
  pings: 0,
  pingedAt: 0,
  ticks: 0,
  last: undefined,
  prices: new Series(),
  lags: new Series()
}

const dollars = (cents) => (cents / 100).toFixed(2)

const say = (name, text) => {
  at("connection").dataset.state = name
  at("connection").textContent = text
}

const rows = (items, cellsOf) =>
  items.map((item) => {
    const row = document.createElement("tr")
    for (const value of cellsOf(item)) row.insertCell().textContent = String(value)
    return row
  })

const onFill = ({ cents, id, size, symbol }) => {
  state.missed += id - state.after - 1
  state.after = id
  state.fills++
  const item = document.createElement("li")
  item.textContent = `${id} ${symbol} ${size} at ${dollars(cents)}`
  at("fillList").prepend(item)
  if (at("fillList").children.length > fillsShown) at("fillList").lastElementChild.remove()
  at("fillList").dataset.last = String(id)
  at("fills").textContent = String(state.fills)
  at("missed").textContent = String(state.missed)
}

const onTick = (tick) => {
  const now = Date.now()
  if (tick.symbol !== state.symbol) return
  state.last = tick
  state.ticks++
  // Of the opening price the time says nothing about this page.
  if (tick.n > 0) state.lags.push(now, Math.max(0, now + state.offset - tick.at))
  state.prices.push(now, tick.cents)
}

const onDepth = ({ asks, bids, symbol }) => {
  if (symbol !== state.symbol) return
  at("depth").replaceChildren(
    ...rows(bids.map((bid, level) => [bid, asks[level]]), ([[bid, wanted], [ask, offered]]) => [
      wanted,
      dollars(bid),
      dollars(ask),
      offered
    ])
  )
}

const onPong = ({ at: serverAt }) => {
  const now = Date.now()
  const roundTrip = now - state.pingedAt
  at("roundTrip").textContent = `${roundTrip} ms`
  if (roundTrip > state.roundTrip) return
  state.roundTrip = roundTrip
  state.offset = serverAt - (now + state.pingedAt) / 2
}

const hear = {
  Welcome: (welcome) => {
    state.feed = welcome.feed
    state.after = welcome.after
    say("connected", "connected")
  },
  Tick: onTick,
  Depth: onDepth,
  Fill: onFill,
  Pong: onPong,
  Status: ({ ticks }) => (at("shed").textContent = String(ticks.shed)),
  Draining: ({ afterMs }) => say("draining", `the server ends in ${afterMs} ms`),
  FillsGone: ({ asked, first }) => {
    state.missed += first - asked - 1
    at("missed").textContent = String(state.missed)
    state.after = undefined
  }
}

const connect = () => {
  const query = new URLSearchParams({ symbols: state.symbol })
  if (state.after !== undefined) {
    query.set("feed", state.feed)
    query.set("after", String(state.after))
  }
  const socket = new WebSocket(`${scheme}://${location.host}/ws?${query}`)
  state.socket = socket
  socket.addEventListener("message", ({ data }) => {
    const message = JSON.parse(data)
    if (state.socket === socket) hear[message._tag]?.(message)
  })
  socket.addEventListener("close", ({ code }) => {
    if (state.socket !== socket) return
    say("disconnected", `${code}, again in a moment`)
    setTimeout(connect, 500 + Math.random() * 1000)
  })
}

/** Another symbol is another connection, which goes on behind the last fill. */
const choose = () => {
  const before = state.socket
  state.symbol = at("symbol").value
  state.prices = new Series()
  state.lags = new Series()
  state.last = undefined
  connect()
  before?.close()
}

const draw = () => {
  if (state.last !== undefined) {
    at("price").textContent = dollars(state.last.cents)
    at("price").dataset.n = String(state.last.n)
    const [low, high] = state.prices.draw(at("priceLine"), 160)
    at("priceLow").textContent = dollars(low)
    at("priceHigh").textContent = dollars(high)
  }
  if (state.lags.points.length > 0) {
    const [, high] = state.lags.draw(at("lagLine"), 80, 0)
    at("lagHigh").textContent = `${Math.ceil(high)} ms`
    at("lag").textContent = `${Math.round(state.lags.points.at(-1)[1])} ms`
    at("lagMost").textContent = `${Math.round(Math.max(...state.lags.points.map(([, lag]) => lag)))} ms`
  }
  requestAnimationFrame(draw)
}

setInterval(() => {
  at("rate").textContent = String(state.ticks)
  state.ticks = 0
  if (state.socket?.readyState !== WebSocket.OPEN) return
  state.pingedAt = Date.now()
  state.socket.send(JSON.stringify({ _tag: "Ping", id: ++state.pings }))
}, 1000)

const switchFeed = async (path) => {
  const response = await fetch(path, { method: "POST" })
  if (!response.ok) say("disconnected", (await response.json()).error)
}

at("pause").addEventListener("click", () => switchFeed("/feed/pause"))
at("resume").addEventListener("click", () => switchFeed("/feed/resume"))
at("symbol").addEventListener("change", choose)

const { quotes } = await (await fetch("/prices")).json()
at("symbol").replaceChildren(...quotes.map(({ symbol }) => new Option(symbol)))
at("symbol").disabled = false
choose()
draw()
