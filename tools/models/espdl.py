"""Espressif's ESP-DL models (.espdl) to ONNX: 8-bit weights made float again.

The file is 16 bytes of header ("EDL2", 0 = not encrypted, length, padding) and a FlatBuffer whose schema is
https://github.com/espressif/esp-dl/blob/master/esp-dl/fbs_loader/espdl.fbs: ONNX's graph, with these differences. Maps are NHWC. A weight is
an integer q of value q * 2**exponent, one exponent a tensor. Filters (H, W, C, N) lie as N/16, H, W, C, 16, because the chip computes 16
outputs at once. The exponents of the activations are left out: the network runs in float.

Only what MobileFaceNet needs is taken; anything else is an error that names the node.
"""

import math
import struct
from dataclasses import dataclass

import numpy as np

import flatbuffer
from onnxbuild import Graph, Map, Rows

HEADER = struct.Struct("<4sIII")
LANES = 16  # of the packed layout
PACKED = "layout ==> N16HWC16"
TYPES = {3: np.dtype("<i1"), 6: np.dtype("<i4")}  # TensorDataType
MOST_TEXT = 200
MOST_SIZE = 8192  # of a side, a kernel or a number of channels
MOST_EXPONENT = 64  # an int32 times 2**64 is still a float

# Numbers of the schema's fields.
MODEL_GRAPH = 7
GRAPH_NODE, GRAPH_INITIALIZER, GRAPH_INPUT, GRAPH_OUTPUT = 0, 2, 4, 5
NODE_INPUT, NODE_OUTPUT, NODE_NAME, NODE_OP, NODE_ATTRIBUTE = 0, 1, 2, 3, 5
ATTRIBUTE_NAME, ATTRIBUTE_TYPE, ATTRIBUTE_F, ATTRIBUTE_I, ATTRIBUTE_S, ATTRIBUTE_INTS = 0, 3, 4, 5, 6, 11
TENSOR_DIMS, TENSOR_TYPE, TENSOR_NAME, TENSOR_DOC, TENSOR_RAW, TENSOR_EXPONENTS = 0, 1, 6, 7, 8, 13
INFO_NAME, INFO_TYPE = 0, 1
TENSOR_INFO = 1  # of the union TypeInfoValue


@dataclass(frozen=True)
class Planes:
    """A map after its Transpose to channels first, which the file needs before it flattens. ONNX has them so already."""
    map: Map


@dataclass(frozen=True)
class Node:
    op: str
    name: str
    inputs: list
    output: str
    attributes: dict

    def demand(self, **expected):
        """Attributes that would change the result must have the one value that is understood."""
        for key, value in expected.items():
            if self.attributes.get(key, value) != value:
                raise ValueError(f"{self.op} {self.name}: {key} {self.attributes[key]!r} is not {value!r}")

    def sizes(self, key, count, least):
        values = self.attributes.get(key)
        if not isinstance(values, list) or len(values) != count or not all(least <= v <= MOST_SIZE for v in values):
            raise ValueError(f"{self.op} {self.name}: {key} is {values!r}")
        return values


def payload(data):
    """The FlatBuffer of a file."""
    if len(data) < HEADER.size:
        raise ValueError("an .espdl file of less than its header")
    magic, encrypted, length, _ = HEADER.unpack_from(data)
    if magic != b"EDL2":
        raise ValueError(f"not an .espdl file: it begins with {bytes(magic)!r}, not b'EDL2'")
    if encrypted:
        raise ValueError("the .espdl file is encrypted")
    if length > len(data) - HEADER.size:
        raise ValueError(f"the .espdl file is cut short: {len(data) - HEADER.size} bytes of {length}")
    return data[HEADER.size : HEADER.size + length]


def short(name):
    """A name or a word of the file, as it may be shown in an error of one line."""
    name = ascii(name)[1:-1]
    if len(name) > MOST_TEXT:
        raise ValueError(f"a name of {len(name)} characters where {MOST_TEXT} are the most")
    return name


def text(table, field):
    return short(table.string(field) or "")


def member(table, field, what):
    found = table.table(field)
    if found is None:
        raise ValueError(f"{what} is missing")
    return found


def integers(table, field, most):
    """A list of up to `most` numbers."""
    values = table.array(field, np.int64)
    if values is not None and len(values) > most:
        raise ValueError(f"{len(values)} numbers where there are {most} at most")
    return [] if values is None else values.tolist()


def attribute(table):
    """Value of an ONNX attribute; those of other types are named as what they are, so that nobody takes them for a number."""
    kind = table.number(ATTRIBUTE_TYPE, "i")
    if kind == 1:
        return table.number(ATTRIBUTE_F, "f")
    if kind == 2:
        return table.number(ATTRIBUTE_I, "q")
    if kind == 3:
        return short(table.structs(ATTRIBUTE_S, 1).decode("latin-1"))
    if kind == 7:
        return integers(table, ATTRIBUTE_INTS, 4)
    return f"attribute of type {kind}"


def node(table):
    outputs = table.strings(NODE_OUTPUT)
    name, op = text(table, NODE_NAME), text(table, NODE_OP)
    if len(outputs) != 1:
        raise ValueError(f"{op} {name} has {len(outputs)} outputs")
    attributes = {a.string(ATTRIBUTE_NAME): attribute(a) for a in table.tables(NODE_ATTRIBUTE)}
    return Node(op, name, [short(i) for i in table.strings(NODE_INPUT)], short(outputs[0]), attributes)


def input_shape(info):
    """Height, width and channels that a graph's input declares."""
    name = text(info, INFO_NAME)
    kind = member(info, INFO_TYPE, f"type of input {name}")
    if kind.number(0, "B") != TENSOR_INFO:
        raise ValueError(f"input {name} is not a tensor")
    shape = member(member(kind, 1, f"type of input {name}"), 1, f"shape of input {name}")
    dims = [member(d, 0, f"a size of input {name}").number(1, "q") for d in shape.tables(0)]
    if len(dims) != 4 or dims[0] != 1 or not all(1 <= d <= MOST_SIZE for d in dims):
        raise ValueError(f"input {name} has shape {dims[:5]}, not [1, height, width, channels]")
    return dims[1:]


class Weights:
    """The graph's initializers by name."""

    def __init__(self, tables):
        self.tables = {text(t, TENSOR_NAME): t for t in tables}

    def raw(self, name):
        """Dims, and the integers times their power of two in the file's order."""
        if name not in self.tables:
            raise ValueError(f"there is no weight {name!r}")
        table = self.tables[name]
        dims, exponents = integers(table, TENSOR_DIMS, 4), table.array(TENSOR_EXPONENTS, np.int64)
        kind = TYPES.get(table.number(TENSOR_TYPE, "i"))
        if kind is None:
            raise ValueError(f"weight {name}: data type {table.number(TENSOR_TYPE, 'i')} is not int8 or int32")
        if exponents is None or len(exponents) != 1 or not -MOST_EXPONENT <= exponents[0] <= MOST_EXPONENT:
            raise ValueError(f"weight {name} has not one exponent of at most {MOST_EXPONENT} for the whole tensor")
        data, count = table.structs(TENSOR_RAW, LANES), math.prod(dims)
        if min(dims, default=0) < 1 or not 0 <= len(data) - count * kind.itemsize < LANES:
            raise ValueError(f"weight {name} of shape {dims} has {len(data)} bytes")
        return dims, (np.frombuffer(data, kind, count) * 2.0 ** int(exponents[0])).astype(np.float32)

    def vector(self, name, size):
        dims, values = self.raw(name)
        if len(values) != size:
            raise ValueError(f"weight {name} of shape {dims} is not {size} values")
        return values

    def filters(self, name):
        """(N, H, W, C) of a packed tensor. A depthwise filter (H, W, C, 1) packs its channels: they come as N, and 1 as C."""
        dims, values = self.raw(name)
        layout = text(self.tables[name], TENSOR_DOC)
        if layout != PACKED or len(dims) != 4:
            raise ValueError(f"weight {name} of shape {dims}: {layout!r} is not {PACKED!r}")
        h, w, c, n = (*dims[:2], 1, dims[2]) if dims[3] == 1 else dims
        if n % LANES:
            raise ValueError(f"weight {name} of shape {dims}: {n} is not a multiple of {LANES}")
        return values.reshape(n // LANES, h, w, c, LANES).transpose(0, 4, 1, 2, 3).reshape(n, h, w, c)


class Lowering:
    """Walks the nodes in the file's order; `values` maps the file's names to Maps, Planes and Rows."""

    def __init__(self, name, weights):
        self.graph = Graph(name)
        self.weights = weights
        self.values = {}

    def add_input(self, info):
        self.values[text(info, INFO_NAME)] = self.graph.image(*input_shape(info))

    def add(self, step):
        handler = getattr(self, "op_" + step.op, None)
        if handler is None:
            raise ValueError(f"operation {step.op} of node {step.name} is not known")
        if step.output in self.values:
            raise ValueError(f"{step.op} {step.name}: {step.output!r} exists already")
        self.values[step.output] = handler(step)

    def arguments(self, step, *kinds):
        """The first inputs, each a value of the kind given."""
        if len(step.inputs) < len(kinds):
            raise ValueError(f"{step.op} {step.name} has {len(step.inputs)} inputs")
        found = [self.values.get(name) for name in step.inputs[: len(kinds)]]
        for name, value, kind in zip(step.inputs, found, kinds):
            if not isinstance(value, kind):
                raise ValueError(f"{step.op} {step.name}: input {name!r} is not {kind.__name__}")
        return found

    def weight_name(self, step, index):
        if index >= len(step.inputs):
            raise ValueError(f"{step.op} {step.name} has {len(step.inputs)} inputs")
        return step.inputs[index]

    def bias(self, step, size):
        return self.weights.vector(step.inputs[2], size) if len(step.inputs) > 2 else None

    def op_Conv(self, step):
        (x,) = self.arguments(step, Map)
        step.demand(activation="Linear", dilations=[1, 1])
        kernel, strides, pads = step.sizes("kernel_shape", 2, 1), step.sizes("strides", 2, 1), step.sizes("pads", 4, 0)
        group = step.attributes.get("group", 1)
        weights = np.ascontiguousarray(self.weights.filters(self.weight_name(step, 1)).transpose(0, 3, 1, 2))
        if len(set(pads)) != 1 or not isinstance(group, int) or group not in (1, x.c) or weights.shape[1] * group != x.c or list(weights.shape[2:]) != kernel:
            raise ValueError(f"Conv {step.name}: pads {pads}, group {group}, kernel {kernel}, filters {weights.shape} on {x.c} channels")
        if group > 1 and len(weights) != group:
            raise ValueError(f"Conv {step.name}: {len(weights)} filters in {group} groups")
        if min(x.h, x.w) + 2 * pads[0] < max(kernel):
            raise ValueError(f"Conv {step.name}: kernel {kernel} on a map of {x.h} x {x.w}")
        return self.graph.convolution(x, weights, self.bias(step, len(weights)), kernel, strides, pads[0], group, None)

    def op_PRelu(self, step):
        (x,) = self.arguments(step, Map)
        return self.graph.prelu(x, self.weights.vector(self.weight_name(step, 1), x.c))

    def op_Add(self, step):
        step.demand(activation="Linear")
        return self.graph.add(*self.arguments(step, Map, Map))

    def op_Transpose(self, step):
        (x,) = self.arguments(step, Map)
        if step.attributes.get("perm") != [0, 3, 1, 2]:
            raise ValueError(f"Transpose {step.name}: perm {step.attributes.get('perm')} is not channels first")
        return Planes(x)

    def op_Flatten(self, step):
        (x,) = self.arguments(step, Planes)
        step.demand(axis=1)
        return Rows(self.graph.node("Flatten", [x.map.name], axis=1), (x.map.c * x.map.h * x.map.w,))

    def op_Gemm(self, step):
        (x,) = self.arguments(step, Rows)
        step.demand(activation="Linear", alpha=1.0, beta=1.0, transA=0, transB=0)
        packed = self.weights.filters(self.weight_name(step, 1))
        if packed.shape[1:] != (1, 1, x.dims[0]):
            raise ValueError(f"Gemm {step.name}: weights {packed.shape} on {x.dims[0]} values")
        rows = packed.reshape(len(packed), -1).T
        return self.graph.dense(x, rows, self.bias(step, len(packed)))


def convert(network, data, output):
    """ONNX bytes of a model with one input, called `input`, and one output of N rows, called `output`. A damaged file is a ValueError."""
    graph = member(flatbuffer.root(payload(data)), MODEL_GRAPH, "the graph")
    inputs, outputs = graph.tables(GRAPH_INPUT), graph.tables(GRAPH_OUTPUT)
    if len(inputs) != 1 or len(outputs) != 1:
        raise ValueError(f"{len(inputs)} inputs and {len(outputs)} outputs, not one of each")
    lowering = Lowering(network, Weights(graph.tables(GRAPH_INITIALIZER)))
    lowering.add_input(inputs[0])
    for table in graph.tables(GRAPH_NODE):
        lowering.add(node(table))
    name = text(outputs[0], INFO_NAME)
    result = lowering.values.get(name)
    if not isinstance(result, Rows):
        raise ValueError(f"output {name!r} is not rows of numbers")
    return lowering.graph.finish({output: result})
