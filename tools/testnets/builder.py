"""Writes ONNX graphs layer by layer, with random weights scaled so that activations stay near one.

Convolutions and fully connected layers are drawn after He et al. 2015 (variance gain / fan-in); normalisations get random but
harmless statistics. Everything comes from one seeded generator: the same net is the same file, byte for byte.
"""
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Net:
    """One graph in the making. Layers take and return tensor names; `channels` remembers the width of each."""

    def __init__(self, name, opset=13, seed=1):
        self.name, self.opset = name, opset
        self.rng = np.random.default_rng([seed, *name.encode()])
        self.nodes, self.initializers, self.inputs, self.outputs = [], [], [], []
        self.channels = {}
        self.boost = 1.0  # on the variance of every convolution, for nets whose activations shrink the signal
        self.count = 0

    def fresh(self, kind):
        self.count += 1
        return f'{kind}_{self.count}'

    def input(self, shape, name='input'):
        """shape: numbers, or names for dynamic dimensions"""
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        self.channels[name] = shape[1] if len(shape) > 1 else None
        return name

    def output(self, tensor, rank, name=None, kind=TensorProto.FLOAT, dims=None):
        """Declares an output; with a name, through an Identity so that the name is free to choose. `dims`: what is declared of its shape."""
        if name is not None:
            tensor = self.op('Identity', tensor, out=name)
        dims = dims or [f'{tensor}_{i}' for i in range(rank)]
        self.outputs.append(helper.make_tensor_value_info(tensor, kind, dims))

    def const(self, value, dtype=np.float32):
        name = self.fresh('const')
        self.initializers.append(numpy_helper.from_array(np.array(value, dtype, order='C'), name))
        return name

    def ints(self, *values):
        return self.const(np.array(values), np.int64)

    def op(self, kind, *inputs, out=None, n_out=1, channels=None, **attributes):
        outs = [out or self.fresh(kind.lower())] + [self.fresh(kind.lower()) for _ in range(n_out - 1)]
        self.nodes.append(helper.make_node(kind, [i or '' for i in inputs], outs, name=self.fresh('node'), **attributes))
        known = next((self.channels[i] for i in inputs if i in self.channels), None)
        for o in outs:
            self.channels[o] = channels if channels is not None else known
        return outs[0] if n_out == 1 else outs

    def random(self, *shape, low=0.0, high=1.0):
        return self.rng.uniform(low, high, shape).astype(np.float32)

    def he(self, *shape, fan_in, gain=2.0):
        return (self.rng.standard_normal(shape) * np.sqrt(gain / fan_in)).astype(np.float32)

    def conv(self, x, out, kernel=3, stride=1, pad=None, groups=1, bias=True, dilation=1, gain=2.0, **attributes):
        kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
        if pad is None:
            pad = [k // 2 * dilation for k in kernel] * 2
        elif isinstance(pad, int):
            pad = [pad] * 4
        width = self.channels[x] // groups
        args = [x, self.const(self.he(out, width, *kernel, fan_in=width * kernel[0] * kernel[1], gain=gain * self.boost))]
        if bias:
            args.append(self.const(self.rng.standard_normal(out) * 0.02))
        if 'auto_pad' not in attributes:
            attributes['pads'] = pad
        return self.op('Conv', *args, channels=out, kernel_shape=kernel, strides=[stride] * 2, dilations=[dilation] * 2, group=groups, **attributes)

    def bn(self, x, epsilon=1e-5):
        c = self.channels[x]
        stats = self.random(c, low=0.8, high=1.2), self.rng.standard_normal(c) * 0.1, self.rng.standard_normal(c) * 0.1, self.random(c, low=0.6, high=1.4)
        return self.op('BatchNormalization', x, *(self.const(s) for s in stats), epsilon=epsilon)

    def relu(self, x):
        return self.op('Relu', x)

    def prelu(self, x):
        return self.op('PRelu', x, self.const(self.random(self.channels[x], 1, 1, low=-0.1, high=0.4)))

    def leaky(self, x, alpha=0.1):
        return self.op('LeakyRelu', x, alpha=alpha)

    def clip(self, x, low, high):
        return self.op('Clip', x, self.const(low), self.const(high))

    def add(self, x, y):
        return self.op('Add', x, y)

    def concat(self, parts, axis=1):
        width = sum(self.channels[p] for p in parts) if axis == 1 else self.channels[parts[0]]
        return self.op('Concat', *parts, axis=axis, channels=width)

    def pool(self, x, kind='MaxPool', kernel=3, stride=2, pad=0, **attributes):
        pads = {} if 'auto_pad' in attributes else {'pads': [pad] * 4 if isinstance(pad, int) else pad}
        return self.op(kind, x, kernel_shape=[kernel] * 2, strides=[stride] * 2, **pads, **attributes)

    def gemm(self, x, width, out, gain=1.0):
        weight, bias = self.const(self.he(out, width, fan_in=width, gain=gain)), self.const(self.rng.standard_normal(out) * 0.05)
        return self.op('Gemm', x, weight, bias, channels=out, transB=1)

    # What PyTorch's exporter writes for x.size(i), tensor.view(...), F.interpolate(size=...).

    def size(self, x, axis):
        return self.op('Gather', self.op('Shape', x), self.const(axis, np.int64), axis=0)

    def unsqueeze(self, x, axis=0):
        if self.opset >= 13:
            return self.op('Unsqueeze', x, self.ints(axis))
        return self.op('Unsqueeze', x, axes=[axis])

    def view(self, x, *dims):
        """dims: numbers, or names of scalar tensors"""
        parts = [self.unsqueeze(d) if isinstance(d, str) else self.ints(d) for d in dims]
        return self.op('Reshape', x, self.op('Concat', *parts, axis=0))

    def resize_like(self, x, like):
        """Nearest to the height and width of another tensor, by the Shape-Slice-Concat chain."""
        if self.opset >= 10:
            head = self.op('Slice', self.op('Shape', x), self.ints(0), self.ints(2), self.ints(0))
        else:
            head = self.op('Slice', self.op('Shape', x), axes=[0], starts=[0], ends=[2])
        sides = [self.op('Cast', self.unsqueeze(self.size(like, a)), to=TensorProto.INT64) for a in (2, 3)]
        sizes = self.op('Concat', head, self.op('Concat', *sides, axis=0), axis=0)
        no_scales = self.const(np.zeros(0)) if self.opset < 13 else None
        roi = self.const(np.zeros(0)) if self.opset < 13 else None
        return self.op('Resize', x, roi, no_scales, sizes, mode='nearest', coordinate_transformation_mode='asymmetric',
                       nearest_mode='floor', cubic_coeff_a=-0.75, channels=self.channels[x])

    def save(self, path):
        graph = helper.make_graph(self.nodes, self.name, self.inputs, self.outputs, self.initializers)
        model = helper.make_model(graph, producer_name='mien-testnets', opset_imports=[helper.make_opsetid('', self.opset)])
        model.ir_version = 7 if self.opset <= 14 else 8
        onnx.checker.check_model(model)
        with open(path, 'wb') as f:
            f.write(model.SerializeToString(deterministic=True))
