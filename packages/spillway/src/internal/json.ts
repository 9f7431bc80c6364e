/** JSON from untrusted peers: depth-bounded, without `__proto__` keys. */
import { InvalidMessage } from "../SpillwayError.js"

/** Deepest nesting that is parsed. A recursive schema throws RangeError somewhere above 1,000 levels. */
export const depthMax = 64

/** Whether brackets outside of strings nest deeper than `depthMax`. O(length), no allocation. */
const tooDeep = (text: string): boolean => {
  let depth = 0
  let inString = false
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (inString) {
      if (c === 92) i++
      else if (c === 34) inString = false
    } else if (c === 34) inString = true
    else if (c === 123 || c === 91) {
      if (++depth > depthMax) return true
    } else if (c === 125 || c === 93) depth--
  }
  return false
}

/** A reviver sees keys after unescaping, so `\u005f_proto__` is caught as well. */
const refuseProto = (key: string, value: unknown): unknown => {
  if (key === "__proto__") throw new SyntaxError("the key __proto__ is not allowed")
  return value
}

/** The parsed value, or the reason why it was refused. */
export const parse = (text: string): unknown => {
  if (tooDeep(text)) return new InvalidMessage({ explanation: `nested deeper than ${depthMax} levels` })
  try {
    return text.includes("__proto__") || text.includes("\\u")
      ? JSON.parse(text, refuseProto)
      : JSON.parse(text)
  } catch (error) {
    return new InvalidMessage({ explanation: `not JSON: ${error instanceof Error ? error.message : String(error)}` })
  }
}
