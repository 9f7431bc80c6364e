/** What a frame is in a terminal. */
import type * as JobWire from "@spillway/jobs/JobWire"

const bar = (progress: number): string => {
  const done = Math.round(progress * 30)
  return `[${"#".repeat(done)}${".".repeat(30 - done)}] ${Math.round(progress * 100)} %`
}

/** Without what a terminal would obey. */
const plain = (text: string): string => text.replace(/[\p{Cc}\p{Cf}]/gu, " ")

export const line = (frame: JobWire.Frame): string => {
  switch (frame.type) {
    case "connected":
      return plain(frame.data.message)
    case "error":
      return `error: ${plain(frame.data.message)}`
    case "state": {
      const { current_agent: stage, error_message: error, final_result: result, progress, status } = frame.data
      const end = error ?? (status === "SUCCEEDED" ? JSON.stringify(result) : "")
      return plain(`${bar(progress)} ${status} ${stage ?? ""} ${end}`.trimEnd())
    }
    case "event": {
      const { event_type: kind, payload, seq } = frame.data
      return plain(`${String(seq).padStart(6)} ${kind.padEnd(9)} ${JSON.stringify(payload)}`)
    }
  }
}
