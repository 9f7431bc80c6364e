/**
 * What is kept of topics for those who subscribe later: messages by topic and name, bounded in items and bytes over all
 * topics. At the bound the one that was not renewed for longest is forgotten.
 */
import type { Message } from "../Message.js"
import { invariant } from "./invariant.js"

class Entry {
  constructor(readonly topic: string, readonly name: string, readonly message: Message) {}
}

export class Retained {
  private readonly byTopic = new Map<string, Map<string, Entry>>()
  /** All entries, the one that was set first is first. */
  private readonly order = new Set<Entry>()
  private bytes = 0

  constructor(private readonly itemsMax: number, private readonly bytesMax: number) {}

  get retainedItems(): number {
    return this.order.size
  }

  get retainedBytes(): number {
    return this.bytes
  }

  set(topic: string, name: string, message: Message): void {
    this.delete(topic, name)
    if (message.frame.byteLength > this.bytesMax) return
    const entry = new Entry(topic, name, message)
    const named = this.byTopic.get(topic)
    if (named === undefined) this.byTopic.set(topic, new Map([[name, entry]]))
    else named.set(name, entry)
    this.order.add(entry)
    this.bytes += message.frame.byteLength
    for (const oldest of this.order) {
      if (this.order.size <= this.itemsMax && this.bytes <= this.bytesMax) break
      this.remove(oldest)
    }
  }

  delete(topic: string, name: string): void {
    const entry = this.byTopic.get(topic)?.get(name)
    if (entry !== undefined) this.remove(entry)
  }

  deleteTopic(topic: string): void {
    for (const entry of [...this.byTopic.get(topic)?.values() ?? []]) this.remove(entry)
  }

  /** Calls `f` with what is kept of one topic, oldest name first. */
  forEach(topic: string, f: (message: Message) => void): void {
    const named = this.byTopic.get(topic)
    if (named !== undefined) { for (const { message } of named.values()) f(message) }
  }

  topics(): IterableIterator<string> {
    return this.byTopic.keys()
  }

  private remove(entry: Entry): void {
    const named = this.byTopic.get(entry.topic)!
    named.delete(entry.name)
    if (named.size === 0) this.byTopic.delete(entry.topic)
    this.order.delete(entry)
    this.bytes -= entry.message.frame.byteLength
  }

  /** Asserts every invariant. O(n). */
  check(): void {
    let items = 0
    let bytes = 0
    for (const [topic, named] of this.byTopic) {
      invariant(named.size > 0, "a topic without kept messages is gone")
      for (const [name, entry] of named) {
        invariant(entry.topic === topic && entry.name === name && this.order.has(entry), "an entry is where it belongs")
        items++
        bytes += entry.message.frame.byteLength
      }
    }
    invariant(items === this.order.size && bytes === this.bytes, "what is kept is counted")
    invariant(items <= this.itemsMax && bytes <= this.bytesMax, "what is kept stays within its bounds")
  }
}
