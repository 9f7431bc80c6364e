/**
 * The last fills, for clients that come again: each one behind the last that they have, or a refusal that says which are
 * there. Bounded: who stays away for longer gets the rest from elsewhere.
 */
import * as Data from "effect/Data"
import * as Either from "effect/Either"
import type * as Message from "spillway/Message"

/** Where a client stands: it has seen all fills of the feed up to this number. */
export interface Position {
  readonly feed: string
  readonly after: number
}

/** Fills behind the position are not there: too old, or of another feed. */
export class FillsGone extends Data.TaggedError("FillsGone")<{
  readonly asked: Position
  readonly feed: string
  /** The oldest that is there, and the newest. */
  readonly first: number
  readonly last: number
}> {
  override get message() {
    const { asked, feed, first, last } = this
    return `fills behind ${asked.after} of feed ${asked.feed} are gone; feed ${feed} has ${first} to ${last}`
  }
}

export class FillLog {
  /** The number of the newest fill; the first has the number 1. */
  last = 0
  /** A ring: fill `id` is at `id % itemsMax`. */
  private readonly items: Array<Message.Message> = []

  constructor(readonly feed: string, private readonly itemsMax: number) {}

  /** The number of the oldest fill that is kept, or of the next one where there is none. */
  get first(): number {
    return Math.max(1, this.last - this.itemsMax + 1)
  }

  /** Keeps a fill that is made for the next number. */
  push(make: (id: number) => Message.Message): Message.Message {
    const id = ++this.last
    return this.items[id % this.itemsMax] = make(id)
  }

  /** Every fill behind the position, oldest first. */
  behind(asked: Position): Either.Either<ReadonlyArray<Message.Message>, FillsGone> {
    const { feed, first, last } = this
    if (asked.feed !== feed || asked.after < first - 1 || asked.after > last) {
      return Either.left(new FillsGone({ asked, feed, first, last }))
    }
    return Either.right(
      Array.from({ length: last - asked.after }, (_, i) => this.items[(asked.after + 1 + i) % this.itemsMax]!)
    )
  }
}
