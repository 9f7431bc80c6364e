/** Ids of jobs, and what is said of input that does not fit. */
import * as Effect from "effect/Effect"
import * as ParseResult from "effect/ParseResult"
import * as Random from "effect/Random"
import { InvalidInput } from "../JobError.js"

export const idForm = /^[A-Za-z0-9._-]{1,100}$/

export const explain = (error: ParseResult.ParseError): InvalidInput =>
  new InvalidInput({ explanation: ParseResult.TreeFormatter.formatErrorSync(error) })

/** 128 random bits as 32 hexadecimal digits. */
export const randomId: Effect.Effect<string> = Effect.map(
  Effect.replicateEffect(Random.nextIntBetween(0, 0x1_0000_0000), 4),
  (parts) => parts.map((part) => part.toString(16).padStart(8, "0")).join("")
)
