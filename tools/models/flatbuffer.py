"""Reads FlatBuffers without a schema compiler, as TensorFlow Lite and ESP-DL files are stored: https://flatbuffers.dev/internals

A file is untrusted: every offset is checked before use, and anything wrong is a ValueError of one line. Tables are read when asked
for, so a loop of references costs nothing by itself. Vectors may overlap in a hostile file; a budget of a few times the file's size
bounds all that is handed out together, so keep what was read instead of reading it again.

Fields are numbered as in the schema: the first is 0, and a union counts for two (its type, then its value).
"""

import struct

import numpy as np

MAX_ITEMS = 65536  # tables or strings of one vector: far more than networks have
BUDGET = 8  # bytes of vectors and strings that may be read, in sizes of the file


class Buffer:
    """The bytes, read at checked positions."""

    def __init__(self, data):
        self.data = bytes(data)
        self.left = BUDGET * len(self.data)

    def check(self, position, size, what):
        if position < 0 or position + size > len(self.data):
            raise ValueError(f"FlatBuffer: {what} at {position} lies outside of the {len(self.data)} bytes")

    def number(self, position, code, what):
        self.check(position, struct.calcsize("<" + code), what)
        return struct.unpack_from("<" + code, self.data, position)[0]

    def follow(self, position, what):
        """Where the reference at `position` leads: forward, never to itself."""
        offset = self.number(position, "I", what)
        if offset == 0:
            raise ValueError(f"FlatBuffer: {what} at {position} is an empty reference")
        self.check(position + offset, 4, what)
        return position + offset

    def vector(self, position, item_size, what):
        """Position of the first item and number of items of the vector at `position`."""
        count = self.number(position, "I", what)
        self.check(position + 4, count * item_size, f"{what} of {count} items")
        self.left -= count * item_size
        if self.left < 0:
            raise ValueError("FlatBuffer: its parts overlap: more is stored than the file is long")
        return position + 4, count

    def string(self, position):
        start, count = self.vector(position, 1, "a string")
        try:
            return self.data[start : start + count].decode()
        except UnicodeDecodeError:
            raise ValueError(f"FlatBuffer: the string at {position} is not UTF-8") from None


class Table:
    """One table. A field that the file leaves out is its default, None or empty."""

    def __init__(self, buffer, position):
        self.buffer = buffer
        self.position = position
        self.fields = position - buffer.number(position, "i", "a table")
        self.fields_size = buffer.number(self.fields, "H", "a vtable")
        if self.fields_size < 4 or self.fields_size % 2:
            raise ValueError(f"FlatBuffer: the vtable at {self.fields} has {self.fields_size} bytes")
        buffer.check(self.fields, self.fields_size, "a vtable")
        self.size = buffer.number(self.fields + 2, "H", "a vtable")
        buffer.check(position, self.size, "a table")

    def field(self, index, size):
        """Position of a field of `size` bytes, None where it is left out."""
        entry = 4 + 2 * index
        offset = self.buffer.number(self.fields + entry, "H", "a vtable") if entry < self.fields_size else 0
        if offset == 0:
            return None
        if offset < 4 or offset + size > self.size:
            raise ValueError(f"FlatBuffer: field {index} of the table at {self.position} lies outside of its {self.size} bytes")
        return self.position + offset

    def reference(self, index):
        position = self.field(index, 4)
        return None if position is None else self.buffer.follow(position, f"field {index} of the table at {self.position}")

    def number(self, index, code, default=0):
        """`code`: a letter of Python's struct, as "b", "I" or "f"."""
        position = self.field(index, struct.calcsize("<" + code))
        return default if position is None else self.buffer.number(position, code, "a number")

    def table(self, index):
        position = self.reference(index)
        return None if position is None else Table(self.buffer, position)

    def string(self, index):
        position = self.reference(index)
        return None if position is None else self.buffer.string(position)

    def array(self, index, dtype):
        """A vector of numbers as an array that shares the file's bytes and cannot be written to; None where it is left out."""
        position, dtype = self.reference(index), np.dtype(dtype).newbyteorder("<")
        if position is None:
            return None
        start, count = self.buffer.vector(position, dtype.itemsize, "a vector")
        return np.frombuffer(self.buffer.data, dtype, count, start)

    def structs(self, index, size):
        """A vector of structs of `size` bytes as one run of bytes."""
        position = self.reference(index)
        if position is None:
            return b""
        start, count = self.buffer.vector(position, size, "a vector of structs")
        return self.buffer.data[start : start + count * size]

    def references(self, index):
        position = self.reference(index)
        if position is None:
            return []
        start, count = self.buffer.vector(position, 4, "a vector of references")
        if count > MAX_ITEMS:
            raise ValueError(f"FlatBuffer: a vector of {count} references; at most {MAX_ITEMS} are read")
        return [self.buffer.follow(start + 4 * i, "an item") for i in range(count)]

    def tables(self, index):
        return [Table(self.buffer, position) for position in self.references(index)]

    def strings(self, index):
        return [self.buffer.string(position) for position in self.references(index)]


def root(data, identifier=None):
    """The root table. `identifier`: the four letters that the format puts behind the first reference."""
    buffer = Buffer(data)
    if identifier is not None and buffer.data[4:8] != identifier:
        raise ValueError(f"FlatBuffer: identifier {ascii(buffer.data[4:8])} instead of {ascii(identifier)}")
    return Table(buffer, buffer.follow(0, "the root"))
