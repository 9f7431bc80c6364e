/**
 * Which address a request counts for. A proxy appends the address of its own peer to `X-Forwarded-For`; everything left of
 * what the trusted proxies wrote can be made up by the client, and is never looked at.
 */
import type * as Http from "node:http"
import * as Net from "node:net"

/** What is looked at; an `http.IncomingMessage` is one. */
export interface Source {
  readonly headers: Http.IncomingHttpHeaders
  readonly socket: { readonly remoteAddress?: string | undefined }
}

/**
 * Address of the client behind so many proxies, as a key: an IPv6 address counts as its /64, which is what one subscriber
 * gets. With fewer entries than proxies the first one is taken; without any, or an unreadable one, the socket's address.
 */
export const clientAddress = (source: Source, trustedProxyHops: number): string => {
  const peer = source.socket.remoteAddress ?? ""
  const header = source.headers["x-forwarded-for"]
  if (trustedProxyHops === 0 || header === undefined) return key(peer) ?? peer
  const entries = String(header).split(",")
  const entry = entries[Math.max(0, entries.length - trustedProxyHops)]!
  return key(withoutPort(entry.trim())) ?? key(peer) ?? peer
}

/** Some proxies write `192.0.2.1:4711` or `[2001:db8::1]:4711`. */
const withoutPort = (entry: string): string => {
  const bracketed = /^\[([^\]]*)\](?::\d+)?$/.exec(entry)
  if (bracketed !== null) return bracketed[1]!
  return /^\d+\.\d+\.\d+\.\d+:\d+$/.test(entry) ? entry.slice(0, entry.indexOf(":")) : entry
}

const key = (address: string): string | undefined => {
  const zoneless = address.split("%", 1)[0]!
  switch (Net.isIP(zoneless)) {
    case 4:
      return zoneless
    case 6:
      return mappedV4(zoneless) ?? prefix64(zoneless)
    default:
      return undefined
  }
}

/** `::ffff:192.0.2.1`, as a dual-stack socket names its IPv4 peers. */
const mappedV4 = (address: string): string | undefined => {
  const tail = address.slice(address.lastIndexOf(":") + 1)
  return /^(?:0*:)*:?(?:0*:)*ffff:[\d.]+$/i.test(address) && Net.isIPv4(tail) ? tail : undefined
}

const prefix64 = (address: string): string => {
  const [left = "", right] = address.split("::") as [string, string?]
  const groups = left === "" ? [] : left.split(":")
  // What `::` stands for is zeros; the part on its right rarely reaches into the first four groups.
  const tail = right === undefined || right === "" ? [] : right.split(":")
  const tailGroups = tail.length + (tail.at(-1)?.includes(".") === true ? 1 : 0)
  const all = right === undefined
    ? groups
    : [...groups, ...Array.from({ length: 8 - groups.length - tailGroups }, () => "0"), ...tail]
  return `${all.slice(0, 4).map((group) => Number.parseInt(group, 16).toString(16)).join(":")}::/64`
}
