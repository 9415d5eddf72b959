"""TensorFlow.js graph models of @vladmandic/human (MediaPipe's face networks) to ONNX.

A graph model is JSON: a TensorFlow GraphDef (nodes with op, inputs and attributes whose strings are base64) and a weights
manifest. Only the operations that these networks use are lowered; any other is an error that names the node.
"""

import base64
import json

import numpy as np

import tfweights
from onnxbuild import Graph, Map

# Network -> the graph's outputs in order: (TensorFlow node, ONNX name, values per row; None = a flat vector).
OUTPUTS = {
    "blazeface_back": [("Identity", "scores_16", 1), ("Identity_1", "scores_32", 1), ("Identity_2", "boxes_16", 16), ("Identity_3", "boxes_32", 16)],
    "facemesh_468": [("Identity_2", "mesh", None), ("Identity", "contours", None), ("Identity_1", "face_flag", None)],
    "iris": [("Identity", "landmarks", None)],
}


def attribute(value):
    """A node's attribute as a Python value."""
    if "list" in value:
        items = value["list"]
        if "s" in items:
            return [base64.b64decode(s).decode() for s in items["s"]]
        return [int(i) for i in items.get("i", [])]
    if "shape" in value:
        return [int(d["size"]) for d in value["shape"].get("dim", [])]
    if "s" in value:
        return base64.b64decode(value["s"]).decode()
    return next(iter(value.values()))


class Lowering:
    """Walks the GraphDef from its outputs; `values` maps TensorFlow nodes to Maps, Rows or constant arrays."""

    def __init__(self, name, topology, weights):
        self.graph = Graph(name)
        self.nodes = {node["name"]: node for node in topology["node"]}
        self.weights = weights
        self.values = {}

    def value(self, reference):
        name = reference.split(":")[0]
        if name not in self.values:
            node = self.nodes[name]
            handler = getattr(self, "op_" + node["op"].lstrip("_"), None)
            if handler is None:
                raise ValueError(f"operation {node['op']} of node {name} is not known")
            attributes = {key: attribute(v) for key, v in node.get("attr", {}).items()}
            self.values[name] = handler(node, attributes, [i for i in node.get("input", []) if not i.startswith("^")])
        return self.values[name]

    def op_Const(self, node, _attributes, _inputs):
        return self.weights[node["name"]]

    def op_Placeholder(self, _node, attributes, _inputs):
        _, h, w, c = attributes["shape"]
        return self.graph.image(h, w, c)

    def op_Identity(self, _node, _attributes, inputs):
        return self.value(inputs[0])

    def op_FusedConv2D(self, node, attributes, inputs):
        fused = attributes["fused_ops"]
        if fused[:1] != ["BiasAdd"] or attributes["dilations"] != [1, 1, 1, 1]:
            raise ValueError(f"node {node['name']}: fused_ops {fused}, dilations {attributes['dilations']}")
        x, filters, bias = (self.value(i) for i in inputs[:3])
        y = self.graph.conv(x, filters, bias, attributes["strides"][1:3], attributes["padding"])
        if fused[1:] == ["Prelu"]:
            return self.graph.prelu(y, self.value(inputs[3]))
        if fused[1:] == ["Relu"]:
            return self.graph.relu(y)
        if fused[1:]:
            raise ValueError(f"node {node['name']}: fused_ops {fused}")
        return y

    def op_DepthwiseConv2dNative(self, _node, attributes, inputs):
        x, filters = (self.value(i) for i in inputs)
        return self.graph.depthwise(x, filters, None, attributes["strides"][1:3], attributes["padding"])

    def op_MaxPool(self, _node, attributes, inputs):
        return self.graph.pool(self.value(inputs[0]), "MaxPool", attributes["ksize"][1:3], attributes["strides"][1:3], attributes["padding"])

    def op_AddV2(self, _node, _attributes, inputs):
        return self.graph.add(self.value(inputs[0]), self.value(inputs[1]))

    def op_Relu(self, _node, _attributes, inputs):
        return self.graph.relu(self.value(inputs[0]))

    def op_Prelu(self, _node, _attributes, inputs):
        return self.graph.prelu(self.value(inputs[0]), self.value(inputs[1]))

    def op_Sigmoid(self, _node, _attributes, inputs):
        return self.graph.unary("Sigmoid", self.value(inputs[0]))

    def op_Pad(self, node, _attributes, inputs):
        pads = self.value(inputs[1]).tolist()
        before, after = [p[0] for p in pads], [p[1] for p in pads]
        if any(before) or after[0]:
            raise ValueError(f"node {node['name']}: padding {pads}")
        return self.graph.pad(self.value(inputs[0]), *after[1:])

    def op_ConcatV2(self, node, _attributes, inputs):
        if int(self.value(inputs[-1])) not in (3, -1):
            raise ValueError(f"node {node['name']}: concatenation of something other than channels")
        return self.graph.concat_channels([self.value(i) for i in inputs[:-1]])

    def op_Reshape(self, _node, _attributes, inputs):
        """Only at the outputs, where `shaped` decides the form; NHWC order is kept by both forms."""
        return self.value(inputs[0])


def shaped(graph, value, values_per_row):
    if values_per_row is not None:
        return graph.cells(value, values_per_row)
    return graph.flatten(value) if isinstance(value, Map) else value


def convert(network, model_json, weights_bin):
    """ONNX bytes of one of OUTPUTS from the package's .json and .bin."""
    spec = json.loads(model_json)
    lowering = Lowering(network, spec["modelTopology"], tfweights.read(spec["weightsManifest"], weights_bin))
    outputs = {name: shaped(lowering.graph, lowering.value(node), per_row) for node, name, per_row in OUTPUTS[network]}
    return lowering.graph.finish(outputs)
