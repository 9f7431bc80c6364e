"""A worker of @spillway/workers in Python, with nothing but the standard library (docs/WORKER_PROTOCOL.md).

Copy it and change `COMMANDS`, or load it as a module, add to them and call `main`. What a command prints goes to the log;
frames have a file descriptor of their own.
"""

import json
import os
import queue
import struct
import sys
import threading
import time
import traceback

# Frames go where stdout went; whatever is printed from now on goes to stderr, so that it cannot break a frame.
_frames = os.fdopen(os.dup(1), "wb", buffering=0)
os.dup2(2, 1)
_requests = queue.Queue(maxsize=64)
_ballast = []
_count = 0


class Refused(Exception):
    """A failure that the caller shall see with a type of its own."""

    def __init__(self, kind, message):
        super().__init__(message)
        self.kind = kind


def encode(value):
    """How messages become bytes, the same as the pool's codec. Whoever loads this module puts others in place of both."""
    return json.dumps(value, separators=(",", ":")).encode()


decode = json.loads


def _send(value):
    payload = encode(value)
    data = memoryview(struct.pack(">I", len(payload)) + payload)
    while data:
        data = data[_frames.write(data):]


def ping(args, progress):
    if args.get("initialization"):
        time.sleep(float(os.environ.get("WORKER_START_MILLIS", "0")) / 1000)
    return {"status": "ok"}


def whoami(args, progress):
    return os.environ.get("SPILLWAY_WORKER_ID")


def echo(args, progress):
    return args


def sleep(args, progress):
    time.sleep(args["millis"] / 1000)
    return whoami(args, progress)


def spin(args, progress):
    until = time.monotonic() + args["millis"] / 1000
    while time.monotonic() < until:
        pass


def count(args, progress):
    global _count
    _count += 1
    return _count


def fail(args, progress):
    raise Refused("Refused", "asked to")


def shout(args, progress):
    print(args["text"], flush=True)


def report(args, progress):
    for item in range(args["items"]):
        progress(item)
    return "done"


def crash(args, progress):
    os._exit(args.get("code", 1))


def exhaust_memory(args, progress):
    _ballast.append(bytearray(os.urandom(1)) * args["bytes"])


COMMANDS = {
    "ping": ping,
    "whoami": whoami,
    "echo": echo,
    "sleep": sleep,
    "spin": spin,
    "count": count,
    "fail": fail,
    "shout": shout,
    "progress": report,
    "crash": crash,
    "exhaust_memory": exhaust_memory,
}


def _serve(request):
    number = request["id"]
    try:
        command = COMMANDS.get(request["command"])
        if command is None:
            raise Refused("UnknownCommand", request["command"])
        result = command(request.get("args") or {}, lambda value: _send({"id": number, "progress": value}))
        _send({"id": number, "success": True, "result": result})
    except Refused as error:
        _send({"id": number, "success": False, "error": {"type": error.kind, "message": str(error)}})
    except Exception as error:
        _send({"id": number, "success": False, "error": {"type": type(error).__name__, "message": str(error)}})


def _read_exactly(size):
    data = b""
    while len(data) < size:
        part = os.read(0, size - len(data))
        if not part:
            return None
        data += part
    return data


def _read():
    """In a thread of its own: it sees that stdin was closed also while a command computes."""
    try:
        _take_requests()
    except Exception:
        # Without this thread nobody would hear anything any more, not even the end.
        traceback.print_exc()
        os._exit(1)


def _take_requests():
    while True:
        header = _read_exactly(4)
        payload = None if header is None else _read_exactly(struct.unpack(">I", header)[0])
        if payload is None:
            _requests.put(None)
            # Nobody is there any more: what runs now has a moment to end.
            time.sleep(float(os.environ.get("WORKER_LINGER_MILLIS", "2000")) / 1000)
            os._exit(0)
        _requests.put(decode(payload))


def main():
    threading.Thread(target=_read, daemon=True).start()
    try:
        for request in iter(_requests.get, None):
            _serve(request)
    except BrokenPipeError:
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
