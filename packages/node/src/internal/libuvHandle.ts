import type * as Net from "node:net"

export interface LibuvHandle {
  /** Bytes handed to libuv. */
  readonly bytesWritten: number
  /** Bytes of those that the kernel has not taken. */
  readonly writeQueueSize: number
}

interface Handle extends LibuvHandle {
  /** Under TLS, the handle of the TCP socket: TLS itself counts what it has encrypted, all of a chunk at once. */
  readonly _parent?: Partial<LibuvHandle>
}

/**
 * The handle of the TCP socket, also under TLS, where it counts encrypted bytes.
 *
 * Node documents no way to see how much of a chunk was written; `net` itself reads these two properties of the handle to
 * see whether a write makes progress. Absent or different, everything works with whole chunks.
 */
export const libuvHandle = (socket: Net.Socket): LibuvHandle | undefined => {
  const own = (socket as unknown as { readonly _handle?: Partial<Handle> | null })._handle
  const handle = own?._parent ?? own
  return handle != null && typeof handle.bytesWritten === "number" && typeof handle.writeQueueSize === "number"
    ? handle as LibuvHandle
    : undefined
}
