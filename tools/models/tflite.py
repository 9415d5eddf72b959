"""MediaPipe's face networks to ONNX: TensorFlow Lite models inside face_landmarker.task, a zip.

A TensorFlow Lite model is a FlatBuffer (tensorflow/compiler/mlir/lite/schema/schema.fbs): tensors with shape, type and a buffer that is
empty unless they are constant, and operators in the order of execution. Float16 weights stand behind DEQUANTIZE operators and become
float32 here. Quantised integer weights, sparse tensors, dilations and control flow are not taken, and only the operations that these networks use are
lowered; any other is an error that names it.

Tensors are NHWC, ONNX is NCHW. A `Value` remembers in which order its axes are stored, so that a TRANSPOSE of the model only renames axes; a
Transpose is written where a convolution, a reshape or a sum of two values needs another order than the one stored.
"""

import io
import math
import zipfile
from dataclasses import dataclass

import numpy as np
from onnx import checker

import flatbuffer
from onnxbuild import Graph, Map, Rows

# Model -> the member of the zip that holds it, and the ONNX names of its outputs in order.
MODELS = {
    "mp_blazeface_short": ("face_detector.tflite", ["regressors", "classificators"]),
    "mp_face_landmarks_478": ("face_landmarks_detector.tflite", ["landmarks", "face_flag", "tongue_out"]),
    "mp_face_blendshapes": ("face_blendshapes.tflite", ["blendshapes"]),
}
MAX_MEMBER = 64 << 20  # bytes
MAX_CONSTANTS = 8  # float32 values written, in bytes of the file: twice its size where each float16 constant is used once

# BuiltinOperator of the schema, by number; those beyond are called by their number.
OPERATORS = """ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE EMBEDDING_LOOKUP FLOOR FULLY_CONNECTED
    HASHTABLE_LOOKUP L2_NORMALIZATION L2_POOL_2D LOCAL_RESPONSE_NORMALIZATION LOGISTIC LSH_PROJECTION LSTM MAX_POOL_2D MUL RELU RELU_N1_TO_1 RELU6
    RESHAPE RESIZE_BILINEAR RNN SOFTMAX SPACE_TO_DEPTH SVDF TANH CONCAT_EMBEDDINGS SKIP_GRAM CALL CUSTOM EMBEDDING_LOOKUP_SPARSE PAD
    UNIDIRECTIONAL_SEQUENCE_RNN GATHER BATCH_TO_SPACE_ND SPACE_TO_BATCH_ND TRANSPOSE MEAN SUB DIV SQUEEZE UNIDIRECTIONAL_SEQUENCE_LSTM STRIDED_SLICE
    BIDIRECTIONAL_SEQUENCE_RNN EXP TOPK_V2 SPLIT LOG_SOFTMAX DELEGATE BIDIRECTIONAL_SEQUENCE_LSTM CAST PRELU MAXIMUM ARG_MAX MINIMUM LESS NEG PADV2
    GREATER GREATER_EQUAL LESS_EQUAL SELECT SLICE SIN TRANSPOSE_CONV SPARSE_TO_DENSE TILE EXPAND_DIMS EQUAL NOT_EQUAL LOG SUM SQRT RSQRT""".split()
SQUARED_DIFFERENCE, CUSTOM = 99, 32
TYPES = {0: "f4", 1: "f2", 2: "i4", 4: "i8"}  # TensorType: float32, float16, int32, int64
ACTIVATIONS = {0: None, 1: "Relu", 3: "Relu6"}
PADDINGS = {0: "SAME", 1: "VALID"}
MAX_STEP = 4096  # strides and windows
NCHW = (0, 3, 1, 2)


# ---- the file


@dataclass(frozen=True)
class Tensor:
    dims: tuple
    type: int
    value: object  # an array, None where it is computed


@dataclass(frozen=True)
class Operator:
    name: str
    inputs: list
    outputs: list
    options: object  # a Table or None

    def option(self, index, code="i", default=0):
        return default if self.options is None else self.options.number(index, code, default)

    def choice(self, index, choices, what):
        """An option of one byte that is an enumeration."""
        number = self.option(index, "b")
        if number not in choices:
            raise ValueError(f"{what} {number} is not known")
        return choices[number]


class File:
    """The first subgraph of a model; tensors are parsed when they are first asked for."""

    def __init__(self, data):
        model = flatbuffer.root(data, b"TFL3")
        subgraphs = model.tables(2)
        if len(subgraphs) != 1:
            raise ValueError(f"{len(subgraphs)} subgraphs, one is read")
        graph = subgraphs[0]
        self.codes = [operator_name(code) for code in model.tables(1)]
        self.buffers = model.tables(4)
        self.tables = graph.tables(0)
        self.inputs, self.outputs = indices(graph, 1), indices(graph, 2)
        self.operators = [self.operator(table) for table in graph.tables(3)]
        self.tensors = {}

    def operator(self, table):
        code = table.number(0, "I")
        if code >= len(self.codes):
            raise ValueError(f"an operator of code {code}, there are {len(self.codes)}")
        return Operator(self.codes[code], indices(table, 1), indices(table, 2), table.table(4))

    def tensor(self, index):
        if not 0 <= index < len(self.tables):
            raise ValueError(f"tensor {index} of {len(self.tables)}")
        if index not in self.tensors:
            self.tensors[index] = self.parsed(self.tables[index], index)
        return self.tensors[index]

    def parsed(self, table, index):
        dims, kind = tuple(indices(table, 0)), table.number(1, "b")
        if kind not in TYPES:
            raise ValueError(f"tensor {index} is of type {kind}: only float32, float16, int32 and int64 are taken")
        if table.table(6) is not None:
            raise ValueError(f"tensor {index} is sparse")
        if len(dims) > 4 or min(dims, default=1) < 1:
            raise ValueError(f"tensor {index} has dimensions {list(dims)[:8]}")
        return Tensor(dims, kind, self.content(table.number(2, "I"), dims, TYPES[kind], index))

    def content(self, buffer, dims, dtype, index):
        if buffer >= len(self.buffers):
            raise ValueError(f"tensor {index} lies in buffer {buffer} of {len(self.buffers)}")
        if self.buffers[buffer].number(1, "Q") > 1:
            raise ValueError(f"tensor {index} lies outside of the FlatBuffer")
        data = self.buffers[buffer].array(0, np.uint8)
        if data is None or not data.size:
            return None
        if data.size != math.prod(dims) * np.dtype(dtype).itemsize:
            raise ValueError(f"tensor {index} of dimensions {list(dims)} has {data.size} bytes")
        value = np.frombuffer(data.tobytes(), "<" + dtype).reshape(dims)
        return value.astype(np.float32) if dtype == "f2" else value


def indices(table, field):
    vector = table.array(field, np.int32)
    return [] if vector is None else vector.tolist()


def operator_name(code):
    """Codes above 126 do not fit the old field, which is kept for readers of its time."""
    number = max(code.number(0, "b"), code.number(3, "i"))
    if number == CUSTOM:
        return "CUSTOM " + ascii((code.string(1) or "")[:40])
    if number == SQUARED_DIFFERENCE:
        return "SQUARED_DIFFERENCE"
    return OPERATORS[number] if 0 <= number < len(OPERATORS) else f"builtin operator {number}"


# ---- the graph


@dataclass(frozen=True)
class Value:
    """A computed tensor of the model: `name` in the ONNX graph holds its axes in the order of `axes`. The batch is always first."""
    name: str
    dims: tuple
    axes: tuple

    def stored(self, axis):
        """Where the model's axis lies in the ONNX tensor."""
        return self.axes.index(axis)


def plain(name, dims):
    return Value(name, tuple(dims), tuple(range(len(dims))))


def from_map(m):
    return Value(m.name, (1, m.h, m.w, m.c), NCHW)


def broadcast(a, b):
    if len(a) != len(b) or any(x != y and 1 not in (x, y) for x, y in zip(a, b)):
        raise ValueError(f"dimensions {list(a)} and {list(b)} do not fit together")
    return tuple(max(x, y) for x, y in zip(a, b))


class Lowering:
    """Walks the operators in order; `values` maps the model's computed tensors to Values."""

    def __init__(self, name, data):
        self.file = File(data)
        self.graph = Graph(name)
        self.values = {}
        self.arrays = {}  # constants that an operator made of constants
        self.orders = {}  # (name, permutation) -> the Transpose that exists already
        self.left = MAX_CONSTANTS * len(data) + 65536
        self.batch_dropped = set()

    # ---- operands

    def array(self, op, k, what, optional=False):
        """Input `k`, a constant."""
        index = op.inputs[k] if k < len(op.inputs) else -1
        if index == -1 and optional:
            return None
        if index == -1:
            raise ValueError(f"it has no {what}")
        found = self.constant_of(index)
        if found is None:
            raise ValueError(f"its {what} is computed")
        self.spend(found.size)
        return found

    def constant_of(self, index):
        return self.arrays[index] if index in self.arrays else self.file.tensor(index).value

    def spend(self, count):
        """Bounds what a file that uses one constant in a thousand operators makes of it."""
        self.left -= 4 * count
        if self.left < 0:
            raise ValueError("the constants in use are many times the size of the file")

    def integers(self, op, k, what):
        found = self.array(op, k, what)
        if found.dtype.kind != "i":
            raise ValueError(f"its {what} is not of integers")
        return found

    def floats(self, op, k, what, rank=None, optional=False):
        found = self.array(op, k, what, optional)
        if found is not None and (found.dtype.kind != "f" or rank not in (None, found.ndim)):
            raise ValueError(f"its {what} is of type {found.dtype} and dimensions {list(found.shape)}")
        return found

    def value(self, op, k=0):
        """Input `k`, computed."""
        index = op.inputs[k] if k < len(op.inputs) else -1
        if index not in self.values:
            raise ValueError(f"its input {k} is not computed before it")
        if index in self.batch_dropped:
            raise ValueError("its input has lost its batch")
        return self.values[index]

    def ordered(self, value, axes):
        """The same value stored in another order of its axes."""
        perm = tuple(value.stored(axis) for axis in axes)
        if perm == tuple(range(len(perm))):
            return value
        key = value.name, perm
        if key not in self.orders:
            self.orders[key] = self.graph.node("Transpose", [value.name], perm=list(perm))
        return Value(self.orders[key], value.dims, tuple(axes))

    def map(self, op, k=0):
        value = self.value(op, k)
        if len(value.dims) != 4:
            raise ValueError(f"its input has dimensions {list(value.dims)}")
        _, h, w, c = value.dims
        return Map(self.ordered(value, NCHW).name, h, w, c)

    def like(self, value, name, dims=None):
        return Value(name, value.dims if dims is None else dims, value.axes)

    # ---- the whole

    def run(self, outputs):
        self.take_input()
        for number, op in enumerate(self.file.operators):
            try:
                self.lower(op)
            except ValueError as problem:
                raise ValueError(f"operator {number} ({op.name}): {problem}") from problem
        if len(self.file.outputs) != len(outputs):
            raise ValueError(f"{len(self.file.outputs)} outputs, {len(outputs)} were expected")
        return self.graph.finish({name: self.output(index, name) for name, index in zip(outputs, self.file.outputs)})

    def take_input(self):
        if len(self.file.inputs) != 1:
            raise ValueError(f"{len(self.file.inputs)} inputs, one is read")
        index = self.file.inputs[0]
        tensor = self.file.tensor(index)
        if tensor.value is not None or tensor.type != 0 or len(tensor.dims) < 2 or tensor.dims[0] != 1:
            raise ValueError(f"an input of dimensions {list(tensor.dims)} and type {tensor.type}")
        if len(tensor.dims) == 4:
            self.values[index] = from_map(self.graph.image(*tensor.dims[1:]))
        else:
            self.values[index] = plain(self.graph.rows(tensor.dims[1:]).name, tensor.dims)

    def lower(self, op):
        handler = getattr(self, "op_" + op.name, None)
        if handler is None:
            raise ValueError("this operation is not known")
        if len(op.outputs) != 1 or op.outputs[0] in self.values or op.outputs[0] in self.arrays:
            raise ValueError(f"its outputs {op.outputs[:8]} are not one new tensor")
        index = op.outputs[0]
        dims = self.file.tensor(index).dims
        result = handler(op)
        if isinstance(result, np.ndarray):
            made, self.arrays[index] = result.shape, result
        else:
            made, self.values[index] = result.dims[1:] if index in self.batch_dropped else result.dims, result
        if made != dims:
            raise ValueError(f"it makes dimensions {list(made)}, the file says {list(dims)}")

    def output(self, index, name):
        """N x C for a map of one pixel, else the model's order of axes."""
        if index not in self.values or index in self.file.inputs or self.file.outputs.count(index) > 1:
            raise ValueError(f"output {name} is not a computed tensor of its own")
        value = self.values[index]
        if len(value.dims) == 4 and value.dims[1:3] == (1, 1):
            return self.rows(self.reshaped(value, (1, value.dims[3])))
        return self.rows(self.ordered(value, range(len(value.dims))))

    @staticmethod
    def rows(value):
        return Rows(value.name, value.dims[1:])

    def activated(self, op, value, option):
        """The activation fused into an operation."""
        kind = op.choice(option, ACTIVATIONS, "activation")
        if kind == "Relu6":
            return self.like(value, self.graph.relu6(Rows(value.name, ())).name)
        return self.like(value, self.graph.node(kind, [value.name])) if kind else value

    # ---- operations on maps

    @staticmethod
    def steps(op, height, width, default=0):
        """Two options (numbers of fields) that say how far to step down and right."""
        found = op.option(height, default=default), op.option(width, default=default)
        if not all(1 <= step <= MAX_STEP for step in found):
            raise ValueError(f"strides, dilations or a window of {found}")
        return found

    def undilated(self, op, height, width):
        if self.steps(op, height, width, 1) != (1, 1):
            raise ValueError("it is dilated")

    def op_CONV_2D(self, op):
        self.undilated(op, 5, 4)
        filters, bias = self.floats(op, 1, "filters", 4).transpose(1, 2, 3, 0), self.bias(op)
        return self.convolved(op, self.graph.conv, filters, bias, 3)

    def op_DEPTHWISE_CONV_2D(self, op):
        self.undilated(op, 6, 5)
        filters, bias = self.floats(op, 1, "filters", 4), self.bias(op)
        one, h, w, count = filters.shape
        channels = self.map(op).c
        if one != 1 or count % channels:
            raise ValueError(f"filters of dimensions {list(filters.shape)} on {channels} channels")
        return self.convolved(op, self.graph.depthwise, filters.reshape(h, w, channels, count // channels), bias, 4)

    def bias(self, op):
        return self.floats(op, 2, "bias", 1, optional=True)

    def convolved(self, op, layer, filters, bias, activation):
        x = self.map(op)
        y = layer(x, filters, bias, self.steps(op, 2, 1), op.choice(0, PADDINGS, "padding"), op.name.lower())
        if bias is not None and bias.size != y.c:
            raise ValueError(f"{bias.size} biases for {y.c} channels")
        return self.activated(op, from_map(y), activation)

    def op_MAX_POOL_2D(self, op):
        return self.pooled(op, "MaxPool")

    def op_AVERAGE_POOL_2D(self, op):
        return self.pooled(op, "AveragePool")

    def pooled(self, op, kind):
        y = self.graph.pool(self.map(op), kind, self.steps(op, 4, 3), self.steps(op, 2, 1), op.choice(0, PADDINGS, "padding"))
        return self.activated(op, from_map(y), 5)

    def op_PAD(self, op):
        x, pads = self.map(op), self.integers(op, 1, "padding")
        if pads.shape != (4, 2) or pads.min() < 0 or pads[:, 0].any() or pads[0, 1]:
            raise ValueError("only padding behind the last row, column and channel is taken")
        return from_map(self.graph.pad(x, *pads[1:, 1].tolist()))

    def op_PRELU(self, op):
        x, slope = self.map(op), self.floats(op, 1, "slope", 3)
        broadcast((x.h, x.w, x.c), slope.shape)
        return from_map(self.graph.prelu(x, slope))

    # ---- operations on any value

    def op_DEQUANTIZE(self, op):
        """Of float16 constants, which are float32 already."""
        return self.floats(op, 0, "input")

    def unary(self, op, *kinds):
        value = self.value(op)
        for kind in kinds:
            value = self.like(value, self.graph.node(kind, [value.name]))
        return value

    def op_RELU(self, op):
        return self.unary(op, "Relu")

    def op_LOGISTIC(self, op):
        return self.unary(op, "Sigmoid")

    def op_NEG(self, op):
        return self.unary(op, "Neg")

    def op_SQRT(self, op):
        return self.unary(op, "Sqrt")

    def op_RSQRT(self, op):
        return self.unary(op, "Sqrt", "Reciprocal")

    def op_ADD(self, op):
        return self.activated(op, self.binary(op, "Add"), 0)

    def op_SUB(self, op):
        return self.activated(op, self.binary(op, "Sub"), 0)

    def op_MUL(self, op):
        return self.activated(op, self.binary(op, "Mul"), 0)

    def op_DIV(self, op):
        return self.activated(op, self.binary(op, "Div"), 0)

    def op_SQUARED_DIFFERENCE(self, op):
        difference = self.binary(op, "Sub")
        return self.like(difference, self.graph.node("Mul", [difference.name, difference.name]))

    def binary(self, op, kind):
        if len(op.inputs) != 2:
            raise ValueError(f"{len(op.inputs)} inputs")
        is_constant = [self.constant_of(index) is not None for index in op.inputs]
        if all(is_constant):
            raise ValueError("both inputs are constants")
        if any(is_constant):
            k = is_constant.index(False)
            x = self.value(op, k)
            dims, constant = self.beside(x, self.floats(op, 1 - k, "constant"))
            return self.like(x, self.graph.node(kind, [x.name, constant] if k == 0 else [constant, x.name]), dims)
        a, b = self.value(op, 0), self.value(op, 1)
        dims = broadcast(a.dims, b.dims)
        axes = NCHW if NCHW in (a.axes, b.axes) else a.axes  # what the convolutions want
        a, b = self.ordered(a, axes), self.ordered(b, axes)
        return Value(self.graph.node(kind, [a.name, b.name]), dims, axes)

    def beside(self, x, constant):
        """Result dimensions of `x` and a constant, and the constant in the order in which `x` is stored."""
        if constant.ndim > len(x.dims):
            raise ValueError(f"a constant of dimensions {list(constant.shape)}")
        constant = constant.reshape((1,) * (len(x.dims) - constant.ndim) + constant.shape)
        dims = broadcast(x.dims, constant.shape)
        if dims[0] != 1:
            raise ValueError(f"a batch of {dims[0]}")
        return dims, self.graph.constant(constant.reshape(1) if constant.size == 1 else constant.transpose(x.axes))

    def op_MEAN(self, op):
        x, axes, dims = self.reduced(op)
        return self.like(x, self.graph.node("ReduceMean", [x.name], axes=axes, keepdims=1), dims)

    def op_SUM(self, op):
        x, axes, dims = self.reduced(op)
        return self.like(x, self.graph.node("ReduceSum", [x.name, self.graph.constant(axes, np.int64)], keepdims=1), dims)

    def reduced(self, op):
        """The value, the axes as they are stored, and the dimensions that are left."""
        x, rank = self.value(op), len(self.value(op).dims)
        axes = {int(axis) + rank * (axis < 0) for axis in self.integers(op, 1, "axes").ravel()}
        if not axes <= set(range(1, rank)) or not axes:
            raise ValueError(f"axes {sorted(axes)[:8]} of {rank}")
        if not op.option(0, "b"):
            raise ValueError("it drops the axes that it reduces")
        return x, sorted(x.stored(axis) for axis in axes), tuple(1 if axis in axes else size for axis, size in enumerate(x.dims))

    # ---- operations on shapes

    def op_TRANSPOSE(self, op):
        """Only names the axes anew; whoever needs them in order moves the data."""
        x, perm = self.value(op), self.integers(op, 1, "permutation").ravel().tolist()
        if sorted(perm) != list(range(len(x.dims))) or perm[0] != 0:
            raise ValueError(f"permutation {perm[:8]} of {len(x.dims)} axes")
        return Value(x.name, tuple(x.dims[axis] for axis in perm), tuple(perm.index(axis) for axis in x.axes))

    def op_RESHAPE(self, op):
        """The new dimensions are those of the output, which the file must agree with."""
        return self.reshaped(self.value(op), self.file.tensor(op.outputs[0]).dims)

    def reshaped(self, x, dims):
        if math.prod(x.dims) != math.prod(dims) or x.dims[:1] != dims[:1]:
            raise ValueError(f"dimensions {list(x.dims)} to {list(dims)}")
        if x.dims == dims:
            return x
        long = [axis for axis in x.axes if x.dims[axis] != 1]
        if long != sorted(long):  # axes of one element may lie anywhere
            x = self.ordered(x, range(len(x.dims)))
        if len(dims) == 2:
            return plain(self.graph.node("Flatten", [x.name], axis=1), dims)
        return plain(self.graph.node("Reshape", [x.name, self.graph.constant([0, *dims[1:]], np.int64)]), dims)

    def op_STRIDED_SLICE(self, op):
        x = self.value(op)
        begin, end, strides = (self.integers(op, k, what).ravel().tolist() for k, what in ((1, "begin"), (2, "end"), (3, "strides")))
        if len({len(x.dims), len(begin), len(end), len(strides)}) != 1 or set(strides) != {1} or op.option(2) or op.option(3):
            raise ValueError("only slices of every axis with a stride of 1 are taken")
        for axis, size in enumerate(x.dims):
            first = 0 if op.option(0) >> axis & 1 else begin[axis]
            last = size if op.option(1) >> axis & 1 else end[axis]
            if not 0 <= first < last <= size:
                raise ValueError(f"elements {first} to {last} of {size}")
            if (first, last) != (0, size):
                x = self.sliced(x, axis, first, last)
        return self.without_batch(op, x)

    def sliced(self, x, axis, first, last):
        bounds = [self.graph.constant([v], np.int64) for v in (first, last, x.stored(axis))]
        dims = (*x.dims[:axis], last - first, *x.dims[axis + 1 :])
        return self.like(x, self.graph.node("Slice", [x.name, *bounds]), dims)

    def without_batch(self, op, x):
        """x[0]: the model's result for its batch of one. ONNX keeps the batch, so this may only be an output."""
        shrink = op.option(4)
        if shrink not in (0, 1):
            raise ValueError(f"it drops axes (mask {shrink})")
        if shrink:
            self.batch_dropped.add(op.outputs[0])
        return x

    def op_CONCATENATION(self, op):
        computed = [k for k, index in enumerate(op.inputs) if self.constant_of(index) is None]
        if not computed:
            raise ValueError("nothing in it is computed")
        rank = len(self.value(op, computed[0]).dims)
        axis = op.option(0) + rank * (op.option(0) < 0)
        if not 1 <= axis < rank:
            raise ValueError(f"axis {op.option(0)} of {rank}")
        if len(computed) == len(op.inputs):
            return self.activated(op, self.joined([self.value(op, k) for k in computed], axis), 1)
        if len(computed) > 1:
            raise ValueError("constants among several computed inputs")
        return self.activated(op, self.surrounded(op, computed[0], axis), 1)

    def joined(self, parts, axis):
        first = parts[0]
        for part in parts:
            if part.dims[:axis] + part.dims[axis + 1 :] != first.dims[:axis] + first.dims[axis + 1 :]:
                raise ValueError(f"dimensions {list(part.dims)} beside {list(first.dims)}")
        names = [self.ordered(part, first.axes).name for part in parts]
        dims = (*first.dims[:axis], sum(part.dims[axis] for part in parts), *first.dims[axis + 1 :])
        return self.like(first, self.graph.node("Concat", names, axis=first.stored(axis)), dims)

    def surrounded(self, op, k, axis):
        """Constants before and after one value. A constant has a batch of one and the value any, so zeros are put around it and the constants added."""
        x = self.value(op, k)
        parts = [self.floats(op, i, "constant", len(x.dims)) if i != k else None for i in range(len(op.inputs))]
        if any(p is not None and p.shape[:axis] + p.shape[axis + 1 :] != x.dims[:axis] + x.dims[axis + 1 :] for p in parts):
            raise ValueError("constants of other dimensions")
        before, after = (sum(p.shape[axis] for p in some) for some in (parts[:k], parts[k + 1 :]))
        dims = (*x.dims[:axis], before + x.dims[axis] + after, *x.dims[axis + 1 :])
        self.spend(math.prod(dims))
        whole = np.concatenate([np.zeros(x.dims, np.float32) if p is None else p for p in parts], axis)
        pads = np.zeros((2, len(x.dims)), np.int64)
        pads[:, x.stored(axis)] = before, after
        zero = self.graph.constant(np.float32(0))
        padded = self.graph.node("Pad", [x.name, self.graph.constant(pads.ravel(), np.int64), zero], mode="constant")
        return self.like(x, self.graph.node("Add", [padded, self.graph.constant(whole.transpose(x.axes))]), dims)


# ---- from the published file


def network(name, data, outputs):
    """ONNX bytes of a TensorFlow Lite model; `outputs`: their names in the model's order."""
    try:
        return Lowering(name, data).run(outputs)
    except checker.ValidationError as problem:
        raise ValueError(f"the network makes no valid ONNX file: {str(problem).splitlines()[0]}") from problem


def member(data, name):
    """A file of the zip, which MediaPipe stores uncompressed."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as task:
            info = task.getinfo(name)
            if info.compress_type != zipfile.ZIP_STORED or info.file_size > min(MAX_MEMBER, len(data)):
                raise ValueError(f"{name} is compressed or has {info.file_size} bytes")
            return task.read(info)
    except KeyError:
        raise ValueError(f"the zip has no {name}") from None
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as problem:
        raise ValueError(f"{name} cannot be read from the zip: {str(problem).splitlines()[0] if str(problem) else type(problem).__name__}") from problem


def convert(model_id, task):
    """ONNX bytes of one of MODELS from the bytes of face_landmarker.task."""
    if model_id not in MODELS:
        raise ValueError(f"{model_id} is not in face_landmarker.task")
    name, outputs = MODELS[model_id]
    try:
        return network(model_id, member(task, name), outputs)
    except ValueError as problem:
        raise ValueError(f"{name}: {problem}") from problem
