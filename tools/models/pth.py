"""Reads the tensors of a PyTorch state dictionary (.pth, .pt), without PyTorch and without executing anything.

Such a file is a pickle (a program for a small stack machine, Lib/pickletools.py of Python describes every instruction) that
builds a dictionary of tensors, and the raw numbers beside it; torch/serialization.py of PyTorch describes both forms:

  legacy   five pickles one after another (magic number, protocol, facts of the machine, the dictionary, the storages' keys),
           then each storage in the order of those keys: its number of elements in 64 bits, and the elements
  zip      since PyTorch 1.6: PREFIX/data.pkl, and each storage as PREFIX/data/KEY, stored without compression

Python's own pickle can call anything that a file names. The machine here has only the instructions that state dictionaries use;
a name in the file is looked up in GLOBALS, a handful of words, and never imported. What is read stays in proportion to the size of the file.
"""

import zlib
from dataclasses import dataclass

import numpy as np

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
MAX_STEPS = 250_000  # of one pickle, each costs up to a hundred bytes; the published networks need fourteen thousand
MAX_DIMENSIONS = 8
MAX_NAME = 256
STORAGES = {"FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2", "LongStorage": "<i8", "IntStorage": "<i4"}
GLOBALS = {("collections", "OrderedDict"): "mapping", ("torch._utils", "_rebuild_tensor_v2"): "tensor",
           **{("torch", name): np.dtype(code) for name, code in STORAGES.items()}}


@dataclass(frozen=True)
class Known:
    """What a name of GLOBALS stands for in a pickle: a word or an element type. It can be compared, not called."""
    meaning: object


@dataclass(frozen=True)
class Storage:
    key: str
    dtype: np.dtype
    count: int


@dataclass(frozen=True)
class Tensor:
    """Elements of a storage from `offset` on, in C order."""
    storage: Storage
    offset: int
    shape: tuple

    def count(self):
        count = 1
        for size in self.shape:
            count *= size
        return count


class Bytes:
    """A place in the file; whatever is taken is checked against the end first."""

    def __init__(self, data, at=0):
        self.data = memoryview(data)
        self.at = at

    def take(self, count):
        if count > len(self.data) - self.at:
            raise ValueError(f"file ends at byte {len(self.data)}, {count} bytes were expected from {self.at} on")
        part = self.data[self.at : self.at + count]
        self.at += count
        return part

    def number(self, width, signed=False):
        return int.from_bytes(self.take(width), "little", signed=signed)

    def text(self, count):
        return str(self.take(count), "utf-8")

    def line(self):
        found = bytes(self.data[self.at : self.at + MAX_NAME]).find(b"\n")
        if found < 0:
            raise ValueError(f"pickle: no end of the name at byte {self.at}")
        return self.text(found + 1)[:-1]


def is_count(value):
    return type(value) is int and value >= 0


def storage_of(described):
    """The storage that a pickle describes as ("storage", type, key, device, elements[, no view])."""
    if not isinstance(described, tuple) or len(described) not in (5, 6) or (len(described) == 6 and described[5] is not None):
        raise ValueError("pickle: a persistent object that is no storage")
    word, known, key, _, count = described[:5]
    if not (isinstance(word, str) and word == "storage" and isinstance(known, Known) and isinstance(known.meaning, np.dtype)
            and isinstance(key, str) and len(key) <= MAX_NAME and is_count(count)):
        raise ValueError("pickle: a persistent object that is no storage")
    return Storage(key, known.meaning, count)


def tensor_of(arguments):
    """The tensor of _rebuild_tensor_v2(storage, offset, shape, strides, gradients wanted, hooks), if it lies inside its storage."""
    if len(arguments) != 6:
        raise ValueError("pickle: a tensor is made of six values")
    storage, offset, shape, strides = arguments[:4]
    if not (isinstance(storage, Storage) and is_count(offset) and isinstance(shape, tuple) and isinstance(strides, tuple)
            and len(shape) == len(strides) <= MAX_DIMENSIONS and all(is_count(v) for v in (*shape, *strides)) and 0 not in shape):
        raise ValueError("pickle: a tensor without storage, offset, shape and strides")
    expected = 1
    for size, stride in zip(reversed(shape), reversed(strides)):
        if size > 1 and stride != expected:
            raise ValueError("pickle: a tensor whose elements do not lie one after another")
        expected *= size
    if offset + expected > storage.count:
        raise ValueError("pickle: a tensor that reaches beyond its storage")
    return Tensor(storage, offset, shape)


class Machine:
    """Executes one pickle. Afterwards `at` is the byte behind it."""

    def __init__(self, data, at=0):
        self.bytes = Bytes(data, at)
        self.stack = []
        self.outer = []  # the stacks below each mark
        self.memo = {}

    def run(self):
        for _ in range(MAX_STEPS):
            at = self.bytes.at
            code = self.bytes.number(1)
            if code == ord("."):
                return self.result()
            if code not in INSTRUCTIONS:
                raise ValueError(f"pickle: instruction {code} at byte {at} has no place in a state dictionary")
            INSTRUCTIONS[code](self)
        raise ValueError(f"pickle: more than {MAX_STEPS} instructions")

    def result(self):
        if len(self.stack) != 1 or self.outer:
            raise ValueError("pickle: does not end with one value")
        return self.stack[0]

    @property
    def at(self):
        return self.bytes.at

    # ---- the stack

    def pop(self):
        if not self.stack:
            raise ValueError("pickle: takes a value where there is none")
        return self.stack.pop()

    def top(self, kind):
        if not self.stack or type(self.stack[-1]) is not kind:
            raise ValueError(f"pickle: no {kind.__name__} where one is filled")
        return self.stack[-1]

    def mark(self):
        self.outer.append(self.stack)
        self.stack = []

    def since_mark(self):
        if not self.outer:
            raise ValueError("pickle: refers to a mark where there is none")
        values, self.stack = self.stack, self.outer.pop()
        return values

    def push(self, value):
        self.stack.append(value)

    def remember(self, width):
        index = self.bytes.number(width)
        if not self.stack:
            raise ValueError("pickle: takes a value where there is none")
        self.memo[index] = self.stack[-1]

    def recall(self, width):
        index = self.bytes.number(width)
        if index not in self.memo:
            raise ValueError(f"pickle: recalls value {index}, which it never kept")
        self.push(self.memo[index])

    # ---- instructions

    def protocol(self):
        if self.bytes.number(1) != 2:
            raise ValueError("pickle: only protocol 2 is read")

    def make_tuple(self, count):
        values = [self.pop() for _ in range(count)]
        self.push(tuple(reversed(values)))

    def set_items(self, items):
        mapping = self.top(dict)
        if len(items) % 2:
            raise ValueError("pickle: a key without value")
        for key, value in zip(items[::2], items[1::2]):
            if not isinstance(key, str) or len(key) > MAX_NAME:
                raise ValueError("pickle: a key that is no text, or a long one")
            mapping[key] = value

    def set_item(self):
        value, key = self.pop(), self.pop()
        self.set_items([key, value])

    def append(self, values):
        self.top(list).extend(values)

    def name(self):
        module, name = self.bytes.line(), self.bytes.line()
        if (module, name) not in GLOBALS:
            raise ValueError(f"pickle: names {module!r} {name!r}, which has no place in a state dictionary; nothing was executed")
        self.push(Known(GLOBALS[module, name]))

    def build(self):
        """What is called in Python is an empty OrderedDict or a tensor; here it is recognised by its word."""
        arguments, known = self.pop(), self.pop()
        meaning = known.meaning if isinstance(known, Known) else None
        if not isinstance(arguments, tuple) or not isinstance(meaning, str):
            raise ValueError("pickle: calls what cannot be called")
        if meaning == "mapping" and arguments:
            raise ValueError("pickle: an OrderedDict that is not made empty")
        self.push({} if meaning == "mapping" else tensor_of(arguments))

    def set_state(self):
        """State dictionaries have one attribute, `_metadata`: versions of layers, which say nothing about the tensors."""
        self.pop()
        self.top(dict)


INSTRUCTIONS = {
    0x80: Machine.protocol,
    ord("("): Machine.mark,
    ord("}"): lambda m: m.push({}),
    ord("]"): lambda m: m.push([]),
    ord(")"): lambda m: m.push(()),
    ord("t"): lambda m: m.push(tuple(m.since_mark())),
    0x85: lambda m: m.make_tuple(1),
    0x86: lambda m: m.make_tuple(2),
    0x87: lambda m: m.make_tuple(3),
    ord("N"): lambda m: m.push(None),
    0x88: lambda m: m.push(True),
    0x89: lambda m: m.push(False),
    ord("J"): lambda m: m.push(m.bytes.number(4, True)),
    ord("K"): lambda m: m.push(m.bytes.number(1)),
    ord("M"): lambda m: m.push(m.bytes.number(2)),
    0x8A: lambda m: m.push(m.bytes.number(m.bytes.number(1), True)),
    ord("X"): lambda m: m.push(m.bytes.text(m.bytes.number(4))),
    ord("q"): lambda m: m.remember(1),
    ord("r"): lambda m: m.remember(4),
    ord("h"): lambda m: m.recall(1),
    ord("j"): lambda m: m.recall(4),
    ord("s"): Machine.set_item,
    ord("u"): lambda m: m.set_items(m.since_mark()),
    ord("a"): lambda m: m.append([m.pop()]),
    ord("e"): lambda m: m.append(m.since_mark()),
    ord("c"): Machine.name,
    ord("R"): Machine.build,
    ord("b"): Machine.set_state,
    ord("Q"): lambda m: m.push(storage_of(m.pop())),
}


# ---- the two forms: both give the dictionary, and key -> bytes of the storages


def legacy(data):
    at, parts = 0, []
    for _ in range(5):
        machine = Machine(data, at)
        parts.append(machine.run())
        at = machine.at
        if len(parts) == 1 and not is_equal(parts[0], MAGIC):
            raise ValueError("not a file of PyTorch")
    _, protocol, facts, root, keys = parts
    if not is_equal(protocol, PROTOCOL) or not isinstance(facts, dict) or facts.get("little_endian") is not True:
        raise ValueError("not a little-endian file of PyTorch's protocol 1001")
    storages = storages_of(root)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or sorted(keys) != sorted(storages):
        raise ValueError("the storages in the file are not those of its tensors")
    rest, found = Bytes(data, at), {}
    for key in keys:
        count = rest.number(8)
        if count != storages[key].count:
            raise ValueError(f"storage {key!r} has {count} elements in the file and {storages[key].count} in the pickle")
        found[key] = rest.take(count * storages[key].dtype.itemsize)
    if rest.at != len(data):
        raise ValueError(f"{len(data) - rest.at} bytes behind the last storage")
    return root, found


def is_equal(value, number):
    return type(value) is int and value == number


def zipped(data):
    entries = zip_entries(data)
    pickles = [name for name in entries if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(pickles) != 1:
        raise ValueError("zip: not one PREFIX/data.pkl")
    prefix = pickles[0].split("/")[0]
    if bytes(entries.get(prefix + "/byteorder", b"little")) != b"little":
        raise ValueError("zip: numbers are not little-endian")
    machine = Machine(entries[pickles[0]])
    root = machine.run()
    if machine.at != len(entries[pickles[0]]):
        raise ValueError("zip: bytes behind the pickle")
    found = {}
    for storage in storages_of(root).values():
        part = entries.get(f"{prefix}/data/{storage.key}")
        if part is None or len(part) != storage.count * storage.dtype.itemsize:
            raise ValueError(f"zip: storage {storage.key!r} is not there or does not have {storage.count} elements")
        found[storage.key] = part
    return root, found


def zip_entries(data):
    """Name -> bytes of an archive without compression, by its central directory (APPNOTE.TXT of PKWARE, 4.3), without Zip64's sizes.
    The parts together are no larger than the file: none overlaps so that a small file would read as a large one."""
    end = data.rfind(b"PK\5\6", max(0, len(data) - 22 - 0xFFFF))
    if end < 0:
        raise ValueError("zip: no end of the central directory")
    tail = Bytes(data, end + 10)
    count, _, at, comment = tail.number(2), tail.number(4), tail.number(4), tail.number(2)
    if tail.at + comment != len(data):
        raise ValueError("zip: does not end with its central directory")
    directory, entries, total = Bytes(data, at), {}, 0
    for _ in range(count):
        name, part = zip_entry(data, directory)
        total += len(part)
        if name in entries or total > len(data):
            raise ValueError(f"zip: {name!r} is there twice, or overlaps")
        entries[name] = part
    return entries


def zip_entry(data, directory):
    if directory.take(4) != b"PK\1\2":
        raise ValueError("zip: the central directory is broken")
    directory.take(4)
    flags, method = directory.number(2), directory.number(2)
    directory.take(4)
    crc, packed, size = (directory.number(4) for _ in range(3))
    name_size, extra_size, comment_size = (directory.number(2) for _ in range(3))
    directory.take(8)
    at = directory.number(4)
    if name_size > MAX_NAME:
        raise ValueError("zip: a very long name")
    name = directory.text(name_size)
    directory.take(extra_size + comment_size)
    if flags & 1 or method != 0 or packed != size:
        raise ValueError(f"zip: {name!r} is compressed or encrypted, which PyTorch never does")
    local = Bytes(data, at)
    if local.take(4) != b"PK\3\4":
        raise ValueError(f"zip: no header of {name!r}")
    local.take(22)
    local.take(local.number(2) + local.number(2))
    part = local.take(size)
    if zlib.crc32(part) != crc:
        raise ValueError(f"zip: {name!r} is damaged")
    return name, part


# ---- the tensors


def storages_of(root):
    """Key -> storage of a dictionary's tensors."""
    if not isinstance(root, dict) or not root or not all(isinstance(value, Tensor) for value in root.values()):
        raise ValueError("not a dictionary of tensors (a state dictionary)")
    storages = {}
    for tensor in root.values():
        if storages.setdefault(tensor.storage.key, tensor.storage) != tensor.storage:
            raise ValueError(f"storage {tensor.storage.key!r} is described in two ways")
    return storages


def read(data):
    """Name -> array of a state dictionary's file, in the file's order. The arrays are views of `data`."""
    root, storages = zipped(data) if data[:4] == b"PK\3\4" else legacy(data)
    total = sum(tensor.count() * tensor.storage.dtype.itemsize for tensor in root.values())
    if total > len(data):
        raise ValueError(f"tensors of {total} bytes in a file of {len(data)}")
    return {name: array(tensor, storages[tensor.storage.key]) for name, tensor in root.items()}


def array(tensor, data):
    dtype = tensor.storage.dtype
    return np.frombuffer(data, dtype, tensor.count(), tensor.offset * dtype.itemsize).reshape(tensor.shape)
