"""MiniFASNet (V1, V2, V1SE, V2SE), the anti-spoofing networks of Minivision, from their PyTorch weights to ONNX.

A state dictionary has weights only; the topology is that of src/model_lib/MiniFASNet.py in minivision-ai/Silent-Face-Anti-Spoofing:
a MobileFaceNet of pruned widths. Widths, the number of blocks and where a squeeze-and-excitation stands are what differs between the
variants, and all of it shows in the names and shapes of the weights, so one description serves them all. Every weight must be
used: one that is left over means that the file is of another network. BatchNorm is folded into the convolution before it.
"""

import numpy as np

import pth
from onnxbuild import Graph, Map

SIZE, CLASSES = 80, 3
BATCHNORM_EPSILON = 1e-5  # PyTorch's default, which the network keeps
WRAPPER = "module."  # before every name when DataParallel trained it
UNUSED = ".num_batches_tracked"  # of BatchNorm, for training only


class Net:
    """A Graph and the weights of the file, of which `left` were not used yet."""

    def __init__(self, name, weights):
        self.weights = weights
        self.left = set(weights)
        self.g = Graph(name)

    def weight(self, name, *shape):
        """A weight of that shape, as finite float64; None stands for any size."""
        value = self.weights.get(name)
        if value is None:
            raise ValueError(f"no weight {name!r}: not a MiniFASNet")
        if value.ndim != len(shape) or any(want not in (None, got) for want, got in zip(shape, value.shape)) or 0 in value.shape:
            raise ValueError(f"weight {name!r} has shape {value.shape}, expected {shape}")
        if value.dtype != np.float32 or not np.isfinite(value).all():
            raise ValueError(f"weight {name!r} is not of finite 32-bit numbers")
        self.left.discard(name)
        return value.astype(np.float64)

    def normalised(self, weights, path):
        """Weights (output channels first) and bias of a layer with the BatchNorm `path` behind it."""
        gain, offset, mean, variance = (self.weight(f"{path}.{part}", len(weights)) for part in ("weight", "bias", "running_mean", "running_var"))
        if (variance < 0).any():
            raise ValueError(f"{path!r} has a negative variance")
        scale = gain / np.sqrt(variance + BATCHNORM_EPSILON)
        weights, bias = weights * scale.reshape(-1, *[1] * (weights.ndim - 1)), offset - mean * scale
        if max(np.abs(weights).max(), np.abs(bias).max()) > np.finfo(np.float32).max:
            raise ValueError(f"{path!r} gives weights beyond the range of 32 bits")
        return weights, bias

    def conv(self, x, path, batchnorm, kernel=1, stride=1, padding=0, depthwise=False):
        weights = self.weight(path + ".weight", x.c if depthwise else None, 1 if depthwise else x.c, kernel, kernel)
        weights, bias = self.normalised(weights, batchnorm)
        return self.g.convolution(x, weights, bias, (kernel, kernel), (stride, stride), padding, x.c if depthwise else 1, path)

    # ---- the blocks, by the names they have in MiniFASNet.py

    def linear_block(self, x, path, **shape):
        return self.conv(x, path + ".conv", path + ".bn", **shape)

    def conv_block(self, x, path, **shape):
        x = self.linear_block(x, path, **shape)
        return self.g.prelu(x, self.weight(path + ".prelu.weight", x.c))

    def se_module(self, x, path):
        """Squeeze and excitation: each channel times a number between 0 and 1 that depends on the means of all."""
        means = Map(self.g.node("GlobalAveragePool", [x.name]), 1, 1, x.c)
        y = self.g.relu(self.conv(means, path + ".fc1", path + ".bn1"))
        y = self.g.unary("Sigmoid", self.conv(y, path + ".fc2", path + ".bn2"))
        if y.c != x.c:
            raise ValueError(f"{path!r} scales {y.c} channels of {x.c}")
        return self.g.like(x, self.g.node("Mul", [x.name, y.name]))

    def depth_wise(self, x, path, stride=1):
        y = self.conv_block(x, path + ".conv")
        y = self.conv_block(y, path + ".conv_dw", kernel=3, stride=stride, padding=1, depthwise=True)
        y = self.linear_block(y, path + ".project")
        return self.se_module(y, path + ".se_module") if path + ".se_module.fc1.weight" in self.weights else y

    def residual(self, x, path):
        count = 0
        while f"{path}.model.{count}.conv.conv.weight" in self.weights:
            x = self.g.add(x, self.depth_wise(x, f"{path}.model.{count}"))
            count += 1
        return x

    def classes(self, x):
        weights, bias = self.normalised(self.weight("linear.weight", None, x.c), "bn")
        x = self.g.dense(x, weights.T, bias, "linear")
        return self.g.softmax(self.g.dense(x, self.weight("prob.weight", CLASSES, *x.dims).T, label="prob"))


def state(data):
    """Weights by the names they have in MiniFASNet.py."""
    weights = {name: value for name, value in pth.read(data).items() if not name.endswith(UNUSED)}
    if all(name.startswith(WRAPPER) for name in weights):
        weights = {name.removeprefix(WRAPPER): value for name, value in weights.items()}
    return weights


def convert(network, data):
    """ONNX bytes, named `network`, of the .pth of one of the variants with 80 x 80 input and three classes."""
    net = Net(network, state(data))
    x = net.conv_block(net.g.image(SIZE, SIZE, 3), "conv1", kernel=3, stride=2, padding=1)
    x = net.conv_block(x, "conv2_dw", kernel=3, padding=1, depthwise=True)
    for i in (3, 4, 5):
        x = net.depth_wise(x, f"conv_{i - 1}{i}", stride=2)
        x = net.residual(x, f"conv_{i}")
    x = net.conv_block(x, "conv_6_sep")
    x = net.linear_block(x, "conv_6_dw", kernel=5, depthwise=True)
    prob = net.classes(x)
    if net.left:
        raise ValueError(f"{len(net.left)} weights have no place in a MiniFASNet, {min(net.left)!r} first")
    return net.g.finish({"prob": prob})
