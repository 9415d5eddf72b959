"""Weights that Keras saved as HDF5 (`model.save_weights`) to ONNX: the two networks of MesoNet.

Such a file has arrays only, LAYER_NUMBER/LAYER_NUMBER/kernel:0 and so on; the networks are written out here again from the
paper's code (https://github.com/DariusAf/MesoNet, classifiers.py). Layers are numbered as they were made, from any number.
"""

import re

import numpy as np

import hdf5
from onnxbuild import Graph, Map

SIZE = 256
BATCHNORM_EPSILON = 0.0010000000474974513  # Keras's default as float32
SLOPE = 0.1  # of the leaky ReLU between the dense layers
PATH = re.compile(r"(conv2d|batch_normalization|dense)_([0-9]{1,6})/(?:[^/]+/)*(kernel|bias|gamma|beta|moving_mean|moving_variance)(?::0)?")


def layers_of(arrays):
    """kind -> the layers of that kind in the order they were made, each weight name -> array."""
    numbered = {}
    for path, array in arrays.items():
        match = PATH.fullmatch(path)
        if not match:
            raise ValueError(f"{path} is not a weight of a layer that is known")
        kind, number, weight = match[1], int(match[2]), match[3]
        layer = numbered.setdefault(kind, {}).setdefault(number, {})
        if weight in layer:
            raise ValueError(f"{path} is there twice")
        if not np.isfinite(array).all():
            raise ValueError(f"{path} has numbers that are not finite")
        layer[weight] = array
    return {kind: [layers[number] for number in sorted(layers)] for kind, layers in numbered.items()}


class Net:
    """A Graph and the layers that are still to be used."""

    def __init__(self, name, layers):
        self.g = Graph(name)
        self.layers = layers
        self.image = self.g.image(SIZE, SIZE, 3)

    def take(self, kind, weights):
        """The next layer of a kind, as its arrays in the order of `weights`."""
        if not self.layers.get(kind):
            raise ValueError(f"there are fewer {kind} layers than the network has")
        layer = self.layers[kind].pop(0)
        if set(layer) != set(weights):
            raise ValueError(f"a {kind} layer has {', '.join(sorted(layer))} instead of {', '.join(weights)}")
        return [layer[weight] for weight in weights]

    def conv(self, x, kernel, dilation=1):
        """Convolution of a square, odd kernel at stride 1 with SAME padding, then ReLU."""
        filters, bias = self.take("conv2d", ("kernel", "bias"))
        if filters.ndim != 4 or filters.shape[:3] != (kernel, kernel, x.c) or bias.shape != filters.shape[3:]:
            raise ValueError(f"filters of shape {filters.shape} and {bias.shape} where {kernel} x {kernel} x {x.c} are expected")
        weights = [self.g.constant(filters.transpose(3, 2, 0, 1)), self.g.constant(bias)]
        attributes = {"dilations": [dilation] * 2} if dilation > 1 else {}
        name = self.g.node("Conv", [x.name, *weights], kernel_shape=[kernel] * 2, strides=[1, 1], pads=[dilation * (kernel // 2)] * 4, group=1, **attributes)
        return self.g.relu(Map(name, x.h, x.w, len(bias)))

    def norm_pool(self, x, window):
        """BatchNormalization, which stands behind a ReLU and cannot be folded into the convolution, then MaxPool."""
        weights = self.take("batch_normalization", ("gamma", "beta", "moving_mean", "moving_variance"))
        if any(w.shape != (x.c,) for w in weights) or weights[3].min() < 0:
            raise ValueError(f"a batch normalization is not one of {x.c} channels")
        name = self.g.node("BatchNormalization", [x.name, *(self.g.constant(w) for w in weights)], epsilon=BATCHNORM_EPSILON)
        return self.g.pool(Map(name, x.h, x.w, x.c), "MaxPool", (window, window), (window, window))

    def dense(self, x, inputs):
        kernel, bias = self.take("dense", ("kernel", "bias"))
        if kernel.ndim != 2 or kernel.shape[0] != inputs or bias.shape != kernel.shape[1:]:
            raise ValueError(f"a dense layer of shape {kernel.shape} and {bias.shape} where {inputs} inputs are expected")
        return self.g.dense(x, kernel, bias)

    def head(self, x):
        """Two dense layers (the dropout before each does nothing here) to the probability that a face is real."""
        y = self.g.unary("LeakyRelu", self.dense(x, x.h * x.w * x.c), alpha=SLOPE)
        y = self.dense(y, y.dims[0])
        if y.dims != (1,):
            raise ValueError(f"{y.dims[0]} outputs where one is expected")
        return self.g.unary("Sigmoid", y)


def meso4(net):
    x = net.image
    for kernel, window in ((3, 2), (5, 2), (5, 2), (5, 4)):
        x = net.norm_pool(net.conv(x, kernel), window)
    return net.head(x)


def inception(net, x):
    """1 x 1 beside three 3 x 3 of dilation 1, 2 and 3."""
    branches = [net.conv(x, 1)]
    for dilation in (1, 2, 3):
        branches.append(net.conv(net.conv(x, 1), 3, dilation))
    return net.norm_pool(net.g.concat_channels(branches), 2)


def mesoinception4(net):
    x = inception(net, inception(net, net.image))
    for window in (2, 4):
        x = net.norm_pool(net.conv(x, 5), window)
    return net.head(x)


NETWORKS = {"meso4_df": meso4, "mesoinception4_df": mesoinception4}


def convert(network, data, output):
    """ONNX bytes of one of NETWORKS from its .h5; `output`: what to call the probability."""
    if network not in NETWORKS:
        raise ValueError(f"the layers of {network} are not known; known are {', '.join(NETWORKS)}")
    net = Net(network, layers_of(hdf5.arrays(data)))
    probability = NETWORKS[network](net)
    left = [kind for kind, layers in net.layers.items() if layers]
    if left:
        raise ValueError(f"there are more {' and '.join(left)} layers than the network has")
    return net.g.finish({output: probability})
