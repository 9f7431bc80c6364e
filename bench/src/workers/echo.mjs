/** The bare minimum of a length-prefixed pipe: frames go back as they came. */
import { writeSync } from "node:fs"

let held = Buffer.alloc(0)
process.stdin.on("data", (chunk) => {
  held = held.length === 0 ? chunk : Buffer.concat([held, chunk])
  while (held.length >= 4 && held.length >= 4 + held.readUInt32BE()) {
    const end = 4 + held.readUInt32BE()
    writeSync(1, held.subarray(0, end))
    held = held.subarray(end)
  }
})
process.stdin.on("end", () => process.exit(0))
