"""Networks of @vladmandic/face-api to ONNX.

The package has weights only; the topologies live in its JavaScript (src/*/*.ts) and are written out here again from what they
compute. Weights are uint8 quantised per tensor (tfweights.py). face-api divides pixels by 255 (recognition too) after taking
the mean away; that is the manifest's business, the graphs start from the normalised image.
"""

import json

import numpy as np

import tfweights
from onnxbuild import Graph

BATCHNORM_EPSILON = 0.0010000000474974513  # mobilenet_v1 of face-api


class Net:
    """A Graph with the weights of one network, and the layers that face-api's networks share."""

    def __init__(self, name, weights, size):
        self.w = weights
        self.g = Graph(name)
        self.image = self.g.image(size, size, 3)

    def separable(self, x, path, strides=(1, 1), padding="SAME"):
        y = self.g.depthwise(x, self.w[path + "/depthwise_filter"], None, strides, padding, path + "/depthwise")
        return self.g.conv(y, self.w[path + "/pointwise_filter"], self.w[path + "/bias"], label=path + "/pointwise")

    def conv(self, x, path, strides=(1, 1), padding="SAME"):
        return self.g.conv(x, self.w[path + "/filters"], self.w[path + "/bias"], strides, padding, path)

    def fully_connected(self, x, path):
        return self.g.dense(x, self.w[path + "/weights"], self.w[path + "/bias"], path)


# ---- landmarks and expression: four dense blocks, 112 x 112 to 7 x 7, then one dense layer


def dense_block(net, x, path, is_first):
    """Each convolution adds to the sum of those before it."""
    g = net.g
    y = net.conv(x, path + "/conv0", (2, 2)) if is_first else net.separable(x, path + "/conv0", (2, 2))
    total = g.relu(y)
    for i in (1, 2, 3):
        total_before = total
        y = net.separable(g.relu(total) if i > 1 else total, f"{path}/conv{i}")
        total = g.add(total_before, y)
    return g.relu(total)


def dense_features(net):
    x = net.image
    for i in range(4):
        x = dense_block(net, x, f"dense{i}", i == 0)
    return net.g.mean(x)


def landmark68(weights):
    net = Net("faceapi_landmark68", weights, 112)
    return net.g.finish({"landmarks": net.fully_connected(dense_features(net), "fc")})


def expression(weights):
    net = Net("faceapi_expression", weights, 112)
    return net.g.finish({"prob": net.g.softmax(net.fully_connected(dense_features(net), "fc"))})


# ---- age and gender: a small Xception


def reduction(net, x, path, activate_first):
    g = net.g
    y = net.separable(g.relu(x) if activate_first else x, path + "/separable_conv0")
    y = net.separable(g.relu(y), path + "/separable_conv1")
    y = g.pool(y, "MaxPool", (3, 3), (2, 2), "SAME")
    return g.add(y, net.conv(x, path + "/expansion_conv", (2, 2)))


def age_gender(weights):
    net = Net("faceapi_age_gender", weights, 112)
    g = net.g
    x = g.relu(net.conv(net.image, "entry_flow/conv_in", (2, 2)))
    x = reduction(net, x, "entry_flow/reduction_block_0", False)
    x = reduction(net, x, "entry_flow/reduction_block_1", True)
    for block in range(2):
        y = x
        for i in range(3):
            y = net.separable(g.relu(y), f"middle_flow/main_block_{block}/separable_conv{i}")
        x = g.add(y, x)
    x = reduction(net, x, "exit_flow/reduction_block", True)
    x = g.mean(g.relu(net.separable(x, "exit_flow/separable_conv")))
    return g.finish({"age": net.fully_connected(x, "fc/age"), "gender": g.softmax(net.fully_connected(x, "fc/gender"))})


# ---- recognition: dlib's ResNet-34 variant with 29 convolutions (dlib dnn_face_recognition_ex.cpp)


def scaled_conv(net, x, path, strides, relu, padding="SAME"):
    """Convolution and dlib's affine layer, folded into one."""
    scale = net.w[path + "/scale/weights"].astype(np.float64)
    filters = net.w[path + "/conv/filters"] * scale
    bias = net.w[path + "/conv/bias"] * scale + net.w[path + "/scale/biases"]
    y = net.g.conv(x, filters, bias, strides, padding, path)
    return net.g.relu(y) if relu else y


def residual(net, x, path):
    y = scaled_conv(net, x, path + "/conv1", (1, 1), True)
    return net.g.relu(net.g.add(scaled_conv(net, y, path + "/conv2", (1, 1), False), x))


def residual_down(net, x, path):
    """Half the size: the shortcut is an average pool with zeros for the new channels; the branch may lack a last row and column."""
    y = scaled_conv(net, x, path + "/conv1", (2, 2), True, "VALID")
    y = scaled_conv(net, y, path + "/conv2", (1, 1), False)
    shortcut = net.g.pool(x, "AveragePool", (2, 2), (2, 2))
    if (shortcut.h, shortcut.w) != (y.h, y.w):
        y = net.g.pad(y, bottom=shortcut.h - y.h, right=shortcut.w - y.w)
    if shortcut.c != y.c:
        shortcut = net.g.pad(shortcut, channels=y.c - shortcut.c)
    return net.g.relu(net.g.add(shortcut, y))


def recognition(weights):
    net = Net("faceapi_recognition", weights, 150)
    x = scaled_conv(net, net.image, "conv32_down", (2, 2), True, "VALID")
    x = net.g.pool(x, "MaxPool", (3, 3), (2, 2))
    for stage in ("conv32_1", "conv32_2", "conv32_3", "conv64_down", "conv64_1", "conv64_2", "conv64_3", "conv128_down", "conv128_1",
                  "conv128_2", "conv256_down", "conv256_1", "conv256_2", "conv256_down_out"):
        x = (residual_down if "down" in stage else residual)(net, x, stage)
    return net.g.finish({"descriptor": net.g.dense(net.g.mean(x), weights["fc"], label="fc")})


# ---- SSD MobileNetV1: boxes are decoded inside the graph, against the priors that come with the weights


def mobilenet(net):
    """The two maps that feed the first box predictors: after the 11th and the 13th block."""
    g, w = net.g, net.w

    def pointwise(x, path, strides):
        return g.relu6(g.conv(x, w[path + "/weights"], w[path + "/convolution_bn_offset"], strides, label=path))

    x = pointwise(net.image, "MobilenetV1/Conv2d_0_pointwise", (2, 2))
    features = []
    for i in range(1, 14):
        path = f"MobilenetV1/Conv2d_{i}_depthwise"
        gamma, beta, mean, variance = (w[f"{path}/BatchNorm/{k}"].astype(np.float64) for k in ("gamma", "beta", "moving_mean", "moving_variance"))
        scale = gamma / np.sqrt(variance + BATCHNORM_EPSILON)
        filters = w[path + "/depthwise_weights"] * scale.reshape(1, 1, -1, 1)
        x = g.relu6(g.depthwise(x, filters, beta - mean * scale, (2, 2) if i in (2, 4, 6, 12) else (1, 1), label=path))
        x = pointwise(x, f"MobilenetV1/Conv2d_{i}_pointwise", (1, 1))
        if i == 11:
            features.append(x)
    features.append(x)
    for i in range(8):
        x = pointwise(x, f"Prediction/Conv2d_{i}_pointwise", (2, 2) if i % 2 else (1, 1))
        if i % 2:
            features.append(x)
    return features


def ssd_mobilenetv1(weights):
    """boxes: ymin, xmin, ymax, xmax relative to the padded square; scores: of the face class."""
    net = Net("faceapi_ssd_mobilenetv1", weights, 512)
    g = net.g
    boxes, classes = [], []
    for i, features in enumerate(mobilenet(net)):
        for rows, kind, values in ((boxes, "BoxEncodingPredictor", 4), (classes, "ClassPredictor", 3)):
            path = f"Prediction/BoxPredictor_{i}/{kind}"
            rows.append(g.cells(g.conv(features, weights[path + "/weights"], weights[path + "/biases"], label=path), values))
    encoded = g.concat_rows(boxes, 1)
    prior = weights["Output/extra_dim"].reshape(-1, 4).astype(np.float64)
    size = prior[:, 2:] - prior[:, :2]
    centre = prior[:, :2] + size / 2
    # Variances of the encoding: 10 for centres, 5 for logarithms of sizes.
    middle = g.binary("Add", g.binary("Mul", g.last(encoded, 0, 2), size / 10), centre)
    half = g.binary("Mul", g.unary("Exp", g.binary("Mul", g.last(encoded, 2, 4), np.float32(0.2))), size / 2)
    corners = g.concat_rows([g.binary("Sub", middle, half), g.add(middle, half)], 2)
    face = g.drop_last(g.unary("Sigmoid", g.last(g.concat_rows(classes, 1), 1, 2)))
    return g.finish({"boxes": corners, "scores": face})


# ---- tiny YOLO detector: any multiple of 32


def tiny_face_detector(weights):
    net = Net("faceapi_tiny_face_detector", weights, 416)
    g = net.g

    def leaky(x):
        return g.unary("LeakyRelu", x, alpha=0.10000000149011612)

    x = leaky(net.conv(net.image, "conv0", padding="VALID"))
    for i in range(1, 6):
        x = g.pool(x, "MaxPool", (2, 2), (2, 2), "SAME")
        x = leaky(net.separable(x, f"conv{i}", padding=1))
    x = g.pool(x, "MaxPool", (2, 2), (1, 1), "SAME")
    out = net.conv(x, "conv8", padding="VALID")
    return g.finish({"out": out}, dynamic={"input": ["N", 3, "H", "W"], "out": ["N", 25, "H_32", "W_32"]})


NETWORKS = {
    "faceapi_landmark68": landmark68,
    "faceapi_expression": expression,
    "faceapi_age_gender": age_gender,
    "faceapi_recognition": recognition,
    "faceapi_ssd_mobilenetv1": ssd_mobilenetv1,
    "faceapi_tiny_face_detector": tiny_face_detector,
}


def convert(network, manifest_json, weights_bin):
    """ONNX bytes of one of NETWORKS from the package's weights manifest and .bin."""
    return NETWORKS[network](tfweights.read(json.loads(manifest_json), weights_bin))
