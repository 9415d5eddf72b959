"""Reads the arrays of an HDF5 file: what Keras writes by h5py's defaults, and nothing else.

The format is described at https://docs.hdfgroup.org/hdf5/develop/_f_m_t3.html (superblock 0, version 1 object headers, groups of
symbol tables, contiguous little-endian float32). Library readers of HDF5 do far more, and damaged files crash them; here every
offset is checked before use, everything in the file is visited once, and work and memory are bounded by the file's size.
"""

import struct

import numpy as np

SIGNATURE = b"\x89HDF\r\n\x1a\n"
FLOAT32 = bytes.fromhex("11201f00 04000000 0000 2000 17080017 7f000000")  # datatype message: IEEE, little-endian, 4 bytes
DATASPACE, DATATYPE, LAYOUT, CONTINUATION, SYMBOL_TABLE = 1, 3, 8, 16, 17
MAX_DEPTH, MAX_NAME, MAX_RANK = 8, 255, 8
MAX_STEPS = 100_000  # nodes, entries and messages; a file of Keras has a few hundred


class Reader:
    def __init__(self, data):
        self.data = data
        self.steps = 0
        self.array_bytes = 0
        self.visited = set()
        self.arrays = {}

    def unpack(self, layout, offset, what):
        """Numbers at an offset; `layout` as struct's, little-endian."""
        size = struct.calcsize("<" + layout)
        if offset + size > len(self.data):
            raise ValueError(f"HDF5: {what} at {offset} lies outside the file of {len(self.data)} bytes")
        return struct.unpack_from("<" + layout, self.data, offset)

    def step(self, count=1):
        self.steps += count
        if self.steps > MAX_STEPS:
            raise ValueError(f"HDF5: more than {MAX_STEPS} nodes and messages")

    def visit(self, address, what):
        if address in self.visited:
            raise ValueError(f"HDF5: the {what} at {address} is used twice")
        self.visited.add(address)
        self.step()

    def check(self, signature, address, what):
        if self.unpack(f"{len(signature)}s", address, what) != (signature,):
            raise ValueError(f"HDF5: no {what} at {address}")

    # ---- objects

    def messages(self, address):
        """The messages of an object: type -> offset and size. Only the first of a type, of which the known ones have one."""
        self.visit(address, "object header")
        version, count, size = self.unpack("BxHxxxxI", address, "object header")
        if version != 1:
            raise ValueError(f"HDF5: version {version} of object headers is not read")
        found, blocks = {}, [(address + 16, size)]
        while blocks and count:
            offset, size = blocks.pop(0)
            end = offset + size
            while offset + 8 <= end and count:
                self.step()
                count -= 1
                kind, length, flags = self.unpack("HHB3x", offset, "message")
                if offset + 8 + length > min(end, len(self.data)):
                    raise ValueError(f"HDF5: the message at {offset} is longer than its object header")
                if kind == CONTINUATION:
                    blocks.append(self.unpack("QQ", offset + 8, "continuation"))
                elif kind in (DATASPACE, DATATYPE, LAYOUT, SYMBOL_TABLE) and flags & 2:
                    raise ValueError(f"HDF5: the message at {offset} is shared, which is not read")
                found.setdefault(kind, (offset + 8, length))
                offset += 8 + length
        return found

    def read_object(self, address, path):
        if path.count("/") > MAX_DEPTH:
            raise ValueError(f"HDF5: groups deeper than {MAX_DEPTH}")
        messages = self.messages(address)
        if SYMBOL_TABLE in messages:
            tree, heap = self.unpack("QQ", messages[SYMBOL_TABLE][0], "symbol table")
            names = self.heap(heap)
            for name, child in self.entries(tree, names, MAX_DEPTH):
                self.read_object(child, f"{path}/{name}" if path else name)
        elif path in self.arrays:
            raise ValueError(f"HDF5: two arrays are called {path}")
        else:
            self.arrays[path] = self.array(messages, path)

    # ---- groups

    def heap(self, address):
        """Start and end of a group's names."""
        self.check(b"HEAP\0", address, "heap of names")
        size, start = self.unpack("Q8xQ", address + 8, "heap of names")
        if start + size > len(self.data):
            raise ValueError("HDF5: a heap of names lies outside the file")
        return start, start + size

    def entries(self, address, names, depth):
        """Names and addresses below a node of a group's B-tree."""
        self.visit(address, "B-tree node")
        self.check(b"TREE\0", address, "B-tree node of a group")
        level, used = self.unpack("BH", address + 5, "B-tree node")
        if depth == 0:
            raise ValueError("HDF5: a B-tree is too deep")
        for i in range(used):
            (child,) = self.unpack("Q", address + 32 + 16 * i, "B-tree child")
            yield from self.entries(child, names, depth - 1) if level else self.symbols(child, names)

    def symbols(self, address, names):
        self.visit(address, "symbol node")
        self.check(b"SNOD\1", address, "symbol node")
        (count,) = self.unpack("H", address + 6, "symbol node")
        self.step(count)
        for i in range(count):
            name, header, cached = self.unpack("QQI", address + 8 + 40 * i, "symbol")
            if cached == 2:
                raise ValueError("HDF5: soft links are not read")
            yield self.name(names, name), header

    def name(self, names, offset):
        start, end = names[0] + offset, names[1]
        stop = self.data.find(b"\0", start, min(end, start + MAX_NAME + 1)) if start < end else -1
        text = self.data[start:stop] if stop > start else b""
        if not text or not text.isascii() or not text.decode().isprintable() or b"/" in text:
            raise ValueError("HDF5: a name is empty, longer than its heap or not plain text")
        return text.decode()

    # ---- arrays

    def array(self, messages, path):
        for kind, what in ((DATASPACE, "shape"), (DATATYPE, "type"), (LAYOUT, "layout")):
            if kind not in messages:
                raise ValueError(f"HDF5: {path} has no {what}")
        offset, length = messages[DATATYPE]
        if self.data[offset : offset + min(length, len(FLOAT32))] != FLOAT32:
            raise ValueError(f"HDF5: {path} is not little-endian float32")
        shape = self.shape(*messages[DATASPACE], path)
        version, kind, start, size = self.unpack("BBQQ", messages[LAYOUT][0], "layout")
        if (version, kind) != (3, 1):
            raise ValueError(f"HDF5: {path} is not stored in one piece (layout {kind} of version {version})")
        count = 1
        for dim in shape:
            count *= dim
        if count == 0 or size != 4 * count or start + size > len(self.data):
            raise ValueError(f"HDF5: {path} of shape {shape} does not lie in the file")
        self.array_bytes += size
        if self.array_bytes > len(self.data):
            raise ValueError("HDF5: arrays overlap")
        return np.frombuffer(self.data, "<f4", count, start).astype(np.float32).reshape(shape)

    def shape(self, offset, length, path):
        version, rank = self.unpack("BB", offset, "shape")
        start = {1: 8, 2: 4}.get(version)
        if start is None or rank > MAX_RANK or start + 8 * rank > length:
            raise ValueError(f"HDF5: the shape of {path} is not one that is read")
        return self.unpack(f"{rank}Q", offset + start, "shape")


def arrays(data):
    """The float32 arrays of a file by path ("group/name")."""
    reader = Reader(data)
    reader.check(SIGNATURE, 0, "signature")
    version, offsets, lengths, base = reader.unpack("B4xBB9xQ", 8, "superblock")
    if (version, offsets, lengths, base) != (0, 8, 8, 0):
        raise ValueError(f"HDF5: superblock {version} with offsets of {offsets} and lengths of {lengths} bytes from {base} is not read")
    (root,) = reader.unpack("Q", 64, "superblock")
    reader.read_object(root, "")
    return reader.arrays
