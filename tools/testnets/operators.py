"""Small nets that go through the variants of one operator or one exporter's habit; every variant is an output of its own."""
import numpy as np
from onnx import TensorProto


def pools(net, small):
    """AveragePool and MaxPool: padding counted or not, ceil_mode, auto_pad, dilation, global."""
    x = net.conv(net.input(['N', 3, 'H', 'W']), 12)
    for kernel, stride, pad in ((3, 2, 1), (2, 2, 0), (3, 1, 1), (5, 3, 2), (3, 2, [0, 1, 1, 0])):
        for count in (0, 1):
            for ceil in (0, 1):
                y = net.pool(x, 'AveragePool', kernel, stride, pad, ceil_mode=ceil, **({'count_include_pad': 1} if count else {}))
                if not (ceil and count):  # ONNX Runtime and the standard differ on windows that hang over: not compared
                    net.output(y, 4)
        for ceil in (0, 1):
            net.output(net.pool(x, 'MaxPool', kernel, stride, pad, ceil_mode=ceil), 4)
    for auto in ('SAME_UPPER', 'SAME_LOWER', 'VALID'):
        net.output(net.pool(x, 'AveragePool', 3, 2, auto_pad=auto), 4)
        net.output(net.pool(x, 'MaxPool', 2, 2, auto_pad=auto), 4)
        net.output(net.conv(x, 8, kernel=3, stride=2, auto_pad=auto), 4)
    net.output(net.pool(x, 'MaxPool', 3, 1, 2, dilations=[2, 2]), 4)
    net.output(net.op('GlobalMaxPool', x), 4)
    return [[[1, 3, 17, 22]], [[2, 3, 24, 13]]]


def upsample9(net, small):
    """Upsample of opset 9: scales as a constant input, nearest and linear."""
    x = net.relu(net.conv(net.input(['N', 3, 'H', 'W']), 16))
    for mode, scale in (('nearest', (2, 2)), ('nearest', (3, 2)), ('linear', (2, 2))):
        y = net.op('Upsample', x, net.const(np.array([1, 1, *scale])), mode=mode)
        net.output(net.conv(y, 6), 4)
    return [[[1, 3, 12, 10]], [[2, 3, 7, 9]]]


def resizes(net, small):
    """Resize: modes, coordinate rules, rounding rules; by scales and by sizes; up and down."""
    side = 12
    x = net.conv(net.input(['N', 3, side, side]), 8)
    roi = net.const(np.zeros(0))
    rules = [('nearest', c, n) for c in ('half_pixel', 'asymmetric', 'align_corners') for n in ('round_prefer_floor', 'round_prefer_ceil', 'floor', 'ceil')]
    rules += [(m, c, None) for m in ('linear', 'cubic') for c in ('half_pixel', 'asymmetric', 'align_corners', 'pytorch_half_pixel')]
    for mode, coord, nearest in rules:
        extra = {'nearest_mode': nearest} if nearest else {}
        for up in (2.0, 1.5, 0.5):
            scales = net.const(np.array([1, 1, up, up]))
            net.output(net.op('Resize', x, roi, scales, mode=mode, coordinate_transformation_mode=coord, **extra), 4)
        sizes = net.op('Concat', net.op('Slice', net.op('Shape', x), net.ints(0), net.ints(2)), net.ints(19, 7), axis=0)
        net.output(net.op('Resize', x, roi, net.const(np.zeros(0)), sizes, mode=mode, coordinate_transformation_mode=coord, **extra), 4)
    return [[[1, 3, side, side]], [[2, 3, side, side]]]


def group_norm(net, x, groups):
    """GroupNorm as PyTorch exports it: InstanceNormalization over reshaped groups, then scale and shift."""
    c = net.channels[x]
    y = net.op('Reshape', x, net.ints(0, groups, -1))
    y = net.op('InstanceNormalization', y, net.const(np.ones(groups)), net.const(np.zeros(groups)), epsilon=1e-5)
    y = net.op('Reshape', y, net.op('Shape', x), channels=c)
    y = net.op('Mul', y, net.const(net.random(c, 1, 1, low=0.5, high=1.5)), channels=c)
    return net.add(y, net.const(net.random(c, 1, 1, low=-0.2, high=0.2)))


def layer_norm(net, x, width):
    """LayerNorm before opset 17: mean, difference, square, mean, root, quotient."""
    diff = net.op('Sub', x, net.op('ReduceMean', x, axes=[-1]))
    variance = net.op('ReduceMean', net.op('Pow', diff, net.const(2.0)), axes=[-1])
    y = net.op('Div', diff, net.op('Sqrt', net.add(variance, net.const(1e-5))))
    return net.add(net.op('Mul', y, net.const(net.random(width, low=0.5, high=1.5))), net.const(net.random(width, low=-0.2, high=0.2)))


def norms(net, small):
    """Instance and layer normalisation chains around convolutions."""
    x = net.relu(net.conv(net.input(['N', 3, 'H', 'W']), 32))
    y = net.conv(x, 16, stride=2)
    scale, shift = net.const(net.random(16, low=0.5, high=1.5)), net.const(net.random(16, low=-0.2, high=0.2))
    y = net.op('InstanceNormalization', y, scale, shift, epsilon=1e-5)
    y = net.prelu(y)
    net.output(y, 4, 'instance')
    z = net.op('Transpose', net.op('Reshape', y, net.ints(0, 16, -1)), perm=[0, 2, 1])
    net.output(layer_norm(net, z, 16), 3, 'layer')
    net.output(net.op('LpNormalization', net.op('ReduceMean', y, axes=[2, 3], keepdims=0), axis=1, p=2), 2, 'unit')
    return [[[1, 3, 20, 24]], [[2, 3, 9, 15]]]


def group_norms(net, small):
    """Group normalisation, with groups of several channels and of one."""
    x = net.relu(group_norm(net, net.conv(net.input(['N', 3, 'H', 'W']), 32), 8))
    net.output(x, 4, 'groups')
    net.output(group_norm(net, net.conv(x, 16, stride=2), 16), 4, 'alone')
    return [[[1, 3, 20, 24]], [[2, 3, 9, 15]]]


def attention(net, small):
    """A transformer block: tokens from patches, scaled dot products over heads, GELU written with Erf."""
    width, heads, tokens = 32, 4, 16
    x = net.conv(net.input(['N', 3, 32, 32]), width, kernel=8, stride=8, pad=0)
    x = net.op('Transpose', net.op('Reshape', x, net.ints(-1, width, tokens)), perm=[0, 2, 1])
    x = net.add(x, net.const(net.rng.standard_normal((1, tokens, width)) * 0.1))

    def dense(t, n_in, n_out):
        return net.add(net.op('MatMul', t, net.const(net.he(n_in, n_out, fan_in=n_in, gain=1))), net.const(net.rng.standard_normal(n_out) * 0.05))

    qkv = net.op('Reshape', dense(layer_norm(net, x, width), width, 3 * width), net.ints(-1, tokens, 3, heads, width // heads))
    q, key, v = net.op('Split', net.op('Transpose', qkv, perm=[2, 0, 3, 1, 4]), net.ints(1, 1, 1), n_out=3, axis=0)
    q, key, v = (net.op('Squeeze', t, net.ints(0)) for t in (q, key, v))
    scores = net.op('Mul', net.op('MatMul', q, net.op('Transpose', key, perm=[0, 1, 3, 2])), net.const((width // heads) ** -0.5))
    mixed = net.op('MatMul', net.op('Softmax', scores, axis=-1), v)
    mixed = net.op('Reshape', net.op('Transpose', mixed, perm=[0, 2, 1, 3]), net.ints(-1, tokens, width))
    x = net.add(x, dense(mixed, width, width))
    y = dense(layer_norm(net, x, width), width, 2 * width)
    gate = net.add(net.op('Erf', net.op('Div', y, net.const(2 ** 0.5))), net.const(1.0))
    y = net.op('Mul', net.op('Mul', y, gate), net.const(0.5))
    net.output(net.add(x, dense(y, 2 * width, width)), 3, 'tokens')
    return [[[1, 3, 32, 32]], [[2, 3, 32, 32]]]


def shuffles(net, small):
    """Moving data: ShuffleNet's channel shuffle, focus slices, pixel shuffle, padding, gathers, transposed convolution."""
    x = net.input(['N', 4, 16, 20])
    parts = []
    for h in (0, 1):
        for w in (0, 1):
            y = net.op('Slice', x, net.ints(h), net.ints(2 ** 31 - 1), net.ints(2), net.ints(2))
            parts.append(net.op('Slice', y, net.ints(w), net.ints(2 ** 31 - 1), net.ints(3), net.ints(2)))
    y = net.relu(net.conv(net.concat(parts), 16))
    net.output(net.op('DepthToSpace', y, blocksize=2, mode='CRD'), 4, 'crd')
    net.output(net.op('DepthToSpace', y, blocksize=2, mode='DCR'), 4, 'dcr')
    net.output(net.op('SpaceToDepth', y, blocksize=2), 4, 'space_to_depth')
    a, b = net.op('Split', y, net.ints(6, 10), n_out=2, axis=1)
    net.channels[a], net.channels[b] = 6, 10
    z = net.concat([net.conv(b, 10, groups=5), a])
    z = net.op('Reshape', z, net.ints(0, 2, 8, 8, 10))
    z = net.op('Reshape', net.op('Transpose', z, perm=[0, 2, 1, 3, 4]), net.ints(0, 16, 8, 10), channels=16)
    net.output(z, 4, 'shuffled')
    for mode in ('constant', 'reflect', 'edge'):
        value = [net.const(0.25)] if mode == 'constant' else []
        net.output(net.conv(net.op('Pad', z, net.ints(0, 0, 1, 2, 0, 0, 2, 1), *value, mode=mode), 4, pad=0), 4, mode)
    net.output(net.op('Pad', z, net.ints(0, 0, -1, 0, 0, 0, 0, -2)), 4, 'cropped')
    weight = net.const(net.he(16, 6, 3, 3, fan_in=144))
    up = net.op('ConvTranspose', z, weight, net.const(np.zeros(6)), channels=6, strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1], kernel_shape=[3, 3])
    net.output(net.prelu(up), 4, 'transposed')
    weight = net.const(net.he(16, 1, 4, 4, fan_in=16))
    net.output(net.op('ConvTranspose', z, weight, strides=[2, 2], pads=[1, 1, 1, 1], group=16, kernel_shape=[4, 4]), 4, 'transposed_depthwise')
    net.output(net.op('Gather', z, net.ints(3, -1, 0), axis=1), 4, 'gathered')
    flat = net.op('Reshape', z, net.ints(0, -1))
    net.output(net.op('Slice', flat, net.ints(-1), net.ints(-40), net.ints(1), net.ints(-3)), 2, 'reversed')
    return [[[1, 4, 16, 20]], [[2, 4, 16, 20]]]


def arithmetic(net, small):
    """Elementwise operators and reductions, with every way of broadcasting that exporters write."""
    x = net.conv(net.input(['N', 3, 'H', 'W']), 8)
    per_channel, per_map = net.const(net.random(8, 1, 1, low=0.5, high=2)), net.op('ReduceMean', x, axes=[1])
    net.output(net.op('Mul', net.op('Sub', x, per_map), per_channel), 4, 'broadcast')
    net.output(net.op('Div', net.const(1.0), net.add(net.op('Exp', x), net.const(1.0))), 4, 'logistic')
    net.output(net.op('Tanh', net.op('Sub', net.const(1.0), x)), 4, 'tanh')
    net.output(net.op('Elu', x, alpha=0.7), 4, 'elu')
    net.output(net.op('Softplus', x), 4, 'softplus')
    net.output(net.op('Mul', x, net.op('Sigmoid', x)), 4, 'swish')
    net.output(net.op('Mul', x, net.op('Tanh', net.op('Softplus', x))), 4, 'mish')
    net.output(net.op('Log', net.add(net.op('Abs', x), net.const(0.5))), 4, 'log')
    net.output(net.op('Sqrt', net.op('Max', x, net.const(0.01))), 4, 'sqrt')
    net.output(net.op('Min', x, net.op('Neg', x)), 4, 'min')
    net.output(net.op('Pow', net.op('Abs', x), net.const(1.5)), 4, 'pow')
    net.output(net.op('Reciprocal', net.op('Floor', net.op('Clip', x, net.const(2.0)))), 4, 'reciprocal')
    net.output(net.op('Ceil', net.op('Mul', x, net.const(3.0))), 4, 'ceil')
    net.output(net.op('Clip', x, None, net.const(0.3)), 4, 'at_most')
    net.output(net.op('PRelu', x, net.const(np.array([0.2]))), 4, 'prelu_one')
    net.output(net.op('HardSigmoid', x), 4, 'hard_sigmoid')
    for kind in ('ReduceMax', 'ReduceMin', 'ReduceL2', 'ReduceMean'):
        net.output(net.op(kind, x, axes=[1, 3], keepdims=0), 2, kind.lower() + '_1_3')
        net.output(net.op(kind, x, axes=[-1], keepdims=1), 4, kind.lower() + '_w')
    net.output(net.op('ReduceSum', x, net.ints(2, 3), keepdims=1), 4, 'sum_hw')
    net.output(net.op('Softmax', x, axis=1), 4, 'softmax_channels')
    net.output(net.op('Softmax', x, axis=3), 4, 'softmax_w')
    return [[[1, 3, 9, 14]], [[3, 3, 16, 16]]]


def rare(net, small):
    """Operators that no face network of ours needs at run time: Tile along a full axis, ArgMax."""
    x = net.conv(net.input(['N', 3, 12, 10]), 8)
    net.output(net.op('Tile', x, net.ints(1, 2, 1, 3)), 4, 'tiled')
    net.output(net.op('Cast', net.op('ArgMax', x, axis=1, keepdims=0), to=TensorProto.FLOAT), 3, 'argmax')
    return [[[1, 3, 12, 10]], [[2, 3, 12, 10]]]
