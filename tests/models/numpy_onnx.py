"""Runs an ONNX file with numpy: the operations of the converted networks and nothing else, written from the ONNX operator specification.

An oracle of its own for the conversions: it shares no code with the tool that writes the files nor with the engine that reads them.
"""

import numpy as np
import onnx
from numpy.lib.stride_tricks import sliding_window_view
from onnx import helper, numpy_helper


def windows(x, attributes, fill):
    """N x C x OH x OW x KH x KW view of the padded input."""
    top, left, bottom, right = attributes.get("pads", [0, 0, 0, 0])
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=fill)
    sy, sx = attributes.get("strides", [1, 1])
    dy, dx = attributes.get("dilations", [1, 1])
    kh, kw = attributes["kernel_shape"]
    return sliding_window_view(x, ((kh - 1) * dy + 1, (kw - 1) * dx + 1), axis=(2, 3))[:, :, ::sy, ::sx, ::dy, ::dx]


def conv(a, x, weights, bias=None):
    view, group = windows(x, a, 0), a.get("group", 1)
    if group == x.shape[1] and weights.shape[1] == 1 and weights.shape[0] == group:
        y = np.einsum("nchwij,cij->nchw", view, weights[:, 0], optimize=False)
    elif group == 1:
        n, c, h, w, kh, kw = view.shape
        columns = view.transpose(0, 2, 3, 1, 4, 5).reshape(n, h * w, c * kh * kw)
        y = (columns @ weights.reshape(len(weights), -1).T).transpose(0, 2, 1).reshape(n, len(weights), h, w)
    else:
        raise ValueError(f"groups {group} of {x.shape[1]}")
    return y if bias is None else y + bias.reshape(1, -1, 1, 1)


def batch_normalization(a, x, *constants):
    gain, bias, mean, var = (c.reshape(1, -1, *[1] * (x.ndim - 2)) for c in constants)
    return (x - mean) / np.sqrt(var + a.get("epsilon", 1e-5)) * gain + bias


def average_pool(a, x):
    over = [(x.shape[2 + i] - k) % s for i, (k, s) in enumerate(zip(a["kernel_shape"], a.get("strides", [1, 1])))]
    assert not (a.get("ceil_mode") and any(over))  # a map that does not end with a window is not done here
    ones = windows(np.ones_like(x), a, 0).sum((4, 5))
    return windows(x, a, 0).sum((4, 5)) / ones


def pad(a, x, pads, value=0):
    half = len(pads) // 2
    return np.pad(x, [(int(pads[i]), int(pads[half + i])) for i in range(half)], constant_values=value)


def reshape(a, x, shape):
    return x.reshape([x.shape[i] if d == 0 else int(d) for i, d in enumerate(shape)])


def strided_slice(a, x, starts, ends, axes):
    index = [slice(None)] * x.ndim
    for start, end, axis in zip(starts, ends, axes):
        index[axis] = slice(int(start), int(end))
    return x[tuple(index)]


def softmax(a, x):
    e = np.exp(x - x.max(a.get("axis", -1), keepdims=True))
    return e / e.sum(a.get("axis", -1), keepdims=True)


def doubled(a, x, roi, scales, sizes=None):
    assert a["mode"] == b"nearest" and a["nearest_mode"] == b"floor"
    if sizes is None:
        assert list(scales) == [1, 1, 2, 2]
    else:
        assert list(sizes) == [*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3]] and a["coordinate_transformation_mode"] == b"asymmetric"
    return x.repeat(2, 2).repeat(2, 3)


OPERATIONS = {
    "Conv": conv, "AveragePool": average_pool, "Pad": pad, "Reshape": reshape, "Slice": strided_slice, "Softmax": softmax, "Resize": doubled,
    "MaxPool": lambda a, x: windows(x, a, -np.inf).max((4, 5)),
    "GlobalAveragePool": lambda a, x: x.mean((2, 3), keepdims=True),
    "Gemm": lambda a, x, w, b=0: x @ (w.T if a.get("transB") else w) + b,
    "Relu": lambda a, x: np.maximum(x, 0),
    "LeakyRelu": lambda a, x: np.where(x < 0, x * np.float32(a["alpha"]), x),
    "PRelu": lambda a, x, slope: np.where(x < 0, x * slope, x),
    "Clip": lambda a, x, low, high: np.clip(x, low, high),
    "Sigmoid": lambda a, x: 1 / (1 + np.exp(-x)),
    "Exp": lambda a, x: np.exp(x),
    "Add": lambda a, x, y: x + y,
    "Sub": lambda a, x, y: x - y,
    "Mul": lambda a, x, y: x * y,
    "Div": lambda a, x, y: x / y,
    "Neg": lambda a, x: -x,
    "Sqrt": lambda a, x: np.sqrt(x),
    "Reciprocal": lambda a, x: 1 / x,
    "ReduceMean": lambda a, x: x.mean(tuple(a["axes"]), keepdims=bool(a["keepdims"])),
    "ReduceSum": lambda a, x, axes: x.sum(tuple(int(i) for i in axes), keepdims=bool(a["keepdims"])),
    "Concat": lambda a, *xs: np.concatenate(xs, a["axis"]),
    "Transpose": lambda a, x: x.transpose(a["perm"]),
    "Flatten": lambda a, x: x.reshape(int(np.prod(x.shape[: a.get("axis", 1)])), -1),
    "Shape": lambda a, x: np.array(x.shape, np.int64),
    "Gather": lambda a, x, i: np.take(x, i, a.get("axis", 0)),
    "Unsqueeze": lambda a, x, axes=None: np.expand_dims(x, tuple(int(i) for i in (a["axes"] if axes is None else axes))),
    "Identity": lambda a, x: x,
    "Cast": lambda a, x: x.astype(np.int64) if a["to"] == onnx.TensorProto.INT64 else 1 / 0,
    "MatMul": lambda a, x, y: x @ y,
    "BatchNormalization": batch_normalization,
    "Squeeze": lambda a, x, axes: np.squeeze(x, tuple(int(i) for i in axes)),
}


def run(data, feeds):
    """Outputs by name. `data`: ONNX bytes; `feeds`: input name -> array. Values are dropped after their last use."""
    graph = onnx.load_from_string(data).graph
    values = {"": None, **{c.name: numpy_helper.to_array(c) for c in graph.initializer}, **feeds}
    outputs = [o.name for o in graph.output]
    last_use = {name: i for i, node in enumerate(graph.node) for name in node.input}
    for i, node in enumerate(graph.node):
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        result = OPERATIONS[node.op_type](attributes, *(values[name] for name in node.input))
        values[node.output[0]] = result.astype(np.float32) if result.dtype == np.float64 else result
        for name in set(node.input):
            if last_use[name] == i and name not in outputs:
                values.pop(name, None)
    return {name: values[name] for name in outputs}


def golden_input(shape, low, high):
    """The goldens' generator: x = (1103515245 x + 12345) mod 2^31 from 12345, value = (x >> 8) / 2^23 scaled to low..high."""
    count = int(np.prod(shape))
    state, values = 12345, np.empty(count, np.int64)
    for i in range(count):
        state = (1103515245 * state + 12345) & 0x7FFFFFFF
        values[i] = state
    unit = (values >> 8) / 2.0**23
    return (unit * (high - low) + low).astype(np.float32).reshape(shape)
