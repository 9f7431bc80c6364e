"""The reference worker in MessagePack, with as much of the format as its messages use."""

import importlib.util
import os
import struct

_spec = importlib.util.spec_from_file_location("reference", os.environ["REFERENCE_WORKER"])
reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reference)


def encode(value):
    if value is None:
        return b"\xc0"
    if value is True or value is False:
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return struct.pack(">Bq", 0xD3, value)
    if isinstance(value, float):
        return struct.pack(">Bd", 0xCB, value)
    if isinstance(value, str):
        data = value.encode()
        return struct.pack(">BI", 0xDB, len(data)) + data
    if isinstance(value, (bytes, bytearray)):
        return struct.pack(">BI", 0xC6, len(value)) + value
    if isinstance(value, dict):
        items = b"".join(encode(key) + encode(item) for key, item in value.items())
        return struct.pack(">BI", 0xDF, len(value)) + items
    return struct.pack(">BI", 0xDD, len(value)) + b"".join(map(encode, value))


# Kinds of one fixed size, by their first byte; and of a size that is written before them: format of the size, kind.
_fixed = {0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q"}
_fixed.update({0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q"})
_sized = {0xC4: (">B", "bin"), 0xC5: (">H", "bin"), 0xC6: (">I", "bin")}
_sized.update({0xD9: (">B", "str"), 0xDA: (">H", "str"), 0xDB: (">I", "str")})
_sized.update({0xDC: (">H", "array"), 0xDD: (">I", "array"), 0xDE: (">H", "map"), 0xDF: (">I", "map")})


class _Reader:
    def __init__(self, data):
        self.data = data
        self.at = 0

    def take(self, size):
        self.at += size
        return self.data[self.at - size:self.at]

    def number(self, kind):
        return struct.unpack(kind, self.take(struct.calcsize(kind)))[0]

    def value(self):
        first = self.number(">B")
        if first < 0x80 or first >= 0xE0:
            return first if first < 0x80 else first - 0x100
        if first < 0xC0:
            kind = "map" if first < 0x90 else "array" if first < 0xA0 else "str"
            return self.sized(kind, first & (0x1F if kind == "str" else 0x0F))
        if first in (0xC0, 0xC2, 0xC3):
            return {0xC0: None, 0xC2: False, 0xC3: True}[first]
        if first in _fixed:
            return self.number(_fixed[first])
        size, kind = _sized[first]
        return self.sized(kind, self.number(size))

    def sized(self, kind, size):
        if kind == "bin":
            return bytes(self.take(size))
        if kind == "str":
            return self.take(size).decode()
        if kind == "array":
            return [self.value() for _ in range(size)]
        return {self.value(): self.value() for _ in range(size)}


reference.encode = encode
reference.decode = lambda data: _Reader(data).value()

if __name__ == "__main__":
    reference.main()
