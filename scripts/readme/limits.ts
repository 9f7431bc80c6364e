/**
 * The table of limits: names and values from the `defaults` of the modules, their meaning from the docblocks beside them.
 */
import * as Guard from "@spillway/node/Guard"
import * as Upgrade from "@spillway/node/Upgrade"
import * as Duration from "effect/Duration"
import * as Admission from "spillway/Admission"
import * as Overflow from "spillway/Overflow"
import * as SessionOptions from "spillway/SessionOptions"
import * as Transport from "spillway/Transport"
import { waitersMaxDefault } from "../../packages/spillway/src/internal/outbox.js"
import { table } from "../lib/codegen.mjs"

export interface Limit {
  readonly of: string
  readonly name: string
  readonly value: string
  readonly meaning: string
}

const millis = (value: number): string =>
  value === Infinity ? "off" : value >= 1000 && value % 1000 === 0 ? `${value / 1000} s` : `${value} ms`

const bytes = (value: number): string =>
  value % 2 ** 20 === 0 ? `${value / 2 ** 20} MiB` : value % 1024 === 0 ? `${value / 1024} KiB` : `${value} B`

const isDurationName = (name: string): boolean =>
  /(?:Timeout|Interval|Grace|Threshold|Window|Burst|^retryAfter)$/.test(name)

const show = (name: string, value: unknown): string => {
  if (value === Infinity) return "off"
  if (Duration.isDuration(value)) return millis(Duration.toMillis(value))
  if (Array.isArray(value)) return value.length === 0 ? "none" : value.join(", ")
  if (typeof value === "boolean") return value ? "on" : "off"
  if (typeof value === "number" && isDurationName(name)) return millis(value)
  if (typeof value === "number" && /Bytes(?:Max)?$/.test(name)) return bytes(value)
  return String(value)
}

/** First paragraphs of the docblocks in an interface, by field, on one line and without what they say of the default. */
export const fieldDocs = (source: string, name: string): ReadonlyMap<string, string> => {
  const body = new RegExp(`export interface ${name} (?:extends [^{]+)?\\{\\n([\\s\\S]*?)\\n\\}`).exec(source)?.[1] ?? ""
  const fields = body.matchAll(/(?:\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s*)?readonly (\w+)\??:/g)
  const text = (doc: string): string =>
    doc.replace(/\n\s*\*/g, " ").replace(/\s+/g, " ").replace(/Default [^.]*(?:\.\d[^.]*)?\./, "").trim()
  return new Map([...fields].map(([, doc = "", field = ""]) => [field, text(doc)]))
}

/** Fields whose docblock does not stand by itself. */
const meanings: Readonly<Record<string, string>> = {
  slowWindow: "The time within which slow events count together.",
  receiveTimeout:
    "Nothing heard from the peer for so long, or, while its socket is paused, nothing read by the handler (1011)."
}

const limitsOf = (
  of: string,
  defaults: object,
  docs: ReadonlyMap<string, string>
): ReadonlyArray<Limit> =>
  Object.entries(defaults)
    .filter(([, value]) =>
      value !== undefined && (typeof value !== "object" || Duration.isDuration(value) || Array.isArray(value))
    )
    .map(([name, value]) => ({ of, name, value: show(name, value), meaning: meanings[name] ?? docs.get(name) ?? "" }))

/** All limits, in the order of the document. `read` returns the source of a module. */
export const all = (read: (path: string) => string): ReadonlyArray<Limit> => [
  ...limitsOf(
    "Sessions",
    SessionOptions.defaults,
    fieldDocs(read("packages/spillway/src/SessionOptions.ts"), "SessionOptions")
  ),
  ...limitsOf("Admission", Admission.defaults, fieldDocs(read("packages/spillway/src/Admission.ts"), "Options")),
  ...limitsOf("Overflow", Overflow.defaults, fieldDocs(read("packages/spillway/src/Overflow.ts"), "Policy")),
  ...limitsOf("Guard", Guard.defaults, fieldDocs(read("packages/node/src/Guard.ts"), "Options")),
  ...limitsOf("Upgrade", Upgrade.defaults, fieldDocs(read("packages/node/src/Upgrade.ts"), "Options")),
  {
    of: "fixed",
    name: "belowLaneBytes",
    value: show("belowLaneBytes", Transport.belowLaneBytes),
    meaning:
      "Bytes, or one larger message, that a session hands to the connection before the kernel took the last ones."
  },
  {
    of: "fixed",
    name: "waitersMax",
    value: String(waitersMaxDefault),
    meaning: "Sends of one session that wait for room; one more is rejected."
  }
]

/** The table as Markdown. */
export const markdown = (limits: ReadonlyArray<Limit>): string =>
  table(
    ["of", "option", "default", "meaning"],
    limits.map(({ meaning, name, of, value }) => [of, `\`${name}\``, value, meaning])
  )
