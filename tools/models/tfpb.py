"""TensorFlow's frozen graphs (GraphDef, .pb) to ONNX: convolutional networks with their weights as Const nodes.

A GraphDef is protobuf (wire format: https://protobuf.dev/programming-guides/encoding/; messages: tensorflow/core/framework/
{graph,node_def,attr_value,tensor,tensor_shape}.proto). Nodes are taken in the file's order, in which a frozen graph names inputs
before their use; batch normalization is folded into the convolution before it. Any other operation is an error that names the node.
"""

import struct
from dataclasses import dataclass, field

import numpy as np

from onnxbuild import Graph, Map, Rows

FLOAT, INT32 = 1, 3  # DataType
MAX_NODES, MAX_RANK, MAX_SIDE, MAX_JOINED = 10_000, 4, 4096, 16
MAX_REPEATED = 1 << 16  # elements of a tensor that writes one number for all of them
MAX_WEIGHTS = 1 << 26  # filters of all convolutions, folding makes new ones of each


def varint(data, at):
    value = 0
    for i in range(10):
        if at + i >= len(data):
            break
        value |= (data[at + i] & 127) << 7 * i
        if data[at + i] < 128:
            return value & 0xFFFFFFFFFFFFFFFF, at + i + 1
    raise ValueError("protobuf: a number breaks off or is too long")


def fields(data):
    """(field number, value) of a message: an int, or bytes for everything else."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = varint(data, at)
        else:
            if kind == 2:
                size, at = varint(data, at)
            elif kind in (1, 5):
                size = 8 if kind == 1 else 4
            else:
                raise ValueError(f"protobuf: wire type {kind}")
            if size > len(data) - at:
                raise ValueError(f"protobuf: a field of {size} bytes where {len(data) - at} are left")
            value, at = data[at : at + size], at + size
        yield key >> 3, value


def typed(value, kind, what):
    if not isinstance(value, kind):
        raise ValueError(f"protobuf: {what} is of the wrong type")
    return value


def only(data, number, kind, default):
    """The last value of a field, as protobuf has it, or the default."""
    for n, value in fields(data):
        if n == number:
            default = typed(value, kind, f"field {n}")
    return default


def signed(value):
    return value - (1 << 64) if value >> 63 else value


def integers(data, number):
    """A repeated integer, packed or not."""
    result = []
    for n, value in fields(data):
        if n == number and isinstance(value, int):
            result.append(signed(value))
        elif n == number:
            at = 0
            while at < len(value):
                number_read, at = varint(value, at)
                result.append(signed(number_read))
    return result


def text(data):
    if len(data) > 1000 or not data.isascii() or not data.decode().isprintable():
        raise ValueError("protobuf: a name is too long or not plain text")
    return data.decode()


def shape_of(data):
    dims = [signed(only(typed(value, bytes, "dimension"), 1, int, 0)) for n, value in fields(data) if n == 2]
    if len(dims) > MAX_RANK:
        raise ValueError(f"a shape of {len(dims)} dimensions")
    return dims


def tensor(data):
    dtype, shape = only(data, 1, int, 0), shape_of(only(data, 2, bytes, b""))
    if dtype not in (FLOAT, INT32):
        raise ValueError(f"tensors of type {dtype} are not read")
    content = only(data, 4, bytes, b"")
    if not content and dtype == FLOAT:
        content = b"".join(typed(value, bytes, "float") for n, value in fields(data) if n == 5)
    elif not content:
        content = b"".join(struct.pack("<q", i)[:4] for i in integers(data, 7))
    count = 1
    for dim in shape:
        count *= dim
    repeated = len(content) == 4 and 1 < count <= MAX_REPEATED
    if min(shape, default=1) < 1 or len(content) != 4 * count and not repeated:
        raise ValueError(f"a tensor of shape {shape} has {len(content)} bytes")
    array = np.frombuffer(content, "<f4" if dtype == FLOAT else "<i4")
    array = np.broadcast_to(array, shape) if repeated else array.reshape(shape)
    if not np.isfinite(array).all():
        raise ValueError("a tensor has numbers that are not finite")
    return array


INPUTS = {"Placeholder": 0, "Const": 0, "Identity": 1, "Relu": 1, "Relu6": 1, "Sigmoid": 1, "AvgPool": 1, "FusedBatchNorm": 5, "FusedBatchNormV3": 5}


@dataclass
class Node:
    name: str = ""
    op: str = ""
    inputs: list = field(default_factory=list)
    attributes: dict = field(default_factory=dict)

    def get(self, key, number, kind, default):
        return only(self.attributes.get(key, b""), number, kind, default)

    def window(self, key):
        """Height and width of an attribute that lists one number for each of N, H, W, C."""
        if key not in self.attributes:
            return 1, 1
        values = integers(self.get(key, 1, bytes, b""), 3)
        if len(values) != 4 or values[0] != 1 or values[3] != 1 or not 1 <= min(values) <= max(values) <= MAX_SIDE:
            raise ValueError(f"{key} {values}")
        return values[1], values[2]

    def padding(self):
        padding = text(self.get("padding", 2, bytes, b""))
        if padding not in ("SAME", "VALID") or self.get("data_format", 2, bytes, b"NHWC") != b"NHWC" or self.window("dilations") != (1, 1):
            raise ValueError(f"padding {padding!r}, or a layout or dilation that is not known")
        return padding


def nodes(data):
    for i, (number, message) in enumerate(fields(data)):
        if i == MAX_NODES:
            raise ValueError(f"more than {MAX_NODES} nodes")
        if number != 1:
            continue
        node = Node()
        for n, value in fields(typed(message, bytes, "node")):
            if n in (1, 2, 3, 5):
                typed(value, bytes, "node")
            if n == 1:
                node.name = text(value)
            elif n == 2:
                node.op = text(value)
            elif n == 3:
                node.inputs.append(text(value))
            elif n == 5:
                node.attributes[text(only(value, 1, bytes, b""))] = only(value, 2, bytes, b"")
        yield node


@dataclass
class Convolution:
    """Not in the graph yet: a batch normalization may follow."""
    x: Map
    filters: np.ndarray
    strides: tuple
    padding: str
    depthwise: bool

    def channels(self):
        return self.filters.shape[2] * self.filters.shape[3] if self.depthwise else self.filters.shape[3]


def expect(value, kind, what):
    if not isinstance(value, kind):
        raise ValueError(f"{what} is not what is expected there ({type(value).__name__})")
    return value


class Lowering:
    def __init__(self, name):
        self.graph = Graph(name)
        self.values = {}
        self.weights = 0

    def raw(self, reference):
        name = reference.removesuffix(":0")
        if name not in self.values:
            raise ValueError(f"input {reference!r} is not a node before it")
        return self.values[name]

    def value(self, reference):
        value = self.raw(reference)
        if isinstance(value, Convolution):
            value = self.values[reference.removesuffix(":0")] = self.build(value, value.filters, None)
        return value

    def build(self, c, filters, bias):
        self.weights += filters.size
        if self.weights > MAX_WEIGHTS:
            raise ValueError(f"more than {MAX_WEIGHTS} weights")
        make = self.graph.depthwise if c.depthwise else self.graph.conv
        y = make(c.x, filters, bias, c.strides, c.padding)
        if y.h < 1 or y.w < 1:
            raise ValueError("the window is larger than the map")
        return y

    def add(self, node):
        handler = getattr(self, "op_" + node.op, None)
        if handler is None:
            raise ValueError(f"operation {node.op} is not known")
        if node.name in self.values:
            raise ValueError("a node of this name is there already")
        inputs = [i for i in node.inputs if not i.startswith("^")]
        least, most = (3, MAX_JOINED + 1) if node.op == "ConcatV2" else [INPUTS.get(node.op, 2)] * 2
        if not least <= len(inputs) <= most:
            raise ValueError(f"{len(inputs)} inputs")
        self.values[node.name] = handler(node, *inputs)

    def op_Placeholder(self, node):
        shape = shape_of(node.get("shape", 7, bytes, b""))
        if len(shape) != 4 or not 1 <= min(shape[1:]) <= max(shape[1:]) <= MAX_SIDE or self.graph.inputs:
            raise ValueError(f"an input of shape {shape}, or a second one")
        return self.graph.image(*shape[1:])

    def op_Const(self, node):
        return tensor(node.get("value", 8, bytes, b""))

    def op_Identity(self, _node, x):
        return self.raw(x)

    def op_Conv2D(self, node, x, filters):
        return self.convolution(node, x, filters, False)

    def op_DepthwiseConv2dNative(self, node, x, filters):
        return self.convolution(node, x, filters, True)

    def convolution(self, node, x, filters, depthwise):
        x, filters = expect(self.value(x), Map, "input"), expect(self.raw(filters), np.ndarray, "filter")
        if filters.ndim != 4 or filters.dtype != np.float32 or filters.shape[2] != x.c:
            raise ValueError(f"filters of shape {filters.shape} on a map of {x.c} channels")
        return Convolution(x, filters, node.window("strides"), node.padding(), depthwise)

    def op_FusedBatchNorm(self, node, x, *constants):
        c = expect(self.raw(x), Convolution, "input")
        filters = c.filters.reshape(*c.filters.shape[:2], -1) if c.depthwise else c.filters
        constants = [expect(self.raw(i), np.ndarray, "constant") for i in constants]
        if any(a.shape != filters.shape[-1:] for a in constants) or node.get("is_training", 5, int, 1) or constants[-1].min() < 0:
            raise ValueError("a batch normalization that is in training or does not fit")
        (epsilon,) = struct.unpack("<f", node.get("epsilon", 4, bytes, b"")[:4].ljust(4, b"\0"))
        if not 0 < epsilon < 1:
            raise ValueError(f"epsilon {epsilon}")
        gain, bias, mean, variance = (a.astype(np.float64) for a in constants)
        scale = gain / np.sqrt(variance + epsilon)
        filters, offset = filters * scale, bias - mean * scale
        if max(np.abs(filters).max(), np.abs(offset).max()) > np.finfo(np.float32).max:
            raise ValueError("folded into its convolution it gives numbers that are too large")
        return self.build(c, filters.reshape(c.filters.shape), offset)

    op_FusedBatchNormV3 = op_FusedBatchNorm  # they differ in what training needs

    def op_Relu(self, _node, x):
        return self.graph.relu(self.layer(x))

    def op_Relu6(self, _node, x):
        return self.graph.relu6(self.layer(x))

    def op_Sigmoid(self, _node, x):
        return self.graph.unary("Sigmoid", self.layer(x))

    def layer(self, reference):
        return expect(self.value(reference), (Map, Rows), "input")

    def op_Add(self, _node, a, b):
        return self.graph.add(expect(self.value(a), Map, "input"), expect(self.value(b), Map, "input"))

    op_AddV2 = op_Add  # without text

    def op_ConcatV2(self, _node, *inputs):
        *maps, axis = [self.value(i) for i in inputs]
        if not isinstance(axis, np.ndarray) or axis.tolist() not in (3, -1):
            raise ValueError("it does not join channels")
        maps = [expect(m, Map, "input") for m in maps]
        if any((m.h, m.w) != (maps[0].h, maps[0].w) for m in maps) or sum(m.c for m in maps) > MAX_SIDE:
            raise ValueError("maps of different sizes, or too many channels")
        return self.graph.concat_channels(maps)

    def op_AvgPool(self, node, x):
        y = self.graph.pool(expect(self.value(x), Map, "input"), "AveragePool", node.window("ksize"), node.window("strides"), node.padding())
        if y.h < 1 or y.w < 1:
            raise ValueError("the window is larger than the map")
        return y

    def op_Reshape(self, _node, x, shape):
        x, shape = expect(self.value(x), Map, "input"), expect(self.raw(shape), np.ndarray, "shape").tolist()
        if shape != [-1, x.c]:
            raise ValueError(f"{x} as {shape}")
        return self.graph.flatten(x)

    def op_MatMul(self, node, x, weights):
        x, weights = expect(self.value(x), Rows, "input"), expect(self.raw(weights), np.ndarray, "weights")
        if weights.ndim != 2 or (weights.shape[0],) != x.dims or node.get("transpose_a", 5, int, 0) or node.get("transpose_b", 5, int, 0):
            raise ValueError(f"weights of shape {weights.shape} on {x.dims}, or transposed")
        return self.graph.dense(x, weights)

    def op_BiasAdd(self, node, x, bias):
        x, bias = expect(self.raw(x), (Rows, Convolution), "input"), expect(self.raw(bias), np.ndarray, "bias")
        wide = x.dims if isinstance(x, Rows) else (x.channels(),)
        if bias.shape != wide or bias.dtype != np.float32 or node.get("data_format", 2, bytes, b"NHWC") != b"NHWC":
            raise ValueError(f"a bias of shape {bias.shape} on {wide}, or another layout")
        return self.build(x, x.filters, bias) if isinstance(x, Convolution) else self.graph.add(x, bias)


def convert(network, data, output):
    """ONNX bytes of a frozen graph; its last node that computes is the output, called `output`."""
    lowering, last = Lowering(network), None
    for node in nodes(data):
        try:
            lowering.add(node)
        except (ValueError, TypeError) as problem:
            raise ValueError(f"{node.op or 'operation'} of node {node.name}: {problem}") from problem
        last = node.name
    result = lowering.value(last) if last else None
    if not isinstance(result, Rows):
        raise ValueError("the graph does not end in a row of numbers")
    return lowering.graph.finish({output: result})
