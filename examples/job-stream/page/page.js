/** Shows jobs as they go: one WebSocket for each, which comes back after the last event that it has seen. */
const shownMax = 500
const jobs = document.querySelector("#jobs")
const template = document.querySelector("#job")
const problem = document.querySelector("#problem")
const ended = new Set(["SUCCEEDED", "FAILED", "CANCELLED"])

const textOf = (event) => {
  const { message, path, lines, stage, value } = event.payload ?? {}
  if (event.event_type === "PROGRESS") return `${Math.round(value * 100)} % ${stage ?? ""} ${message ?? ""}`
  if (path !== undefined) return `${path}: ${lines} lines`
  return message ?? (event.event_type === "STARTED" ? `attempt ${event.payload.attempt}` : event.event_type)
}

const show = (task) => {
  const card = template.content.firstElementChild.cloneNode(true)
  const at = (name) => card.querySelector(`.${name}`)
  card.id = `job-${task.id}`
  at("title").textContent = task.title ?? task.id
  at("cancel").addEventListener("click", () => fetch(`/api/tasks/${task.id}/cancel`, { method: "POST" }))
  jobs.prepend(card)

  const showState = (state) => {
    card.className = state.status
    at("status").textContent = state.status
    at("stage").textContent = state.current_agent ?? ""
    card.querySelector("progress").value = state.progress
    at("cancel").hidden = ended.has(state.status)
    if (ended.has(state.status)) {
      at("result").textContent = state.error_message ?? JSON.stringify(state.final_result, null, 1)
    }
  }
  showState(task.state)

  let since = 0
  let isOver = false
  let delay = 500
  const follow = () => {
    const scheme = location.protocol === "https:" ? "wss" : "ws"
    const socket = new WebSocket(`${scheme}://${location.host}/ws/tasks/${task.id}?since=${since}`)
    socket.addEventListener("message", ({ data: text }) => {
      const { data, type } = JSON.parse(text)
      delay = 500
      if (type === "state") {
        isOver = ended.has(data.status)
        showState(data)
      } else if (type === "event" && data.seq > since) {
        since = data.seq
        at("count").textContent = String(since)
        const item = document.createElement("li")
        item.value = data.seq
        item.textContent = `${data.event_type} ${textOf(data)}`
        const log = at("log")
        log.append(item)
        while (log.childElementCount > shownMax) log.firstElementChild.remove()
        log.scrollTop = log.scrollHeight
      }
    })
    socket.addEventListener("close", ({ code }) => {
      if (isOver || code === 1008) return
      setTimeout(follow, Math.random() * delay)
      delay = Math.min(delay * 2, 20_000)
    })
  }
  follow()
}

const create = async (input, title) => {
  problem.textContent = ""
  const response = await fetch("/api/tasks", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ name: "analyse", input, title })
  })
  const body = await response.json()
  if (response.ok) show(body)
  else problem.textContent = body.message ?? `refused with ${response.status}`
}

document.querySelector("#folder").addEventListener("click", () => {
  const directory = document.querySelector("#directory").value
  create({ directory }, directory)
})
document.querySelector("#paste").addEventListener("click", () => {
  create({ text: document.querySelector("#text").value }, "a text")
})

const { items } = await (await fetch("/api/tasks?page_size=10")).json()
for (const task of items.reverse()) show(task)
