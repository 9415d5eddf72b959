"""Writes ONNX graphs from networks described the way TensorFlow does: NHWC maps, HWIO filters, SAME padding.

ONNX is NCHW, so a `Map` of logical shape (height, width, channels) is stored as N x C x H x W, and filters and the rows of dense
layers are permuted while building; no Transpose is left except where an output lists anchors cell by cell. The batch is
symbolic ("N"). The same calls give the same bytes: names come from a counter or from the caller, weights from plain
elementwise arithmetic, and protobuf is serialised deterministically.
"""

from dataclasses import dataclass

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper

OPSET = 13
IR_VERSION = 7  # the one that goes with opset 13


@dataclass(frozen=True)
class Map:
    """A feature map: `name` holds N x c x h x w."""
    name: str
    h: int
    w: int
    c: int


@dataclass(frozen=True)
class Rows:
    """A plain tensor: `name` holds N x dims."""
    name: str
    dims: tuple


def same_pads(size, kernel, stride):
    """TensorFlow's SAME: as many outputs as ceil(size / stride), the odd pixel of padding at the end."""
    total = max(0, (-(-size // stride) - 1) * stride + kernel - size)
    return total // 2, total - total // 2


class Graph:
    def __init__(self, name):
        self.name = name
        self.nodes = []
        self.constants = {}
        self.inputs = {}  # name -> dims
        self.counter = 0

    # ---- plumbing

    def constant(self, value, dtype=np.float32):
        value = np.ascontiguousarray(value, dtype)
        key = (value.tobytes(), value.shape, value.dtype.str)
        if key not in self.constants:
            self.constants[key] = numpy_helper.from_array(value, f"c{len(self.constants)}")
        return self.constants[key].name

    def node(self, op, inputs, label=None, **attributes):
        self.counter += 1
        name = f"{label or op.lower()}_{self.counter}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def image(self, h, w, c, name="input"):
        self.inputs[name] = ["N", c, h, w]
        return Map(name, h, w, c)

    def rows(self, dims, name="input"):
        """An input that is no picture."""
        self.inputs[name] = ["N", *dims]
        return Rows(name, tuple(dims))

    def window(self, x, kernel, strides, padding):
        """Pads (ONNX order: top, left, bottom, right) and output size of a sliding window. `padding`: SAME, VALID, pixels all round or those pads."""
        if padding == "SAME":
            top, bottom = same_pads(x.h, kernel[0], strides[0])
            left, right = same_pads(x.w, kernel[1], strides[1])
        elif isinstance(padding, tuple):
            top, left, bottom, right = padding
        else:
            top = bottom = left = right = 0 if padding == "VALID" else int(padding)
        h = (x.h + top + bottom - kernel[0]) // strides[0] + 1
        w = (x.w + left + right - kernel[1]) // strides[1] + 1
        return [top, left, bottom, right], h, w

    # ---- layers on maps

    def conv(self, x, filters, bias=None, strides=(1, 1), padding="SAME", label=None):
        """`filters` HWIO."""
        weights = np.transpose(filters, (3, 2, 0, 1))
        return self.convolution(x, weights, bias, filters.shape[:2], strides, padding, 1, label)

    def depthwise(self, x, filters, bias=None, strides=(1, 1), padding="SAME", label=None):
        """`filters` HWCM: M filters for each channel, as TensorFlow's DepthwiseConv2dNative."""
        kh, kw, c, multiplier = filters.shape
        weights = np.transpose(filters, (2, 3, 0, 1)).reshape(c * multiplier, 1, kh, kw)
        return self.convolution(x, weights, bias, (kh, kw), strides, padding, c, label)

    def convolution(self, x, weights, bias, kernel, strides, padding, group, label):
        if weights.shape[1] * group != x.c:
            raise ValueError(f"{label}: filters for {weights.shape[1] * group} channels on a map of {x.c}")
        pads, h, w = self.window(x, kernel, strides, padding)
        inputs = [x.name, self.constant(weights)] + ([] if bias is None else [self.constant(np.ravel(bias))])
        name = self.node("Conv", inputs, label, kernel_shape=list(kernel), strides=list(strides), pads=pads, group=group)
        return Map(name, h, w, weights.shape[0])

    def pool(self, x, op, kernel, strides, padding="VALID"):
        """`op`: MaxPool or AveragePool (which leaves padding out of its mean, as TensorFlow does)."""
        pads, h, w = self.window(x, kernel, strides, padding)
        extra = {"count_include_pad": 0} if op == "AveragePool" else {}
        name = self.node(op, [x.name], kernel_shape=list(kernel), strides=list(strides), pads=pads, **extra)
        return Map(name, h, w, x.c)

    def pad(self, x, bottom=0, right=0, channels=0):
        """Zeros after the last row, column and channel."""
        pads = self.constant([0, 0, 0, 0, 0, channels, bottom, right], np.int64)
        name = self.node("Pad", [x.name, pads, self.constant(np.float32(0))], mode="constant")
        return Map(name, x.h + bottom, x.w + right, x.c + channels)

    def average(self, x):
        """The mean over the map, as a 1 x 1 map."""
        return Map(self.node("GlobalAveragePool", [x.name]), 1, 1, x.c)

    def gate(self, x, weights):
        """Each channel times its number in a 1 x 1 map."""
        if (weights.h, weights.w, weights.c) != (1, 1, x.c):
            raise ValueError(f"{x} weighted by {weights}")
        return self.like(x, self.node("Mul", [x.name, weights.name]))

    def prelu(self, x, slope):
        """`slope` broadcasts against (h, w, c)."""
        slope = np.asarray(slope).reshape((1,) * (3 - np.ndim(slope)) + np.shape(slope))
        return self.like(x, self.node("PRelu", [x.name, self.constant(np.transpose(slope, (2, 0, 1)))]))

    def concat_channels(self, maps):
        name = self.node("Concat", [m.name for m in maps], axis=1)
        return Map(name, maps[0].h, maps[0].w, sum(m.c for m in maps))

    # ---- layers on either

    @staticmethod
    def like(x, name):
        return Map(name, x.h, x.w, x.c) if isinstance(x, Map) else Rows(name, x.dims)

    def unary(self, op, x, **attributes):
        return self.like(x, self.node(op, [x.name], **attributes))

    def relu(self, x):
        return self.unary("Relu", x)

    def relu6(self, x):
        return self.like(x, self.node("Clip", [x.name, self.constant(np.float32(0)), self.constant(np.float32(6))]))

    def binary(self, op, a, b):
        """Two values of one shape, or a value and a constant array that broadcasts against it (a Map's: c x h x w)."""
        if isinstance(b, (Map, Rows)):
            if (a.h, a.w, a.c) != (b.h, b.w, b.c) if isinstance(a, Map) else a.dims != b.dims:
                raise ValueError(f"{op} of {a} and {b}")
            return self.like(a, self.node(op, [a.name, b.name]))
        return self.like(a, self.node(op, [a.name, self.constant(b)]))

    def add(self, a, b):
        return self.binary("Add", a, b)

    # ---- from maps to rows

    def flatten(self, x):
        """A 1 x 1 map as N x c."""
        if (x.h, x.w) != (1, 1):
            raise ValueError(f"{x} is not 1 x 1")
        return Rows(self.node("Flatten", [x.name], axis=1), (x.c,))

    def mean(self, x):
        """Mean over the map: N x c."""
        return self.flatten(self.average(x))

    def cells(self, x, values):
        """Anchors cell by cell (row-major cells, anchor fastest): N x (h * w * c / values) x values."""
        count = x.h * x.w * x.c // values
        rows = self.node("Transpose", [x.name], perm=[0, 2, 3, 1])
        return Rows(self.node("Reshape", [rows, self.constant([0, count, values], np.int64)]), (count, values))

    def dense(self, x, weights, bias=None, label=None):
        """`weights` in x out; a Map is flattened in NHWC order, as TensorFlow does, by permuting the weights instead of the data."""
        if isinstance(x, Map):
            weights = weights.reshape(x.h, x.w, x.c, -1).transpose(2, 0, 1, 3).reshape(x.h * x.w * x.c, -1)
            x = Rows(self.node("Flatten", [x.name], axis=1), (x.h * x.w * x.c,))
        inputs = [x.name, self.constant(weights.T)] + ([] if bias is None else [self.constant(np.ravel(bias))])
        return Rows(self.node("Gemm", inputs, label, transB=1), (weights.shape[1],))

    def softmax(self, x):
        return self.unary("Softmax", x, axis=-1)

    def concat_rows(self, parts, axis):
        """`axis` counts the batch: 1 is the first of dims."""
        dims = list(parts[0].dims)
        dims[axis - 1] = sum(p.dims[axis - 1] for p in parts)
        return Rows(self.node("Concat", [p.name for p in parts], axis=axis), tuple(dims))

    def last(self, x, start, stop):
        """x[..., start:stop]."""
        axis = len(x.dims)
        bounds = [self.constant([v], np.int64) for v in (start, stop, axis)]
        return Rows(self.node("Slice", [x.name, *bounds]), (*x.dims[:-1], stop - start))

    def drop_last(self, x):
        """N x ... x 1 as N x ..."""
        axis = self.constant([len(x.dims)], np.int64)
        return Rows(self.node("Squeeze", [x.name, axis]), x.dims[:-1])

    # ---- the file

    def finish(self, outputs, dynamic=None):
        """`outputs`: name -> Map or Rows. `dynamic`: name -> dims to declare instead (networks of any input size)."""
        renamed = {value.name: name for name, value in outputs.items()}
        for node in self.nodes:
            node.input[:] = [renamed.get(i, i) for i in node.input]
            node.output[:] = [renamed.get(o, o) for o in node.output]
        dims = {name: ["N", *((v.c, v.h, v.w) if isinstance(v, Map) else v.dims)] for name, v in outputs.items()}
        dims = {**self.inputs, **dims, **(dynamic or {})}
        inputs, results = ([helper.make_tensor_value_info(n, TensorProto.FLOAT, dims[n]) for n in names] for names in (self.inputs, outputs))
        graph = helper.make_graph(self.nodes, self.name, inputs, results, list(self.constants.values()))
        return serialised(helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)]))


def serialised(model):
    model.ir_version = IR_VERSION
    model.producer_name = "mien"
    model.producer_version = ""
    checker.check_model(model)
    return model.SerializeToString(deterministic=True)
