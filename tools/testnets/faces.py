"""Structures of published face networks, with random weights. `small` asks for reduced widths and depths.

InsightFace's four (w600k_r50, det_10g, 2d106det, genderage of its model zoo) have the inputs, outputs and declared shapes of the published files, Inception
ResNet v1 and DeepPixBiS those of the files of the facebank project (InceptionResnetV1_vggface2.onnx, OULU_Protocol_2_model_0_0.onnx)."""
import numpy as np


def iresnet(net, small):
    """iResNet-50 as exported in InsightFace's w600k_r50 (Deng et al. 2019; Duta et al. 2020): normalisations after a convolution are
    folded into it, the one before the first convolution of each block stays. 6.3 GMAC at 112x112."""
    side, out = 112, 512
    widths, blocks = ([16, 24, 32, 40], [1, 2, 2, 1]) if small else ([64, 128, 256, 512], [3, 4, 14, 3])
    x = net.prelu(net.conv(net.input(['None', 3, side, side], 'input.1'), widths[0]))
    for width, count in zip(widths, blocks):
        for i in range(count):
            stride = 2 if i == 0 else 1
            y = net.prelu(net.conv(net.bn(x), width))
            y = net.conv(y, width, stride=stride, gain=0.3)
            if i == 0:
                x = net.conv(x, width, kernel=1, stride=stride, gain=1)
            x = net.add(y, x)
    x = net.op('Flatten', net.bn(x, 2e-5), axis=1)
    x = net.bn(net.gemm(x, widths[-1] * (side // 16) ** 2, out), 2e-5)
    net.output(x, 2, '683', dims=[1, out])
    return [[[1, 3, side, side]], [[3, 3, side, side]]]


def basic_block(net, x, width, stride):
    """ResNet-D block: the short cut shrinks by average pooling, ceil_mode, padding not counted."""
    y = net.conv(net.relu(net.conv(x, width, stride=stride)), width, gain=0.5)
    if stride > 1:
        x = net.pool(x, 'AveragePool', 2, 2, ceil_mode=1, count_include_pad=0)
    if stride > 1 or net.channels[x] != width:
        x = net.conv(x, width, kernel=1, pad=0, gain=1)
    return net.relu(net.add(y, x))


SCRFD_OUTPUTS = {'score': ('448', '471', '494'), 'box': ('451', '474', '497'), 'points': ('454', '477', '500')}


def scrfd(net, small):
    """SCRFD-10G with key points (Guo et al. 2021), as exported: dynamic height and width, sizes through Shape chains, heads
    permuted to (H, W, N, C) and flattened; the outputs' declared shapes are those of 640 x 640, which the exporter saw."""
    k = 4 if small else 1
    x = net.input([1, 3, '?h', '?w'], 'input.1')
    for width, stride in ((28, 2), (28, 1), (56, 1)):
        x = net.relu(net.conv(x, width // k, stride=stride))
    x = net.pool(x, 'MaxPool', 3, 2, 1)
    levels = []
    for width, count, stride in ((56, 3, 1), (88, 4, 2), (88, 2, 2), (224, 3, 2)):
        for i in range(1 if small else count):
            x = basic_block(net, x, width // k, stride if i == 0 else 1)
        levels.append(x)
    sides = [net.conv(level, 56 // k, kernel=1, gain=1) for level in levels[1:]]
    for i in (2, 1):
        sides[i - 1] = net.add(sides[i - 1], net.resize_like(sides[i], sides[i - 1]))
    outs = [net.conv(s, 56 // k, gain=1) for s in sides]
    for i in (0, 1):
        outs[i + 1] = net.add(outs[i + 1], net.conv(outs[i], 56 // k, stride=2, gain=0.5))
    outs = [outs[0]] + [net.conv(o, 56 // k, gain=1) for o in outs[1:]]
    heads = {'score': (2, 1), 'box': (8, 4), 'points': (20, 10)}
    found = {}
    for stride, x in zip((8, 16, 32), outs):
        for _ in range(3):
            x = net.relu(net.conv(x, 80 // k))
        for kind, (width, each) in heads.items():
            y = net.conv(x, width, gain=0.3)
            if kind == 'box':
                y = net.op('Mul', y, net.const(1.0 + stride / 100))
            y = net.view(net.op('Transpose', y, perm=[2, 3, 0, 1]), -1, each)
            if kind == 'score':
                y = net.op('Sigmoid', y)
            found[kind, stride] = y
    for kind, (_, each) in heads.items():
        for name, stride in zip(SCRFD_OUTPUTS[kind], (8, 16, 32)):
            net.output(found[kind, stride], 2, name, dims=[2 * (640 // stride) ** 2, each])
    return [[[1, 3, 96, 128]], [[1, 3, 224, 160]]] if small else [[[1, 3, 320, 320]], [[1, 3, 256, 352]]]


def ssh(net, x, out, slope):
    """SSH context module (Najibi et al. 2017) as in RetinaFace: three receptive fields side by side."""
    act = (lambda t: net.leaky(t, slope)) if slope else net.relu
    a = net.conv(x, out // 2)
    context = act(net.conv(x, out // 4))
    b = net.conv(context, out // 4)
    c = net.conv(act(net.conv(context, out // 4)), out // 4)
    return net.relu(net.concat([a, b, c]))


def retina_heads(net, levels, width, slope):
    """FPN, SSH and the three heads of Pytorch_Retinaface; view(N, -1, C) through Shape and Gather."""
    act = (lambda t: net.leaky(t, slope)) if slope else net.relu
    sides = [act(net.conv(level, width, kernel=1)) for level in levels]
    for i in (2, 1):
        sides[i - 1] = act(net.conv(net.add(sides[i - 1], net.resize_like(sides[i], sides[i - 1])), width, gain=1))
    features = [ssh(net, s, width, slope) for s in sides]
    for name, each in (('loc', 4), ('conf', 2), ('landms', 10)):
        parts = []
        for f in features:
            y = net.conv(f, 2 * each, kernel=1, gain=1)
            batch = net.size(y, 0)
            parts.append(net.view(net.op('Transpose', y, perm=[0, 2, 3, 1]), batch, -1, each))
        y = net.op('Concat', *parts, axis=1)
        net.output(net.op('Softmax', y, axis=-1) if name == 'conf' else y, 3, name)


def retinaface_mobile(net, small):
    """RetinaFace with MobileNet 0.25 (Deng et al. 2020): depthwise blocks, leaky ReLU, no leak in the depthwise part of none."""
    x = net.leaky(net.conv(net.input(['N', 3, 'H', 'W']), 8, stride=2))
    levels = []
    plan = ((16, 1), (32, 2), (32, 1), (64, 2), (64, 1), 'level', (128, 2), (128, 1), (128, 1), 'level', (256, 2), (256, 1), 'level')
    for step in plan:
        if step == 'level':
            levels.append(x)
            continue
        width, stride = step[0] // (2 if small else 1), step[1]
        x = net.leaky(net.conv(x, net.channels[x], stride=stride, groups=net.channels[x]))
        x = net.leaky(net.conv(x, width, kernel=1))
    retina_heads(net, levels, 16 if small else 64, 0.1)
    return [[[1, 3, 96, 128]], [[2, 3, 64, 96]]] if small else [[[1, 3, 320, 320]], [[2, 3, 160, 224]]]


def bottleneck(net, x, width, stride):
    y = net.relu(net.conv(x, width, kernel=1))
    y = net.relu(net.conv(y, width, stride=stride))
    y = net.conv(y, width * 4, kernel=1, gain=0.4)
    if net.channels[x] != width * 4 or stride > 1:
        x = net.conv(x, width * 4, kernel=1, stride=stride, gain=1)
    return net.relu(net.add(y, x))


def retinaface_resnet(net, small):
    """RetinaFace with ResNet-50; odd sizes, so that the upsampled map is cut to its neighbour's size."""
    k = 8 if small else 1
    x = net.relu(net.conv(net.input(['N', 3, 'H', 'W']), 64 // k, kernel=7, stride=2, pad=3))
    x = net.pool(x, 'MaxPool', 3, 2, 1)
    levels = []
    for width, count, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for i in range(1 if small else count):
            x = bottleneck(net, x, width // k, stride if i == 0 else 1)
        levels.append(x)
    retina_heads(net, levels[1:], 16 if small else 256, 0)
    return [[[1, 3, 90, 118]]] if small else [[[1, 3, 250, 330]]]


def inception_resnet(net, small):
    """InceptionResnetV1 of facenet (Szegedy et al. 2016; Schroff et al. 2015), 160x160 -> 512."""
    k = 8 if small else 1

    def conv(x, width, kernel=1, stride=1, pad=0):
        return net.relu(net.conv(x, max(width // k, 4), kernel, stride, pad))

    def wide(x, width, kernel):
        return conv(x, width, kernel, pad=[kernel[0] // 2, kernel[1] // 2] * 2)

    def block(x, branches, scale, relu=True):
        y = net.conv(net.concat(branches), net.channels[x], kernel=1, gain=1)
        y = net.add(net.op('Mul', y, net.const(scale)), x)
        return net.relu(y) if relu else y

    def block35(x):
        a, b = conv(x, 32), conv(conv(x, 32), 32, 3, pad=1)
        return block(x, [a, b, conv(conv(conv(x, 32), 32, 3, pad=1), 32, 3, pad=1)], 0.17)

    def block17(x):
        return block(x, [conv(x, 128), wide(wide(conv(x, 128), 128, (1, 7)), 128, (7, 1))], 0.10)

    def block8(x, relu=True, scale=0.2):
        return block(x, [conv(x, 192), wide(wide(conv(x, 192), 192, (1, 3)), 192, (3, 1))], scale, relu)

    def repeat(f, x, n):
        for _ in range(1 if small else n):
            x = f(x)
        return x

    x = conv(conv(conv(net.input(['N', 3, 160, 160]), 32, 3, 2), 32, 3), 64, 3, pad=1)
    x = conv(conv(conv(net.pool(x), 80), 192, 3), 256, 3, 2)
    x = repeat(block35, x, 5)
    x = net.concat([conv(x, 384, 3, 2), conv(conv(conv(x, 192), 192, 3, pad=1), 256, 3, 2), net.pool(x)])
    x = repeat(block17, x, 10)
    x = net.concat([conv(conv(x, 256), 384, 3, 2), conv(conv(x, 256), 256, 3, 2), conv(conv(conv(x, 256), 256, 3, pad=1), 256, 3, 2), net.pool(x)])
    x = block8(repeat(block8, x, 5), relu=False, scale=1.0)
    width = net.channels[x]
    x = net.op('Flatten', net.op('GlobalAveragePool', x), axis=1)
    weight = net.const(net.he(width, 512, fan_in=width, gain=1))
    x = net.op('MatMul', x, weight, channels=512)
    x = net.bn(x, 1e-3)
    length = net.op('ReduceL2', x, axes=[1], keepdims=1)
    length = net.op('Expand', net.clip(length, 1e-12, 3e38), net.op('Shape', x))
    net.output(net.op('Div', x, length), 2, 'output')
    return [[[1, 3, 160, 160]], [[2, 3, 160, 160]]]


def deeppixbis(net, small):
    """DeepPixBiS (George and Marcel 2019): DenseNet-161 up to its second transition, a 14x14 map with sigmoid, and one score."""
    growth, start, blocks = (8, 16, (2, 3)) if small else (48, 96, (6, 12))
    side = 224
    x = net.relu(net.conv(net.input(['N', 3, side, side]), start, kernel=7, stride=2, pad=3))
    x = net.pool(x, 'MaxPool', 3, 2, 1)
    for count in blocks:
        parts = [x]
        for _ in range(count):
            y = net.concat(parts) if len(parts) > 1 else parts[0]
            y = net.relu(net.conv(net.relu(net.bn(y)), 4 * growth, kernel=1, gain=1))
            parts.append(net.conv(y, growth, bias=False))
        x = net.relu(net.bn(net.concat(parts)))
        x = net.conv(x, net.channels[x] // 2, kernel=1, gain=1, bias=False)
        x = net.pool(x, 'AveragePool', 2, 2)
    x = net.op('Sigmoid', net.conv(x, 1, kernel=1, pad=0, gain=16))
    net.output(x, 4, 'output_pixel')
    flat = net.op('Flatten', x, axis=1)
    net.output(net.op('Sigmoid', net.gemm(flat, (side // 16) ** 2, 1)), 2, 'output_binary')
    return [[[1, 3, side, side]]]


def mobilenet_v3(net, small):
    """MobileNetV3-small (Howard et al. 2019). With opset 14 HardSwish is one operator; before, Add-Clip-Mul-Div as exported."""
    k = 2 if small else 1
    net.boost = 2.2  # near zero HardSwish halves, and so does the squeeze

    def hardswish(x):
        if net.opset >= 14:
            return net.op('HardSwish', x)
        return net.op('Div', net.op('Mul', x, net.clip(net.add(x, net.const(3.0)), 0.0, 6.0)), net.const(6.0))

    def squeeze(x):
        c = net.channels[x]
        y = net.op('GlobalAveragePool', x)
        y = net.conv(net.relu(net.conv(y, max(c // 4 // 8 * 8, 8), kernel=1)), c, kernel=1, gain=1)
        return net.op('Mul', x, net.op('HardSigmoid', y, alpha=1 / 6, beta=0.5))

    x = hardswish(net.conv(net.input(['N', 3, 'H', 'W']), 16, stride=2))
    rows = ((3, 16, 16, True, False, 2), (3, 72, 24, False, False, 2), (3, 88, 24, False, False, 1), (5, 96, 40, True, True, 2), (5, 240, 40, True, True, 1),
            (5, 120, 48, True, True, 1), (5, 288, 96, True, True, 2), (5, 576, 96, True, True, 1))
    for kernel, wide, out, se, hard, stride in rows:
        act = hardswish if hard else net.relu
        y = act(net.conv(x, wide // k, kernel=1)) if wide // k != net.channels[x] else x
        y = act(net.conv(y, net.channels[y], kernel=kernel, stride=stride, groups=net.channels[y]))
        y = net.conv(squeeze(y) if se else y, out // k, kernel=1, gain=0.5)
        x = net.add(y, x) if stride == 1 and net.channels[x] == out // k else y
    x = hardswish(net.conv(x, 576 // k, kernel=1))
    x = net.op('ReduceMean', x, axes=[2, 3], keepdims=0)
    x = hardswish(net.gemm(x, 576 // k, 1024 // k))
    x = net.gemm(x, 1024 // k, 7)
    net.output(x, 2, 'logits')
    net.output(net.op('Softmax', net.op('Tanh', x), axis=1), 2, 'classes')
    return [[[1, 3, 112, 112]], [[2, 3, 96, 80]]]


def mxnet_mobile(net, x, small, plan):
    """The MobileNet of InsightFace's 2d106det and genderage: normalised input, Conv-BN-PRelu, nothing folded."""
    net.boost = 1.5
    x = net.bn(net.op('Mul', net.op('Sub', x, net.const(127.5)), net.const(1 / 128)), 2e-5)
    x = net.prelu(net.bn(net.conv(x, plan[0][0], stride=2, bias=False)))
    for width, stride in plan[1:]:
        c = net.channels[x]
        x = net.prelu(net.bn(net.conv(x, c, stride=stride, groups=c, bias=False)))
        x = net.prelu(net.bn(net.conv(x, width // (2 if small else 1), kernel=1, bias=False)))
    return x


def landmark106(net, small):
    """2d106det: 192x192 -> 106 points, one large Gemm at the end."""
    x = mxnet_mobile(net, net.input(['None', 3, 192, 192], 'data'), small, ((16, 2), (32, 1), (64, 2), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1)))
    x = net.prelu(net.bn(net.conv(x, 64, stride=2, bias=False)))
    net.output(net.gemm(net.op('Flatten', x), 64 * 9, 212), 2, 'fc1', dims=[1, 212])
    return [[[1, 3, 192, 192]]]


def genderage(net, small):
    """genderage: 96x96 -> two gender scores and an age, from a global pool and one Gemm."""
    x = mxnet_mobile(net, net.input(['None', 3, 96, 96], 'data'), small, ((8, 2), (16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), (128, 1), (256, 2)))
    width = net.channels[x]
    x = net.op('Reshape', net.op('GlobalAveragePool', x), net.const(np.array([0, -1]), np.int64))
    net.output(net.gemm(x, width, 3), 2, 'fc1', dims=[1, 3])
    return [[[1, 3, 96, 96]], [[4, 3, 96, 96]]]
