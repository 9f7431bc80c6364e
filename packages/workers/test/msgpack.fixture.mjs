/** The reference worker in MessagePack, by another implementation than the pool's. */
import { decode, encode } from "@msgpack/msgpack"
import { codec } from "../workers/reference.mjs"

Object.assign(codec, { decode, encode })
