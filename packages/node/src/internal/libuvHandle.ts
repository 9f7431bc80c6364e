import type * as Net from "node:net"

export interface LibuvHandle {
  /** Bytes handed to libuv. */
  readonly bytesWritten: number
  /** Bytes of those that the kernel has not taken. */
  readonly writeQueueSize: number
}

/**
 * Node documents no way to see how much of a chunk was written; `net` itself reads these two properties of the handle to
 * see whether a write makes progress. Absent or different, everything works with whole chunks.
 */
export const libuvHandle = (socket: Net.Socket): LibuvHandle | undefined => {
  const handle = (socket as unknown as { readonly _handle?: Partial<LibuvHandle> | null })._handle
  return handle != null && typeof handle.bytesWritten === "number" && typeof handle.writeQueueSize === "number"
    ? handle as LibuvHandle
    : undefined
}
