/** The messages of the protocol as plain values, the same in every codec. */
import type { Reply, Request } from "../WorkerTransport.js"

type Fields = { readonly [key: string]: unknown }

const isFields = (value: unknown): value is Fields => typeof value === "object" && value !== null

const text = (value: unknown): string => (typeof value === "string" ? value : String(value))

/** The reply that a decoded value is; `undefined`: none. */
export const replyOf = (value: unknown): Reply | undefined => {
  if (!isFields(value)) return undefined
  const { error, id, progress, result, success } = value
  if (typeof id !== "number" || !Number.isInteger(id)) return undefined
  if (success === true) return { _tag: "Success", id, result }
  if (success === false) {
    const { message, type } = isFields(error) ? error : { type: "Error", message: error }
    return { _tag: "Failure", id, type: text(type), explanation: text(message) }
  }
  return "progress" in value ? { _tag: "Progress", id, value: progress } : undefined
}

/** The value that a reply is written as. */
export const written = (reply: Reply): Fields => {
  const { id } = reply
  switch (reply._tag) {
    case "Success":
      return { id, success: true, result: reply.result }
    case "Failure":
      return { id, success: false, error: { type: reply.type, message: reply.explanation } }
    case "Progress":
      return { id, progress: reply.value }
  }
}

/** The request that a decoded value is. */
export const requestOf = (value: unknown): Request | undefined => {
  if (!isFields(value)) return undefined
  const { args, command, id } = value
  return typeof id === "number" && typeof command === "string" ? { id, command, args } : undefined
}
