"""Writes small FlatBuffers for tests: https://flatbuffers.dev/internals

A table is a dict of field number -> value: Number("i", 3), a dict (a table), a list of dicts or of str, a str, a numpy array
(a vector of numbers) or Structs(count, bytes). Values are written behind the table that refers to them.
"""

import struct
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Number:
    code: str
    value: float


@dataclass(frozen=True)
class Structs:
    count: int
    data: bytes


def written(table, identifier=b"TEST"):
    """The file's bytes."""
    out = bytearray(struct.pack("<I", 8) + identifier)
    put_root = put_table(out, table)
    struct.pack_into("<I", out, 0, put_root)
    return bytes(out)


def align(out, size=4):
    out.extend(bytes(-len(out) % size))


def put_table(out, table):
    """Appends vtable, table and all that it refers to; returns the table's position."""
    align(out)
    vtable = len(out)
    count = max(table, default=-1) + 1
    out.extend(bytes(4 + 2 * count))
    align(out)
    start, later = len(out), []
    out.extend(struct.pack("<i", start - vtable))
    for index, value in sorted(table.items()):
        align(out, struct.calcsize(value.code) if isinstance(value, Number) else 4)
        struct.pack_into("<H", out, vtable + 4 + 2 * index, len(out) - start)
        if isinstance(value, Number):
            out.extend(struct.pack("<" + value.code, value.value))
        else:
            later.append((len(out), value))
            out.extend(bytes(4))
    struct.pack_into("<HH", out, vtable, 4 + 2 * count, len(out) - start)
    put_referred(out, later)
    return start


def put_referred(out, places):
    for place, value in places:
        position = put_value(out, value)
        struct.pack_into("<I", out, place, position - place)


def put_value(out, value):
    if isinstance(value, dict):
        return put_table(out, value)
    align(out)
    if isinstance(value, np.ndarray):  # what follows the count is aligned for its type
        out.extend(bytes((-len(out) - 4) % value.itemsize))
    position = len(out)
    if isinstance(value, str):
        out.extend(struct.pack("<I", len(value.encode())) + value.encode() + b"\0")
    elif isinstance(value, np.ndarray):
        out.extend(struct.pack("<I", value.size) + value.tobytes())
    elif isinstance(value, Structs):
        out.extend(struct.pack("<I", value.count) + value.data)
    else:
        out.extend(struct.pack("<I", len(value)) + bytes(4 * len(value)))
        put_referred(out, [(position + 4 + 4 * i, item) for i, item in enumerate(value)])
    return position
